"""Sealed records: as many consecutive ones as fill two pages are compressed together, under the id of the first.

I1. A frame holds consecutive ids, all of them: the id it is stored under and a count say which.
I2. Frames do not overlap, so the frame of an id is the last one that does not start after it.
I3. The records inside are packed bytes of `codec`, unchanged; only a purge rewrites a frame.

A frame: version byte, count (u16), then compressed: count lengths (u32), the records one after the other.
"""

from collections.abc import Iterable, Iterator
from struct import Struct

import numpy as np

from ctxmem.codec import Codec
from ctxmem.errors import CorruptSegment, FormatMismatch
from ctxmem.store import Snapshot

FRAME_BYTES = 16 << 10  # at least, before compression: 12.2 MB where single records with a dictionary took 20.4
_FRAME_MOST_BYTES = 64 << 10  # one record is read by unpacking its whole frame
_FULL_BYTES = 8_192 - 20  # two pages less LMDB's header and the checksum: at 16 KB a frame, rounding took a third more

# On disk: never renumber.
FRAME_VERSION = 1
_HEADER = Struct("<BH")
_ID = Struct(">Q")
_COUNT_MOST = 4096


def key(segment_id: int) -> bytes:
    """Return the key of a segment in the tables log, forward and frames."""
    return _ID.pack(segment_id)


def segment_id_of(stored_key: bytes) -> int:
    """Return the segment id of a key."""
    return int(_ID.unpack(stored_key)[0])


def build(pairs: Iterable[tuple[int, bytes]], codec: Codec) -> list[tuple[bytes, bytes]]:
    """Return the frames of ascending (id, stored record of the log), ready to be put.

    About 15 us a KB of text; no disk access.
    """
    return list(pack(((segment_id, codec.load(stored)) for segment_id, stored in pairs), codec))


def pack(pairs: Iterable[tuple[int, bytes]], codec: Codec) -> Iterator[tuple[bytes, bytes]]:
    """Yield the frames of ascending (id, packed record).

    A frame ends where the ids leave a gap (I1) or two pages are full.
    """
    first, size, records, room = 0, 0, list[bytes](), FRAME_BYTES
    for segment_id, packed in pairs:
        has_gap = segment_id != first + len(records)
        while records and (has_gap or size + len(packed) > room or len(records) == _COUNT_MOST):
            count, value = _fitting(records, codec)
            yield _ID.pack(first), value
            if not has_gap:
                raw = sum(map(len, records[:count]))
                room = min(max(int(raw * 0.98 * _FULL_BYTES / len(value)), FRAME_BYTES), _FRAME_MOST_BYTES)
            first, records = first + count, records[count:]
            size = sum(map(len, records))
        if not records:
            first = segment_id
        records.append(packed)
        size += len(packed)
    while records:
        count, value = _fitting(records, codec)
        yield _ID.pack(first), value
        first, records = first + count, records[count:]


def _fitting(records: list[bytes], codec: Codec) -> tuple[int, bytes]:
    """Return how many of the first records fill two pages, at least one however large, and their frame."""
    count = len(records)
    value = _frame(records, codec)
    while len(value) > _FULL_BYTES and count > 1:
        count = max(1, min(count - 1, int(count * 0.98 * _FULL_BYTES / len(value))))
        value = _frame(records[:count], codec)
    return count, value


def _frame(records: list[bytes], codec: Codec) -> bytes:
    lengths = np.array([len(packed) for packed in records], dtype="<u4").tobytes()
    return _HEADER.pack(FRAME_VERSION, len(records)) + codec.squeeze(b"".join((lengths, *records)))


def ids(stored_key: bytes, value: bytes | memoryview) -> range:
    """Return the ids of a frame; reads three bytes.

    Raises:
        FormatMismatch: written by a newer ctxmem.
    """
    version, count = _HEADER.unpack_from(value)
    if version != FRAME_VERSION:
        raise FormatMismatch(f"frame version {version}, this ctxmem reads {FRAME_VERSION}; install a newer one")
    first = segment_id_of(stored_key)
    return range(first, first + count)


def unpack(stored_key: bytes, value: bytes, codec: Codec) -> dict[int, bytes]:
    """Return every packed record of a frame by its id; about 15 us for a whole frame.

    Raises:
        CorruptSegment: the frame does not hold what its header says.
    """
    return pick(stored_key, value, ids(stored_key, value), codec)


def pick(stored_key: bytes, value: bytes, wanted: Iterable[int], codec: Codec) -> dict[int, bytes]:
    """Return some packed records of a frame, which holds them all, by their ids. Raises as `unpack`."""
    numbers = ids(stored_key, value)
    body = codec.expand(value[_HEADER.size :])
    head = 4 * len(numbers)
    if len(body) < head:
        raise CorruptSegment(f"frame {numbers.start} is too short; run check", numbers.start)
    ends = np.cumsum(np.frombuffer(body, dtype="<u4", count=len(numbers)).astype(np.int64)) + head
    if len(numbers) and ends[-1] != len(body):
        raise CorruptSegment(f"frame {numbers.start} does not add up; run check", numbers.start)
    bounds = [head, *ends.tolist()]
    first = numbers.start
    return {each: body[bounds[each - first] : bounds[each - first + 1]] for each in wanted}


def find(snapshot: Snapshot, segment_id: int) -> tuple[bytes, bytes] | None:
    """Return the key and value of the frame that holds a segment, or None."""
    entry = snapshot.floor("frames", _ID.pack(segment_id))
    return entry if entry is not None and segment_id in ids(*entry) else None
