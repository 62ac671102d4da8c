"""Sets of segments: by facet value inside a run, and by id across runs.

Owns pyroaring. Inside a run a set is one of a roaring bitmap's three containers, read without copying: a sorted list of
up to `LIST_MOST` offsets, one bit a segment, or a range. Across runs it is an `IdSet`.

Invariants:
I1. In memory a set of offsets is `uint16[n]`, ascending, or `bool[span]`; the dtype says which.
I2. A facet key depends on name and value alone; a str and an int never share one; no key holds a NUL.
Does not know: the store, what a facet means.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap64

from ctxmem.segment import Facet

IdSet: TypeAlias = BitMap64
OffsetSet: TypeAlias = npt.NDArray[Any]  # I1
Uint16s: TypeAlias = npt.NDArray[np.uint16]

LIST_MOST = 4_096  # On disk: a longer list is stored as bits.
KEY_BYTES = 200  # longer facet values are keyed by their hash
UNSEARCHED = b"\x03u"  # On disk: never rename. The key of segments that are never a hit.

REFERRING = b"\x03r"  # On disk: never rename. The key of segments that refer to others.

_SINGLE = 8  # bits that are tested one by one

_LIST, _BITS, _RANGE = 2, 3, 4  # On disk: never renumber; 0 and 1 are forms of posting lists.
_HEADER = struct.Struct("<HBB")  # count - 1, unused, form


def dump_ids(ids: Iterable[int]) -> bytes:
    """Return a set of ids as bytes, in the portable roaring format.

    >>> sorted(load_ids(dump_ids([3, 1, 2])))
    [1, 2, 3]
    """
    found = BitMap64(ids)
    found.run_optimize()
    return bytes(found.serialize())


def load_ids(data: "bytes | memoryview") -> IdSet:
    """Return the set that `dump_ids` wrote."""
    return BitMap64.deserialize(bytes(data))


def ids_between(ids: IdSet, first: int, span: int) -> Uint16s:
    """Return the offsets from `first` of the ids in `[first, first + span)`, ascending."""
    if not ids or ids.max() < first or ids.min() >= first + span:
        return np.zeros(0, np.uint16)
    inside = ids & BitMap64(range(first, first + span))
    return (np.asarray(inside.to_array(), np.int64) - first).astype(np.uint16)


def kind_key(kind: str) -> bytes:
    """Return the key under which the segments of one kind stand."""
    return _bounded(b"\x03k\x01", kind.encode("utf-8", "surrogatepass"))


def facet_key(name: str, value: Facet) -> bytes:
    r"""Return the key of one value of one facet.

    >>> facet_key("task", 7), facet_key("task", "7")
    (b'task\x01i7', b'task\x01s7')
    """
    if isinstance(value, int):
        return _bounded(name.encode("utf-8", "surrogatepass") + b"\x01i", b"%d" % value)
    return _bounded(name.encode("utf-8", "surrogatepass") + b"\x01s", value.encode("utf-8", "surrogatepass"))


def facet_keys(facets: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the key of every value of every facet; a list stands under each of its values."""
    for name, value in facets.items():
        for each in dict.fromkeys(value) if isinstance(value, list | tuple) else (value,):
            yield facet_key(name, each)


def _bounded(start: bytes, value: bytes) -> bytes:
    key = start + value
    if len(key) <= KEY_BYTES and b"\0" not in key:
        return key
    return b"\x02" + blake2b(key, digest_size=20).hexdigest().encode()


def encode_set(offsets: Uint16s, span: int) -> bytes:
    """Return a set of at least one offset as the smallest of a list, bits and a range."""
    n = len(offsets)
    first = int(offsets[0])
    if n > 1 and int(offsets[-1]) - first == n - 1:
        return _HEADER.pack(n - 1, 0, _RANGE) + first.to_bytes(2, "little")
    if n <= LIST_MOST:
        return _HEADER.pack(n - 1, 0, _LIST) + offsets.astype("<u2").tobytes()
    bits = np.zeros(span, np.bool_)
    bits[offsets] = True
    return _HEADER.pack(n - 1, 0, _BITS) + np.packbits(bits, bitorder="little").tobytes()


