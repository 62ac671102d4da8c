"""Lay out which segments of a run hold a term, and how strongly: posting lists, and pages that rare terms share.

A posting is (offset of the segment from the run's first id, impact of the term in it, 1 to 255).

Invariants:
I1. Offsets ascend and are unique within a term; an impact of 0 means absent.
I2. A term with fewer than `SHARED` postings stands in a page, any other has an entry of its own, so that the choice
    depends on the count alone.
I3. Keys of one run ascend: first the entries of their own, then the pages, so that a run is appended in key order.
I4. Terms and facet keys hold no NUL: it separates them inside a page.
Does not know: the store, idf, what a term means. Facet keys use the same pages, with no impacts.
"""

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

SHARED = 16  # On disk: a term with fewer postings stands in a shared page.
PAGE_BYTES = 2_010  # less the first term: two pages of terms fit one page of LMDB

_OWN = b"\x01"  # On disk: never renumber.
_PAGE = b"\x02"  # On disk: never renumber.
_LIST, _DENSE = 0, 1  # On disk: never renumber.
_HEADER = struct.Struct("<HBB")  # count - 1, highest impact, form
_UINT16, _UINT8 = np.dtype("<u2"), np.dtype("u1")  # made once: 0.1 us an array
_PAGE_HEADER = struct.Struct("<HHI")  # terms, byte where the terms begin, postings

Bytes: TypeAlias = "bytes | memoryview"
Uint8s: TypeAlias = npt.NDArray[np.uint8]
Uint16s: TypeAlias = npt.NDArray[np.uint16]
Uint64s: TypeAlias = npt.NDArray[np.uint64]
Array: TypeAlias = npt.NDArray[Any]
Entry: TypeAlias = tuple[bytes, bytes]

_SPAN_MOST = 65_536  # ids of the longest run
_SPREAD_LEAST = 500
_FEW = 64  # offsets that are looked up one by one
_NOTHING: Uint16s = np.zeros(0, np.uint16)
_NO_IMPACTS: Uint8s = np.zeros(0, np.uint8)


@dataclass(slots=True)  # not frozen: it is made once a run and term of every query, 0.6 us faster
class Posting:
    """The postings of one term in one run; never changed.

    `offsets` is uint16[n] and `impacts` uint8[n]; a term in more than a third of the run is dense: `offsets` is None
    and `impacts` is uint8[span]. Both may lie in the store's mapped pages: valid inside the snapshot only.
    """

    n: int
    highest: int
    offsets: Array | None
    impacts: Uint8s

    def at(self, wanted: Array) -> Uint8s:
        """Return the impacts at ascending offsets, 0 where the term is absent: uint8[len(wanted)]."""
        if self.offsets is None:
            return self.impacts.take(wanted)
        offsets, n = self.offsets, len(wanted)
        if offsets.dtype == _UINT16 and self.n < 4 * n - _SPREAD_LEAST:  # 3 ns a posting, where a look-up takes 12
            spread = np.zeros(_SPAN_MOST, np.uint8)
            spread[offsets] = self.impacts
            return spread.take(wanted)
        if n > 4 * self.n:  # few postings among many wanted: search for the postings instead
            found = np.zeros(n, np.uint8)
            places = wanted.searchsorted(offsets)
            places[places == n] = 0
            hits = wanted.take(places) == offsets
            found[places[hits]] = self.impacts[hits]
            return found
        places = offsets.searchsorted(wanted)
        hits = offsets.take(places, mode="clip") == wanted
        picked: Uint8s = self.impacts.take(places, mode="clip") * hits
        return picked

    def among(self, wanted: Array) -> tuple[Array, Uint8s]:
        """Return offsets and impacts of the postings at some of the ascending offsets `wanted`."""
        if self.offsets is None or len(wanted) < _FEW:
            impacts = self.at(wanted)
            held = impacts.nonzero()[0]
            return wanted.take(held), impacts.take(held)
        is_wanted = np.zeros(_SPAN_MOST, np.bool_)
        is_wanted[wanted] = True
        held = is_wanted.take(self.offsets).nonzero()[0]
        return self.offsets.take(held), self.impacts.take(held)

    def above(self, least: int) -> tuple[Array, Uint8s]:
        """Return offsets and impacts of the postings with an impact of at least `least`."""
        if least > self.highest:
            return _NOTHING, self.impacts[:0]
        if self.offsets is None:
            places = (self.impacts >= max(least, 1)).nonzero()[0]
            return places.astype(np.uint16), self.impacts.take(places)
        if least <= 1:
            return self.offsets, self.impacts
        places = (self.impacts >= least).nonzero()[0]
        return self.offsets.take(places), self.impacts.take(places)

    def all_offsets(self) -> Array:
        """Return the offsets of every segment that holds the term."""
        return self.above(1)[0]

    def least_of_best(self, k: int) -> int:
        """Return the highest impact that at least `k` postings reach, 1 where there are not that many."""
        low, high = 1, self.highest
        while low < high:
            middle = (low + high + 1) // 2
            if np.count_nonzero(self.impacts >= middle) >= k:
                low = middle
            else:
                high = middle - 1
        return low


