"""Water levels: when a collection starts, and how far down it frees. Pure arithmetic on tokens and prices."""

from math import sqrt
from typing import Final, NamedTuple

from ctxmem.options import Policy


class Levels(NamedTuple):
    """A collection starts above high and frees down to low; one that frees less than the least is not worth it."""

    high_tokens: int
    low_tokens: int
    min_reclaim_tokens: int


LOW_SHARE: Final = 0.60  # of the budget: what a collection frees down to
HIGH_SHARE: Final = 0.95  # of the budget: no collection starts below it while the cache is warm


def levels(
    budget_tokens: int,
    policy: Policy,
    *,
    turn_tokens: float = 0.0,
    read_price: float | None = None,
    write_price: float | None = None,
) -> Levels:
    """Derive the water levels of the next epoch; fixed until its collection, and journaled with it.

    `turn_tokens` is the running mean of tokens appended per turn; the prices are those of a cached read and of a
    written token over plain input, None where unknown. Prices alone would start a collection where an epoch of e turns
    costs least, at low + sqrt(2 a low (w - r) / r); but what is dropped early is worth more than the cheap reads it
    saves, so that only moves the mark between 0.95 and all of the budget.

    >>> levels(100_000, Policy())
    Levels(high_tokens=100000, low_tokens=60000, min_reclaim_tokens=10000)
    """
    low = (policy.low if policy.low is not None else LOW_SHARE) * budget_tokens
    least = policy.min_reclaim * budget_tokens
    high = float(budget_tokens)
    if policy.high is not None:
        high = policy.high * budget_tokens
    elif turn_tokens > 0 and read_price and write_price and write_price > read_price:
        best = sqrt(2 * turn_tokens * low * (write_price - read_price) / read_price)
        high = min(high, max(HIGH_SHARE * budget_tokens, low + max(least, best)))
    return Levels(round(high), round(low), round(least))


def is_due(
    tokens: int, budget_tokens: int, water: Levels, *, is_cold: bool = False, is_thinking_bound: bool = False
) -> bool:
    """Say whether the turn should collect before it sends `tokens` (everything counted).

    Above high; or, where the provider's cache is surely cold, as soon as it frees enough; with thinking bound to its
    prefix it waits for the next user message while the prompt takes at most 0.97 of the budget.
    """
    if tokens > budget_tokens:
        return True
    if is_thinking_bound and tokens <= 0.97 * budget_tokens:
        return False
    if is_cold:
        return tokens - water.low_tokens >= water.min_reclaim_tokens
    return tokens > water.high_tokens
