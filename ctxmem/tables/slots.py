"""Writer slots: how several processes append to one store without asking each other for ids.

I1. A slot is held through the store, for life: it is free at the owner's death, and a paused process keeps it.
I2. A claim record says how far the slot's owner has come: epoch, blocks of ids, next id. Who takes a free slot raises
    the epoch and goes on in the unfinished block.
I3. Every commit of a writer reads its claim in its own transaction and is refused when the epoch is not its own.
I4. Ids within a slot always increase. An id that a commit covered is never issued again, since `next` is committed with
    it; one that no commit covered may be issued again by the next owner.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from struct import Struct

from ctxmem import codec
from ctxmem.errors import StoreBusy, StoreError, StoreFull, WriterFenced
from ctxmem.segment import MAX_ID
from ctxmem.store import Batch, Snapshot, Store

# On disk: never renumber.
SLOTS = 0xFFFF  # the last number of 16 bits is nobody's, see `changes`
_NEXT_BLOCK = b"next_block"
_BLOCK_SEGMENTS = b"block_segments"
_SLOT = Struct(">H")
_COUNTER = Struct(">Q")


@dataclass(frozen=True, slots=True)
class Claim:
    """What is stored of a slot: `blocks` in the order of use, `next_id` in the first of them or just behind it."""

    epoch: int
    blocks: tuple[int, ...]
    next_id: int
    pid: int
    host: str


def read(snapshot: Snapshot, slot: int) -> Claim | None:
    """The claim record of a slot, or None."""
    value = snapshot.get("claims", _SLOT.pack(slot))
    return None if value is None else _decoded(value)


def all_of(snapshot: Snapshot) -> Iterator[tuple[int, Claim]]:
    """Every claim of the store by its slot: 3 us each."""
    for key, value in snapshot.scan("claims"):
        yield _SLOT.unpack(key)[0], _decoded(value)


def _decoded(value: bytes) -> Claim:
    epoch, blocks, next_id, pid, host = codec.unpack(value)
    return Claim(epoch, tuple(blocks), next_id, pid, host)


def _write(batch: Batch, slot: int, claim: Claim) -> None:
    value = codec.pack([claim.epoch, claim.blocks, claim.next_id, claim.pid, claim.host])
    batch.put("claims", _SLOT.pack(slot), value)


def block_segments(snapshot: Snapshot) -> int | None:
    """How many ids a block of this store has; None before the first claim."""
    value = snapshot.get("meta", _BLOCK_SEGMENTS)
    return None if value is None else int(_COUNTER.unpack(value)[0])


def settle_block_segments(batch: Batch, wanted: int) -> int:
    """Fix how many ids a block has, unless that is fixed already; what it is."""
    found = block_segments(batch)
    if found is None:
        batch.put("meta", _BLOCK_SEGMENTS, _COUNTER.pack(wanted))
    return found or wanted


class Slot:
    """The slot of this process's writer. Not thread-safe: the log calls it under its own locks."""

    def __init__(self, store: Store, number: int, claim: Claim, size: int) -> None:
        self._store = store
        self.number = number
        self.epoch = claim.epoch
        self._size = size
        self._blocks = list(claim.blocks)  # those not used up, in order of use
        self._next_id = claim.next_id
        self._above = -1  # see `rise_above`
        self._skip_full()

    @staticmethod
    def claim(store: Store, size: int) -> "Slot":
        """Take a free slot, one that was used before if there is one; one commit.

        Parameters:
            size: ids of a block, where this store has no block yet.

        Raises:
            StoreBusy: all 65,535 are held by live processes.
        """
        number = store.hold_slot(SLOTS)
        if number is None:
            raise StoreBusy(
                f"{store.name}: all {SLOTS:,} writer slots are taken; close a writer or open with readonly=True"
            )
        try:
            return store.write(partial(_claim, store=store, number=number, size=size))
        except BaseException:
            store.release_slot(number)
            raise

    @property
    def is_used_up(self) -> bool:
        """Whether `extend` must come before the next id."""
        return not self._blocks

    def take_id(self) -> int | None:
        """The next id; None when the blocks are used up and `extend` must come first."""
        if self._next_id <= self._above:
            self.rise_above(self._above)  # `extended` was interrupted
        self._skip_full()
        if not self._blocks:
            return None
        segment_id = self._next_id
        self._next_id = segment_id + 1
        self._skip_full()
        return segment_id

    def rise_above(self, segment_id: int) -> None:
        """Leave out the ids up to this one: what is appended from now on comes after it. May leave the slot used up."""
        self._above = max(self._above, segment_id)
        while self._blocks and self._next_id <= segment_id:
            self._next_id = min(segment_id + 1, (self._blocks[0] + 1) * self._size)
            self._skip_full()

    def extend(self, batch: Batch) -> int:
        """Reserve one more block in the caller's transaction; give it to `extended` when that is committed."""
        claim = self.verify(batch)
        block = _reserve(batch, self._size)
        _write(batch, self.number, replace(claim, blocks=(*claim.blocks, block)))
        return block

    def extended(self, block: int) -> None:
        """Note that a reserved block is committed."""
        if self._blocks:
            self._blocks.append(block)
            return
        self._blocks, self._next_id = [block], block * self._size
        self.rise_above(self._above)  # a block reserved earlier may lie lower

    def verify(self, batch: Batch) -> Claim:
        """The claim as committed.

        Raises:
            WriterFenced: another process has taken the slot over (I3).
        """
        claim = read(batch, self.number)
        if claim is None or claim.epoch != self.epoch:
            raise WriterFenced(f"another process took over writer slot {self.number}; open the store again")
        return claim

    def is_covered(self, batch: Batch, segment_id: int) -> bool:
        """Whether a commit has covered an id that this slot gave: ids rise, and the claim has the next one."""
        return segment_id < self.verify(batch).next_id

    def advance(self, batch: Batch, last_id: int) -> int | None:
        """Note that ids up to `last_id` are used. Reserves a block when the last is half full, and names it."""
        claim = self.verify(batch)
        blocks = list(claim.blocks)
        while blocks and blocks[0] != last_id // self._size:
            blocks.pop(0)
        if not blocks:
            raise StoreError(f"id {last_id} is in no block of writer slot {self.number}; nothing was written")
        is_half_full = last_id % self._size >= self._size // 2
        spare = _reserve(batch, self._size) if len(blocks) == 1 and is_half_full else None
        if spare is not None:
            blocks.append(spare)
        _write(batch, self.number, replace(claim, blocks=tuple(blocks), next_id=last_id + 1))
        return spare

    def release(self) -> None:
        """Give the slot back for the next writer."""
        self._store.release_slot(self.number)

    def _skip_full(self) -> None:
        """Go on to the next block when the first is used up."""
        while self._blocks and self._next_id >= (self._blocks[0] + 1) * self._size:
            left = self._blocks[1:]
            # Both at once: a block with the next id of another, after an interrupt, would give ids of nobody's.
            self._blocks, self._next_id = left, left[0] * self._size if left else self._next_id


