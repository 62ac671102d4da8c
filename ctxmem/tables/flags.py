"""What a segment is flagged as, apart from its record: forgotten, pinned. One entry for 65,536 consecutive ids.

I1. A flag and its entry in the change log are written in one transaction; `Flags` caches what is committed.
I2. An entry is a list of offsets up to 4,096 of them, else a bitmap: never above 8 KB.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctxmem.errors import FormatMismatch
from ctxmem.segment import MAX_ID
from ctxmem.store import Batch, Snapshot

# On disk: never renumber.
FORGOTTEN = b"f"
PINNED = b"p"
KINDS = (FORGOTTEN, PINNED)
SPAN = 1 << 16  # ids of one entry
_VERSION = 1
_LIST, _BITMAP = 0, 1
_KEY = Struct(">cI")

_LIST_MOST = 4096


def change(batch: Batch, kind: bytes, ids: Iterable[int], *, is_on: bool) -> list[int]:
    """Set or clear a flag; return the ids, ascending, for which that was a change."""
    wanted: dict[int, list[int]] = {}
    for segment_id in ids:
        wanted.setdefault(segment_id // SPAN, []).append(segment_id % SPAN)
    changed: list[int] = []
    for span in sorted(wanted):
        bits = _bits(batch.get("flags", _KEY.pack(kind, span)))
        offsets = np.unique(np.array(wanted[span], dtype=np.int64))
        offsets = offsets[bits[offsets] != is_on]
        if not len(offsets):
            continue
        bits[offsets] = is_on
        if bits.any():
            batch.put("flags", _KEY.pack(kind, span), _packed(bits))
        else:
            batch.delete("flags", _KEY.pack(kind, span))
        changed += (offsets + span * SPAN).tolist()
    return changed


def is_set(snapshot: Snapshot, kind: bytes, segment_id: int) -> bool:
    """Say whether a segment has a flag, as this snapshot has it; about 5 us."""
    value = snapshot.get("flags", _KEY.pack(kind, segment_id // SPAN))
    return value is not None and bool(_bits(value)[segment_id % SPAN])


def ids(snapshot: Snapshot, kind: bytes, start: int = 0, stop: int = MAX_ID + 1) -> NDArray[np.int64]:
    """Return the flagged ids with start <= id < stop, ascending: `int64[n]`."""
    found = []
    last = _KEY.pack(kind, max(stop - 1, 0) // SPAN) + b"\0"
    for key, value in snapshot.scan("flags", _KEY.pack(kind, start // SPAN), last):
        span = _KEY.unpack(key)[1]
        found.append(np.flatnonzero(_bits(value)) + span * SPAN)
    if not found:
        return np.empty(0, dtype=np.int64)
    merged = np.concatenate(found)
    return merged[(merged >= start) & (merged < stop)]


def _bits(value: bytes | None) -> NDArray[np.bool_]:
    """Return one flag for each id of a span: `bool[65536]`."""
    bits = np.zeros(SPAN, dtype=np.bool_)
    if value is None:
        return bits
    if value[0] != _VERSION:
        raise FormatMismatch(f"flags of version {value[0]}, this ctxmem reads {_VERSION}; install a newer one")
    if value[1] == _BITMAP:
        return np.unpackbits(np.frombuffer(value, dtype=np.uint8, offset=2), bitorder="little").astype(np.bool_)
    bits[np.frombuffer(value, dtype="<u2", offset=2)] = True
    return bits


def _packed(bits: NDArray[np.bool_]) -> bytes:
    offsets = np.flatnonzero(bits)
    if len(offsets) <= _LIST_MOST:
        return bytes((_VERSION, _LIST)) + offsets.astype("<u2").tobytes()
    return bytes((_VERSION, _BITMAP)) + np.packbits(bits, bitorder="little").tobytes()


class Flags:
    """The flags in memory, loaded span by span when first asked for: 8 KB for each span that has any. Thread-safe."""

    def __init__(self, snapshot: Callable[[], Any]) -> None:
        self._snapshot = snapshot
        self._spans: dict[tuple[bytes, int], bytes | None] = {}
        self._lock = threading.Lock()
        self._version = 0

    def has(self, kind: bytes, segment_id: int) -> bool:
        """Say whether a segment has a flag, as of the last `clear`; 0.3 us."""
        span, offset = divmod(segment_id, SPAN)
        bits = self._bits_of(kind, span)
        return bits is not None and bool(bits[offset >> 3] >> (offset & 7) & 1)

    def _bits_of(self, kind: bytes, span: int) -> bytes | None:
        try:
            return self._spans[kind, span]
        except KeyError:
            return self._load(kind, span)

    def among(self, kind: bytes, segment_ids: Sequence[int]) -> frozenset[int]:
        """Return which segments have a flag, leaving out numbers that are no ids; 20 us for 500 where none has."""
        spans = {segment_id // SPAN for segment_id in segment_ids if 0 <= segment_id <= MAX_ID}
        flagged = {span for span in spans if self._bits_of(kind, span) is not None}
        if not flagged:
            return frozenset()
        return frozenset(i for i in segment_ids if i // SPAN in flagged and self.has(kind, i))

    @property
    def version(self) -> int:
        """A number that rises with every `clear`."""
        return self._version

    def clear(self) -> None:
        """Drop what is cached: something was flagged."""
        with self._lock:
            self._version += 1
            self._spans.clear()

    def _load(self, kind: bytes, span: int) -> bytes | None:
        version = self._version
        with self._snapshot() as snapshot:
            value = snapshot.get("flags", _KEY.pack(kind, span))
        packed = None if value is None else np.packbits(_bits(value), bitorder="little").tobytes()
        with self._lock:
            if version == self._version:  # else it may be from before the change that cleared the cache
                self._spans[kind, span] = packed
        return packed
