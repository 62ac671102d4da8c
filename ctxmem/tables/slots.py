"""Writer slots: how several processes append to one store without asking each other for each id.

I1. A slot is held through the store for as long as its owner lives: it is free when the process has ended, and a
    paused process keeps it.
I2. A claim record says how far the slot's owner has come: epoch, chunks of ids, next id. A writer that takes a free
    slot raises the epoch and goes on in the unfinished chunk.
I3. Every commit of a writer reads its claim in its own transaction and is refused when the epoch is not its own.
I4. Ids within a slot always increase. An id that a commit covered is never issued again, since `next` is committed with
    it; one that no commit covered may be issued again, by the slot's next owner or, once it is free, by any other.
I5. What a claim holds from `next` on is open: it may still come. Everything else of a block is settled for ever, once
    `settle` has dropped what is free of it. Only what is settled is sealed.
"""

import os
import socket
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from struct import Struct

from ctxmem import codec
from ctxmem.errors import StoreBusy, StoreError, WriterFenced
from ctxmem.store import Batch, Snapshot, Store
from ctxmem.tables import chunks
from ctxmem.tables.chunks import Chunk

# On disk: never renumber.
SLOTS = 0xFFFF  # the last number of 16 bits stands for no slot: `changes.NOBODY`
_BLOCK_SEGMENTS = b"block_segments"
_SLOT = Struct(">H")
_COUNTER = Struct(">Q")

CHUNK = 256  # ids that a writer takes at least, while writers are few
_CHUNK_LEAST = 16
_CHUNK_MOST = 4_096
_OPEN_SHARE = 4  # at most a quarter of a block is open at once, or waits for an open id before it


@dataclass(frozen=True, slots=True)
class Claim:
    """What is stored of a slot: `chunks` in the order of use, ascending; ids below `next_id` are committed or lost."""

    epoch: int
    chunks: tuple[Chunk, ...]
    next_id: int
    pid: int
    host: str

    @property
    def open(self) -> list[Chunk]:
        """The ranges of ids that may still be used (I5)."""
        return [(max(first, self.next_id), stop) for first, stop in self.chunks if stop > self.next_id]


def read(snapshot: Snapshot, slot: int) -> Claim | None:
    """Return the claim record of a slot, or None."""
    value = snapshot.get("claims", _SLOT.pack(slot))
    return None if value is None else _decoded(value)


def all_of(snapshot: Snapshot) -> Iterator[tuple[int, Claim]]:
    """Yield every claim of the store with its slot; 3 us each."""
    for key, value in snapshot.scan("claims"):
        yield _SLOT.unpack(key)[0], _decoded(value)


def _decoded(value: bytes) -> Claim:
    epoch, held, next_id, pid, host = codec.unpack(value)
    return Claim(epoch, tuple((first, stop) for first, stop in held), next_id, pid, host)


def _write(batch: Batch, slot: int, claim: Claim) -> None:
    value = codec.pack([claim.epoch, claim.chunks, claim.next_id, claim.pid, claim.host])
    batch.put("claims", _SLOT.pack(slot), value)


def block_segments(snapshot: Snapshot) -> int | None:
    """Return how many ids a block of this store has; None before the first claim."""
    value = snapshot.get("meta", _BLOCK_SEGMENTS)
    return None if value is None else int(_COUNTER.unpack(value)[0])


def settle_block_segments(batch: Batch, wanted: int) -> int:
    """Fix how many ids a block has, unless that is fixed already; return the number that holds."""
    found = block_segments(batch)
    if found is None:
        batch.put("meta", _BLOCK_SEGMENTS, _COUNTER.pack(wanted))
    return found or wanted


