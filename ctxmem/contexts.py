"""The contexts of one open store, by session: opened once, handed out again, forked, let go of when they are closed.

I1. A session has at most one open context in this process. A name is reserved before its session is opened, so that
    whoever asks for it meanwhile waits for that context.
I2. No session is called while `_lock` is held, and nothing here waits while a session's lock is held.
"""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any, NamedTuple

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
        self._open: dict[str, Future[_Opened]] = {}
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
        with session.turn(), session.locked() as s:
            used = s.now.policy if policy is None else policy
            target = choices.target(self._options, used, **chosen)
            s.apply(lambda standing: replace(standing.retargeted(target, used), reads=reach))

    def fork(self, source: Session, name: str, at: int | None, chosen: dict[str, Any]) -> Context:
        """Return a context of a new session that goes on where `source` stood at segment `at`; see `Context.fork`."""

        def make() -> Session:
            if self._is_used(name):
                raise _taken(name)
            policy, reads = source.now.policy, source.now.reads
            made = self._session(name, choices.target(self._options, policy, **chosen), policy, reads)
            try:
                with source.turn(), source.locked():
                    after = surgery.branched(source, made.now, at)
                self._log.rise_above(after.state.last_id)
                with made.turn(), made.locked():
                    made.change(after)
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
        return [each.result().session for each in known if each.done() and not _is_over(each)]

    @property
    def is_closed(self) -> bool:
        """Whether no more contexts are handed out."""
        return self._is_closed

    def check_open(self) -> None:
        """Raise `StoreClosed` where no more contexts are handed out."""
        if self._is_closed:
            raise StoreClosed("this Memory was closed; call ctxmem.open again")

    def close(self) -> None:
        """Close every context, and hand out no more; where one cannot be closed, raise, and stay open."""
        with self._lock:
            self._is_closed = True
            known = list(self._open.values())
        try:
            for each in known:
                found = _result(each)
                if found is not None:
                    found.context.close()
        except BaseException:
            self._is_closed = False
            raise

    # -- inside -----------------------------------------------------------------------------------------------------

    def _opened(self, name: str, make: Callable[[], Session]) -> tuple[_Opened, bool]:
        """Return a name's open context, and whether it was made now; waits where another thread is making it."""
        mine: Future[_Opened] = Future()
        try:
            while True:
                with self._lock:
                    self.check_open()
                    known = self._open.get(name)
                    if known is None or _is_over(known):
                        known = self._open[name] = mine
                if known is mine:
                    session = make()
                    closed = lambda: self._let_go(name, mine)  # noqa: E731 - one line
                    mine.set_result(_Opened(session, Context(session, self._options, self.fork, closed)))
                    return mine.result(), True
                found = _result(known)
                if found is not None:
                    return found, False
        finally:
            if not mine.done():
                self._let_go(name, mine)

    def _let_go(self, name: str, reserved: "Future[_Opened]") -> None:
        """Free a name; whoever waits for the context that was to be made tries anew."""
        with self._lock:
            if self._open.get(name) is reserved:
                del self._open[name]
        reserved.cancel()

    def _session(self, name: str, target: Any, policy: Policy, reads: Any) -> Session:
        """Take the lease of a session and read where it stands."""
        number = self._log.session(name)
        assert number is not None  # create=True
        lease = self._log.lease(number)
        try:
            session = Session(self._log, self._options, number, lease, Standing.new(name, target, policy, reads))
            session.resume()
        except BaseException:
            lease.release()
            raise
        return session

    def _is_used(self, name: str) -> bool:
        """Say whether a session holds anything; a fork that failed leaves but its name."""
        number = self._log.session(name, create=False)
        if number is None:
            return False
        with self._log.snapshot() as snapshot:
            return turns.context(snapshot, number) is not None or bool(self._log.index.session_ids(number))


def _result(known: "Future[_Opened]") -> _Opened | None:
    """Wait for a context that is being made; None where that failed."""
    try:
        return known.result()
    except CancelledError:
        return None


def _is_over(known: "Future[_Opened]") -> bool:
    """Say whether the context was closed, or never came to be."""
    return known.cancelled() or (known.done() and known.result().session.is_closed)


def _taken(name: str) -> BadInput:
    return BadInput(f"session {name!r} exists already; fork into a new name")
