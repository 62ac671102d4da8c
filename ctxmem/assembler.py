"""Take turns: one prompt of a session at a time, prepared, committed, and only then made the session's.

I1. If a turn raises, nothing has happened: the state, the view and the store are as before.
I2. A turn whose caller was cancelled is settled before anything else happens: it took place, or it did not.
"""

import threading
from typing import Any

from ctxmem import assembly
from ctxmem.assembly import Pending
from ctxmem.prompt import Prompt
from ctxmem.session import Session

_POLL_S = 0.0005  # between tries for the turn, on an event loop that must not block


class Assembler:
    """The turns of one session. Safe from any thread; `lock` is held by whoever takes a turn or works on the state."""

    def __init__(self, session: Session) -> None:
        self.lock = threading.Lock()
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
                self._abandon(pending)
                raise
            return self._publish(pending, choices)

    async def aassemble(self, choices: dict[str, Any], reach: set[int] | None) -> Prompt:
        """Take a turn, awaiting the commit alone; see `Context.aassemble`."""
        import asyncio  # noqa: PLC0415 - 30 ms of `import ctxmem`; who calls this has it loaded

        while not self.lock.acquire(blocking=False):  # noqa: ASYNC110 - threads take turns too
            await asyncio.sleep(_POLL_S)
        try:
            pending = self._prepare(choices, reach)
            if isinstance(pending, Prompt):
                return pending
            future = self._session.log.commit_soon(pending.write)
            try:
                await asyncio.shield(asyncio.wrap_future(future))
            except asyncio.CancelledError:
                self._settle(pending, choices, future.exception())  # waits for the commit (I2)
                raise
            except BaseException:
                self._abandon(pending)
                raise
            return self._publish(pending, choices)
        finally:
            self.lock.release()

    def _prepare(self, choices: dict[str, Any], reach: set[int] | None) -> Pending | Prompt:
        with self._session.lock:
            if self._last is not None and self._last[:2] == (choices, self._session.state.version):
                return self._last[2].again()
            return assembly.prepare(self._session, **choices, reach=reach)

    def _publish(self, pending: Pending, choices: dict[str, Any]) -> Prompt:
        with self._session.lock:
            pending.publish()
            self._last = (choices, pending.version, pending)
            return pending.prompt

    def _settle(self, pending: Pending, choices: dict[str, Any], error: BaseException | None) -> None:
        if error is None:
            self._publish(pending, choices)
        else:
            self._abandon(pending)

    def _abandon(self, pending: Pending) -> None:
        with self._session.lock:
            pending.abandon()
