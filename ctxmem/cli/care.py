"""`ctxmem stats`, `check` and `backup`: a store's figures, its soundness, its copy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ctxmem.cli import output, shared
from ctxmem.errors import BadInput
from ctxmem.store import look_at


@click.command("stats")
@shared.store_option
@shared.as_json
def stats_command(*, store: Path, is_json: bool) -> None:
    """Show counts, sizes and timings of a store."""
    with shared.open_existing(store) as memory:
        found = memory.stats()
    if is_json:
        output.print_json(found)
    else:
        _show(str(store), found)


def _show(title: str, found: Mapping[str, Any]) -> None:
    """Print the figures of the whole, then one row for each table that holds something."""
    tables = [name.removesuffix("_entries") for name in found if _is_of_table(name, found)]
    columns = {f"{name}_{what}" for name in tables for what in ("entries", "bytes")}
    output.pairs(title, {name.replace("_", " "): _shown(name, found[name]) for name in found if name not in columns})
    rows = [
        (t, f"{found[t + '_entries']:,}", output.size(found[t + "_bytes"])) for t in tables if found[t + "_entries"]
    ]
    output.table("\nTables", ["table", "entries", "size"], rows, numbers=(1, 2))


def _is_of_table(name: str, found: Mapping[str, Any]) -> bool:
    stem = name.removesuffix("_entries")
    return stem != name and f"{stem}_bytes" in found and stem not in {"hot", "held", "queued"}


def _shown(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return output.size(value) if name.endswith("bytes") else f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


@click.command("check")
@shared.store_option
@shared.as_json
def check_command(*, store: Path, is_json: bool) -> None:
    """Read the whole store and verify every record, index and count; exit code 1 where something is wrong."""
    problems = look_at(store)  # before it is opened: a damaged page may end the process
    if not problems:
        with shared.open_existing(store) as memory:
            problems = memory.check()
    if is_json:
        output.print_json([{"where": one.where, "what": one.what, "remedy": one.remedy} for one in problems])
    elif problems:
        output.table("", ["where", "what", "remedy"], [(one.where, one.what, one.remedy) for one in problems])
    else:
        output.say(f"{store} is sound.")
    if problems:
        raise click.exceptions.Exit(1)


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@shared.store_option
@shared.as_json
def backup_command(*, target: Path, store: Path, is_json: bool) -> None:
    """Write a consistent copy of the store to the new directory TARGET; writers go on meanwhile."""
    if target.exists():
        raise BadInput(f"{target} exists already: name a new directory.")
    with shared.open_existing(store) as memory:
        memory.backup(target)
    n_bytes = sum(one.stat().st_size for one in target.rglob("*") if one.is_file())
    if is_json:
        output.print_json({"target": str(target), "bytes": n_bytes})
    else:
        output.say(f"{target}: {output.size(n_bytes)}")
