"""What one open store holds for longer than a transaction: writer slots, and the maintenance of blocks.

I1. What is held is a byte of the lock file, which the kernel frees however the process ends; and an entry here, since
    bytes that are taken through one lock file never conflict with each other.
I2. To maintain one block is to hold the byte MAINTENANCE shared and the block's own byte; to maintain all blocks is to
    hold MAINTENANCE exclusively.

It does not know what a slot or a block is.
"""

import threading

from ctxmem.store import locks
from ctxmem.store.locks import LockFile

_ALL = -1


class Holdings:
    """The slots and blocks that one open store holds. Safe from any thread; never waits for another process."""

    def __init__(self, lock_file: LockFile) -> None:
        self._locks = lock_file
        self._lock = threading.Lock()
        self._slots: set[int] = set()
        self._blocks: set[int] = set()

    def hold_slot(self, bound: int) -> int | None:
        """Hold the lowest free slot below `bound`; None when there is none. 1 us for each that is taken."""
        with self._lock:
            for slot in range(bound):
                if slot not in self._slots and self._locks.take(locks.FIRST_SLOT + slot):
                    self._slots.add(slot)
                    return slot
        return None

    def release_slot(self, slot: int) -> None:
        """Give a slot back; nothing happens when it is not held."""
        with self._lock:
            if slot in self._slots:
                self._slots.remove(slot)
                self._locks.release(locks.FIRST_SLOT + slot)

    def is_slot_alive(self, slot: int) -> bool:
        """Say whether this store or another holds a slot."""
        return slot in self._slots or self._locks.is_held_elsewhere(locks.FIRST_SLOT + slot)

    def hold_maintenance(self, block: int | None) -> bool:
        """Hold the maintenance of one block, or of all (None); say whether it was free. Never waits."""
        with self._lock:
            if _ALL in self._blocks or (self._blocks if block is None else block in self._blocks):
                return False
            is_held = self._locks.take(locks.MAINTENANCE) if block is None else self._hold_block(block)
            if is_held:
                self._blocks.add(_ALL if block is None else block)
            return is_held

    def release_maintenance(self, block: int | None) -> None:
        """Give back the maintenance of one block, or of all (None)."""
        with self._lock:
            self._blocks.discard(_ALL if block is None else block)
            if block is not None:
                self._locks.release(locks.FIRST_BLOCK + block)
            if not self._blocks:
                self._locks.release(locks.MAINTENANCE)

    def _hold_block(self, block: int) -> bool:
        """Take both bytes of a block, or neither (I2); say whether they were free. The caller holds `self._lock`."""
        if not self._locks.take(locks.MAINTENANCE, shared=True):
            return False
        if self._locks.take(locks.FIRST_BLOCK + block):
            return True
        if not self._blocks:
            self._locks.release(locks.MAINTENANCE)
        return False
