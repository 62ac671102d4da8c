"""The writing half of the log: ids, the queue, and the one transaction that empties it.

I1. An id is known at append and rises with each; one that a commit has covered is never given again.
I2. A record is in the queue until it is on disk. Where a commit fails, the queue is as it was. Where a signal handler
    raised on the way, it is not known whether the commit failed: the next commit reads in the claim what is on disk.
I3. A commit is one transaction: everything queued, the callers' writes, the writer's claim and the change log.
I4. Locks of an open log are taken in this order; none is taken while one with a higher number is held:
      1. `Log._closing`           5. `Index._lock`
      2. `Upkeep._lock`           6. `Reader._refreshing`
      3. `Writer.committing`      7. `Writer._lock`: the queue and the next id
      4. the store's write lock   8. `Hot._lock`, `Committer._lock`, and the store's gate
    A thread inside a transaction passes the gate without waiting. What `Index` asks of the queue takes no lock, and no
    caller's code runs under 5 to 8.

It does not know sessions' names, leases, or when commits happen.
"""

import threading
from collections.abc import Callable
from typing import TypeAlias

from ctxmem.errors import KeyConflict
from ctxmem.index.index import Index
from ctxmem.log.hot import Hot
from ctxmem.log.maintenance import Trainer
from ctxmem.log.pending import Pending, PendingQueue
from ctxmem.log.reader import Reader
from ctxmem.segment import Record
from ctxmem.store import Batch, Store
from ctxmem.tables import changes, flags, names, slots
from ctxmem.tables.chunks import Chunk
from ctxmem.tables.frames import key as id_key
from ctxmem.tables.slots import Slot

Write: TypeAlias = Callable[[Batch], None]

SOME = 256  # records: 25-50 ms of analysis, compression and puts


