"""`ctxmem retain`: how long what is kept."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import click

from ctxmem.cli import output, shared

_NAMED = 10  # reasons, and segments of one, that are named
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "": 1}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_AGE = re.compile(r"(\d{1,12})([smhdw]?)")
_SIZE = re.compile(r"(\d{1,15})([kmg]?)b?", re.IGNORECASE)
_SEGMENT = re.compile(r"\bsegment \d+\b")


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    found = None if value is None else _AGE.fullmatch(value)
    if value is not None and found is None:
        raise click.BadParameter(f"{value!r} is no age: give seconds, or a number with s, m, h, d or w, such as 90d.")
    return None if found is None else int(found[1]) * _SECONDS[found[2]]


def _size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    found = None if value is None else _SIZE.fullmatch(value)
    if value is not None and found is None:
        raise click.BadParameter(f"{value!r} is no size: give bytes, or a number with K, M or G.")
    return None if found is None else int(found[1]) * _BYTES[found[2].lower()]


@click.command("retain")
@shared.store_option
@click.option("--max-age", callback=_age, metavar="AGE", help="Keep what is not older: 90d, 12h, or seconds.")
@click.option("--max-segments", type=click.IntRange(0), help="Keep so many, the newest.")
@click.option("--max-tokens", type=click.IntRange(0), help="Keep the newest of so many tokens.")
@click.option("--max-bytes", callback=_size, metavar="SIZE", help="Keep the newest of so many bytes: 500M, 2G.")
@click.option("--session", help="A rule for this session only.")
@click.option("--kind", help="A rule for this kind only: log, user, tool, ...")
@click.option(
    "--facet", "facets", multiple=True, callback=shared.facet, metavar="NAME=VALUE", help="Only with this facet."
)
@click.option("--off", is_flag=True, help="Take the rule of this session, kind and facets away.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would go and what would stay.")
@shared.as_json
def retain_command(
    *,
    store: Path,
    max_age: int | None,
    max_segments: int | None,
    max_tokens: int | None,
    max_bytes: int | None,
    session: str | None,
    kind: str | None,
    facets: dict[str, Any],
    off: bool,
    dry_run: bool,
    is_json: bool,
) -> None:
    """Let a rule stand of how much is kept, and apply it; with no limits, say what the rules that stand would let go.

    What is older, or beyond the newest so many, is forgotten. What is pinned, referred to, or shown by an open context
    stays. Rules are kept in the store. See docs/retention.md.
    """
    limits = (max_age, max_segments, max_tokens, max_bytes)
    has_limits = any(limit is not None for limit in limits)
    if off and has_limits:
        raise click.UsageError("Give limits or --off, not both.")
    if not has_limits and not off and (session or kind or facets):
        raise click.UsageError("Give the rule a limit such as --max-age 90d, or --off.")
    is_dry = dry_run or not (has_limits or off)
    with shared.open_existing(store, readonly=is_dry) as memory:
        found = memory.retain(*limits, session=session, kind=kind, dry_run=is_dry, **facets)
    if is_json:
        output.print_json(found)
    else:
        _show(found, is_dry=is_dry)


def _show(found: dict[str, Any], *, is_dry: bool) -> None:
    goes = found["goes"]
    ids = f": #{goes[0]} to #{goes[-1]}" if goes else ""
    output.say(f"{len(goes):,} segments {'would go' if is_dry else 'are gone'} ({found['tokens']:,} tokens){ids}.")
    why = Counter(_SEGMENT.sub("another segment", reason) for reason in found["stays"].values())
    for reason, n in why.most_common(_NAMED):
        ids = ", ".join(f"#{i}" for i, r in found["stays"].items() if _SEGMENT.sub("another segment", r) == reason)
        output.say(f"{n:,} stay although they are past a limit, since {reason}: {output.excerpt(ids)}")
