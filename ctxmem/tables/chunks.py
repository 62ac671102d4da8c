"""Ids that no writer holds: what is left of the blocks that were begun, and the blocks that were not.

A block is `block_segments` consecutive ids. Writers take chunks of it, so that all of them fill one block together and
the number of blocks follows the data, however many writers there are.

I1. An id is free, or in one writer's claim, or neither: then it is used, or will never be. No commit has covered an id
    that is free.
I2. A free range lies in one block; free ranges ascend and do not touch within a block.
I3. At most `FREE_MOST` ranges are kept: of more, the lowest is dropped and its ids are never used.

It does not know writers.
"""

from struct import Struct
from typing import TypeAlias

from ctxmem import codec
from ctxmem.errors import StoreFull
from ctxmem.segment import MAX_ID
from ctxmem.store import Batch, Snapshot

Chunk: TypeAlias = tuple[int, int]  # its first id, and one past its last

FREE_MOST = 64

# On disk: never renumber.
_NEXT_BLOCK = b"next_block"
_FREE = b"free"
_COUNTER = Struct(">Q")


def next_block(snapshot: Snapshot) -> int:
    """Return the first block that nobody has begun."""
    value = snapshot.get("meta", _NEXT_BLOCK)
    return 0 if value is None else int(_COUNTER.unpack(value)[0])


def free(snapshot: Snapshot) -> list[Chunk]:
    """Return the free ranges of the blocks that were begun, ascending."""
    value = snapshot.get("meta", _FREE)
    return [] if value is None else [(first, stop) for first, stop in codec.unpack(value)]


def take(batch: Batch, size: int, wanted: int, above: int) -> Chunk:
    """Take a chunk of at most `wanted` ids, the lowest free ones above an id; begins a block where there are none.

    Raises:
        StoreFull: all ids are given.
    """
    ranges = free(batch)
    if not any(stop > above + 1 for _, stop in ranges):
        ranges.append(take_block(batch, size))
    place = next(number for number, (_, stop) in enumerate(ranges) if stop > above + 1)
    first, stop = ranges[place]
    start = max(first, above + 1)
    end = min(start + wanted, stop)
    ranges[place : place + 1] = [part for part in ((first, start), (end, stop)) if part[0] < part[1]]
    _put(batch, ranges)
    return start, end


def take_block(batch: Batch, size: int) -> Chunk:
    """Take a whole block that nobody has begun.

    Raises:
        StoreFull: there is none.
    """
    block = next_block(batch)
    if (block + 1) * size - 1 > MAX_ID:
        raise StoreFull("all 2^48 ids of this store are given; start a new store")
    batch.put("meta", _NEXT_BLOCK, _COUNTER.pack(block + 1))
    return block * size, (block + 1) * size


def give_back(batch: Batch, size: int, first: int, stop: int) -> None:
    """Make ids of one block free that no commit has given; nothing where there are none."""
    if first >= stop:
        return
    joined: list[Chunk] = []
    for start, end in sorted([*free(batch), (first, stop)]):
        if joined and joined[-1][1] == start and start % size:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    _put(batch, joined)


def drop(batch: Batch, first: int, stop: int) -> None:
    """Make what is free of `[first, stop)` neither free nor used: it is never given."""
    ranges = free(batch)
    cut = [part for start, end in ranges for part in ((start, min(end, first)), (max(start, stop), end))]
    left = [part for part in cut if part[0] < part[1]]
    if left != ranges:
        _put(batch, left)


def _put(batch: Batch, ranges: list[Chunk]) -> None:
    batch.put("meta", _FREE, codec.pack(ranges[-FREE_MOST:]))