def own_key(serial: int, term: bytes) -> bytes:
    """Return the key of a term's own entry."""
    return serial.to_bytes(4, "big") + _OWN + term


def page_key(serial: int, term: bytes) -> bytes:
    """Return the key at or after which no page can hold the term: `floor` of it finds the page."""
    return serial.to_bytes(4, "big") + _PAGE + term


def after_pages(key: bytes) -> bytes:
    """Return the key after all pages of the run that a key belongs to."""
    return key[:4] + b"\x03"


def encode_own(offsets: Uint16s, impacts: Uint8s, span: int) -> bytes:
    """Return the value of a term's own entry: a list of offsets, or the impact of every segment of the run."""
    n = len(offsets)
    if 3 * n > span:
        dense = np.zeros(span, np.uint8)
        dense[offsets] = impacts
        return _HEADER.pack(n - 1, int(impacts.max()), _DENSE) + dense.tobytes()
    return _HEADER.pack(n - 1, int(impacts.max()), _LIST) + offsets.astype("<u2").tobytes() + impacts.tobytes()


def decode_own(value: Bytes, span: int) -> Posting:
    """Read a term's own entry without copying it."""
    less_one, highest, form = _HEADER.unpack_from(value)
    n = less_one + 1
    if form == _DENSE:
        return Posting(n, highest, None, np.frombuffer(value, _UINT8, span, 4))
    return Posting(n, highest, np.frombuffer(value, _UINT16, n, 4), np.frombuffer(value, _UINT8, n, 4 + 2 * n))


def count_of_own(value: Bytes) -> int:
    """Return the number of postings in a term's own entry, from its header."""
    return int(_HEADER.unpack_from(value)[0]) + 1


@dataclass(frozen=True, slots=True)
class Page:
    """A page, unpacked: terms in ascending order, and the postings of all of them one after the other."""

    terms: list[bytes]
    counts: Uint8s
    offsets: Uint16s
    impacts: Uint8s


def encode_page(page: Page) -> bytes:
    """Return a page's value; with no impacts at all it is a page of facet keys."""
    counts = page.counts.tobytes() + b"\0" * (len(page.counts) & 1)
    body = counts + page.offsets.astype("<u2").tobytes() + page.impacts.tobytes()
    header = _PAGE_HEADER.pack(len(page.terms), _PAGE_HEADER.size + len(body), len(page.offsets))
    return b"".join((header, body, b"\0", b"\0".join(page.terms), b"\0"))


def decode_page(value: Bytes, *, with_impacts: bool) -> Page:
    """Read a whole page, as merges and `check` do."""
    n_terms, text_at, n = _PAGE_HEADER.unpack_from(value)
    offsets_at = _PAGE_HEADER.size + n_terms + (n_terms & 1)
    counts = np.frombuffer(value, np.uint8, n_terms, _PAGE_HEADER.size)
    offsets = np.frombuffer(value, np.uint16, n, offsets_at)
    impacts = np.frombuffer(value, np.uint8, n if with_impacts else 0, offsets_at + 2 * n if with_impacts else 0)
    text = bytes(value[text_at + 1 :])
    return Page(text.split(b"\0")[:n_terms], counts, offsets, impacts)


def find_in_page(value: bytes, term: bytes, *, with_impacts: bool) -> Posting | None:
    """Return one term's postings out of its page, None where it is not there, or the page is empty."""
    if not value:
        return None
    n_terms, text_at, total = _PAGE_HEADER.unpack_from(value)
    place = value.find(b"\0%b\0" % term, text_at)
    if place < 0:
        return None
    number = value.count(b"\0", text_at, place)
    counts_at = _PAGE_HEADER.size
    end = counts_at + number
    before, n = sum(value[counts_at:end]), value[end]
    offsets_at = counts_at + n_terms + (n_terms & 1)
    offsets = np.frombuffer(value, _UINT16, n, offsets_at + 2 * before)
    if not with_impacts:
        return Posting(n, 0, offsets, _NO_IMPACTS)
    impacts_at = offsets_at + 2 * total + before
    highest = max(value[impacts_at : impacts_at + n])
    return Posting(n, highest, offsets, np.frombuffer(value, _UINT8, n, impacts_at))


