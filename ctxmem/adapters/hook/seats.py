"""The contexts that an adapter has open, by session: each is opened once, and follows the model of the call.

I1. A context is not closed while somebody is seated at it.
I2. Locks are taken in this order: a seat's own, the one of all seats, those of the memory. None is held over an await.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ctxmem.context.context import Context
from ctxmem.errors import CtxMemError
from ctxmem.memory import Memory

_MOST_OPEN = 64  # contexts that nobody is seated at: each holds its session's lease, and some MB


@dataclass(slots=True)
class _Seat:
    lock: threading.Lock = field(default_factory=threading.Lock)
    context: Context | None = None
    n_users: int = 0


class Seats:
    """The open contexts of one adapter. Safe from any thread."""

    def __init__(self, memory: Memory, sizes: Mapping[str, Any], beside: Mapping[str, Any]) -> None:
        self._memory = memory
        self._sizes = sizes  # of a model: `Context.switch` takes them too
        self._beside = beside  # what else `Memory.context` takes
        self._lock = threading.Lock()
        self._seats = OrderedDict[str, _Seat]()  # used longest ago first

    @contextmanager
    def taken(self, session: str, model: str, tools: Sequence[Any]) -> Iterator[Context]:
        """Give the context of a session, for a model; the tools are those that it is opened with."""
        seat = self._seated(session)
        try:
            with seat.lock:
                context = seat.context
                if context is None or context.is_closed:
                    context = self._memory.context(session, model=model, tools=tools, **self._sizes, **self._beside)
                    seat.context = context
                elif context.model != model:
                    context.switch(model, tools=tools, **self._sizes)
            yield context
        finally:
            self._left(seat)

    def open_context(self, session: str) -> Context | None:
        """Return the context of a session where it is open here."""
        with self._lock:
            seat = self._seats.get(session)
        context = None if seat is None else seat.context
        return None if context is None or context.is_closed else context

    def _seated(self, session: str) -> _Seat:
        with self._lock:
            seat = self._seats.setdefault(session, _Seat())
            self._seats.move_to_end(session)
            seat.n_users += 1
            return seat

    def _left(self, seat: _Seat) -> None:
        with self._lock:
            seat.n_users -= 1
            if len(self._seats) <= _MOST_OPEN:
                return
            name = next((name for name, each in self._seats.items() if not each.n_users), None)
            if name is None:
                return
            context = self._seats.pop(name).context
            if context is not None:
                with suppress(CtxMemError):  # it stays open then, in the memory: it is asked for there again
                    context.close()
