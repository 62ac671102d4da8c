"""The tail of one block: segments that are in no run yet, indexed in memory and found by the next search.

Invariants:
I1. What a tail answers equals what a run of the same segments would.
I2. A tail is a cache: everything in it is pending in this process or stands in the `forward` table.
Thread-safety: none; the caller holds `Index._lock`.
Does not know: the store, which of its segments are on disk, forgotten ones. Owns sortedcontainers.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from sortedcontainers import SortedDict

from ctxmem.search import relevance
from ctxmem.search.columns import BySession
from ctxmem.search.facets import UNSEARCHED, OffsetSet, Uint16s, contains
from ctxmem.search.forward import Forward
from ctxmem.search.postings import Posting

Array = npt.NDArray[Any]


class Tail:
    """The unsealed segments of one block; answers the same questions as `runs.RunView`.

    Cost: about 10 us to add a segment of 36 words; a question converts one term's postings, at most the tail's length.

    >>> tail = Tail(0)
    >>> tail.add(5, Forward(1, 4, 0.0, 2, [b"red", b"cat"], bytes([1, 1]), [b"k"]))
    >>> tail.posting(b"cat").all_offsets(), tail.posting(b"dog")
    (array([5], dtype=uint16), None)
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.last_id = first - 1  # the highest id here
        self._forwards: SortedDict[int, Forward] = SortedDict()  # by id
        self._postings: dict[bytes, list[int]] = {}
        self._facets: dict[bytes, list[int]] = {}  # lists, not sorted containers: see decision 0022
        self._is_in_order = True  # every id came after all others: else lists are sorted when they are asked for
        self._cache: dict[Any, Any] = {}
        self._listed = b""  # every term with a NUL before it, as of the last prefix that was looked for
        self._n_listed = 0
        self.at_min = float("inf")
        self.at_max = float("-inf")
        self.session_min = (1 << 32) - 1
        self.session_max = 0

    def __len__(self) -> int:
        return len(self._forwards)

    def __contains__(self, segment_id: int) -> bool:
        return segment_id in self._forwards

    @property
    def n(self) -> int:
        """The number of segments."""
        return len(self._forwards)

    @property
    def span(self) -> int:
        """The number of ids from `first` to the last segment here."""
        return self.last_id + 1 - self.first

    def forward(self, segment_id: int) -> Forward:
        """Return the forward record of a segment that is here."""
        found: Forward = self._forwards[segment_id]
        return found

    def add(self, segment_id: int, forward: Forward) -> None:
        """Index one segment. Ids usually rise, but any order gives the same tail."""
        impacts = relevance.impacts(np.frombuffer(forward.counts, np.uint8), np.int64(forward.length))
        self._add(segment_id, forward, impacts.tolist())
        self._cache.clear()

    def _add(self, segment_id: int, forward: Forward, impacts: list[int]) -> None:
        """Index one segment whose impacts are computed; the caller clears the cache."""
        offset = segment_id - self.first
        self._is_in_order = self._is_in_order and segment_id > self.last_id
        self.last_id = max(self.last_id, segment_id)
        self._forwards[segment_id] = forward
        place = offset << 8
        postings = self._postings
        for term, impact in zip(forward.terms, impacts, strict=True):
            known = postings.get(term)
            if known is None:
                postings[term] = [place | impact]
            else:
                known.append(place | impact)
        for key in forward.keys:
            self._facets.setdefault(key, []).append(offset)
        self.at_min = min(self.at_min, forward.at)
        self.at_max = max(self.at_max, forward.at)
        self.session_min = min(self.session_min, forward.session)
        self.session_max = max(self.session_max, forward.session)

    def after(self, segment_id: int) -> "Tail":
        """Return the tail of what comes after a segment: what is left when the others were sealed."""
        rest = Tail(segment_id + 1)
        ids = list(self._forwards.irange(segment_id + 1))
        forwards = [self._forwards[each] for each in ids]
        counts = np.frombuffer(b"".join([forward.counts for forward in forwards]), np.uint8)
        lengths = np.repeat(
            np.array([forward.length for forward in forwards], np.int64), [len(forward.counts) for forward in forwards]
        )
        impacts = relevance.impacts(counts, lengths).tolist()  # computed for all at once: half the time
        start = 0
        for each, forward in zip(ids, forwards, strict=True):
            stop = start + len(forward.counts)
            rest._add(each, forward, impacts[start:stop])
            start = stop
        return rest

    def posting(self, term: bytes) -> Posting | None:
        """Return the postings of a term, None where no segment holds it."""
        found = self._postings.get(term)
        if found is None:
            return None
        cached: Posting | None = self._cache.get(term)
        if cached is None:
            packed = self._in_order(np.array(found, np.uint32))
            impacts = packed.astype(np.uint8)
            cached = Posting(len(found), int(impacts.max()), (packed >> 8).astype(np.uint16), impacts)
            self._cache[term] = cached
        return cached

    def postings(self, terms: Sequence[bytes]) -> list[Posting | None]:
        """Return the postings of several terms, None for each that no segment holds."""
        return [self.posting(term) for term in terms]

    def facet(self, key: bytes) -> OffsetSet | None:
        """Return the segments with a facet value, None where there is none."""
        found = self._facets.get(key)
        return None if found is None else self._in_order(np.array(found, np.uint16))

    def _in_order(self, column: Array) -> Array:
        """Sort what came in another order than that of ids: other writers' segments, in a block that is shared."""
        if not self._is_in_order:
            column.sort()
        return column

    def holds(self, key: bytes, offsets: Uint16s) -> npt.NDArray[np.bool_]:
        """Say of each segment whether it has a facet value: bool[n]."""
        found = self.facet(key)
        return np.zeros(len(offsets), np.bool_) if found is None else contains(found, offsets)

    def unsearched(self) -> OffsetSet | None:
        """Return the segments that are never a hit, None where there are none."""
        return self.facet(UNSEARCHED)

    def facet_size(self, key: bytes) -> int:
        """Return the number of segments with a facet value."""
        return len(self._facets.get(key, ()))

    def terms_from(self, start: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield the terms that begin so, each with the number of segments that hold it, in any order."""
        if len(self._postings) > self._n_listed:  # terms are only ever added, and a dict keeps their order
            new = islice(self._postings, self._n_listed, None)
            # Both at once: an interrupt between them would list the new terms twice.
            self._listed, self._n_listed = self._listed + b"\0" + b"\0".join(new), len(self._postings)
        for term in re.findall(rb"\0(" + re.escape(start) + rb"[^\0]*)", self._listed):
            yield term, len(self._postings[term])

    def present(self) -> OffsetSet | None:
        """Return the offsets that hold a segment, None where all do."""
        return None if self.n == self.span else self._offsets()

    def _offsets(self) -> Uint16s:
        return (np.array(list(self._forwards), np.int64) - self.first).astype(np.uint16)

    def at(self) -> Array:
        """Return the time of each segment: float64[span], NaN where there is none."""
        if "at" not in self._cache:
            times = np.full(self.span, np.nan)
            times[self._offsets()] = [self._forwards[i].at for i in self._forwards]
            self._cache["at"] = times
        found: Array = self._cache["at"]
        return found

    def tokens(self) -> Array:
        """Return the token count of each segment: int64[span], 0 where there is none."""
        if "tokens" not in self._cache:
            counts = np.zeros(self.span, np.int64)
            counts[self._offsets()] = [self._forwards[i].tokens for i in self._forwards]
            self._cache["tokens"] = counts
        found: Array = self._cache["tokens"]
        return found

    def sessions(self) -> BySession:
        """Return the segments grouped by session."""
        if "sessions" not in self._cache:
            numbers = np.array([self._forwards[i].session for i in self._forwards], np.uint32)
            self._cache["sessions"] = BySession.build(self._offsets(), numbers, self.span)
        found: BySession = self._cache["sessions"]
        return found