class Writer:
    """Appends and commits for one open log. Safe from any thread."""

    def __init__(
        self,
        store: Store,
        queue: PendingQueue,
        hot: Hot,
        reader: Reader,
        index: Index,
        trainer: Trainer,
        size: int,
    ) -> None:
        self._store = store
        self._queue = queue
        self._hot = hot
        self._reader = reader
        self._index = index
        self._trainer = trainer
        self._size = size  # ids of a block
        self._lock = threading.Lock()  # the queue and the slot's next id
        self.committing = threading.RLock()
        self._is_unsure = False  # the last transaction was interrupted: it may have been committed
        self.slot: Slot | None = None

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for a commit."""
        return self._queue.packed_bytes

    @property
    def queued(self) -> int:
        """How many records wait for a commit."""
        return len(self._queue)

    def first_id(self) -> int | None:
        """Return the id that has waited longest, or None."""
        return self._queue.first_id

    def waiting(self, segment_id: int) -> Record | None:
        """Return a record while it waits for a commit, else None."""
        item = self._queue.by_id(segment_id)
        return None if item is None else item.record

    def append(self, record: Record, packed: bytes, key: bytes | None, digest: bytes) -> tuple[int, bool]:
        """Queue a record; return its id, and whether it is new.

        Raises:
            KeyConflict: the key names other content.
            StoreBusy, StoreFull: a chunk of ids was needed and could not be had.
        """
        while True:
            with self._lock:
                if key is not None and (known := self._known(key, digest)) is not None:
                    return known, False
                segment_id = None if self.slot is None else self.slot.take_id()
                if segment_id is not None:
                    self._queue.push(Pending(segment_id, record, packed, key, digest))
                    return segment_id, True
            self.reserve_ids()

    def commit_some(self) -> bool:
        """Commit the `SOME` records that have waited longest; say whether as many are left.

        They are few so that no append waits long for them.
        """
        self.commit([], most=SOME)
        return len(self._queue) >= SOME

    def commit(self, writes: list[Write], most: int | None = None) -> None:
        """Put what is queued, and run the callers' writes, in one transaction (I3); none where there is neither."""
        with self.committing:
            items = self._queue.first(most)
            if not items and not writes:
                return
            for item in items:
                if item.forward is None:
                    item.stored = self._reader.codec.store(item.packed)
                    item.forward = self._index.forward(item.segment_id, item.record)
            slot, is_unsure, self._is_unsure = self.slot, self._is_unsure, True
            spare = self._store.write(lambda batch: _apply(batch, slot, items, writes, is_unsure=is_unsure))
            with self._lock:
                self._queue.settle(items)
                if slot is not None:
                    slot.advanced(spare)
            self._is_unsure = False
            self._hot.keep((item.segment_id, item.packed) for item in items)
            for item in items:
                self._trainer.offer(item.segment_id, item.packed)

    def rise_above(self, segment_id: int) -> None:
        """Give only ids above this one from now on, at the price of what is left of a lower chunk."""
        slot = self.reserve_ids()
        with self._lock:
            slot.rise_above(segment_id)

    def reserve_ids(self) -> Slot:
        """Claim a slot where there is none, and a chunk when they are used up; one commit."""
        with self.committing:
            slot = self.slot
            if slot is None:
                slot = Slot.claim(self._store, self._size)
                with self._lock:
                    self.slot = slot
            elif slot.is_used_up:
                chunk = self._store.write(slot.extend)
                with self._lock:
                    slot.extended(chunk)
            return slot

    def give_way(self) -> None:
        """Give back the chunk held here where others are far beyond it: their segments cannot be sealed before.

        The next append takes a new chunk. One commit, or two; none where no other writer waits for it.
        """
        slot = self.slot
        if slot is None:
            return
        with self._store.snapshot() as snapshot:
            if not slots.is_in_the_way(snapshot, self._size, slot.number):
                return
        with self.committing:
            self.commit([])
            with self._lock:
                if len(self._queue):
                    return  # appended since: the chunk is in use
                slot.let_go()
            self._store.write(slot.give_back)

    def known(self, key: bytes, digest: bytes) -> int | None:
        """Return the segment that a key names, queued or committed, or None.

        Raises:
            KeyConflict: it holds other content.
        """
        with self._lock:
            return self._known(key, digest)

    def keyed(self, key: bytes) -> int | None:
        """Return the segment that a key names, queued or committed, whatever it holds; None where it is free."""
        with self._lock:
            found = self._find(key)
        return None if found is None else found[0]

    def _known(self, key: bytes, digest: bytes) -> int | None:
        """Do as `known`; the caller holds `Writer._lock`."""
        found = self._find(key)
        if found is None:
            return None
        segment_id, known_digest = found
        if known_digest != digest:
            raise KeyConflict(f"this key names segment {segment_id}, which holds other content", segment_id)
        return segment_id

    def _find(self, key: bytes) -> tuple[int, bytes] | None:
        """Return the segment that a key names and its digest; the caller holds `Writer._lock`."""
        item = self._queue.by_key(key)
        if item is not None:
            return item.segment_id, item.digest
        with self._store.snapshot() as snapshot:
            return names.find_key(snapshot, key)


def _apply(
    batch: Batch, slot: Slot | None, items: list[Pending], writes: list[Write], *, is_unsure: bool
) -> Chunk | None:
    """Put queued records and run the callers' writes; return the chunk of ids that was taken on the way, if any."""
    spare = None
    if is_unsure and slot is not None:  # a record put again after it was sealed would stand in two places
        items = [item for item in items if not slot.is_covered(batch, item.segment_id)]
    if items and slot is not None:
        spare = slot.advance(batch, [item.segment_id for item in items])
        _put_records(batch, items)
    elif slot is not None:
        slot.verify(batch)
    for write in writes:
        write(batch)
    return spare


def _put_records(batch: Batch, items: list[Pending]) -> None:
    """Put records with their forward records, keys and pins, and tell other processes of them."""
    spans: list[int] = []  # first, last, first, last, ...
    pinned: list[int] = []
    for item in items:
        batch.put("log", id_key(item.segment_id), item.stored)
        batch.put("forward", id_key(item.segment_id), item.forward or b"")
        if item.key is not None:
            names.put_key(batch, item.key, item.segment_id, item.digest)
        if item.record.pinned:
            pinned.append(item.segment_id)
        if spans and item.segment_id == spans[-1] + 1:
            spans[-1] = item.segment_id
        else:
            spans += [item.segment_id, item.segment_id]
    changes.record(batch, "append", spans)
    if pinned:
        changes.record(batch, "pin", flags.change(batch, flags.PINNED, pinned, is_on=True))
