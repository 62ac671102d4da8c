"""Where one context stands between two turns, as one frozen value, and what its sizes are.

I1. A standing is never changed: what happens gives the next one. Only its `state` grows in place, and only by
    `Session.append` and `Session.follow_flags`.

All sizes here are in o200k tokens unless said otherwise. It does not know the log, locks or the clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ctxmem.collector import Levels, levels
from ctxmem.options import Policy
from ctxmem.prompt.prompt import Collection
from ctxmem.prompt.state import State
from ctxmem.prompt.target import Target
from ctxmem.prompt.view import Layout
from ctxmem.tables.turns import ContextRow, TargetKey
from ctxmem.tokens import Calibration

CLOSED_TOKENS = 40  # a placeholder result with its framing and id, at most


@dataclass(frozen=True, slots=True)
class Sent:
    """What the last prompt showed: the first `n_entries` of a layout of an epoch, their tokens, the system prompt.

    `collection` is what made room for it, where it was collected for in this process.
    """

    layout: Layout = field(default_factory=Layout)
    n_entries: int = 0
    tokens: int = 0
    epoch: int = -1
    system_id: int = -1
    collection: Collection | None = None

    @staticmethod
    def of(layout: Layout, state: State, collection: Collection | None = None) -> "Sent":
        """Take a layout as it is now."""
        return Sent(layout, len(layout.entries), layout.tokens, state.epoch, state.system_id, collection)


@dataclass(frozen=True, slots=True)
class Standing:
    """All that decides a context's next prompt.

    `sent` is None after a resume until `Session.last_sent` has laid the last prompt out again; `base_tokens` is
    `state.admitted_tokens` as it was at the last turn; `recalled_for` is the digest of what a turn wanted that recalled
    something and then failed; `reads` are the other sessions that recall and search may reach, "*" for all.
    """

    state: State
    row: ContextRow
    target: Target
    policy: Policy
    calibration: Calibration
    reads: Sequence[str] | str = ()
    sent: Sent | None = field(default_factory=Sent)
    base_tokens: int = 0
    recalled_for: bytes = b""

    @staticmethod
    def new(name: str, target: Target, policy: Policy, reads: Sequence[str] | str) -> "Standing":
        """Return where a session stands to which nothing was appended."""
        row = ContextRow(name, target_key(target))
        return Standing(State(), row, target, policy, Calibration(scale=target.model.prior), reads)

    def resumed(self, row: ContextRow, state: State) -> "Standing":
        """Return where a session stands by its stored row and the state of its epoch."""
        found = replace(self, row=row, state=state, sent=None if row.turn else Sent())
        found = replace(found, calibration=_calibration(row, self.target))
        return found if row.target == target_key(self.target) else found.cold()

    def retargeted(self, target: Target, policy: Policy) -> "Standing":
        """Take another model, provider, window or tools; where none of them differs only the policy changes."""
        found = replace(self, policy=policy)
        if target_key(target) == target_key(self.target):
            return found
        found = replace(found, target=target)
        if (target.model.name, target.provider) != (self.target.model.name, self.target.provider):
            found = replace(found, calibration=_calibration(self.row, target))
        return replace(found, state=self.state.copy()).cold()

    def cold(self) -> "Standing":
        """Return this with the provider's cache cold. Ends the epoch of the state, which must be new."""
        self.state.end_epoch()
        return replace(self, row=replace(self.row, is_cold=True, target=target_key(self.target)))

    def with_state(self, state: State) -> "Standing":
        """Return the standing with another state."""
        return replace(self, state=state)

    @property
    def appended_tokens(self) -> int:
        """What was appended since the last turn."""
        return self.state.admitted_tokens - self.base_tokens

    @property
    def fixed_tokens(self) -> int:
        """What every prompt takes: framing, tools, system. The policy's shares are of what is left."""
        return self.target.framing_tokens + self.target.tools_tokens + self.state.system_tokens

    @property
    def closed_tokens(self) -> int:
        """What the placeholders of calls without a result take."""
        return self.state.calls.n_waiting * CLOSED_TOKENS

    @property
    def load_tokens(self) -> int:
        """What groups, ledger and placeholders take. O(pieces of the ledger)."""
        return self.closed_tokens + self.state.working.tokens + self.state.ledger.tokens

    @property
    def total_tokens(self) -> int:
        """The size of all that would be sent now, but for `extra`."""
        return self.fixed_tokens + self.load_tokens

    @property
    def room_tokens(self) -> int:
        """The most that `load_tokens` and `extra` may take."""
        return self.capacity_tokens - self.fixed_tokens

    @property
    def is_exact(self) -> bool:
        """Whether `total_tokens` is a count of the model's own tokens."""
        return self.target.model.exact and not self.state.inexact

    @property
    def budget_tokens(self) -> int:
        """The most that a prompt may take, in the model's own tokens."""
        return self.target.budget(exact=self.is_exact)

    @property
    def capacity_tokens(self) -> int:
        """The budget, in o200k tokens."""
        return self.target.capacity(self.calibration, exact=self.is_exact)

    @property
    def water(self) -> Levels:
        """The water levels of the epoch, for `load_tokens`."""
        return levels(
            max(self.room_tokens, 1),
            self.policy,
            turn_tokens=self.state.mean_turn_tokens,
            read_price=self.target.read_price,
            write_price=self.target.write_price,
        )

    def is_cold(self, now: float) -> bool:
        """Say whether the provider's cache has surely nothing left of the last prompt."""
        row = self.row
        return row.is_cold or (row.turn > 0 and now - row.last_at > self.target.cache_ttl_s)


def target_key(target: Target) -> TargetKey:
    """Return what a change of model, wire shape or tools is seen by."""
    return TargetKey(target.model.name, target.provider, target.window, target.reserve, target.tools_digest)


def _calibration(row: ContextRow, target: Target) -> Calibration:
    """Return what was learned about the target's model, or its prior."""
    known = row.calibrations.get(target.model.name)
    return Calibration.from_dict(known) if known else Calibration(scale=target.model.prior)
