"""Runs: segments sealed together. Their manifest record, reading one inside a snapshot, building one from forwards.

Invariants:
I1. A run covers ids `[first, first + span)` of one block; runs of a store do not overlap.
I2. A run is written under a serial that was never used, in ascending key order table by table, and never changed.
I3. A run exists when its record stands in the `runs` table; entries of another serial are rubbish.
Does not know: who seals when, tails, forgotten segments (whoever asks applies them).
"""

import struct
import zlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem import columns, facets, postings, relevance
from ctxmem.columns import Sessions
from ctxmem.facets import OffsetSet
from ctxmem.forward import Forward
from ctxmem.postings import Posting, TermWriter

Array: TypeAlias = npt.NDArray[Any]
Put: TypeAlias = tuple[str, bytes, bytes]  # table, key, value

TABLES = ("postings", "facets", "columns")  # the tables of a run's entries, in the order they are written
AT, TOKENS, SESSIONS, PRESENT = b"at", b"tokens", b"sessions", b"present"  # On disk: names of columns.

_VERSION = 1  # On disk: never renumber.
_RECORD = struct.Struct("<BIIIddIIIIIQ")


class Reader(Protocol):
    """What reading a run needs of `store.Snapshot`."""

    def view(self, table: str, key: bytes) -> memoryview | None: ...  # noqa: D102

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
    """What is kept of a run between snapshots: its pages' first terms, half a byte a segment, and who is no hit."""

    def __init__(self) -> None:
        self._keys: dict[str, list[bytes]] = {}  # of pages, by table
        self._unsearched: list[OffsetSet | None] = []

    def page_key(self, table: str, wanted: bytes, reader: Reader) -> bytes | None:
        """Return the key of the page that holds a term if any does; `wanted` is `postings.page_key` of it."""
        keys = self._keys.get(table)
        if keys is None:
            keys = self._keys[table] = list(reader.keys(table, wanted[:5], postings.after_pages(wanted)))
        place = bisect_right(keys, wanted)
        return keys[place - 1] if place else None

    def unsearched(self, view: "RunView") -> OffsetSet | None:
        """Return the segments that are never a hit, None where there are none."""
        if not self._unsearched:
            found = view.facet(facets.UNSEARCHED)
            self._unsearched.append(None if found is None else found.copy())
        return self._unsearched[0]


