"""What a call costs: its token counts, a model's prices on a day, and dollars as whole billionths.

I1. Dollars are counted in billionths (nanos), as ints: a sum of calls is exact, in whatever order they are added.
"""

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from ctxmem import inputs
from ctxmem.errors import BadInput
from ctxmem.models import Model

NANOS: Final = 1_000_000_000  # of a dollar
DAY_S: Final = 86_400
_PER_MILLION: Final = 1e-6
# The list says nothing of caches: what is read from them, or written, costs what any input does.
_UNCACHED: Final = {"cache_read_input_token_cost": None, "cache_creation_input_token_cost": None}

# Prices of a past day, for `ctxmem plan --prices` and as `Options.models`: dollars a token.
LISTS: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "2025-12": {
        "deepseek-chat": {
            "max_input_tokens": 64_000,
            "max_output_tokens": 8_000,
            "input_cost_per_token": 0.27 * _PER_MILLION,
            "output_cost_per_token": 1.10 * _PER_MILLION,
            **_UNCACHED,
        },
        "deepseek-reasoner": {
            "max_input_tokens": 64_000,
            "max_output_tokens": 64_000,
            "input_cost_per_token": 0.55 * _PER_MILLION,
            "output_cost_per_token": 2.19 * _PER_MILLION,
            **_UNCACHED,
        },
        "claude-sonnet-4-5": {
            "max_input_tokens": 200_000,
            "max_output_tokens": 64_000,
            "input_cost_per_token": 3.0 * _PER_MILLION,
            "output_cost_per_token": 15.0 * _PER_MILLION,
            **_UNCACHED,
        },
    }
}


class Counts(NamedTuple):
    """Tokens of one call, or of many: `cached` and `cache_write` are parts of `input`, `reasoning` of `output`."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0


def nanos(counts: Counts, model: Model) -> int | None:
    """Return what the counts cost with a model, in billionths of a dollar; None where its prices are not known.

    Without a price of its own, a token read from the cache costs what any other does.

    >>> from ctxmem.models import lookup
    >>> nanos(Counts(input=3_000, output=1_500), lookup("claude-sonnet-4-5"))
    31500000
    """
    plain, output = model.input_price, model.output_price
    if plain is None or output is None:
        return None
    read = plain if model.cache_read_price is None else model.cache_read_price
    write = plain if model.cache_write_price is None else model.cache_write_price
    fresh = counts.input - counts.cached - counts.cache_write
    dollars = fresh * plain + counts.cached * read + counts.cache_write * write + counts.output * output
    return round(dollars * NANOS)


def day_of(at: float) -> int:
    """Return the number of the UTC day of a moment, from 1970-01-01; 0 for what came before."""
    return max(0, math.floor(at / DAY_S))


def day_name(day: int) -> str:
    """Show a day by its number.

    >>> day_name(20428)
    '2025-12-06'
    """
    try:
        return datetime.fromtimestamp(day * DAY_S, timezone.utc).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return f"day {day}"


def listed(name: str) -> Mapping[str, Mapping[str, Any]]:
    """Return a price list by its name, as overrides of the table of models.

    Raises:
        BadInput: there is none of that name.
    """
    if name not in LISTS:
        raise BadInput(f"There is no price list {inputs.shown(name)}; there is {', '.join(LISTS)}.")
    return LISTS[name]
