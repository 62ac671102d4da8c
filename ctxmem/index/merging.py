"""Merge runs of a block into one, a stretch of terms at a time; also rewrites a single run without what was forgotten.

Invariants:
I1. Each step is bounded: about `PIECE` postings read, sorted and laid out, `manifest.WRITE_BYTES` written.
I2. No text is analysed and no impact moves: postings are copied, shifted to the new first id.
I3. Bodies stay where they are. Columns keep every segment, forgotten ones too; postings and facets lose those.
Does not know: when to merge, or what.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.index import manifest
from ctxmem.search import facets, postings
from ctxmem.search.building import Checksum, Columns
from ctxmem.search.postings import Page, TermWriter
from ctxmem.search.runs import Put, Run, RunView
from ctxmem.store import Store

Array: TypeAlias = npt.NDArray[Any]
Uint64s: TypeAlias = npt.NDArray[np.uint64]

PIECE = 4_096  # postings of one step
_ENTRIES = 32  # entries of one run that one step reads at most


def merge(store: Store, block: int, runs: Sequence[Run], forgotten: Array, kind: str = "merge") -> Iterator[None]:
    """Write adjacent runs of one block as a single one, without the terms of `forgotten` ids, in bounded steps.

    Raises:
        manifest.TakenOver: another process maintains the block now.
    """
    first, stop = runs[0].first, runs[-1].stop
    draft = manifest.begin(store, block, first, stop, is_seal=False)
    merging = _Merging(store, runs, draft.serial, forgotten)
    yield from manifest.write(store, draft, merging.entries())
    manifest.publish(store, draft, merging.run, runs, kind=kind)


def entries(store: Store, runs: Sequence[Run], serial: int, forgotten: Array) -> Iterator[Put | None]:
    """Yield what the runs hold as the entries of one under `serial`, without writing anything."""
    return _Merging(store, runs, serial, forgotten).entries()


class _Merging:
    """One merge under way."""

    def __init__(self, store: Store, runs: Sequence[Run], serial: int, forgotten: Array) -> None:
        self.run: Run | None = None
        self._store = store
        self._runs = runs
        self._serial = serial
        self._first = runs[0].first
        self._span = runs[-1].stop - self._first
        self._gone = np.zeros(self._span, np.bool_)
        self._gone[forgotten - self._first] = True

    def entries(self) -> Iterator[Put | None]:
        """Yield the new run's entries in the order of their keys, None where a step may end; sets `run` at the end."""
        checksum = Checksum()
        words = TermWriter(self._serial, self._span)
        yield from checksum.through("postings", self._terms("postings", words))
        sets = TermWriter(self._serial, self._span, facets.encode_own, impacts=False)
        yield from checksum.through("facets", self._terms("facets", sets))
        held = self._columns()
        yield from checksum.through("columns", held.entries(self._serial))
        n_forgotten = int(np.count_nonzero(self._gone[held.offsets]))
        self.run = checksum.run(self._serial, self._first, held, n_terms=words.n_terms, n_forgotten=n_forgotten)

    def _terms(self, table: str, writer: TermWriter) -> Iterator[postings.Entry | None]:
        """Yield the merged entries of one table: of all streams what lies up to the least of their last terms."""
        streams = [
            _Stream(self._store, table, run, run.first - self._first, is_page)
            for run in self._runs
            for is_page in (False, True)
        ]
        while True:
            for stream in streams:
                stream.fill()
            waiting = [stream for stream in streams if stream.terms]
            if not waiting:
                break
            limit = min((stream.terms[-1] for stream in waiting if not stream.is_done), default=None)
            taken = [stream.take(limit) for stream in waiting]
            terms = sorted({term for part, _, _ in taken for term in part})
            ranks = {term: rank for rank, term in enumerate(terms)}
            keys = np.concatenate([_ranked(ranks, *part) for part in taken])
            keys = keys[~self._gone[((keys >> np.uint64(8)) & np.uint64(0xFFFF)).astype(np.int64)]]
            keys.sort()
            yield from writer.add(terms, keys)
            yield None
        yield from writer.pages()

    def _columns(self) -> Columns:
        """Return the columns of all segments of the runs, their offsets shifted to the new first id."""
        parts: list[tuple[Array, Array, Array, Array]] = []
        with self._store.snapshot() as snapshot:
            for run in self._runs:
                view = RunView(run, snapshot)
                present = view.present()
                offsets = np.arange(run.span) if present is None else facets.offsets_of(present).astype(np.int64)
                parts.append(
                    (
                        offsets + (run.first - self._first),
                        view.sessions().number_at(offsets),
                        view.tokens().take(offsets),
                        view.at().take(offsets),
                    )
                )
        offsets, sessions, tokens, at = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Columns(offsets.astype(np.uint16), sessions, tokens, at, self._span)


