"""The right to write: one write transaction at a time, among the threads of this process and among processes.

LMDB's own lock knows no time-out and ignores Ctrl-C, so nobody ever waits at it: whoever holds this one finds it free.
"""

import threading
from pathlib import Path

from ctxmem.errors import StoreBusy, StoreError
from ctxmem.store import locks
from ctxmem.store.locks import LockFile

TIMEOUT_S = 60.0


class WriteLock:
    """The write lock of one open store. Safe from any thread."""

    def __init__(self, lock_file: LockFile, path: Path) -> None:
        self._locks = lock_file
        self._path = path
        self._thread = threading.Lock()
        self._owner = 0  # thread inside

    def take(self) -> None:
        """Wait until nobody else writes.

        Raises:
            StoreBusy: others wrote for a minute.
            StoreError: this thread is writing.
        """
        me = threading.get_ident()
        if self._owner == me:
            raise StoreError("a batch inside a batch of the same thread; use the outer one")
        if not self._thread.acquire(timeout=TIMEOUT_S):
            raise StoreBusy(f"{self._path}: another thread has been writing for {TIMEOUT_S:.0f} s; try again")
        is_ours = False
        try:
            is_ours = self._locks.wait(locks.WRITE, timeout_s=TIMEOUT_S)
        finally:
            if not is_ours:
                self._thread.release()
        if not is_ours:
            raise StoreBusy(f"{self._path}: another process has been writing for {TIMEOUT_S:.0f} s; try again later")
        self._owner = me

    def release(self) -> None:
        """Let the next one write."""
        self._owner = 0
        self._locks.release(locks.WRITE)
        self._thread.release()
