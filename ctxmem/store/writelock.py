"""The right to write: one write transaction at a time, among the threads of this process and among processes, in turn.

LMDB's own lock knows no time-out and ignores Ctrl-C, so nobody ever waits at it: whoever holds this one finds it free.

I1. Whoever finds neither writer nor waiter writes at once.
I2. All others wait for the byte NEXT, one of them at a time has it, and waits for the byte WRITE. So who has written
    and comes again stands behind the one who is next: it is never overtaken.
I3. Who waits for either sleeps until the holder wakes it (`wakeups`), and tries again at least every few milliseconds:
    the bytes of a killed process are free, time-outs and Ctrl-C work.
I4. What is held is noted first, each note one value, and to release again does nothing: whoever was interrupted, by a
    signal handler that raised, releases to be sure.
"""

import threading
import time
from pathlib import Path

from ctxmem.errors import StoreBusy, StoreError
from ctxmem.store.locks import NEXT, WRITE, LockFile
from ctxmem.store.wakeups import FOR_NEXT, FOR_WRITE, Wakeups

TIMEOUT_S = 60.0


class WriteLock:
    """The write lock of one open store. Safe from any thread; 2 us where nobody else writes."""

    def __init__(self, lock_file: LockFile, path: Path) -> None:
        self._locks = lock_file
        self._wakeups = Wakeups(lock_file.path)
        self._path = path
        self._lock = threading.Lock()  # entered itself: an interrupt inside a condition's __enter__ would keep it
        self._free = threading.Condition(self._lock)
        self._owner: tuple[int, int] | None = (
            None  # number of the batch that writes, or waits for others to; its thread
        )
        self._is_next = False  # or waits to be, perhaps

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
        if not self._find_free() and not self._wait(until):
            raise StoreBusy(f"{self._path}: another process has been writing for {TIMEOUT_S:.0f} s; try again later")

    def release(self, number: int) -> None:
        """Let the next one write; nothing happens when this batch does not hold it."""
        with self._lock:
            if self._owner is not None and self._owner[0] == number:
                self._give_next()
                self._locks.release(WRITE)
                if self._locks.is_held_elsewhere(NEXT):
                    self._wakeups.wake(FOR_WRITE)
                self._free.notify()
                self._owner = None  # last: whoever was notified looks once `_lock` is free

    def close(self) -> None:
        """Give back what it took to wake others; nobody takes the lock any more."""
        self._wakeups.close()

    def _find_free(self) -> bool:
        """Take WRITE where nobody has it and nobody waits (I1)."""
        return not self._locks.is_held_elsewhere(NEXT) and self._locks.take(WRITE)

    def _wait(self, until: float) -> bool:
        """Become the next one, then the one who writes (I2); whatever happens, NEXT is given back."""
        self._is_next = True
        try:
            return self._sleep_for(NEXT, FOR_NEXT, until) and self._sleep_for(WRITE, FOR_WRITE, until)
        finally:
            self._give_next()

    def _sleep_for(self, byte: int, counter: int, until: float) -> bool:
        """Take a byte, asleep between tries (I3); False when it was held until then."""
        seen = self._wakeups.seen(counter)
        while not self._locks.take(byte):
            if time.monotonic() >= until:
                return False
            self._wakeups.wait(counter, seen)
            seen = self._wakeups.seen(counter)
        return True

    def _give_next(self) -> None:
        if self._is_next:
            self._locks.release(NEXT)
            self._is_next = False
            self._wakeups.wake(FOR_NEXT)
