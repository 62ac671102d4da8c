"""The history of an OpenAI Agents session: each item a segment, returned as it came and found by what it says.

I1. A method decides and appends without awaiting: a cancelled call has either not begun, or all that it adds or
    removes is added or removed, and on disk soon.
I2. `pop_item` and `clear_session` erase: a turn that the SDK takes back is not found by a search either.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final

from agents.memory.session_settings import SessionSettings, resolve_session_limit

from ctxmem import codec, inputs
from ctxmem.adapters.shelf import Shelf, said_in
from ctxmem.memory import Memory

_POPPING: Final = threading.Lock()  # two runs of one session, on two threads, must not pop the same item


class MemorySession:
    """A session of the SDK, for `Runner.run(..., session=...)`. Several threads and processes may use one.

    Its items stand in ctxmem's session `SESSION_ID/items`: apart from that of a context of the same name, whose prompt
    they would repeat.
    """

    def __init__(self, memory: Memory, session_id: str, *, session_settings: SessionSettings | None = None) -> None:
        self.session_id = inputs.short(session_id, "session_id")
        self.session_settings: SessionSettings | None = session_settings or SessionSettings()
        self._items = Shelf(memory, "agents_item")

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the newest `limit` items in order, all where neither it nor the settings say how many."""
        wanted = resolve_session_limit(limit, self.session_settings)
        most = None if wanted is None or wanted < 0 else wanted
        return [row.value for row in self._items.rows(limit=most, facets={"thread": self.session_id})][::-1]

    async def add_items(self, items: Sequence[Any]) -> None:
        """Append items; on disk when this returns.

        Raises:
            BadInput: an item is no JSON; none is added then.
        """
        given = list(items)
        codec.pack(given)
        for item in given:
            text = said_in(item, "responses")
            session = f"{self.session_id}/items"
            self._items.add(item, text, session=session, facets={"thread": self.session_id})
        if given:
            await self._items.aflush()

    async def pop_item(self) -> Any:
        """Erase and return the newest item; None where there is none."""
        with _POPPING:
            row = self._items.newest(thread=self.session_id)
            if row is None:
                return None
            self._items.forget([row.id])
        return row.value

    async def clear_session(self) -> None:
        """Erase all items, in one commit."""
        self._items.forget(self._items.ids(thread=self.session_id))
