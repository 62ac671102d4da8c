"""What a context stands on: one session's state, view and rows, resumed from the log and admitted to as it grows.

I1. The state is a function of the stored epoch and the segments after it (`resume`).
I2. While a turn is being committed there are two states, before and after: what is admitted meanwhile goes to both.
I3. The caller holds `lock` for everything here but `log` itself.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from ctxmem.collector import Marks, marks
from ctxmem.log import Log
from ctxmem.options import Options, Policy
from ctxmem.prompt import intake
from ctxmem.prompt.recall import compose
from ctxmem.prompt.state import State
from ctxmem.prompt.target import Target
from ctxmem.prompt.view import Layout, Reads, View
from ctxmem.providers import Renderer
from ctxmem.search.facets import IdSet
from ctxmem.segment import Call, Record
from ctxmem.tables import turns
from ctxmem.tables.turns import ContextRow, TurnRow
from ctxmem.tokens import Calibration

CLOSED_TOKENS = 40  # a placeholder result with its framing and id, at most
_CHUNK = 256  # segments read at once on resume


@dataclass(frozen=True, slots=True)
class Sent:
    """What the last prompt showed: the first `n_entries` of a layout of an epoch, their tokens, the system prompt."""

    layout: Layout = field(default_factory=Layout)
    n_entries: int = 0
    tokens: int = 0
    epoch: int = -1
    system_id: int = -1

    @staticmethod
    def of(layout: Layout, state: State) -> "Sent":
        """Take a layout as it is now."""
        return Sent(layout, len(layout.entries), layout.tokens, state.epoch, state.system_id)


class Session:
    """The parts of one context, in one place. Not safe from several threads without `lock`."""

    def __init__(self, log: Log, options: Options, name: str, number: int, target: Target, policy: Policy) -> None:
        self.lock = threading.RLock()
        self.log = log
        self.options = options
        self.name = name
        self.number = number
        self.target = target
        self.policy = policy
        self.state = State()
        self.staged: State | None = None
        self.laid_out_newest = -1  # of the turn that is being committed; -1 where there is none
        self.row = ContextRow(name, target_key(target))
        self.calibration = Calibration(scale=target.model.prior)
        self.sent: Sent | None = Sent()  # None: not read again yet after a resume
        self.newest: tuple[int, Record] | None = None  # the segment appended last, as it was queued
        self.recalled_for = b""  # what the turn wanted that recalled something and failed
        self.seen_marks = -1
        self.seen_forgotten: set[int] = set()  # of what the state shows or quotes
        self.appended_tokens = 0  # since the last turn
        self.view = self._new_view()

    def _new_view(self) -> View:
        return View(Renderer(self.target.provider, self.target.model), self.reads())

    def reads(self) -> Reads:
        """Give the view what it may ask of the log."""
        return Reads(self.log.get_many, self.log.is_forgotten, self.recall_text)

    def recall_text(self, record: Record) -> str:
        """Render a recall segment from the segments that it quotes: what was restored, byte for byte."""
        return compose(record.extra[intake.QUOTES], self.log.get, is_verbatim=intake.RESTORED in record.extra)

    # -- resuming -----------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Read the session's row and epoch, and admit what was appended since. O(segments since the last epoch)."""
        with self.log.snapshot() as snapshot:
            row = turns.context(snapshot, self.number)
            stored = None if row is None else turns.epoch(snapshot, self.number, row.epoch)
        if row is not None:
            self.row = row
            if stored is not None:
                self.state = State.unpack(stored, row.epoch)
            else:
                self.state.epoch = row.epoch
            self.sent = None if row.turn else Sent()
            self._calibrate()
            if row.target != target_key(self.target):
                self._turn_cold()
        self._admit_after(self.state.last_id)
        self.follow_marks(is_resuming=True)
        self.log.rise_above(self.state.last_id)

    def last_sent(self) -> Sent:
        """Return what the last prompt showed; after a resume it is laid out again, once, from its turn's row."""
        if self.sent is None:
            self.sent = Sent()
            if not self.row.is_cold:  # else nothing is compared with it
                with self.log.snapshot() as snapshot:
                    row = turns.turn(snapshot, self.number, self.row.turn)
                if row is not None:
                    state = self.state_of(row)
                    self.view.refresh(state)
                    self.sent = Sent.of(self.view.layout, state)
                    self.view.invalidate()
        return self.sent

    def state_of(self, row: TurnRow) -> State:
        """Return the state that a turn was laid out from. O(segments since its epoch began)."""
        with self.log.snapshot() as snapshot:
            stored = turns.epoch(snapshot, self.number, row.epoch)
        state = State.unpack(stored, row.epoch) if stored is not None else State()
        state.epoch = row.epoch
        for segment_id in self.log.index.session_ids(self.number, state.last_id):
            if segment_id > row.newest:
                break
            state.admit(segment_id, self.log.get(segment_id))
        return state

    def _admit_after(self, last_id: int) -> None:
        ids = self.log.index.session_ids(self.number, last_id)
        for at in range(0, len(ids), _CHUNK):
            part = ids[at : at + _CHUNK]
            for segment_id, record in zip(part, self.log.get_many(part), strict=True):
                self.admit(segment_id, record)

    def _calibrate(self) -> None:
        known = self.row.calibrations.get(self.target.model.name)
        self.calibration = Calibration.from_dict(known) if known else Calibration(scale=self.target.model.prior)

    def _turn_cold(self) -> None:
        """Note that the provider's cache has nothing of this prompt."""
        self.row.is_cold = True
        self.row.target = target_key(self.target)
        self.state.end_epoch()

    def retarget(self, target: Target, policy: Policy) -> bool:
        """Take another model, provider, window or tools from now on; False where nothing differs."""
        self.policy = policy
        if target_key(target) == target_key(self.target):
            return False
        is_other = (target.model.name, target.provider) != (self.target.model.name, self.target.provider)
        self.target = target
        if is_other:
            self.view = self._new_view()
            self._calibrate()
        self._turn_cold()
        return True

    # -- growing ------------------------------------------------------------------------------------------------

    @property
    def sent_newest(self) -> int:
        """Id of the newest segment of the last prompt, or of the one that is being committed; -1 before the first."""
        return max(self.row.newest, self.laid_out_newest)

    def admit(self, segment_id: int, record: Record) -> None:
        """Take one segment into the prompt, of both states where a turn is being committed."""
        group = record.group if record.group >= 0 else segment_id
        if intake.TURN in record.extra and segment_id > self.row.newest:
            self.appended_tokens += record.tokens
        for state in (self.state, self.staged):
            if state is None or segment_id <= state.last_id:
                continue
            is_system = intake.SYSTEM in record.extra and (state.system_id >= 0 or self.sent_newest >= 0)
            state.admit(segment_id, record)
            is_late = intake.INDEX in record.extra and group <= self.sent_newest
            if (is_system or is_late) and segment_id > self.sent_newest:  # else it was sent, and this is a resume
                state.end_epoch()  # what was sent changes: the system prompt, or a placeholder

    def appended(self, segment_id: int) -> Record | None:
        """Return the record of the segment appended last, as it was queued; None for any other: read the log."""
        return self.newest[1] if self.newest is not None and self.newest[0] == segment_id else None

    def waiting(self) -> tuple[Call, ...]:
        """Return the calls that wait for a result, oldest first."""
        return tuple(self.log.get(group).calls[index] for group, index in self.state.calls.waiting())

    # -- sizes, in o200k tokens -----------------------------------------------------------------------------------

    def fixed(self, state: State) -> int:
        """Return what every prompt takes: framing, tools, system. The policy's shares are of what is left."""
        return self.view.renderer.framing_tokens + self.target.tools_tokens + state.system_tokens

    def load(self, state: State) -> int:
        """Return what groups, ledger and placeholders take. O(calls that wait + pieces of the ledger)."""
        return self.closed(state) + state.working.tokens + state.ledger.tokens

    def closed(self, state: State) -> int:
        """Return what the placeholders of calls without a result take."""
        return sum(1 for _ in state.calls.waiting()) * CLOSED_TOKENS

    def total(self, state: State) -> int:
        """Return the size of all that would be sent now, but for `extra`."""
        return self.fixed(state) + self.load(state)

    def room(self, state: State) -> int:
        """Return the most that `load` and `extra` may take, in o200k tokens."""
        return self.capacity(state) - self.fixed(state)

    def is_exact(self, state: State) -> bool:
        """Say whether `total` is a count of the model's own tokens."""
        return self.target.model.exact and not state.inexact

    def capacity(self, state: State) -> int:
        """Return the budget, in o200k tokens."""
        return self.target.capacity(self.calibration, exact=self.is_exact(state))

    def water(self, state: State) -> Marks:
        """Return the water marks of the epoch, for `load`."""
        return marks(
            max(self.room(state), 1),
            self.policy,
            turn_tokens=state.mean_turn_tokens,
            read_price=self.target.read_price,
            write_price=self.target.write_price,
        )

    def is_cold(self, now: float) -> bool:
        """Say whether the provider's cache has surely nothing left of the last prompt."""
        row = self.row
        return row.is_cold or (row.turn > 0 and now - row.last_at > self.target.cache_ttl_s)

    # -- marks --------------------------------------------------------------------------------------------------

    def follow_marks(self, *, is_resuming: bool = False) -> None:
        """Take note of what was pinned or forgotten, by any process: what showed it shows `[forgotten]` from now on."""
        version = self.log.marks_version
        if version == self.seen_marks:
            return
        self.seen_marks = version
        states = [state for state in (self.state, self.staged) if state is not None]
        for state in states:
            for segment_id in state.working.segments["id"].tolist():
                state.working.pin(segment_id, on=self.log.is_pinned(segment_id))
        before, self.seen_forgotten = self.seen_forgotten, set(filter(self.log.is_forgotten, self.state.sources()))
        if not is_resuming and not self.seen_forgotten <= before:
            for state in states:
                state.erase(self.log.is_forgotten)
                state.end_epoch()
            self.view.forget()

    # -- the reach of recall ----------------------------------------------------------------------------------------

    def beyond_fork(self) -> IdSet:
        """Return the ids of the sessions forked from that came after the fork."""
        found = IdSet()
        for session, newest in self.row.lineage:
            found.update(self.log.index.session_ids(session, newest))
        return found

    def reach(self, reads: Sequence[str] | str) -> set[int] | None:
        """Return the sessions that recall and search may reach, None for all."""
        if reads == "*":
            return None
        found = {self.number, *(session for session, _ in self.row.lineage)}
        for name in reads:
            number = self.log.session(name, create=False)
            if number is not None:
                found.add(number)
        return found


def target_key(target: Target) -> list[object]:
    """Return what a change of model, wire shape or tools is seen by."""
    return [target.model.name, target.provider, target.window, target.reserve, target.tools_digest]
