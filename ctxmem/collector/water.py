"""Water marks: when a collection starts, and how far down it frees. Pure arithmetic on tokens and prices."""

from math import sqrt
from typing import NamedTuple

from ctxmem.options import Policy


class Marks(NamedTuple):
    """`high_tokens`: a collection starts above it; `low_tokens`: it frees down to it; `min_reclaim_tokens`: or it is not worth it."""

    high_tokens: int
    low_tokens: int
    min_reclaim_tokens: int


def marks(budget_tokens: int, policy: Policy, *, turn_tokens: float = 0.0, read_price: float | None = None, write_price: float | None = None) -> Marks:
    """Derive the water marks of the next epoch; fixed until its collection, and journaled with it.

    `turn_tokens` is the running mean of tokens appended per turn; the prices are those of a cached read and of a
    written token over plain input, None where unknown.
    """
    low = (policy.low if policy.low is not None else 0.65 if budget_tokens < 8_000 else 0.50) * budget_tokens
    least = policy.min_reclaim * budget_tokens
    high = 0.90 * budget_tokens
    if policy.high is not None:
        high = policy.high * budget_tokens
    elif turn_tokens and read_price and write_price and write_price > read_price:
        best = sqrt(2 * turn_tokens * low * (write_price - read_price) / read_price)
        high = min(high, low + max(least, best))
    return Marks(int(high), int(low), int(least))


def is_due(tokens: int, budget_tokens: int, water: Marks, *, is_cold: bool = False, is_thinking_bound: bool = False) -> bool:
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
