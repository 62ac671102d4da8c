"""Runs: segments sealed together. Their manifest record, and reading one inside a snapshot.

Invariants:
I1. A run covers ids `[first, first + span)` of one block; runs of a store do not overlap.
I2. A run is written under a serial that was never used, in ascending key order table by table, and never changed.
I3. A run exists when its record stands in the `runs` table; entries of another serial are rubbish.
Does not know: when runs are sealed, tails, forgotten segments (a `Scope` leaves those out).
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.search import columns, facets, postings
from ctxmem.search.columns import BySession
from ctxmem.search.facets import OffsetSet
from ctxmem.search.postings import Posting

Array: TypeAlias = npt.NDArray[Any]
Put: TypeAlias = tuple[str, bytes, bytes]  # table, key, value

TABLES = ("postings", "facets", "columns")  # the tables of a run's entries, in the order they are written
AT, TOKENS, SESSIONS, PRESENT = b"at", b"tokens", b"sessions", b"present"  # On disk: names of columns.

SMALL_MOST = 128  # postings that are kept of a run between searches
SMALL_BYTES = 1_024  # a longer list is read from the store each time

_VERSION = 2  # On disk: never renumber.
_RECORD = struct.Struct("<BQIIddIIIIIQ")


class Source(Protocol):
    """What reading a run needs of `store.Snapshot`."""

    def view(self, table: str, key: bytes) -> memoryview | None: ...  # noqa: D102

    def views(self, table: str, keys: Iterable[bytes]) -> list[memoryview | None]: ...  # noqa: D102

    def floor(self, table: str, key: bytes) -> tuple[bytes, bytes] | None: ...  # noqa: D102

    def keys(self, table: str, start: bytes = b"", stop: bytes | None = None) -> Iterator[bytes]: ...  # noqa: D102

    def scan(  # noqa: D102
        self,
        table: str,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Run:
    """The manifest record of a run.

    `n` segments stand in `span` ids from `first`; times lie in `[at_min, at_max]`, session numbers alike. `checksum` is
    the crc32 of its entries in the order they were written, `n_bytes` their size. `n_forgotten` of the segments were
    forgotten when it was written: they have columns, and no terms or facets.
    """

    serial: int
    first: int
    span: int
    n: int
    at_min: float
    at_max: float
    session_min: int = 0
    session_max: int = 0
    n_forgotten: int = 0
    n_terms: int = 0
    checksum: int = 0
    n_bytes: int = 0

    @property
    def stop(self) -> int:
        """One more than the last id."""
        return self.first + self.span

    @property
    def key(self) -> bytes:
        """Its key in the `runs` table, and what the keys of its entries begin with."""
        return self.serial.to_bytes(4, "big")

    def encode(self) -> bytes:
        """Return the record as bytes.

        >>> run = Run(3, 0, 10, 9, 0.5, 1.5)
        >>> Run.decode(run.key, run.encode()) == run
        True
        """
        return _RECORD.pack(
            _VERSION,
            self.first,
            self.span,
            self.n,
            self.at_min,
            self.at_max,
            self.session_min,
            self.session_max,
            self.n_forgotten,
            self.n_terms,
            self.checksum,
            self.n_bytes,
        )

    @staticmethod
    def decode(key: bytes, value: bytes) -> "Run":
        """Read what `encode` wrote."""
        return Run(int.from_bytes(key, "big"), *_RECORD.unpack_from(value)[1:])


class RunCache:
    """What is kept of a run between snapshots: its pages' first terms, its sessions, its segments that are never a hit.

    Also the postings of at most `SMALL_MOST` terms that were asked for last, where they are small: 0.3 MB.
    Page keys take half a byte a segment. Sessions take 8 bytes each, and 4 bytes a segment where the segments of a
    session do not follow one another.
    """

    def __init__(self) -> None:
        self._keys: dict[str, list[bytes]] = {}  # of pages, by table
        self._unsearched: list[OffsetSet | None] = []
        self._sessions: BySession | None = None
        self.small: dict[bytes, Posting | None] = {}  # of terms asked for, in memory of their own; None: not in the run

    def keep(self, small: dict[bytes, Posting | None]) -> None:
        """Keep small postings for the next search that asks for these terms: 0.3 us where reading takes 3 to 6."""
        if len(self.small) + len(small) > SMALL_MOST:
            self.small.clear()
        self.small.update(small)

    def page_keys(self, table: str, prefix: bytes, source: Source) -> list[bytes]:
        """Return the keys of all pages of the run, ascending; they begin with `prefix`."""
        keys = self._keys.get(table)
        if keys is None:
            keys = self._keys[table] = list(source.keys(table, prefix, postings.after_pages(prefix)))
        return keys

    def unsearched(self, view: "RunView") -> OffsetSet | None:
        """Return the segments that are never a hit, None where there are none."""
        if not self._unsearched:
            found = view.facet(facets.UNSEARCHED)
            self._unsearched.append(None if found is None else found.copy())
        return self._unsearched[0]

    def sessions(self, view: "RunView") -> BySession:
        """Return the segments grouped by session; decoding it at each search took 3 us a run."""
        if self._sessions is None:
            self._sessions = view.stored_sessions().copy()
        return self._sessions


class RunView:
    """One run, read through one snapshot: what it returns is valid inside that snapshot only."""

    def __init__(self, run: Run, source: Source, cache: RunCache | None = None) -> None:
        self.run = run
        self.first, self.span, self.n = run.first, run.span, run.n
        self.at_min, self.at_max = run.at_min, run.at_max
        self.session_min, self.session_max = run.session_min, run.session_max
        self._cache = cache or RunCache()
        self._source = source
        self._own = run.key + b"\x01"
        self._page = run.key + b"\x02"

    def posting(self, term: bytes) -> Posting | None:
        """Return the postings of a term, None where no segment holds it."""
        return self.postings([term])[0]

    def postings(self, terms: Sequence[bytes]) -> list[Posting | None]:
        """Return the postings of several terms, None for each that no segment holds."""
        own, span, known = self._own, self.span, self._cache.small
        found = {term: known[term] for term in terms if term in known}
        if len(found) < len(terms):
            wanted = [term for term in terms if term not in found]
            small: dict[bytes, Posting | None] = {}
            missing = []
            for term, value in zip(wanted, self._source.views("postings", [own + t for t in wanted]), strict=True):
                if value is None:
                    missing.append(term)
                elif len(value) <= SMALL_BYTES:
                    small[term] = postings.decode_own(bytes(value), span)
                else:
                    found[term] = postings.decode_own(value, span)
            if missing:
                for term, page in zip(missing, self._pages("postings", missing), strict=True):
                    small[term] = postings.find_in_page(page, term, with_impacts=True)
            if small:
                self._cache.keep(small)
                found.update(small)
        return [found[term] for term in terms]

    def _pages(self, table: str, terms: Sequence[bytes]) -> list[bytes]:
        """Return the page that holds each term, or facet key, if any does; an empty one where there is none."""
        page = self._page
        directory = self._cache.page_keys(table, page, self._source)
        places = [bisect_right(directory, page + term) for term in terms]
        values = self._source.views(table, [directory[place - 1] if place else page for place in places])
        return [b"" if value is None else bytes(value) for value in values]

    def facet(self, key: bytes) -> OffsetSet | None:
        """Return the segments with a facet value, None where there is none."""
        value = self._source.view("facets", self._own + key)
        if value is not None:
            return facets.decode_set(value, self.span)
        directory = self._cache.page_keys("facets", self._page, self._source)
        place = bisect_right(directory, self._page + key)
        page = self._source.view("facets", directory[place - 1]) if place else None
        found = None if page is None else postings.find_in_page(bytes(page), key, with_impacts=False)
        return None if found is None else found.offsets

    def holds(self, key: bytes, offsets: facets.Uint16s) -> npt.NDArray[np.bool_]:
        """Say of each segment whether it has a facet value: bool[n]."""
        value = self._source.view("facets", self._own + key)
        if value is not None:
            return facets.holds(value, offsets, self.span)
        found = self.facet(key)
        return np.zeros(len(offsets), np.bool_) if found is None else facets.contains(found, offsets)

    def unsearched(self) -> OffsetSet | None:
        """Return the segments that are never a hit, None where there are none."""
        return self._cache.unsearched(self)

    def facet_size(self, key: bytes) -> int:
        """Return the number of segments with a facet value."""
        value = self._source.view("facets", self._own + key)
        if value is not None:
            return postings.count_of_own(value)
        found = self.facet(key)
        return 0 if found is None else len(found)

    def terms_from(self, start: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield the terms that begin so, each with the number of segments that hold it."""
        begin = self._own + start
        for key, value in self._source.scan("postings", begin, begin + b"\xff"):
            yield key[5:], postings.count_of_own(value)
        before = self._source.floor("postings", self._page + start)
        begin = before[0] if before is not None and before[0].startswith(self._page) else self._page + start
        for _, value in self._source.scan("postings", begin, self._page + start + b"\xff"):
            page = postings.decode_page(value, with_impacts=True)
            for term, count in zip(page.terms, page.counts.tolist(), strict=True):
                if term.startswith(start):
                    yield term, count

    def _column(self, name: bytes) -> memoryview:
        value = self._source.view("columns", self.run.key + name)
        if value is None:
            raise LookupError(f"run {self.run.serial} has no column {name.decode()}")
        return value

    def present(self) -> OffsetSet | None:
        """Return the offsets that hold a segment, None where all do."""
        return None if self.n == self.span else facets.decode_set(self._column(PRESENT), self.span)

    def at(self) -> Array:
        """Return the time of each segment: float64[span], NaN where there is none."""
        return columns.decode_array(self._column(AT), self.span)

    def tokens(self) -> Array:
        """Return the token count of each segment: unsigned[span], 0 where there is none."""
        return columns.decode_array(self._column(TOKENS), self.span)

    def sessions(self) -> BySession:
        """Return the segments grouped by session."""
        return self._cache.sessions(self)

    def stored_sessions(self) -> BySession:
        """Return the segments grouped by session as stored, uncopied: valid inside the snapshot only."""
        return BySession.decode(self._column(SESSIONS), self.span)
