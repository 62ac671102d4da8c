"""Values under names, kept as segments: what the adapters that store a framework's own data have in common.

A value, any JSON or bytes, travels in the message of a segment and comes back equal. The segment's text is what a
search finds it by, empty where nothing should; its facets are what it is looked up by.
I1. There is no second store and no second index: a lookup is a filtered search, which passes over runs unread that
    hold no such facet.
I2. Of several rows that stand for one thing the newest counts, by time and then by id. A replacement is younger than
    what it replaces, whatever the clock says, and in one commit with the forgetting of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from ctxmem import inputs, tokens
from ctxmem.errors import BadInput, BadQuery
from ctxmem.memory import Memory, log_of
from ctxmem.providers import parse as parse_message
from ctxmem.search.query import parse
from ctxmem.segment import Record

_ALL = 1 << 40  # more than a store can hold
_TICK_S = 1e-6  # what a double still tells apart in seconds since the epoch


class Row(NamedTuple):
    """One stored value: `at` in seconds since the epoch, `score` as a search ranked it."""

    id: int
    at: float
    text: str
    value: Any
    facets: Mapping[str, Any]
    score: int


def named(name: str, limit_bytes: int = inputs.MAX_FACET_BYTES) -> str:
    """Return a name as a facet holds it: itself, or its digest where it is empty, too long or holds a NUL.

    >>> named("thread-1"), named("x" * 1000)
    ('thread-1', '#c9b2bd4ff487864c29fb41fab3e8187e')
    """
    try:
        return inputs.short(name, "name", limit_bytes)
    except BadInput:
        return "#" + blake2b(str(name).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def said_in(message: Any, provider: str) -> str:
    """Return what a message says in words, its calls and results among it; empty for what no provider explains.

    >>> said_in({"role": "user", "content": [{"type": "text", "text": "hello"}]}, "anthropic")
    'hello'
    """
    try:
        return "\n".join(draft.text for draft in parse_message(message, prefer=provider) if draft.text)
    except BadInput:
        return ""


class Shelf:
    """The rows of one kind in one memory. Safe from any thread; several processes may use one."""

    def __init__(self, memory: Memory, kind: str) -> None:
        self._memory = memory
        self._log = log_of(memory)
        self._kind = kind

    def now(self) -> float:
        """Return the time by the store's clock, in seconds since the epoch."""
        return self._log.options.now()

    def add(
        self,
        value: Any,
        text: str = "",
        *,
        session: str | None = None,
        key: str | None = None,
        at: float | None = None,
        after: float | None = None,
        facets: Mapping[str, str | Sequence[str]],
    ) -> tuple[int, bool]:
        """Append a row; return its id and whether it is new. Found at once, on disk at the next barrier.

        `after`: the time of the row that this one replaces. With a `key`, the same row again is the row that is there.

        Raises:
            BadInput: a value that is neither JSON nor bytes. KeyConflict: the key has other content.
        """
        now = self.now() if at is None else at
        number = 0 if session is None else self._log.session(named(session, inputs.MAX_KEY_BYTES))
        record = Record(
            session=number or 0,
            kind=self._kind,
            role=None,
            text=text,
            tokens=tokens.count(text) if text else 0,
            at=now if after is None else max(now, after + _TICK_S),
            message={"content": text, "value": value},
            facets={name: named(v) if isinstance(v, str) else [*map(named, v)] for name, v in facets.items()},
        )
        return self._log.append(record, key=key)

    def ids(self, **facets: str) -> list[int]:
        """Return the ids of the rows with these facets, newest first; no row is read."""
        return [found.id for found in self._found("", _ALL, facets)]

    def rows(
        self, query: str = "", *, limit: int | None = None, until: float | None = None, facets: Mapping[str, str]
    ) -> Iterator[Row]:
        """Yield the rows with these facets, newest first, or best first where a query asks for words.

        Rows are read as they are asked for: who stops early pays for what was taken.
        """
        found = self._found(query, _ALL if limit is None else limit, facets, until)
        for scored, record in zip(found, self._log.each(one.id for one in found), strict=True):
            if record.message is not None:  # else it was forgotten since
                yield Row(scored.id, record.at, record.text, record.message["value"], record.facets, scored.score)

    def newest(self, **facets: str) -> Row | None:
        """Return the newest row with these facets."""
        return next(self.rows(limit=1, facets=facets), None)

    def _found(self, query: str, limit: int, facets: Mapping[str, str], until: float | None = None) -> Sequence[Any]:
        self._log.ensure_open()
        try:
            asked = parse(query, is_prose=True)
        except BadQuery:
            return []  # nothing but stop words: no row is about them
        wanted = {name: named(value) for name, value in facets.items()}
        return self._log.index.search(asked, limit=limit, kind=self._kind, until=until, facets=wanted)

    def drop(self, ids: Iterable[int]) -> None:
        """Take away rows that others replace; on disk when this returns, with all that was added before."""
        gone = list(ids)
        if gone:
            self._log.forget(gone)
        else:
            self._log.commit()

    def forget(self, ids: Iterable[int]) -> None:
        """Erase rows, and what contexts quoted of them; on disk when this returns."""
        self._memory.forget(ids)

    def flush(self) -> None:
        """Put all that was added on disk."""
        self._memory.flush()

    async def aflush(self) -> None:
        """Do as `flush`; calls that run at once share an fsync."""
        await self._memory.aflush()