class RunView:
    """One run, read through one snapshot: what it returns is valid inside that snapshot only."""

    def __init__(self, run: Run, reader: Reader, cache: RunCache | None = None) -> None:
        self.run = run
        self.first, self.span, self.n = run.first, run.span, run.n
        self.at_min, self.at_max = run.at_min, run.at_max
        self.session_min, self.session_max = run.session_min, run.session_max
        self._cache = cache or RunCache()
        self._reader = reader
        self._own = run.key + b"\x01"
        self._page = run.key + b"\x02"

    def posting(self, term: bytes) -> Posting | None:
        """Return the postings of a term, None where no segment holds it."""
        value = self._reader.view("postings", self._own + term)
        if value is not None:
            return postings.decode_own(value, self.span)
        page = self._page_of("postings", term)
        return None if page is None else postings.find_in_page(page, term, with_impacts=True)

    def _page_of(self, table: str, term: bytes) -> bytes | None:
        """Return the page that holds a term, or facet key, if any does."""
        key = self._cache.page_key(table, self._page + term, self._reader)
        value = None if key is None else self._reader.view(table, key)
        return None if value is None else bytes(value)

    def facet(self, key: bytes) -> OffsetSet | None:
        """Return the segments with a facet value, None where there is none."""
        value = self._reader.view("facets", self._own + key)
        if value is not None:
            return facets.decode_set(value, self.span)
        page = self._page_of("facets", key)
        found = None if page is None else postings.find_in_page(page, key, with_impacts=False)
        return None if found is None else found.offsets

    def unsearched(self) -> OffsetSet | None:
        """Return the segments that are never a hit, None where there are none."""
        return self._cache.unsearched(self)

    def facet_size(self, key: bytes) -> int:
        """Return the number of segments with a facet value."""
        value = self._reader.view("facets", self._own + key)
        if value is not None:
            return postings.count_of_own(value)
        found = self.facet(key)
        return 0 if found is None else len(found)

    def terms_from(self, start: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield the terms that begin so, each with the number of segments that hold it."""
        begin = self._own + start
        for key, value in self._reader.scan("postings", begin, begin + b"\xff"):
            yield key[5:], postings.count_of_own(value)
        before = self._reader.floor("postings", self._page + start)
        begin = before[0] if before is not None and before[0].startswith(self._page) else self._page + start
        for _, value in self._reader.scan("postings", begin, self._page + start + b"\xff"):
            page = postings.decode_page(value, with_impacts=True)
            for term, count in zip(page.terms, page.counts.tolist(), strict=True):
                if term.startswith(start):
                    yield term, count

    def _column(self, name: bytes) -> memoryview:
        value = self._reader.view("columns", self.run.key + name)
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

    def sessions(self) -> Sessions:
        """Return the segments grouped by session."""
        return Sessions.decode(self._column(SESSIONS), self.span)


def _numbered() -> "defaultdict[bytes, int]":
    """Return a dict that gives each new key the next number."""
    numbers: defaultdict[bytes, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    return numbers


class RunBuilder:
    """Collects segments and writes them as one run: `add` each, `entries` once, then `run`.

    Holds about 6 bytes a posting until `entries`, which needs 40 more while it sorts.
    """

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.run: Run | None = None
        self._n_forgotten = 0
        self._terms = _numbered()
        self._keys = _numbered()
        self._ids: list[int] = []
        self._rows: list[tuple[int, int, float, int, int, int]] = []
        self._term_numbers: list[Array] = []
        self._counts = bytearray()
        self._key_numbers: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, segment_id: int, forward: Forward, *, is_forgotten: bool = False) -> None:
        """Take one segment; ids rise and stay within one block. Of a forgotten one no term or facet is kept."""
        if is_forgotten:
            forward = replace(forward, terms=[], counts=b"", keys=[])
            self._n_forgotten += 1
        self._ids.append(segment_id)
        self._term_numbers.append(np.fromiter(map(self._terms.__getitem__, forward.terms), np.uint32))
        self._counts += forward.counts
        self._key_numbers += map(self._keys.__getitem__, forward.keys)
        self._rows.append(
            (forward.session, forward.tokens, forward.at, forward.length, len(forward.terms), len(forward.keys))
        )

    def entries(self, *, piece: int = 0) -> Iterator[Put | None]:
        """Yield the run's entries in the order of their keys, table by table; sets `run` at the end.

        `piece`: postings handled at a time, with a None after each, where a caller may pause; 0: all at once.
        """
        first = self._ids[0]
        offsets = np.array(self._ids, np.int64) - first
        span = int(offsets[-1]) + 1
        sessions, tokens, at, lengths, n_terms, n_keys = (np.array(column) for column in zip(*self._rows, strict=True))
        yield from _pause(piece)
        checksum = Checksum()
        impacts = relevance.impacts(np.frombuffer(self._counts, np.uint8), np.repeat(lengths, n_terms))
        numbers = np.concatenate(self._term_numbers)
        self._term_numbers.clear()
        words = TermWriter(self.serial, span)
        placed = _Placed(self._terms, numbers, np.repeat(offsets, n_terms), impacts)
        yield from checksum.through("postings", _written(words, placed, piece))
        sets = TermWriter(self.serial, span, facets.encode_own, impacts=False)
        numbers = np.array(self._key_numbers, np.uint32)
        placed = _Placed(self._keys, numbers, np.repeat(offsets, n_keys), np.zeros(len(numbers), np.uint8))
        yield from checksum.through("facets", _written(sets, placed, piece))
        held = Columns(offsets.astype(np.uint16), sessions, tokens, at, span)
        yield from checksum.through("columns", held.entries(self.serial))
        self.run = checksum.run(self.serial, first, held, n_terms=words.n_terms, n_forgotten=self._n_forgotten)


@dataclass(frozen=True, slots=True)
class Columns:
    """The header fields of a run's segments, in order of offset: arrays of equal length."""

    offsets: Array
    sessions: Array
    tokens: Array
    at: Array
    span: int

    def entries(self, serial: int) -> Iterator[postings.Entry]:
        """Yield the entries of the `columns` table."""
        start = serial.to_bytes(4, "big")
        times = np.full(self.span, np.nan)
        times[self.offsets] = self.at
        yield start + AT, columns.encode_array(times)
        if len(self.offsets) < self.span:
            yield start + PRESENT, facets.encode_set(self.offsets, self.span)
        yield start + SESSIONS, Sessions.build(self.offsets, self.sessions.astype(np.uint32), self.span).encode()
        tokens = np.zeros(self.span, np.uint32)
        tokens[self.offsets] = self.tokens
        yield start + TOKENS, columns.encode_array(tokens)


class Checksum:
    """Sums the entries that pass through."""

    def __init__(self) -> None:
        self.crc = 0
        self.n_bytes = 0

    def through(self, table: str, entries: Iterator[postings.Entry | None]) -> Iterator[Put | None]:
        """Yield the entries on, with their table; None is passed on as it is."""
        for entry in entries:
            if entry is None:
                yield None
                continue
            key, value = entry
            self.crc = zlib.crc32(value, zlib.crc32(key[4:], self.crc))
            self.n_bytes += len(value)
            yield table, key, value

    def run(self, serial: int, first: int, held: Columns, *, n_terms: int, n_forgotten: int) -> Run:
        """Return the manifest record of what passed through."""
        at, sessions = held.at, held.sessions
        return Run(
            serial,
            first,
            held.span,
            len(at),
            float(at.min()),
            float(at.max()),
            int(sessions.min()),
            int(sessions.max()),
            n_forgotten,
            n_terms,
            self.crc,
            self.n_bytes,
        )


@dataclass(frozen=True, slots=True)
class _Placed:
    """Postings as they came: numbers of terms, offsets and impacts, arrays of one length."""

    numbered: dict[bytes, int]
    numbers: Array
    offsets: Array
    impacts: Array


def _pause(piece: int) -> Iterator[None]:
    """Yield where a step may end, if the caller wants steps."""
    if piece:
        yield None


def _written(writer: TermWriter, placed: _Placed, piece: int) -> Iterator[postings.Entry | None]:
    """Yield what a writer makes of postings, its own entries first, handing them over piece by piece."""
    yield from _pause(piece)
    by_start: defaultdict[int, list[bytes]] = defaultdict(list)
    for term in placed.numbered:
        by_start[term[0] if term else 0].append(term)
    terms: list[bytes] = []
    for start in sorted(by_start):  # not all in one: sorting 10,000 terms takes 3 ms
        yield from _pause(piece)
        terms += sorted(by_start[start])
    yield from _pause(piece)
    ranks = np.empty(len(terms), np.uint32)
    ranks[[placed.numbered[term] for term in terms]] = np.arange(len(terms), dtype=np.uint32)
    yield from _pause(piece)
    keys = postings.pack_keys(ranks[placed.numbers], placed.offsets, placed.impacts)
    keys.sort()
    yield from _pause(piece)
    at = 0
    while at < len(keys):
        stop = len(keys)
        if piece and at + piece < stop:
            rank = keys[at + piece] >> np.uint64(24)  # whole terms only
            stop = int(keys.searchsorted((rank + np.uint64(1)) << np.uint64(24)))
        yield from writer.add(terms, keys[at:stop])
        at = stop
        yield from _pause(piece)
    yield from writer.pages()
