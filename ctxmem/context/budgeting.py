"""Keep what calls cost within `Policy.budget_usd`: warn, collect earlier where that is cheaper, then refuse.

I1. A turn whose call is expected to pass the budget is refused before its prompt is committed, and nothing is recalled
    for a turn that might be: then nothing at all was written.
"""

import logging
from dataclasses import dataclass
from typing import Final

from ctxmem import prices
from ctxmem.context import accounting
from ctxmem.context.session import Session
from ctxmem.context.standing import Standing
from ctxmem.errors import BudgetExceeded
from ctxmem.models import Model
from ctxmem.options import Policy
from ctxmem.prices import NANOS, Counts
from ctxmem.store import Snapshot
from ctxmem.tables import spending
from ctxmem.tables.turns import TurnRow

WARN_SHARE: Final = 0.8  # of the budget
FIRST_OUTPUT_TOKENS: Final = 500  # expected of a session's first answer; then the mean of those it had
_LOGGER = logging.getLogger("ctxmem")


@dataclass(frozen=True, slots=True)
class Purse:
    """What is left for one turn; `budget` and `spent` in billionths of a dollar."""

    policy: Policy
    model: Model  # with the prices of the day
    period: str  # names the session or day for which the budget is
    spent: int
    output_tokens: int

    @property
    def budget(self) -> int:
        """The budget."""
        return round((self.policy.budget_usd or 0.0) * NANOS)

    @property
    def left(self) -> int:
        """What may still be spent."""
        return self.budget - self.spent

    def price(self, prompt: Counts) -> int:
        """Return what a call is expected to cost: its prompt, and an answer of the usual length."""
        return prices.nanos(prompt._replace(output=self.output_tokens), self.model) or 0

    def affords(self, tokens: int) -> bool:
        """Say whether a prompt of that size can be paid for even if all of it is written to the cache anew."""
        return self.price(Counts(input=tokens, cache_write=tokens)) <= self.left

    def ensure(self, prompt: Counts) -> None:
        """Raise `BudgetExceeded` where the call of a prompt is expected to pass the budget."""
        expected = self.price(prompt)
        if expected <= self.left:
            return
        per = self.policy.budget_per
        raise BudgetExceeded(
            f"the call would cost about ${expected / NANOS:.6f}, and of ${self.budget / NANOS:g} a {per} "
            f"${max(0, self.left) / NANOS:.6f} is left: raise Policy.budget_usd, or collect first",
            self.budget / NANOS,
            self.spent / NANOS,
            expected / NANOS,
            per,
        )

    def pays(self, at: Standing, more: int) -> bool:
        """Say whether to collect now, before it is due: where money runs short, and it costs less in sum.

        That is what the prompt costs anew, and its reads until a collection would be due or the money is gone, against
        what it costs as it is and reads of that. Never where only the collected prompt would be refused.
        """
        water, load = at.water, at.load_tokens + more
        if load - water.low_tokens < max(1, water.min_reclaim_tokens):
            return False
        scale, fixed = at.calibration.scale, at.fixed_tokens
        before = 0 if at.row.is_cold else min(at.row.last_tokens, load + fixed)
        kept = self._prompt((load + fixed) * scale, before * scale)
        made = self._prompt((water.low_tokens + fixed) * scale, fixed * scale)
        if self.spent + kept <= WARN_SHARE * self.budget or (made > self.left and made >= kept):
            return False
        if self.policy.budget_per == "turn":
            return made < kept
        read = self._read_price() * NANOS * scale
        until_due = max(0.0, water.high_tokens - load) / max(1.0, at.row.mean_turn_tokens)
        turns = min(until_due, max(0, self.left) / max(1, min(kept, made)))
        return made + turns * read * water.low_tokens < kept + turns * read * load

    def _prompt(self, tokens: float, cached: float) -> int:
        found = Counts(input=round(tokens), cached=round(cached), cache_write=round(tokens - cached))
        return self.price(found if self.model.cache_read_price is not None else Counts(input=round(tokens)))

    def _read_price(self) -> float:
        read = self.model.cache_read_price
        return (self.model.input_price or 0.0) if read is None else read


def purse(s: Session, now: float) -> Purse | None:
    """Return what is left for a turn that is taken now; None without a budget. O(1) in history."""
    policy = s.now.policy
    if policy.budget_usd is None:
        return None
    day = prices.day_of(now)
    with s.log.snapshot() as snapshot:
        of_session = spending.of_session(snapshot, s.number)
        spent, period = 0, ""
        if policy.budget_per == "session":
            spent, period = of_session.nanos + _unsettled(s, snapshot), "session"
        elif policy.budget_per == "day":
            period = prices.day_name(day)
            spent = spending.of_day(snapshot, day).nanos + _unsettled(s, snapshot, day)
    answered = of_session.calls - of_session.estimated
    usual = -(-of_session.counts.output // answered) if answered else FIRST_OUTPUT_TOKENS
    return Purse(policy, accounting.priced(s, s.now.target.model.name, now), period, spent, usual)


def _unsettled(s: Session, snapshot: Snapshot, day: int | None = None) -> int:
    """Return by how much what was reported and is not on disk yet differs from what is there."""
    total = 0
    for turn, spent in list(s.reported.items()):
        known = spending.turn(snapshot, s.number, turn)
        if day is None or spent.day == day:
            total += (spent.nanos or 0) - ((known.nanos or 0) if known is not None else 0)
    return total


def settle(s: Session, held: Purse, turn: TurnRow) -> None:
    """Refuse a turn that would pass the budget, or note a warning to be given once it is committed; once a period."""
    prompt = accounting.input_of(turn, held.model)
    held.ensure(prompt)
    spent = held.spent + held.price(prompt)
    if spent > WARN_SHARE * held.budget and held.period not in s.warned:
        s.warned.add(held.period)
        s.warnings.append((spent / NANOS, held.policy))


def tell(s: Session) -> None:
    """Give the warnings that were noted: to the log, and to `Policy.on_budget`; called without a lock."""
    while s.warnings:
        spent, policy = s.warnings.pop(0)
        name = s.now.row.name
        _LOGGER.warning(
            "session %r: $%.4f of $%g a %s is spent with this call", name, spent, policy.budget_usd, policy.budget_per
        )
        if policy.on_budget is not None:
            policy.on_budget(spent, policy.budget_usd or 0.0)
