"""One session of an open store, and the only one that changes where it stands.

I1. `now` is assigned in this file alone. Every other module reads it and returns the next one.
I2. While a turn is being committed there are two standings, before and after. What happens meanwhile (an append, a
    usage, a pin) is applied to both, so neither outcome of the commit loses it.
I3. Locks are taken in this order: the turn lock, the session's own lock, the locks of the log (`log/writer`). The turn
    lock is held while a turn is taken; the session's own lock while the standing is read or changed. No lock is held
    while a coroutine awaits: its commit is noted instead, and the next turn waits for it, inside the turn lock.
    `Contexts`, which knows all sessions, calls none of them while it holds `Contexts._lock`.
I4. Whether the session is closed is tested inside the locks, and it is closed inside both: nothing that began before
    is under way when the lease is given back, and nothing begins after. It is also tested before them: in a forked
    child a lock that another thread held is never freed.
I5. The state is a function of the stored epoch and the segments after it. So it is read again where an interrupt came
    between the log's append and the state's.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

from ctxmem.context.listed import Listed
from ctxmem.context.standing import Sent, Standing
from ctxmem.errors import CtxMemError, StoreClosed, TurnNotFound
from ctxmem.log import Log
from ctxmem.log.lease import Lease
from ctxmem.log.writer import Write
from ctxmem.options import Options, Policy
from ctxmem.prompt.recall import compose
from ctxmem.prompt.state import State
from ctxmem.prompt.view import Reads, View
from ctxmem.providers import Renderer
from ctxmem.search.facets import IdSet
from ctxmem.segment import Call, Record
from ctxmem.store import Batch
from ctxmem.tables import turns
from ctxmem.tables.spending import Spent
from ctxmem.tables.turns import TurnRow

_CHUNK = 256  # segments read at once on resume
_T = TypeVar("_T")


class Session:
    """The parts of one context. A method is called inside `locked` unless it says that it takes a lock.

    `turn`, `locked` and `alone` are given what to do and are no context managers: where a signal handler raised between
    generator and `with` block, the lock would be kept.
    """

    def __init__(self, log: Log, options: Options, number: int, lease: Lease, standing: Standing) -> None:
        self.log = log
        self.options = options
        self.number = number
        self._turn_lock = threading.Lock()
        self._lock = threading.RLock()
        self._lease = lease
        self._now = standing
        self._next: Standing | None = None  # of the turn that is being committed
        self._write: Write | None = None  # what puts that turn
        self._commit: Future[None] | None = None  # of that turn, where a coroutine awaits it
        self._view: View | None = None
        self._is_closed = False
        self._is_torn = False  # the log may hold a segment that the state does not (I5)
        self._seen_flags = -1
        self._seen_forgotten: set[int] = set()  # of what the state shows or quotes
        self.listed = Listed()
        self.warned: set[str] = set()  # sessions and days whose budget was warned of
        self.warnings: list[tuple[float, Policy]] = []  # to be given once no lock is held: dollars spent, of what
        self.reported: dict[int, Spent] = {}  # by turn: calls whose usage is not on disk yet
        self._calls: tuple[int, tuple[Call, ...]] = (-1, ())  # of the group that was answered last

    # -- the way in -------------------------------------------------------------------------------------------------

    def turn(self, act: "Callable[[Session], _T]") -> _T:
        """Do something under the turn lock: no other turn is taken meanwhile, and none is being committed.

        Raises:
            StoreClosed: the context, or its store, was closed.
        """
        self._ensure_open()
        with self._turn_lock:
            self._land()
            with self._lock:
                self._ensure_open()
            return act(self)

    def locked(self, act: "Callable[[Session], _T]") -> _T:
        """Do something under the session's own lock: nothing else reads or changes it meanwhile. Raises as `turn`."""
        self._ensure_open()
        with self._lock:
            self._ensure_open()
            if self._is_torn and self._next is None:
                self._mend()
            return act(self)

    def alone(self, act: "Callable[[Session], _T]") -> _T:
        """Do something under both locks. Raises as `turn`."""
        return self.turn(lambda _: self.locked(act))

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise StoreClosed("this context was closed; ask the Memory for it again")
        self.log.ensure_open()

    @property
    def is_closed(self) -> bool:
        """Whether the session was closed. Without the locks: it may be closed the next moment."""
        return self._is_closed

    @property
    def is_in_turn(self) -> bool:
        """Whether a turn is being taken or committed. Without the locks: for coroutines, which must not block."""
        return self._commit is not None or self._turn_lock.locked()

    def close(self) -> None:
        """Commit what was appended and give the lease back; a second call does what is left of it. Takes both locks."""
        if not self._is_closed:
            self.log.ensure_open()
        with self._turn_lock:
            self._land()
            with self._lock:
                if not self._is_closed:
                    self.log.commit()
                self.abandon()

    def abandon(self) -> None:
        """Give the lease back without a commit; called alone only for a session that no caller has seen yet."""
        self._is_closed = True
        self._lease.release()

    # -- where it stands --------------------------------------------------------------------------------------------

    @property
    def now(self) -> Standing:
        """Where the session stands. Read without the session's own lock it is whole, but may be out of date."""
        return self._now

    @property
    def view(self) -> View:
        """The view of the present model, made anew after a change of model or wire shape."""
        if self._view is None:
            self._view = View(Renderer(self._now.target.provider, self._now.target.model), self.reads())
        return self._view

    def reads(self) -> Reads:
        """Return what a view may ask of the log."""
        log = self.log
        return Reads(log.get_many, log.is_forgotten, lambda record: recall_text(log, record))

    def apply(self, change: Callable[[Standing], Standing]) -> None:
        """Change where the session stands, and where it will stand after the turn that is being committed (I2)."""
        self._stand(change(self._now))
        if self._next is not None:
            self._next = change(self._next)

    def begin(self, after: Standing, write: Write) -> None:
        """Keep where the session will stand once the turn that is laid out is committed, and what to commit."""
        self._next, self._write = after, write

    def commit_turn(self) -> None:
        """Commit the turn that was begun, and stand after it; inside `turn`, outside `locked`.

        On disk when this returns; where it raises, the session stands where it stood.
        """
        is_committed = False
        try:
            self.log.commit(self._write)
            is_committed = True
        finally:
            self._settle(is_committed=is_committed)

    def commit_turn_soon(self) -> "Future[None]":
        """Commit the turn as `commit_turn`, on the log's thread; the caller awaits the future, then calls `land`."""
        wanted = self._write

        def write(batch: Batch) -> None:
            if wanted is not None and self._write is wanted:  # else an interrupt came before `_commit` was set
                wanted(batch)

        try:
            self._commit = self.log.commit_soon(write)
        except BaseException:
            self._settle(is_committed=False)
            raise
        return self._commit

    def land(self, commit: "Future[None]") -> None:
        """End the turn of a coroutine once its commit is through, unless another did; takes both locks."""
        if self._commit is commit:
            with self._turn_lock:
                self._land()

    def _land(self) -> None:
        """End the turn that is under way: a coroutine's, whose commit is waited for, or one that was interrupted."""
        if self._commit is not None:
            self._settle(is_committed=self._commit.exception() is None)
            self._commit = None
        elif self._next is not None:
            self._settle(is_committed=False)

    def _settle(self, *, is_committed: bool) -> None:
        with self._lock:
            if is_committed and self._next is not None:
                self._stand(self._next)
            else:
                self.view.invalidate()
            self._next = self._write = None

    def change(self, after: Standing, write: Write | None = None) -> None:
        """Commit where the session stands from now on, with `write`'s puts, then stand there; inside `turn` too.

        On disk when this returns; where it raises, nothing has changed.
        """
        put = self.writer(after)

        def both(batch: Batch) -> None:
            put(batch)
            if write is not None:
                write(batch)

        self.log.commit(both)
        self._stand(after)
        self.view.invalidate()

    def writer(self, after: Standing) -> Write:
        """Return what puts a standing's row, and its epoch's state where the epoch is not the stored one.

        The state is packed here: what is appended before the commit belongs to the segments after it (I5).
        """
        row, number = after.row, self.number
        is_new = after.state.epoch != self._now.row.epoch or row.turn <= 1
        packed, epoch = after.state.pack() if is_new else None, after.state.epoch

        def write(batch: Batch) -> None:
            if packed is not None:
                turns.put_epoch(batch, number, epoch, packed)
            turns.put_context(batch, number, row)

        return write

    def _stand(self, after: Standing) -> None:
        before, self._now = self._now.target, after
        if (before.provider, before.model) != (after.target.provider, after.target.model):
            self._view = None

    # -- resuming ---------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Read the session's row and epoch, and admit what was appended since. O(segments since the last epoch)."""
        with self.log.snapshot() as snapshot:
            row = turns.context(snapshot, self.number)
            stored = None if row is None else turns.epoch(snapshot, self.number, row.epoch)
        if row is not None:
            self._now = self._now.resumed(row, _state(stored, row.epoch))
        self._admit_later()
        self.follow_flags()
        self.log.rise_above(self._now.state.last_id)

    def _admit_later(self) -> None:
        """Admit the segments after the state's last one; `appended_tokens` counts from the last turn's newest on."""
        newest, ids = self._now.row.newest, self.log.index.session_ids(self.number, self._now.state.last_id)
        for at in range(0, len(ids), _CHUNK):
            part = ids[at : at + _CHUNK]
            for segment_id, record in zip(part, self.log.get_many(part), strict=True):
                self._admit(segment_id, record)
                if segment_id <= newest:
                    self._now = replace(self._now, base_tokens=self._now.state.admitted_tokens)

    def _mend(self) -> None:
        """Read the state again from its epoch and the log (I5); the prompt may change, so the epoch ends."""
        row, self._view = self._now.row, None
        with self.log.snapshot() as snapshot:
            state = _state(turns.epoch(snapshot, self.number, row.epoch), row.epoch)
        self._now = replace(self._now, state=state, base_tokens=0)
        self._admit_later()
        state.end_epoch()
        self._seen_flags = -1
        self.follow_flags()
        self._is_torn = False

    def last_sent(self) -> Sent:
        """Return what the last prompt showed; after a resume it is laid out again, once, from its turn's row."""
        if self._now.sent is None:
            sent, row = Sent(), None
            if not self._now.row.is_cold:  # else nothing is compared with it
                with self.log.snapshot() as snapshot:
                    row = turns.turn(snapshot, self.number, self._now.row.turn)
            if row is not None:
                state = self.state_of(row)
                self.view.refresh(state)
                sent = Sent.of(self.view.layout, state)
                self.view.invalidate()
            self._now = replace(self._now, sent=sent)
            return sent
        return self._now.sent

    def turn_row(self, number: int) -> TurnRow:
        """Return the row of a past turn. Raises `TurnNotFound` where there is none."""
        with self.log.snapshot() as snapshot:
            row = turns.turn(snapshot, self.number, number)
        if row is None:
            raise TurnNotFound(f"session {self._now.row.name!r} has no turn {number}; it has {self._now.row.turn}")
        return row

    def state_of(self, row: TurnRow) -> State:
        """Return the state that a turn was laid out from. O(segments since its epoch began)."""
        with self.log.snapshot() as snapshot:
            state = _state(turns.epoch(snapshot, self.number, row.epoch), row.epoch)
        for segment_id in self.log.index.session_ids(self.number, state.last_id):
            if segment_id > row.newest:
                break
            state.admit(segment_id, self.log.get(segment_id))
        return state

    # -- growing ----------------------------------------------------------------------------------------------------

    def append(self, record: Record, key: str | None = None) -> tuple[int, bool]:
        """Append to the log and to the prompt: the segment's id, and whether it is new. Raises as `Log.append`."""
        was_torn, self._is_torn = self._is_torn, True  # kept: it is mended only when no turn is being committed
        try:
            segment_id, is_new = self.log.append(record, key=key)
        except CtxMemError:
            self._is_torn = was_torn  # nothing was appended
            raise
        if is_new:
            self._admit(segment_id, record)
        self._is_torn = was_torn
        return segment_id, is_new

    def _admit(self, segment_id: int, record: Record) -> None:
        """Take one segment into the prompt, of both states where a turn is being committed (I2). O(1) amortised."""
        group = record.group_id(segment_id)
        newest = self._now.row.newest if self._next is None else max(self._now.row.newest, self._next.row.newest)
        for state in self._states():
            if segment_id <= state.last_id:
                continue
            is_system = record.facts.is_system and (state.system_id >= 0 or newest >= 0)
            state.admit(segment_id, record)
            is_late = record.facts.call_index >= 0 and group <= newest
            if (is_system or is_late) and segment_id > newest:  # else it was sent, and this is a resume
                state.end_epoch()  # what was sent changes: the system prompt, or a placeholder

    def _states(self) -> list[State]:
        if self._next is None or self._next.state is self._now.state:
            return [self._now.state]
        return [self._now.state, self._next.state]

    def call(self, group: int, index: int) -> Call:
        """Return one call of a group; the group answered last is kept, since its results come one after another."""
        if self._calls[0] != group:
            self._calls = group, self.log.get(group).calls
        return self._calls[1][index]

    def waiting(self) -> tuple[Call, ...]:
        """Return the calls that wait for a result, oldest first."""
        return tuple(self.call(group, index) for group, index in self._now.state.calls.waiting())

    def shown(self, *, waits: bool = False) -> set[int] | None:
        """Return the ids of all that its prompt shows or speaks of; None where another thread is at work on it.

        Maintenance asks this under a lock of the log, and so must not wait for this one; other callers may.
        """
        if not self._lock.acquire(blocking=waits):
            return None
        try:
            return set[int]().union(*(state.sources() for state in self._states()))
        finally:
            self._lock.release()

    def follow_flags(self) -> None:
        """Take note of what was pinned or forgotten, by any process: what showed it shows `[forgotten]` from now on."""
        version = self.log.flags_version
        if version == self._seen_flags:
            return
        self._seen_flags, self._calls = version, (-1, ())
        for state in self._states():
            for segment_id in state.working.segments["id"].tolist():
                state.working.pin(segment_id, on=self.log.is_pinned(segment_id))
        before, now = self._seen_forgotten, set(filter(self.log.is_forgotten, self._now.state.sources()))
        self._seen_forgotten = now
        if not now <= before:  # also on a resume: it may have been forgotten since the last turn
            for state in self._states():
                state.erase(self.log.is_forgotten)
                state.end_epoch()
            self.view.forget()

    # -- the reach of recall ------------------------------------------------------------------------------------------

    def beyond_fork(self) -> IdSet:
        """Return the ids of the sessions forked from that came after the fork."""
        found = IdSet()
        for one in self._now.row.ancestors:
            found.update(self.log.index.session_ids(one.session, one.newest))
        return found

    def reach(self) -> set[int] | None:
        """Return the sessions that recall and search may reach, None for all."""
        if self._now.reads == "*":
            return None
        found = {self.number, *(one.session for one in self._now.row.ancestors)}
        for name in self._now.reads:
            number = self.log.session(name, create=False)
            if number is not None:
                found.add(number)
        return found


def recall_text(log: Log, record: Record) -> str:
    """Render a recall segment from the segments that it quotes: what was restored, byte for byte."""
    return compose(record.facts.quotes, log.get, is_verbatim=record.facts.restored_until >= 0)


def _state(stored: dict[str, object] | None, epoch: int) -> State:
    """Return the state at the start of an epoch, from what was stored of it."""
    state = State() if stored is None else State.unpack(stored, epoch)
    state.epoch = epoch
    return state