def _ranked(ranks: dict[bytes, int], terms: list[bytes], counts: Array, keys: Uint64s) -> Uint64s:
    numbers = np.fromiter(map(ranks.__getitem__, terms), np.uint64, len(terms))
    ranked: Uint64s = keys | (np.repeat(numbers, counts) << np.uint64(24))
    return ranked


class _Stream:
    """One run's own entries, or its pages, read in order of terms, a little at a time."""

    def __init__(self, store: Store, table: str, run: Run, shift: int, is_page: bool) -> None:  # noqa: FBT001
        self.terms: list[bytes] = []  # terms read and not taken yet
        self.is_done = False
        self._counts: Array = np.zeros(0, np.int64)
        self._keys: Uint64s = np.zeros(0, np.uint64)
        self._store = store
        self._table = table
        self._run = run
        self._shift = shift
        self._is_page = is_page
        make: Callable[[int, bytes], bytes] = postings.page_key if is_page else postings.own_key
        self._next = make(run.serial, b"")
        self._stop = postings.page_key(run.serial, b"") if not is_page else (run.serial + 1).to_bytes(4, "big")

    def fill(self) -> None:
        """Read on, unless enough is waiting."""
        if self.is_done or len(self._keys) >= PIECE // 16:
            return
        counts, keys, n = [self._counts], [self._keys], len(self._keys)
        with self._store.snapshot() as snapshot:
            entries = snapshot.scan(self._table, self._next, self._stop, limit=_ENTRIES, verify=True)
            self.is_done = True
            for number, (key, value) in enumerate(entries):
                terms, count, packed = self._read(key, value)
                self.terms += terms
                counts.append(count)
                keys.append(packed)
                self._next = key + b"\0"
                n += len(packed)
                if n >= PIECE // 8 or number == _ENTRIES - 1:
                    self.is_done = False
                    break
        self._counts, self._keys = np.concatenate(counts), np.concatenate(keys)

    def _read(self, key: bytes, value: bytes) -> tuple[list[bytes], Array, Uint64s]:
        if self._is_page:
            page: Page = postings.decode_page(value, with_impacts=self._table == "postings")
            return page.terms, page.counts.astype(np.int64), self._packed(page.offsets, page.impacts)
        if self._table == "postings":
            offsets, impacts = postings.decode_own(value, self._run.span).above(1)
        else:
            offsets, impacts = facets.offsets_of(facets.decode_set(value, self._run.span)), np.zeros(0, np.uint8)
        return [key[5:]], np.array([len(offsets)]), self._packed(offsets, impacts)

    def _packed(self, offsets: Array, impacts: Array) -> Uint64s:
        places: Uint64s = (offsets.astype(np.uint64) + np.uint64(self._shift)) << np.uint64(8)
        if len(impacts):
            places |= impacts.astype(np.uint64)
        return places

    def take(self, limit: bytes | None) -> tuple[list[bytes], Array, Uint64s]:
        """Return and remove the terms up to `limit` (None: all), their counts, and their postings."""
        n = len(self.terms) if limit is None else bisect_right(self.terms, limit)
        n_keys = int(self._counts[:n].sum())
        taken = self.terms[:n], self._counts[:n], self._keys[:n_keys]
        self.terms, self._counts, self._keys = self.terms[n:], self._counts[n:], self._keys[n_keys:]
        return taken