def pack_keys(ranks: Array, offsets: Array, impacts: Array) -> Uint64s:
    """Return postings as `uint64[n]` that sort by term, then offset: rank << 24 | offset << 8 | impact."""
    keys: Uint64s = (
        (ranks.astype(np.uint64) << np.uint64(24))
        | (offsets.astype(np.uint64) << np.uint64(8))
        | impacts.astype(np.uint64)
    )
    return keys


class TermWriter:
    r"""Turns sorted postings into the entries of one run.

    `add` takes stretches of terms in ascending order and gives the entries of their own at once; what shares pages is
    kept until `pages`, which is how one pass keeps the keys ascending (I3). Rare terms of a full block: a few MB.

    >>> writer = TermWriter(7, 100)
    >>> list(writer.add([b"cat"], pack_keys(np.array([0, 0]), np.array([3, 5]), np.array([116, 116]))))
    []
    >>> [key for key, _ in writer.pages()]
    [b'\x00\x00\x00\x07\x02cat']
    """

    def __init__(
        self,
        serial: int,
        span: int,
        encode: Callable[[Uint16s, Uint8s, int], bytes] = encode_own,
        *,
        impacts: bool = True,
    ) -> None:
        self.n_terms = 0
        self._serial = serial
        self._span = span
        self._encode = encode
        self._with_impacts = impacts
        self._pages: list[Entry] = []
        self._terms: list[bytes] = []  # rare ones that wait for their page to fill
        self._counts = np.zeros(0, np.uint8)
        self._keys = np.zeros(0, np.uint64)

    def add(self, terms: Sequence[bytes], keys: Uint64s) -> Iterator[Entry]:
        """Take the postings of `terms` (ascending, after all those added before) and yield entries of their own.

        `keys` are `pack_keys` in ascending order, their ranks are indices into `terms`.
        """
        if not len(keys):
            return
        ranks = (keys >> np.uint64(24)).astype(np.int64)
        starts = np.concatenate(([0], (np.diff(ranks) > 0).nonzero()[0] + 1, [len(keys)]))
        counts = np.diff(starts)
        self.n_terms += len(counts)
        rare = counts < SHARED
        self._terms += [terms[i] for i in ranks[starts[:-1][rare]].tolist()]
        self._counts = np.concatenate((self._counts, counts[rare].astype(np.uint8)))
        self._keys = np.concatenate((self._keys, keys[np.repeat(rare, counts)]))
        self._fill_pages()
        own = (~rare).nonzero()[0]
        for rank, start, stop in zip(
            ranks[starts[own]].tolist(), starts[own].tolist(), starts[own + 1].tolist(), strict=True
        ):
            part = keys[start:stop]
            value = self._encode((part >> np.uint64(8)).astype(np.uint16), part.astype(np.uint8), self._span)
            yield own_key(self._serial, terms[rank]), value

    def pages(self) -> list[Entry]:
        """Return the pages of all rare terms added, each up to `PAGE_BYTES`; nothing can be added after it."""
        self._fill_pages(to_the_end=True)
        return self._pages

    def _fill_pages(self, *, to_the_end: bool = False) -> None:
        """Turn rare terms that wait into pages, all but those of the last page unless `to_the_end`."""
        offsets = (self._keys >> np.uint64(8)).astype(np.uint16)
        impacts = self._keys.astype(np.uint8) if self._with_impacts else np.zeros(0, np.uint8)
        ends = np.cumsum(self._counts, dtype=np.int64)
        sizes = np.cumsum([len(term) + 2 for term in self._terms], dtype=np.int64)
        bounds = (sizes + (3 if self._with_impacts else 2) * ends).tolist()
        start, first, used = 0, 0, 0
        while start < len(bounds) and (to_the_end or bounds[-1] - used > PAGE_BYTES):
            stop = max(bisect_left(bounds, used + PAGE_BYTES - len(self._terms[start])), start + 1)
            end = int(ends[stop - 1])
            page = Page(self._terms[start:stop], self._counts[start:stop], offsets[first:end], impacts[first:end])
            self._pages.append((page_key(self._serial, page.terms[0]), encode_page(page)))
            start, first, used = stop, end, bounds[stop - 1]
        self._terms = self._terms[start:]
        self._counts = self._counts[start:]
        self._keys = self._keys[first:]
