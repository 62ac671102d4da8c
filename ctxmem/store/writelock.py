"""The right to write: one write transaction at a time, among the threads of this process and among processes, in turn.

LMDB's own lock knows no time-out and ignores Ctrl-C, so nobody waits at it: the holder of this lock finds it free.

I1. Where there is neither writer nor waiter, a caller writes at once.
I2. All others wait for the byte NEXT. The one that has it waits for the byte WRITE. So a writer that comes again
    queues behind the one that has NEXT, which is never overtaken.
I3. A waiter sleeps until the holder wakes it (`wakeups`), and tries again every few milliseconds at least: so it sees
    that a killed process has freed its bytes, and time-outs and Ctrl-C work.
I4. What is held is noted before it is taken, each note in one assignment, and a second release does nothing: so code
    that a signal handler's exception interrupted can always release.
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
        self._lock = threading.Lock()  # entered directly: an interrupt in a condition's __enter__ would keep it locked
        self._free = threading.Condition(self._lock)
        self._owner: tuple[int, int] | None = (
            None  # number and thread of the batch that writes, or waits for other processes
        )
        self._is_next = False  # NEXT is held here, or is being waited for

    def take(self, number: int) -> None:
        """Wait for our turn to write, for a batch of this number. Where this raises, `release` must still be called.

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
        """Let the next one write; does nothing when this batch does not hold the lock."""
        with self._lock:
            if self._owner is not None and self._owner[0] == number:
                self._give_next()
                self._locks.release(WRITE)
                if self._locks.is_held_elsewhere(NEXT):
                    self._wakeups.wake(FOR_WRITE)
                self._free.notify()
                self._owner = None  # last: a notified thread looks once `_lock` is free

    def close(self) -> None:
        """Unmap the counters by which others are woken; nobody may take the lock afterwards."""
        self._wakeups.close()

    def _find_free(self) -> bool:
        """Take WRITE where nobody has it and nobody waits (I1); say whether it was taken."""
        return not self._locks.is_held_elsewhere(NEXT) and self._locks.take(WRITE)

    def _wait(self, until: float) -> bool:
        """Wait for NEXT, then for WRITE (I2); give NEXT back whatever happens. False when the time is up."""
        self._is_next = True
        try:
            return self._sleep_for(NEXT, FOR_NEXT, until) and self._sleep_for(WRITE, FOR_WRITE, until)
        finally:
            self._give_next()

    def _sleep_for(self, byte: int, counter: int, until: float) -> bool:
        """Take a byte, asleep between tries (I3); False when others held it until the time is up."""
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