class Slot:
    """The slot of this process's writer. Not thread-safe: ids are taken and commits noted under `Writer._lock`."""

    def __init__(self, store: Store, number: int, claim: Claim, size: int) -> None:
        self._store = store
        self.number = number
        self.epoch = claim.epoch
        self._size = size
        self._chunks = claim.open  # those not used up, in order of use
        self._next_id = self._chunks[0][0] if self._chunks else claim.next_id
        self._above = -1  # see `rise_above`
        self._n_given = 0  # since the last commit

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
        return not self._chunks

    def take_id(self) -> int | None:
        """Return the next id; None when the chunks are used up and `extend` must come first."""
        if self._next_id <= self._above:
            self.rise_above(self._above)  # `extended` was interrupted before it did this
        self._skip_full()
        if not self._chunks:
            return None
        segment_id = self._next_id
        self._next_id = segment_id + 1
        self._n_given += 1
        self._skip_full()
        return segment_id

    def rise_above(self, segment_id: int) -> None:
        """Leave out the ids up to this one: what is appended from now on comes after it. May leave the slot used up."""
        self._above = max(self._above, segment_id)
        while self._chunks and self._next_id <= segment_id:
            self._next_id = min(segment_id + 1, self._chunks[0][1])
            self._skip_full()

    def extend(self, batch: Batch) -> Chunk:
        """Take one more chunk in the caller's transaction; give it to `extended` when that is committed."""
        claim = self.verify(batch)
        chunk = _take(batch, claim, self._size, self._n_given, self._above)
        _write(batch, self.number, replace(claim, chunks=(*claim.chunks, chunk)))
        return chunk

    def extended(self, chunk: Chunk) -> None:
        """Go on into a chunk that `extend` took, once its transaction is committed."""
        if self._chunks:
            self._chunks.append(chunk)
            return
        # The chunk may lie below the first id of one that was given back unused.
        self._chunks, self._next_id = [chunk], chunk[0]
        self.rise_above(self._above)  # and a chunk taken earlier may lie lower than that

    def verify(self, batch: Batch) -> Claim:
        """Return the claim as committed.

        Raises:
            WriterFenced: another process has taken the slot over (I3).
        """
        claim = read(batch, self.number)
        if claim is None or claim.epoch != self.epoch:
            raise WriterFenced(f"another process took over writer slot {self.number}; open the store again")
        return claim

    def is_covered(self, batch: Batch, segment_id: int) -> bool:
        """Say whether a commit has covered an id that this slot gave: ids rise, and the claim has the next one."""
        return segment_id < self.verify(batch).next_id

    def advance(self, batch: Batch, ids: Sequence[int]) -> Chunk | None:
        """Record that these ids, ascending, are used; give back what was left out below the last of them.

        Where less is left than half a chunk, or than this commit used, take another chunk and return it.

        Takes a chunk where less is left than half of one, or than this commit used, and returns it.
        """
        claim = self.verify(batch)
        last = ids[-1]
        held = list(claim.chunks)
        while held and last >= held[0][1]:
            first, stop = held.pop(0)
            used = ids[bisect_left(ids, stop) - 1] if ids[0] < stop else -1
            chunks.give_back(batch, self._size, max(first, claim.next_id, used + 1), stop)
        if not held or last < held[0][0]:
            raise StoreError(f"id {last} is in no chunk of writer slot {self.number}; nothing was written")
        claim = replace(claim, chunks=tuple(held), next_id=last + 1)
        left = sum(stop - first for first, stop in claim.open)
        spare = None
        if left < len(ids) or (left < CHUNK // 2 and left < _share(batch, self._size) // 2):
            spare = _take(batch, claim, self._size, len(ids), self._above)
            claim = replace(claim, chunks=(*held, spare))
        _write(batch, self.number, claim)
        return spare

    def advanced(self, spare: Chunk | None) -> None:
        """Go on after a transaction with `advance` is committed, into the chunk that it took."""
        self._n_given = 0
        if spare is not None:
            self.extended(spare)

    def let_go(self) -> None:
        """Give no more ids of the chunks held; `give_back` tells the store. Every id given must be committed."""
        self._chunks.clear()

    def give_back(self, batch: Batch) -> None:
        """Free the chunks of the claim in the caller's transaction: others need the block settled (I5)."""
        _free_open(batch, self.number, self.verify(batch), self._size)

    def release(self) -> None:
        """Give the slot back for the next writer."""
        self._store.release_slot(self.number)

    def _skip_full(self) -> None:
        """Go on to the next chunk when the first is used up."""
        while self._chunks and self._next_id >= self._chunks[0][1]:
            left = self._chunks[1:]
            # One assignment: a chunk beside the next id of another, after an interrupt, would give ids not held here.
            self._chunks, self._next_id = left, left[0][0] if left else self._next_id


def _claim(batch: Batch, store: Store, number: int, size: int) -> Slot:
    """Raise the epoch of a slot that the store holds, or make its claim (I2)."""
    size = settle_block_segments(batch, size)
    before = read(batch, number)
    claim = before or Claim(0, (), 0, 0, "")
    claim = replace(claim, epoch=claim.epoch + 1, pid=os.getpid(), host=socket.gethostname())
    if not claim.open:
        claim = replace(claim, chunks=(_take(batch, claim, size, 0, -1),))
    _write(batch, number, claim)
    return Slot(store, number, claim, size)


def _take(batch: Batch, claim: Claim, size: int, wanted: int, above: int) -> Chunk:
    """Take a chunk above all that a slot has or had (I4), larger where many ids were given since the last commit."""
    last = max([claim.next_id, *(stop for _, stop in claim.chunks)]) - 1
    return chunks.take(batch, size, min(max(_share(batch, size), wanted), _CHUNK_MOST), max(above, last))


def _share(snapshot: Snapshot, size: int) -> int:
    """Return how many ids a chunk has.

    Fewer when there are many slots, so that no more than a quarter of a block is open.
    """
    return max(_CHUNK_LEAST, min(CHUNK, size // _OPEN_SHARE // max(snapshot.count("claims"), 1)))


# --- what is settled ---


class Settlement:
    """What is settled of a store, as a snapshot has it. Claims are read once, when first needed: 4 us a slot."""

    def __init__(self, snapshot: Snapshot, size: int) -> None:
        self._snapshot = snapshot
        self._size = size

    def limit(self, block: int) -> tuple[int, int | None]:
        """Return the lowest id of a block that is open, and the slot that holds it.

        Where none of the block is open: the block's end, and None.
        """
        return self._limits.get(block, ((block + 1) * self._size, None))

    def is_finished(self, block: int) -> bool:
        """Say whether nothing will come into a block any more: it was begun, none of it is free, none is open."""
        return block not in self._free_blocks and block < self._next_block and block not in self._limits

    @cached_property
    def _limits(self) -> dict[int, tuple[int, int | None]]:
        found: dict[int, tuple[int, int | None]] = {}
        for slot, claim in all_of(self._snapshot):
            for first, _ in claim.open:
                block = first // self._size
                found[block] = min(found.get(block, (first, slot)), (first, slot))
        return found

    @cached_property
    def _free_blocks(self) -> set[int]:
        return {first // self._size for first, _ in chunks.free(self._snapshot)}

    @cached_property
    def _next_block(self) -> int:
        return chunks.next_block(self._snapshot)


def is_open(snapshot: Snapshot, slot: int, first: int) -> bool:
    """Say whether a slot's next id, in one of its chunks, is exactly this one."""
    claim = read(snapshot, slot)
    return claim is not None and any(first == start for start, _ in claim.open)


def settle(batch: Batch, size: int, first: int, stop: int) -> bool:
    """Settle the ids `[first, stop)` of one block in the caller's transaction (I5); False where some are open."""
    if Settlement(batch, size).limit(first // size)[0] < stop:
        return False
    chunks.drop(batch, first, stop)
    return True


def is_in_the_way(snapshot: Snapshot, size: int, slot: int) -> bool:
    """Say whether others have used a quarter of a block beyond the ids that a slot holds open in it.

    What lies beyond them cannot be sealed before they are used or given back.
    """
    claim = read(snapshot, slot)
    held = [] if claim is None else claim.open
    if not held:
        return False
    first, block = held[0][0], held[0][0] // size
    ends = [start for start, _ in chunks.free(snapshot) if start // size == block]
    return max(ends, default=(block + 1) * size) - first > size // _OPEN_SHARE + CHUNK


def free_dead(batch: Batch, size: int, slot: int, is_alive: Callable[[int], bool]) -> None:
    """Free the chunks of a slot that nobody holds, in the caller's transaction; its last owner is fenced."""
    claim = read(batch, slot)
    if claim is not None and not is_alive(slot):
        _free_open(batch, slot, replace(claim, epoch=claim.epoch + 1), size)


def _free_open(batch: Batch, slot: int, claim: Claim, size: int) -> None:
    for first, stop in claim.open:
        chunks.give_back(batch, size, first, stop)
    _write(batch, slot, replace(claim, chunks=()))


def check(snapshot: Snapshot) -> list[str]:
    """Return what is wrong with claims and free ids.

    Ids held twice, chunks across the edge of a block, and chunks of blocks that were never begun.
    """
    size = block_segments(snapshot) or 1
    end = chunks.next_block(snapshot) * size
    held = [(first, stop, f"slot {slot}") for slot, claim in all_of(snapshot) for first, stop in claim.chunks]
    held += [(first, stop, "nobody") for first, stop in chunks.free(snapshot)]
    found: list[str] = []
    before, owner = 0, ""
    for first, stop, who in sorted(held):
        if first < before:
            found.append(f"ids from {first} to {min(before, stop) - 1} are held by {owner} and by {who}")
        if first >= stop or first // size != (stop - 1) // size or stop > end:
            found.append(f"{who} holds the ids from {first} to {stop - 1}: no chunk of a block that was begun")
        before, owner = max(before, stop), who
    return found
