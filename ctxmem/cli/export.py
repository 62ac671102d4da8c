"""`ctxmem export`: the log as files that other programs read, or the whole store as the old JSON stash."""

from pathlib import Path

import click

from ctxmem.cli import output, shared
from ctxmem.errors import BadInput
from ctxmem.exchange import export_log, export_stash


@click.command("export")
@click.argument("target", type=click.Path(path_type=Path))
@shared.store_option
@click.option(
    "--as",
    "form",
    type=click.Choice(["log", "stash"]),
    default="log",
    show_default=True,
    help="log: entries of the log as JSONL, by entity, space, date and tick. stash: every segment as one JSON file.",
)
@shared.as_json
def export_command(*, target: Path, store: Path, form: str, is_json: bool) -> None:
    """Write the log into the directory TARGET as JSONL, partitioned; `ctxmem import TARGET` brings it in again.

    Files are rotated at 50 MB, and compressed when their newest entry is older than 7 days. The same command goes on
    with an export that was interrupted, and adds what is new to one that is complete. See docs/logs.md.
    """
    if form == "stash" and target.exists():
        raise BadInput(f"{target} exists already: name a new file.")
    memory, log = shared.open_with_log(store)
    try:
        with memory, output.progress("exporting, segments", total=memory.stats()["segments"]) as bar:
            done = export_stash(log, target, bar) if form == "stash" else export_log(log, target, bar)
    except KeyboardInterrupt as exc:
        raise click.Abort("Interrupted: the same command goes on from where it was.") from exc
    if is_json:
        output.print_json(done)
    else:
        counts = (f"{name.replace('_', ' ')} {n:,}" for name, n in done.items() if name != "target")
        output.say(f"{target}: {', '.join(counts)}")