def _claim(batch: Batch, store: Store, number: int, size: int) -> Slot:
    """Raise the epoch of a slot whose lock is in hand, or make its claim (I2)."""
    size = settle_block_segments(batch, size)
    before = read(batch, number)
    pid, host = os.getpid(), socket.gethostname()
    if before is None:
        block = _reserve(batch, size)
        claim = Claim(1, (block,), block * size, pid, host)
    else:
        claim = replace(before, epoch=before.epoch + 1, pid=pid, host=host)
    _write(batch, number, claim)
    return Slot(store, number, claim, size)


def reserve_block(batch: Batch) -> tuple[int, int]:
    """Reserve a block that no slot will use, in the caller's transaction: its first id, and one past its last."""
    size = block_segments(batch)
    assert size is not None  # a writer claims its slot first
    block = _reserve(batch, size)
    return block * size, (block + 1) * size


def _reserve(batch: Batch, size: int) -> int:
    """The next block of the store."""
    value = batch.get("meta", _NEXT_BLOCK)
    block = 0 if value is None else int(_COUNTER.unpack(value)[0])
    if (block + 1) * size - 1 > MAX_ID:
        raise StoreFull("all 2^48 ids of this store are given; start a new store")
    batch.put("meta", _NEXT_BLOCK, _COUNTER.pack(block + 1))
    return block


def check(snapshot: Snapshot) -> list[str]:
    """What is wrong with the claims: a block held twice or never reserved, a next id outside its block."""
    found: list[str] = []
    owners: dict[int, int] = {}
    value = snapshot.get("meta", _NEXT_BLOCK)
    reserved = 0 if value is None else _COUNTER.unpack(value)[0]
    size = block_segments(snapshot) or 1
    for slot, claim in all_of(snapshot):
        for block in claim.blocks:
            if owners.setdefault(block, slot) != slot:
                found.append(f"block {block} is claimed by slots {owners[block]} and {slot}")
            if block >= reserved:
                found.append(f"slot {slot} claims block {block}, and only {reserved} were reserved")
        if claim.blocks and not claim.blocks[0] * size <= claim.next_id <= (claim.blocks[0] + 1) * size:
            found.append(f"slot {slot}: next id {claim.next_id} is outside block {claim.blocks[0]}")
    return found
