"""Take turns: one prompt of a session at a time, prepared, committed, and only then the session's.

I1. If a turn raises, nothing has happened: the standing, the view and the store are as before.
I2. A turn whose caller was cancelled is settled before anything else happens: it took place, or it did not.
"""

from concurrent.futures import Future

from ctxmem.context import assembly
from ctxmem.context.assembly import TurnRequest
from ctxmem.context.session import Session
from ctxmem.prompt.prompt import Prompt

_POLL_S = 0.0005  # between tries for the turn, on an event loop that must not block


def assemble(session: Session, request: TurnRequest) -> Prompt:
    """Take a turn on this thread; see `Context.assemble`."""

    def take(session: Session) -> Prompt:
        prompt, is_new = session.locked(lambda s: _begin(s, request))
        if is_new:
            session.commit_turn()
        return prompt

    return session.turn(take)


async def aassemble(session: Session, request: TurnRequest) -> Prompt:
    """Take a turn, awaiting the commit alone; see `Context.aassemble`."""
    import asyncio  # noqa: PLC0415 - 30 ms of import, for those who await

    def begin(session: Session) -> "tuple[Prompt, Future[None] | None]":
        prompt, is_new = session.locked(lambda s: _begin(s, request))
        return prompt, session.commit_turn_soon() if is_new else None

    while session.is_in_turn:  # noqa: ASYNC110 - threads take turns too
        await asyncio.sleep(_POLL_S)
    prompt, commit = session.turn(begin)
    if commit is not None:
        try:
            await asyncio.shield(asyncio.wrap_future(commit))
        finally:
            session.land(commit)  # where the caller was cancelled it waits for the commit (I2)
    return prompt


def _begin(session: Session, request: TurnRequest) -> tuple[Prompt, bool]:
    """Begin a turn; or give the prompt of the last one where it is asked for again, and False."""
    again = assembly.last_prompt(session, request)
    if again is not None:
        return again, False
    prepared = assembly.prepare(session, request)
    session.begin(prepared.after, assembly.writer(session, prepared))
    return prepared.prompt, True
