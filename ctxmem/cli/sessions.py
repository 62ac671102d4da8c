"""What a store knows of its sessions, and a context opened only to look at one.

The public surface has no list of sessions: this is the one file of the command line that asks the log for it.
"""

from dataclasses import dataclass
from typing import Any

import ctxmem
from ctxmem.errors import BadInput
from ctxmem.log import Log
from ctxmem.tables import turns


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """One session: its number, name and size, and its context's row, None where it never had a context."""

    number: int
    name: str
    segments: int
    row: turns.ContextRow | None

    def as_plain(self) -> dict[str, Any]:
        """Return the session as plain values."""
        row = self.row
        return {
            "session": self.name,
            "segments": self.segments,
            "model": row.target.model if row else None,
            "provider": row.target.provider if row else None,
            "turn": row.turn if row else 0,
            "epoch": row.epoch if row else 0,
            "last_at": row.last_at if row else None,
        }


def sessions(log: Log) -> list[SessionEntry]:
    """Return every session, in the order they were made."""
    with log.snapshot() as snapshot:
        found = [(number, name, turns.context(snapshot, number)) for number, name in log.session_names()]
    return [SessionEntry(number, name, len(log.index.session_ids(number)), row) for number, name, row in found]


def context_of(memory: ctxmem.Memory, log: Log, name: str) -> tuple[SessionEntry, ctxmem.Context]:
    """Open a session's context as it was last used: the same model, shape, window and tools.

    Raises:
        BadInput: there is no such session, or it has had no prompt.
    """
    found = {one.name: one for one in sessions(log)}
    session = found.get(name)
    if session is None:
        near = ", ".join(sorted(found)[:5]) or "none at all"
        raise BadInput(f"There is no session {name!r} in this store; it holds: {near}.")
    if session.row is None:
        raise BadInput(f"Session {name!r} has no prompt yet: use `ctxmem search --session {name}` to see its segments.")
    model, provider, window, reserve, digest = session.row.target
    with log.snapshot() as snapshot:
        tools = turns.tools(snapshot, session.number, digest)
    return session, memory.context(
        name, model=model, provider=provider, window=window, reserve=reserve, tools=tools, reads="*"
    )
