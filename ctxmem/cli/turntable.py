"""The turn table and the summary of a measured run, as `demo` and `replay` print them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ctxmem.cli import output
from ctxmem.cli.meter import Meter, Row

_COLUMNS = ("turn", "epoch", "tokens", "of budget", "cached", "dropped", "stubbed", "recalled", "restored", "ms")
_SHOWN_ROWS = 40


def turn_table(meter: Meter, *, every: int = 0) -> None:
    """Print the rows: all of a short run, else evenly chosen ones (`every` n-th where it is given)."""
    rows = chosen(meter.rows, every)
    title = f"{len(rows)} of {len(meter.rows)} turns (--every 1 shows all)" if len(rows) < len(meter.rows) else "Turns"
    output.table(title, _COLUMNS, [_cells(row, meter.budget) for row in rows], numbers=range(len(_COLUMNS)))


def chosen(rows: Sequence[Row], every: int) -> list[Row]:
    """Choose the rows to show: the first and the last always, and those where something came back."""
    step = every or max(1, len(rows) // _SHOWN_ROWS)
    last = len(rows) - 1
    return [row for n, row in enumerate(rows) if n % step == 0 or n == last or (every == 0 and row.restored)]


def _cells(row: Row, budget: int) -> list[str]:
    counts = (row.dropped, row.stubbed, row.recalled, row.restored)
    return [
        str(row.turn),
        str(row.epoch),
        f"{row.tokens:,}",
        f"{row.tokens / max(1, budget):.0%}",
        f"{row.cached:.0%}",
        *(f"{count:,}" if count else "" for count in counts),
        f"{row.assemble_ms:.2f}",
    ]


def summary(totals: Mapping[str, Any], *, more: Mapping[str, Any] | None = None) -> None:
    """Print the totals of a run, in the words of the glossary."""
    invalid, over, breaks = totals["invalid_prompts"], totals["prompts_over_budget"], totals["prefix_breaks"]
    shown = {
        "turns": f"{totals['turns']:,} in {totals['epochs']:,} epochs",
        "largest prompt": f"{totals['largest_prompt_tokens']:,} of {totals['budget_tokens']:,} tokens of budget",
        "within budget": "every prompt" if not over else f"{over:,} prompts were over it",
        "valid for the provider": "every prompt" if not invalid else f"{invalid:,} prompts were not",
        "prefix kept between collections": "always" if not breaks else f"{breaks:,} breaks",
        "cache hit share": f"{totals['cache_hit_share']:.1%} of the tokens sent",
        "collected": f"{totals['dropped']:,} groups dropped, {totals['stubbed']:,} stubbed",
        "came back": f"{totals['recalled']:,} recalled, {totals['restored']:,} restored",
        "assemble": f"p50 {totals['assemble_ms_p50']:.2f} ms, p99 {totals['assemble_ms_p99']:.2f} ms",
        **(more or {}),
    }
    output.pairs("Summary", shown)
    for text in totals["violations"]:
        output.say(f"invalid: {text}")
