"""One array per header field of a run: times, token counts, and the order of segments by session.

Invariants:
I1. An array has one place for each id of the run's range; a place without a segment holds 0 (times: NaN).
I2. What is decoded lies in the given bytes: valid as long as they are.
I3. Order inside a session is the order of ids.
Does not know: the store.
"""

import struct
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Uint16s: TypeAlias = npt.NDArray[np.uint16]
Int64s: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = "bytes | memoryview"

_TYPES = (np.dtype("<f8"), np.dtype("<u4"), np.dtype("<u2"), np.dtype("u1"))  # On disk: never renumber.
_CONSTANT = 0x80  # On disk: the value of the first place is that of all.
_SESSIONS = struct.Struct("<IIB")  # sessions, segments, whether the order is that of offsets


def encode_array(values: Array) -> bytes:
    """Return an array as bytes, in the narrowest of its kind's types; a constant one as a single place.

    >>> len(encode_array(np.arange(1000, dtype=np.uint32))), len(encode_array(np.zeros(1000, np.uint32)))
    (2001, 2)
    """
    if values.dtype.kind != "f":
        most = int(values.max()) if len(values) else 0
        values = values.astype(np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32)
    form = _TYPES.index(values.dtype.newbyteorder("<") if values.dtype.itemsize > 1 else values.dtype)
    if len(values) and bool((values == values[0]).all()):
        return bytes([form | _CONSTANT]) + values[:1].tobytes()
    return bytes([form]) + values.tobytes()


def decode_array(value: Bytes, span: int) -> Array:
    """Read what `encode_array` wrote of `span` places, without copying it (I2)."""
    form = value[0]
    dtype = _TYPES[form & ~_CONSTANT]
    if form & _CONSTANT:
        return np.broadcast_to(np.frombuffer(value, dtype, 1, 1), (span,))
    return np.frombuffer(value, dtype, span, 1)


