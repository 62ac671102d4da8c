"""Take turns: one prompt of a session at a time, prepared, committed, and only then the session's.

I1. If a turn raises, nothing has happened: the standing, the view and the store are as before.
I2. A turn whose caller was cancelled is settled before anything else happens: it took place, or it did not.
"""

from concurrent.futures import Future

from ctxmem.context import assembly
from ctxmem.context.assembly import Prepared, TurnRequest
from ctxmem.context.session import Session
from ctxmem.prompt.prompt import Prompt

_POLL_S = 0.0005  # between tries for the turn, on an event loop that must not block


class Assembler:
    """The turns of one session. Safe from any thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._last: Prepared | None = None  # the turn prepared last; whether it took place, the standing says

    def assemble(self, request: TurnRequest) -> Prompt:
        """Take a turn on this thread; see `Context.assemble`."""

        def take(session: Session) -> Prompt:
            prompt, is_new = session.locked(lambda s: self._begin(s, request))
            if is_new:
                session.commit_turn()
            return prompt

        return self._session.turn(take)

    async def aassemble(self, request: TurnRequest) -> Prompt:
        """Take a turn, awaiting the commit alone; see `Context.aassemble`."""
        import asyncio  # noqa: PLC0415 - 30 ms of import, for those who await

        def begin(session: Session) -> "tuple[Prompt, Future[None] | None]":
            prompt, is_new = session.locked(lambda s: self._begin(s, request))
            return prompt, session.commit_turn_soon() if is_new else None

        while self._session.is_in_turn:  # noqa: ASYNC110 - threads take turns too
            await asyncio.sleep(_POLL_S)
        prompt, commit = self._session.turn(begin)
        if commit is not None:
            try:
                await asyncio.shield(asyncio.wrap_future(commit))
            finally:
                self._session.land(commit)  # where the caller was cancelled it waits for the commit (I2)
        return prompt

    def _begin(self, session: Session, request: TurnRequest) -> tuple[Prompt, bool]:
        """Begin a turn; or give the prompt of the last one where it is asked for again, and False."""
        last, now = self._last, session.now
        if last is not None and last.answers(request, now):
            return last.again(session), False
        took_place = last is not None and last.turn.turn <= now.row.turn
        if not took_place and (same := assembly.last_prompt(session, request)):
            return same, False
        self._last = prepared = assembly.prepare(session, request)
        session.begin(prepared.after, assembly.writer(session, prepared))
        return prepared.prompt, True
