"""Read the log as callers see it: segments with their sessions' names, and hits. Decides nothing, writes nothing.

I1. A `Segment` is made on read and never kept: what is in memory is the log's business.
I2. Names come in, numbers go down: only this file and the context translate sessions.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ctxmem import inputs
from ctxmem.errors import BadInput
from ctxmem.log import Log
from ctxmem.search.facets import IdSet
from ctxmem.search.query import parse
from ctxmem.segment import Facets, Hit, Record, Segment

MAX_LIMIT = 100_000


class Library:
    """Segments and hits by name over one log. Safe from any thread."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def segment(self, segment_id: int, record: Record | None = None) -> Segment:
        """Return one segment; from the hot tier in microseconds, else one read and one decompression.

        `record`: as it was queued, where the caller has it. Its facets are copied, since the index may read them later.

        Raises:
            SegmentNotFound: no such id.
            CorruptSegment: the stored bytes fail their checksum.
        """
        if record is None:
            record = self._log.get(segment_id)
            return _segment(segment_id, record, self._log.session_name(record.session))
        facets = {name: value.copy() if isinstance(value, list) else value for name, value in record.facets.items()}
        return _segment(segment_id, record, self._log.session_name(record.session), facets)

    def segments(self, segment_ids: Sequence[int]) -> Iterator[Segment]:
        """Yield many segments in the order asked for, each when it is taken, without what is forgotten by then."""
        names: dict[int, str | None] = {0: None}
        for segment_id, record in self._log.stream(segment_ids):
            if record.session not in names:
                names[record.session] = self._log.session_name(record.session)
            yield _segment(segment_id, record, names[record.session])

    def search(self, query: str, sessions: Collection[str] | None = None, **wanted: Any) -> list[Hit]:
        """Search as `search_numbers`, sessions by name; names that no session has are left out."""
        return self.search_numbers(query, None if sessions is None else self.numbers(sessions), **wanted)

    def search_numbers(
        self,
        query: str,
        sessions: set[int] | None,
        *,
        limit: int = 10,
        kind: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        facets: Mapping[str, Any] | None = None,
        exclude: IdSet | None = None,
        explain: bool = False,
    ) -> list[Hit]:
        """Return the best hits, or the newest first where the query is empty; `sessions` None searches all.

        See docs/search.md for the query language.

        Raises:
            BadInput: a bad limit, time or facet. BadQuery: the query cannot be answered.
        """
        if not isinstance(query, str):
            raise BadInput(f"query must be a str, not {type(query).__name__}")
        limit, explain = inputs.count(limit, "limit", 1, MAX_LIMIT), inputs.flag(explain, "explain")
        conditions: dict[str, Any] = {
            "kind": kind if kind is None else inputs.short(kind, "kind"),
            "since": inputs.time_s(since, "since"),
            "until": inputs.time_s(until, "until"),
            "facets": inputs.filters(facets or {}),
        }
        if sessions is not None and not sessions:
            return []
        found = self._log.index.search(
            parse(query), limit=limit, sessions=sessions, exclude=exclude, explain=explain, **conditions
        )
        names: dict[int, str | None] = {}
        hits = []
        for scored, record in zip(found, self._log.each(s.id for s in found), strict=True):  # one at a time
            if record.session not in names:
                names[record.session] = self._log.session_name(record.session)
            segment = _segment(scored.id, record, names[record.session])
            hits.append(Hit(segment, scored.score, scored.parts, scored.partial))
        return hits

    def numbers(self, names: Iterable[str]) -> set[int]:
        """Return the numbers of the sessions that exist among `names`."""
        found = (self._log.session(inputs.short(n, "session"), create=False) for n in names)
        return {n for n in found if n is not None}


def _segment(segment_id: int, record: Record, session: str | None, facets: Facets | None = None) -> Segment:
    return Segment(  # in the order of its fields: a fifth faster than by name
        segment_id,
        session,
        record.kind,
        record.role,
        record.text,
        record.message,
        record.group_id(segment_id),
        record.calls,
        record.tokens,
        record.at,
        record.refs,
        record.pinned,
        record.facets if facets is None else facets,
    )
