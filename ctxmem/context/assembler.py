"""Take turns: one prompt of a session at a time, prepared, committed, and only then made the session's.

I1. If a turn raises, nothing has happened: the state, the view and the store are as before.
I2. A turn whose caller was cancelled is settled before anything else happens: it took place, or it did not.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ctxmem.context import assembly
from ctxmem.context.assembly import Pending
from ctxmem.context.session import Session
from ctxmem.prompt.prompt import Prompt

_HELP_S = 0.005  # a waiting thread looks whether it can help this often
_POLL_S = 0.0005  # between tries for the turn, on an event loop that must not block


class TurnLock:
    """A lock that whoever waits for helps to free: the turn of a coroutine ends when its commit does.

    The coroutine itself may have to wait for the very thread that waits here: they may share an event loop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settle: Callable[[], None] | None = None  # waits for the commit of a coroutine's turn, and ends the turn

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=_HELP_S):
            settle = self._settle
            if settle is not None:
                settle()

    def __exit__(self, *_: object) -> None:
        self._settle = None
        self._lock.release()

    async def acquire(self) -> None:
        """Take the lock without blocking the event loop."""
        import asyncio  # noqa: PLC0415 - 30 ms of import, for those who await

        while not self._lock.acquire(blocking=False):  # noqa: ASYNC110 - threads take turns too
            await asyncio.sleep(_POLL_S)

    def let_help(self, settle: Callable[[], None]) -> None:
        """Say how whoever waits can end the turn; `settle` frees the lock, once."""
        self._settle = settle

    def release(self) -> None:
        """Free the lock."""
        self.__exit__()


class _Flight:
    """A coroutine's turn whose commit is under way. Settled once, by whoever comes first."""

    def __init__(self, turns: "Assembler", pending: Pending, choices: dict[str, Any], future: "Future[None]") -> None:
        self._turns, self._pending, self._choices, self._future = turns, pending, choices, future
        self._once = threading.Lock()
        self._is_settled = False

    def settle(self) -> None:
        """Wait for the commit and end the turn: it took place, or it did not (I2)."""
        error = self._future.exception()
        with self._once:
            if self._is_settled:
                return
            self._is_settled = True
            try:
                if error is None:
                    self._turns.publish(self._pending, self._choices)
                else:
                    self._turns.abandon(self._pending)
            finally:
                self._turns.lock.release()


class Assembler:
    """The turns of one session. Safe from any thread; `lock` is held by whoever takes a turn or works on the state."""

    def __init__(self, session: Session) -> None:
        self.lock = TurnLock()
        self._session = session
        self._last: tuple[dict[str, Any], int, Pending] | None = None

    def assemble(self, choices: dict[str, Any], reach: set[int] | None) -> Prompt:
        """Take a turn on this thread; see `Context.assemble`."""
        with self.lock:
            pending = self._prepare(choices, reach)
            if isinstance(pending, Prompt):
                return pending
            try:
                self._session.log.commit(pending.write)
            except BaseException:
                self.abandon(pending)
                raise
            return self.publish(pending, choices)

    async def aassemble(self, choices: dict[str, Any], reach: set[int] | None) -> Prompt:
        """Take a turn, awaiting the commit alone; see `Context.aassemble`."""
        import asyncio  # noqa: PLC0415 - see `TurnLock.acquire`

        await self.lock.acquire()
        try:
            pending = self._prepare(choices, reach)
            if isinstance(pending, Prompt):
                self.lock.release()
                return pending
            try:
                future = self._session.log.commit_soon(pending.write)
            except BaseException:
                self.abandon(pending)
                raise
        except BaseException:
            self.lock.release()
            raise
        flight = _Flight(self, pending, choices, future)
        self.lock.let_help(flight.settle)
        try:
            await asyncio.shield(asyncio.wrap_future(future))
        finally:
            flight.settle()  # where the caller was cancelled it waits for the commit (I2)
        return pending.prompt

    def _prepare(self, choices: dict[str, Any], reach: set[int] | None) -> Pending | Prompt:
        with self._session.lock:
            if self._last is not None and self._last[:2] == (choices, self._session.state.version):
                return self._last[2].again()
            if self._last is None and (same := assembly.last_prompt(self._session, assembly.digest(**choices))):
                return same
            return assembly.prepare(self._session, **choices, reach=reach)

    def publish(self, pending: Pending, choices: dict[str, Any]) -> Prompt:
        """End a turn that was committed."""
        with self._session.lock:
            pending.publish()
            self._last = (choices, pending.version, pending)
            return pending.prompt

    def abandon(self, pending: Pending) -> None:
        """End a turn that was not."""
        with self._session.lock:
            pending.abandon()
