"""`ctxmem plan`: what runs would cost before they are made, and how many responses a budget pays for."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ctxmem import prices
from ctxmem.cli import output, planning, shared
from ctxmem.cli.planning import Priced, Run
from ctxmem.errors import BadInput


@click.command("plan")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--prices", "list_name", type=click.Choice(sorted(prices.LISTS)), help="Prices of a past month.")
@click.option("--budget", type=float, metavar="DOLLARS", help="Also say how many responses this pays for.")
@click.option("--cached", type=float, metavar="SHARE", help="Of each input, how much is read from the cache: 0 to 1.")
@click.option("--model", "models", multiple=True, help="Price every run with this model instead; may be repeated.")
@click.option("--log", is_flag=True, help="Take what the calls of the store took as runs, one for each model.")
@shared.store_option
@shared.as_json
def plan_command(
    *,
    runs: tuple[str, ...],
    list_name: str | None,
    budget: float | None,
    cached: float | None,
    models: tuple[str, ...],
    log: bool,
    store: Path,
    is_json: bool,
) -> None:
    """Price runs: each RUN is ENTITIESxRESPONSES@MODEL:IN/OUT, the tokens of one response last.

    `ctxmem plan 500x50@gpt-4.1:2000/800 --budget 100` prices 500 entities with 50 responses each, and says how many
    responses $100 pay for. Input is priced as read from the cache as far as `--cached` says, or the log did.
    """
    if budget is not None and not 0 <= budget < math.inf:
        raise BadInput(f"--budget {budget} must be a number of dollars from 0.")
    if cached is not None and not 0 <= cached <= 1:
        raise BadInput(f"--cached {cached} must be a share from 0 to 1.")
    wanted = [planning.parse(text) for text in runs] + (_logged(store) if log else [])
    if not wanted:
        raise click.UsageError("Name a run, such as 500x50@gpt-4.1:2000/800, or give --log.")
    if cached is not None:
        wanted = [run.cached(cached) for run in wanted]
    overrides = prices.listed(list_name) if list_name else {}
    for mix in [[run.with_model(model) for run in wanted] for model in models] or [wanted]:
        _show([planning.priced(run, overrides) for run in mix], budget, is_json=is_json)


def _logged(store: Path) -> list[Run]:
    with shared.open_existing(store) as memory:
        found = planning.of_log(memory.costs("model"))
    if not found:
        raise BadInput(f"{store} has no calls yet: name a run instead of --log.")
    return found


def _show(mix: Sequence[Priced], budget: float | None, *, is_json: bool) -> None:
    total = sum(one.dollars for one in mix)
    tokens = [sum(one.run.counts[at] for one in mix) for at in (0, 3)]
    if is_json:
        output.print_json(_plain(mix, budget, total))
        return
    columns = ["model", "entities", "responses", "in", "cached", "out", "$ a response", "$", "output tokens"]
    columns += [f"for ${budget:,.2f}"] if budget is not None else []
    rows = [_cells(one, budget) for one in mix]
    if len(rows) > 1:
        whole = ["total", "", f"{sum(one.run.n_responses for one in mix):,}", "", "", "", ""]
        rows.append([*whole, f"{total:,.2f}", f"{tokens[1]:,}", *[""] * (budget is not None)])
    output.table("", columns, rows, numbers=range(1, len(columns)))
    if budget is not None and len(mix) > 1 and total:
        output.say(f"${budget:,.2f} pays for {budget / total:,.2f} times all of it.")


def _cells(one: Priced, budget: float | None) -> list[str]:
    run = one.run
    sizes = [f"{run.each.input:,}", f"{run.each.cached:,}", f"{run.each.output:,}"]
    money = [f"{one.each:.5f}", f"{one.dollars:,.2f}", f"{run.counts.output:,}"]
    paid = [] if budget is None else [f"{one.responses_for(budget):,}" if one.dollars else "any number"]
    return [run.model, f"{run.entities:,}", f"{run.responses:,}", *sizes, *money, *paid]


def _plain(mix: Sequence[Priced], budget: float | None, total: float) -> dict[str, Any]:
    runs = [
        {
            "model": one.run.model,
            "responses": one.run.n_responses,
            **{f"{name}_tokens": tokens for name, tokens in one.run.counts._asdict().items()},
            "dollars_each": one.each,
            "dollars": one.dollars,
            "responses_for_budget": None if budget is None else one.responses_for(budget),
        }
        for one in mix
    ]
    return {"dollars": total, "runs": runs}
