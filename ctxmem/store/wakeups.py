"""Waking a process that waits for another's lock: counters in the lock file, on which a waiter sleeps by futex.

A wake-up is only a hint. A waiter tries its lock after each sleep and sleeps for `SLICE_S` at most: so where a holder
was killed before it woke anybody, or two processes raised a counter at once, that much time is lost and nothing else.
Where the system has no futex, or the disk no room for the page, a waiter sleeps for `_POLL_S` between tries.

I1. The page is mapped through a descriptor of its own: a mapping keeps its file description open, and the locks of
    `LockFile` last as long as the description that took them.
"""

import ctypes
import mmap
import os
import platform
import struct
import sys
import time
from pathlib import Path

# On disk: never renumber. Places of the counters, u32 each, in the first page of the lock file.
FOR_NEXT = 0  # raised when NEXT is given back
FOR_WRITE = 4  # raised when WRITE is given back

SLICE_S = 0.005
_POLL_S = 0.0002  # the sleep where there is no futex
_PAGE = 4_096
_NUMBERS = {"x86_64": 202, "aarch64": 98}  # of the system call futex
_WAIT, _WAKE = 0, 1
_COUNTER = struct.Struct("<I")
_NUMBER = _NUMBERS.get(platform.machine()) if sys.platform.startswith("linux") and sys.maxsize > 1 << 32 else None


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_int64))


class Wakeups:
    """The counters of one open store. Safe from any thread; a call is a system call, or none."""

    def __init__(self, path: Path) -> None:
        self._map: mmap.mmap | None = None
        self._base: ctypes.c_char | None = None
        if _NUMBER is None:
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(descriptor, 0, _PAGE)  # a mapped page without room on the disk would kill the process
            self._map = mmap.mmap(descriptor, _PAGE)
            self._base = ctypes.c_char.from_buffer(self._map)
            self._call = ctypes.CDLL(None, use_errno=True).syscall
        except (OSError, AttributeError):
            self.close()
        finally:
            os.close(descriptor)

    def seen(self, counter: int) -> int:
        """Return a counter's value, to be read before the lock is tried."""
        return 0 if self._map is None else int(_COUNTER.unpack_from(self._map, counter)[0])

    def wait(self, counter: int, seen: int) -> None:
        """Sleep until the counter is no longer what was seen, for `SLICE_S` at most. Ends at a signal."""
        if self._map is None or self._base is None:
            time.sleep(_POLL_S)
            return
        limit = _Timespec(0, int(SLICE_S * 1e9))
        self._futex(counter, _WAIT, seen, ctypes.byref(limit))

    def wake(self, counter: int) -> None:
        """Raise a counter and wake the waiter that has slept on it longest."""
        if self._map is not None and self._base is not None:
            _COUNTER.pack_into(self._map, counter, (self.seen(counter) + 1) & 0xFFFFFFFF)
            self._futex(counter, _WAKE, 1, None)

    def _futex(self, counter: int, operation: int, value: int, limit: object) -> None:
        address = ctypes.c_void_p(ctypes.addressof(self._base) + counter)  # type: ignore[arg-type]
        self._call(ctypes.c_long(_NUMBER or 0), address, operation, ctypes.c_uint32(value), limit, None, 0)

    def close(self) -> None:
        """Unmap the page; a second call does nothing. A sleep that is under way ends by itself."""
        self._base, mapped, self._map = None, self._map, None
        if mapped is not None:
            mapped.close()
