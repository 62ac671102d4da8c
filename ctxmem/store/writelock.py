"""The right to write: one write transaction at a time, among the threads of this process and among processes, in turn.

LMDB's own lock knows no time-out and ignores Ctrl-C, so nobody ever waits at it: whoever holds this one finds it free.
Nobody waits in the kernel for a byte of the lock file either, for the same reasons: it is tried, with sleeps between.
Alone that starves: who has just written finds the byte free while all others sleep. So there is a queue:

I1. Who finds the queue empty tries the byte WRITE for a millisecond; commits that take less than that are not queued.
I2. Who waits longer takes the last place of the queue, and from each place the one before it as soon as that is free;
    who holds the front takes WRITE. Places are bytes of the lock file too, so those of a killed process are free.
I3. Who has written and comes again stands behind all who wait. Beyond the last place there is no order.
I4. What is held is noted first, each note one value, and to release again does nothing: whoever was interrupted, by a
    signal handler that raised, releases to be sure.
"""

import threading
import time
from pathlib import Path

from ctxmem.errors import StoreBusy, StoreError
from ctxmem.store.locks import PLACES, QUEUE, WRITE, LockFile

TIMEOUT_S = 60.0
_BARGE_S = 0.001
_FRONT_PAUSE_S = 0.00002  # with what the kernel adds 75 us: of a commit with its flush, about a tenth
_QUEUE_PAUSE_S = 0.0003  # behind the front: to move up in the time of one commit is enough


class WriteLock:
    """The write lock of one open store. Safe from any thread; 2 us where nobody else writes."""

    def __init__(self, lock_file: LockFile, path: Path) -> None:
        self._locks = lock_file
        self._path = path
        self._lock = threading.Lock()  # entered itself: an interrupt inside a condition's __enter__ would keep it
        self._free = threading.Condition(self._lock)
        self._owner: tuple[int, int] | None = (
            None  # number of the batch that writes, or waits for others to; its thread
        )
        self._has_place = False  # in the queue, perhaps

    def take(self, number: int) -> None:
        """Wait for our turn, for a batch of this number. Where this raises, `release` is still to be called.

        Raises:
            StoreBusy: others wrote for a minute.
            StoreError: this thread is writing.
        """
        owner = number, threading.get_ident()
        if self._owner is not None and self._owner[1] == owner[1]:
            raise StoreError("a batch inside a batch of the same thread; use the outer one")
        until = time.monotonic() + TIMEOUT_S
        with self._lock:
            if self._owner is not None and not self._free.wait_for(lambda: self._owner is None, TIMEOUT_S):
                raise StoreBusy(f"{self._path}: another thread has been writing for {TIMEOUT_S:.0f} s; try again")
            self._owner = owner
        if not self._barge(until) and not self._queue(until):
            raise StoreBusy(f"{self._path}: another process has been writing for {TIMEOUT_S:.0f} s; try again later")

    def release(self, number: int) -> None:
        """Let the next one write; nothing happens when this batch does not hold it."""
        with self._lock:
            if self._owner is not None and self._owner[0] == number:
                self._leave_queue()
                self._locks.release(WRITE)
                self._free.notify()
                self._owner = None  # last: whoever was notified looks once `_lock` is free

    def _barge(self, until: float) -> bool:
        """Try while the queue is empty, for a moment (I1)."""
        if self._locks.is_held_elsewhere(QUEUE, PLACES):
            return False
        return self._locks.wait(WRITE, until=min(until, time.monotonic() + _BARGE_S))

    def _queue(self, until: float) -> bool:
        """Go through the places of the queue (I2); whatever happens, all are given back."""
        self._has_place = True
        try:
            for place in reversed(range(QUEUE, QUEUE + PLACES)):
                if not self._locks.wait(place, until=until, pause_s=_QUEUE_PAUSE_S):
                    return False
                self._locks.release(place + 1, QUEUE + PLACES - place)
            return self._locks.wait(WRITE, until=until, pause_s=_FRONT_PAUSE_S)
        finally:
            self._leave_queue()

    def _leave_queue(self) -> None:
        if self._has_place:
            self._locks.release(QUEUE, PLACES)
            self._has_place = False
