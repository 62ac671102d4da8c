"""Build a run: from forward records, or from columns and entries that a merge has laid out.

Invariants:
I1. Entries come in the order of their keys, table by table; the run's checksum is over all of them in that order.
Does not know: the store, when runs are sealed; of forgotten segments only the flag that `add` is given.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.search import columns, facets, postings, relevance
from ctxmem.search.columns import BySession
from ctxmem.search.forward import Forward
from ctxmem.search.postings import TermWriter
from ctxmem.search.runs import AT, PRESENT, SESSIONS, TOKENS, Put, Run

Array: TypeAlias = npt.NDArray[Any]


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
        yield start + SESSIONS, BySession.build(self.offsets, self.sessions.astype(np.uint32), self.span).encode()
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