@dataclass(frozen=True, slots=True)
class BySession:
    """The segments of a run, grouped by session.

    `numbers` is uint32[s], ascending; the segments of `numbers[i]` are `order[starts[i]:starts[i + 1]]`, offsets in
    order of id; `rank[offset]` is a segment's place in `order`. Both are None where they are the identity.
    """

    numbers: Array
    starts: Array
    order: Uint16s | None
    rank: Uint16s | None

    @staticmethod
    def build(offsets: Uint16s, sessions: Array, span: int) -> "BySession":
        """Group segments at ascending `offsets` by their session numbers: O(n log n)."""
        by_session = np.argsort(sessions, kind="stable")
        ordered = sessions[by_session]
        firsts = np.concatenate(([True], ordered[1:] != ordered[:-1])).nonzero()[0]
        starts = np.append(firsts, len(ordered)).astype(np.uint32)
        numbers = ordered[firsts].astype(np.uint32)
        order = offsets[by_session]
        if len(offsets) == span and bool((by_session[1:] > by_session[:-1]).all()):
            return BySession(numbers, starts, None, None)
        rank = np.zeros(span, np.uint16)
        rank[order] = np.arange(len(order), dtype=np.uint32).astype(np.uint16)
        return BySession(numbers, starts, order, rank)

    def without(self, removed: Uint16s, span: int) -> "BySession":
        """Return the same without some segments: what neighbours look like after a `forget`."""
        order = np.arange(span, dtype=np.uint32).astype(np.uint16) if self.order is None else self.order
        sessions = np.repeat(self.numbers, self.starts[1:] - self.starts[:-1])
        gone = np.zeros(span, np.bool_)
        gone[removed] = True
        kept = ~gone[order]
        by_offset = np.argsort(order[kept], kind="stable")
        if not len(by_offset):
            empty = np.zeros(0, np.uint32)
            return BySession(empty, np.zeros(1, np.uint32), np.zeros(0, np.uint16), np.zeros(span, np.uint16))
        return BySession.build(order[kept][by_offset], sessions[kept][by_offset], span)

    def of(self, session: int) -> Uint16s:
        """Return the offsets of one session, ascending: O(log s)."""
        place = int(self.numbers.searchsorted(session))
        if place == len(self.numbers) or self.numbers[place] != session:
            return np.zeros(0, np.uint16)
        start, stop = int(self.starts[place]), int(self.starts[place + 1])
        if self.order is None:
            return np.arange(start, stop).astype(np.uint16)
        return self.order[start:stop]

    def of_any(self, sessions: AbstractSet[int]) -> Uint16s:
        """Return the offsets of several sessions, ascending."""
        if len(sessions) > len(self.numbers):
            sessions = sessions & set(self.numbers.tolist())
        found = [self.of(session) for session in sessions]
        if len(found) == 1:
            return found[0]
        return np.sort(np.concatenate(found)) if found else np.zeros(0, np.uint16)

    def number_at(self, offsets: Array) -> Int64s:
        """Return the session number of each segment: int64[n]."""
        groups = self.starts.searchsorted(self._places(offsets).astype(np.uint32), side="right") - 1
        return self.numbers.take(groups).astype(np.int64)

    def bounds(self, places: Array) -> tuple[Array, Array, Array]:
        """Return where each segment's session starts and stops in order of session, and its number.

        `places` are offsets, uint32[n]; the segments' places in that order are written into it.
        """
        if self.rank is not None:
            places[:] = self.rank.take(places)
        groups = self.starts.searchsorted(places, side="right")
        high = self.starts.take(groups)
        groups -= 1
        return self.starts.take(groups), high, self.numbers.take(groups)

    def ends(self, wanted: Array, reach: int) -> tuple[Int64s, Int64s]:
        """Return the first and the last `reach` segments of each session: two int64[w, reach] of offsets, -1: none.

        The first ones stand from the left, the last ones from the right, both in order.
        """
        places = self.numbers.searchsorted(wanted.astype(np.uint32))
        is_here = self.numbers.take(places, mode="clip") == wanted
        low = np.where(is_here, self.starts.take(places, mode="clip"), 0).astype(np.int64)[:, None]
        high = np.where(is_here, self.starts.take(places + 1, mode="clip"), 0).astype(np.int64)[:, None]
        steps = np.arange(reach)
        return self._held(low + steps, low, high), self._held(high - reach + steps, low, high)

    def _held(self, places: Int64s, low: Int64s, high: Int64s) -> Int64s:
        found = places if self.order is None else self.order.take(places, mode="clip").astype(np.int64)
        return np.where((places >= low) & (places < high), found, -1)

    def _places(self, offsets: Array) -> Int64s:
        return (offsets if self.rank is None else self.rank.take(offsets)).astype(np.int64)

    def copy(self) -> "BySession":
        """Return the same, in memory of its own."""
        order, rank = (None if each is None else each.copy() for each in (self.order, self.rank))
        return BySession(self.numbers.copy(), self.starts.copy(), order, rank)

    def encode(self) -> bytes:
        """Return the grouping as bytes."""
        n = int(self.starts[-1])
        head = _SESSIONS.pack(len(self.numbers), n, self.order is None) + b"\0\0\0"
        body = self.numbers.astype("<u4").tobytes() + self.starts.astype("<u4").tobytes()
        if self.order is None or self.rank is None:
            return head + body
        return head + body + self.order.astype("<u2").tobytes() + self.rank.astype("<u2").tobytes()

    @staticmethod
    def decode(value: Bytes, span: int) -> "BySession":
        """Read what `encode` wrote, without copying it (I2)."""
        s, n, is_identity = _SESSIONS.unpack_from(value)
        at = _SESSIONS.size + 3
        numbers = np.frombuffer(value, np.uint32, s, at)
        starts = np.frombuffer(value, np.uint32, s + 1, at + 4 * s)
        if is_identity:
            return BySession(numbers, starts, None, None)
        at += 8 * s + 4
        return BySession(
            numbers, starts, np.frombuffer(value, np.uint16, n, at), np.frombuffer(value, np.uint16, span, at + 2 * n)
        )
