"""The contexts of one open store, by session: opened once, handed out again, forked, and dropped when they are closed.

I1. A session has at most one open context in this process: each name has a lock, held while its session is opened.
I2. Locks are taken in this order: a name's lock, a session's (`context/session`), those of the log (`log/writer`).
    `_lock` guards the dictionaries and is held for nothing else.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from ctxmem.context import choices, surgery
from ctxmem.context.context import Context
from ctxmem.context.session import Session
from ctxmem.context.standing import Standing
from ctxmem.errors import BadInput, StoreClosed
from ctxmem.log import Log
from ctxmem.options import Options, Policy
from ctxmem.tables import turns


class _Opened(NamedTuple):
    session: Session
    context: Context


class Contexts:
    """The open contexts of one store. Safe from any thread."""

    def __init__(self, log: Log, options: Options) -> None:
        self._log = log
        self._options = options
        self._lock = threading.Lock()
        self._open: dict[str, _Opened] = {}  # may hold what was closed: see `sessions`
        self._naming: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()  # held while it is opened
        self._is_closed = False

    def __len__(self) -> int:
        return len(self.sessions())

    def context(self, name: str, *, policy: Policy | None, reads: Any, **chosen: Any) -> Context:
        """Return the context of a session, made or re-targeted; see `Memory.context`."""
        reach = choices.reads(reads)

        def make() -> Session:
            first = Policy() if policy is None else policy
            return self._session(name, choices.target(self._options, first, **chosen), first, reach)

        while True:
            found, is_new = self._opened(name, make)
            if is_new:
                return found.context
            try:
                self._retarget(found.session, policy, reach, chosen)
            except StoreClosed:
                self._log.ensure_open()  # else the context was closed meanwhile: a new one takes its place
            else:
                return found.context

    def _retarget(self, session: Session, policy: Policy | None, reach: Any, chosen: dict[str, Any]) -> None:
        def act(s: Session) -> None:
            used = s.now.policy if policy is None else policy
            target = choices.target(self._options, used, **chosen)
            s.apply(lambda standing: replace(standing.retargeted(target, used), reads=reach))

        session.alone(act)

    def fork(self, source: Session, name: str, at: int | None, chosen: dict[str, Any]) -> Context:
        """Return a context of a new session that goes on where `source` stood at segment `at`; see `Context.fork`."""

        def make() -> Session:
            if self._is_used(name):
                raise _taken(name)
            policy, reads = source.now.policy, source.now.reads
            made = self._session(name, choices.target(self._options, policy, **chosen), policy, reads)
            try:
                after = source.alone(lambda s: surgery.branched(s, made.now, at))
                self._log.rise_above(after.state.last_id)
                made.alone(lambda s: s.change(after))
            except BaseException:
                made.abandon()  # the name is free again: calling again is the remedy
                raise
            return made

        found, is_new = self._opened(name, make)
        if not is_new:
            raise _taken(name)
        return found.context

    def sessions(self) -> list[Session]:
        """Return the sessions that are open now."""
        with self._lock:
            known = list(self._open.values())
        return [each.session for each in known if not each.session.is_closed]

    def shown(self, *, waits: bool = False) -> set[int] | None:
        """Return the ids of all that open contexts show or speak of; None where one is at work and nobody waits."""
        found = set[int]()
        for session in self.sessions():
            shown = session.shown(waits=waits)
            if shown is None:
                return None
            found |= shown
        return found

    @property
    def is_closed(self) -> bool:
        """Whether no more contexts are handed out."""
        return self._is_closed

    def check_open(self) -> None:
        """Raise `StoreClosed` where no more contexts are handed out."""
        if self._is_closed:
            raise StoreClosed("this Memory was closed; call ctxmem.open again")

    def close(self) -> None:
        """Close every context, and hand out no more; where one cannot be closed, raise and stay open."""
        try:
            with self._lock:
                self._is_closed = True
                naming = list(self._naming.values())
            for each in naming:
                with each:  # waits for what is being opened; no opening begins any more
                    pass
            for found in list(self._open.values()):
                with suppress(StoreClosed):  # the log was closed without its contexts: nothing is left to do
                    found.context.close()
        except BaseException:
            self._is_closed = False
            raise

    # -- inside -----------------------------------------------------------------------------------------------------

    def _opened(self, name: str, make: Callable[[], Session]) -> tuple[_Opened, bool]:
        """Return a name's open context, and whether it was made now; waits where another thread is making it."""
        with self._lock:
            naming = self._naming.setdefault(name, threading.Lock())
        with naming:
            self.check_open()
            known = self._open.get(name)
            if known is not None and not known.session.is_closed:
                return known, False
            session = make()
            context = Context(session, self.fork, lambda: self._let_go(name, session))
            with self._lock:
                made = self._open[name] = _Opened(session, context)
            return made, True

    def _let_go(self, name: str, session: Session) -> None:
        """Forget a context that was closed, unless another has taken its place."""
        with self._lock:
            known = self._open.get(name)
            if known is not None and known.session is session:
                del self._open[name]

    def _session(self, name: str, target: Any, policy: Policy, reads: Any) -> Session:
        """Take the lease of a session and read where it stands."""
        number = self._log.session(name)
        assert number is not None  # `create` is True
        lease = self._log.lease(number)
        try:
            session = Session(self._log, self._options, number, lease, Standing.new(name, target, policy, reads))
            session.resume()
        except BaseException:
            lease.release()
            raise
        return session

    def _is_used(self, name: str) -> bool:
        """Say whether a session holds anything; a fork that failed leaves only its name."""
        number = self._log.session(name, create=False)
        if number is None:
            return False
        with self._log.snapshot() as snapshot:
            return turns.context(snapshot, number) is not None or bool(self._log.index.session_ids(number))


def _taken(name: str) -> BadInput:
    return BadInput(f"session {name!r} exists already; fork into a new name")