def encode_own(offsets: Uint16s, _impacts: npt.NDArray[np.uint8], span: int) -> bytes:
    """Return `encode_set`: the form of a facet's own entry, for `postings.TermWriter`."""
    return encode_set(offsets, span)


def decode_set(value: "bytes | memoryview", span: int) -> OffsetSet:
    """Read a set; a list is not copied: valid inside the snapshot only."""
    less_one, _, form = _HEADER.unpack_from(value)
    if form == _LIST:
        return np.frombuffer(value, np.uint16, less_one + 1, 4)
    if form == _RANGE:
        first = int.from_bytes(value[4:6], "little")
        return range_set(first, first + less_one + 1, span)
    packed = np.frombuffer(value, np.uint8, -(-span // 8), 4)
    return np.unpackbits(packed, count=span, bitorder="little").view(np.bool_)


def holds(value: "bytes | memoryview", wanted: Uint16s, span: int) -> npt.NDArray[np.bool_]:
    """Say of each offset whether a stored set holds it: bits are tested without decoding the set."""
    if _HEADER.unpack_from(value)[2] != _BITS:
        return contains(decode_set(value, span), wanted)
    if len(wanted) <= _SINGLE:
        return np.array([value[4 + (offset >> 3)] >> (offset & 7) & 1 for offset in wanted.tolist()], np.bool_)
    packed = np.frombuffer(value, np.uint8, -(-span // 8), 4)
    bits: npt.NDArray[np.bool_] = ((packed.take(wanted >> 3) >> (wanted & 7).astype(np.uint8)) & 1).view(np.bool_)
    return bits


def range_set(start: int, stop: int, span: int) -> OffsetSet:
    """Return the offsets `start` to `stop` (exclusive) as a set."""
    if stop - start <= LIST_MOST:
        return np.arange(start, stop).astype(np.uint16)
    bits = np.zeros(span, np.bool_)
    bits[start:stop] = True
    return bits


def size(chosen: OffsetSet) -> int:
    """Return the number of members."""
    return int(np.count_nonzero(chosen)) if chosen.dtype == np.bool_ else len(chosen)


def contains(chosen: OffsetSet, wanted: Uint16s) -> npt.NDArray[np.bool_]:
    """Say of each offset whether it is a member: bool[len(wanted)]."""
    if chosen.dtype == np.bool_:
        return chosen.take(wanted)
    if not len(chosen):
        return np.zeros(len(wanted), np.bool_)
    hits: npt.NDArray[np.bool_] = chosen.take(chosen.searchsorted(wanted), mode="clip") == wanted
    return hits


def offsets_of(chosen: OffsetSet) -> Uint16s:
    """Return the members as ascending offsets."""
    return chosen.nonzero()[0].astype(np.uint16) if chosen.dtype == np.bool_ else chosen


def intersect(left: OffsetSet | None, right: OffsetSet | None) -> OffsetSet | None:
    """Return the members of both; None stands for every segment of the run."""
    if left is None or right is None:
        return right if left is None else left
    if left.dtype == np.bool_ and right.dtype == np.bool_:
        return left & right
    few, many = (left, right) if right.dtype == np.bool_ or len(left) <= len(right) else (right, left)
    if few.dtype == np.bool_:
        few, many = many, few
    return few[contains(many, few)]


def without(chosen: OffsetSet | None, removed: Uint16s, span: int) -> OffsetSet | None:
    """Return the members of `chosen` (None: all) that are not in `removed`."""
    if not len(removed):
        return chosen
    if chosen is not None and chosen.dtype != np.bool_:
        return chosen[~contains(removed, chosen)]
    bits = np.ones(span, np.bool_) if chosen is None else chosen.copy()
    bits[removed] = False
    return bits
