"""`ctxmem costs`: what the calls of a store took and cost."""

from dataclasses import asdict
from pathlib import Path

import click

from ctxmem import Cost
from ctxmem.cli import output, shared
from ctxmem.costs import GROUPS

_COUNTS = ("calls", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


@click.command("costs")
@shared.store_option
@click.option(
    "--by", multiple=True, type=click.Choice(GROUPS), default=("session",), show_default=True, help="Add up for each."
)
@click.option("--session", help="Of this session alone.")
@click.option("--model", help="Of this model alone.")
@click.option("--since", callback=shared.moment, help="From this time on: ISO 8601, or seconds since the epoch.")
@click.option("--until", callback=shared.moment, help="Up to this time.")
@shared.as_json
def costs_command(
    *,
    store: Path,
    by: tuple[str, ...],
    session: str | None,
    model: str | None,
    since: float | None,
    until: float | None,
    is_json: bool,
) -> None:
    """Show tokens and dollars of the calls that were made, by session, model, day (UTC) or turn."""
    with shared.open_existing(store) as memory:
        found = memory.costs(by, session=session, model=model, since=since, until=until)
        total = memory.costs((), session=session, model=model, since=since, until=until)
    if is_json:
        output.print_json([asdict(one) for one in found])
        return
    if not found:
        output.say("No call has been made yet that matches.")
        return
    names = [name for name in GROUPS if getattr(found[0], name) is not None]
    rows = [[str(getattr(one, name)) for name in names] + _cells(one) for one in found]
    rows += [["total", *[""] * (len(names) - 1), *_cells(total[0])]] if names and len(found) > 1 else []
    columns = [*names, *(name.removesuffix("_tokens").replace("_", " ") for name in _COUNTS), "dollars", "estimated"]
    output.table("", columns, rows, numbers=range(len(names), len(columns)))
    if total[0].unpriced:
        output.say(
            f"{total[0].unpriced:,} calls were of a model without a known price and are in no dollars: "
            "give Options.models its prices."
        )


def _cells(one: Cost) -> list[str]:
    counts = [f"{getattr(one, name):,}" for name in _COUNTS]
    return [*counts, f"{one.dollars:,.4f}", f"{one.estimated:,}" if one.estimated else ""]
