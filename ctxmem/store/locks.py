"""Locks between processes: one byte of a lock file for each thing that can be held.

Owns the bytes of the file `lock` and what each means. The locks belong to an open file description: the kernel frees
them when the last process that has it ends, however it ends, and a paused process keeps them. No time-outs, no pids.

I1. One `LockFile` opens its file once, so locks taken through it never conflict with each other: threads of one process
    need a lock of their own beside it.
I2. A byte is taken or refused at once. A caller that may wait sleeps between tries, here or in `wakeups`, so that
    Ctrl-C and time-outs work.

It does not know what the bytes protect. Where the platform has no such locks (other than Linux), `flock` on one
file for each byte stands in: those locks last as long.
"""

import errno
import fcntl
import os
import struct
import sys
import time
from pathlib import Path

# On disk: never renumber. Offsets in the lock file; two versions of ctxmem must agree on them.
OPEN = 0  # shared by every open store, exclusive for compact
CREATE = 1  # exclusive while the store is made
WRITE = 2  # exclusive for one write transaction
MAINTENANCE = 3  # exclusive to maintain all blocks, shared to maintain one of them
NEXT = 16  # exclusive for the waiter that takes WRITE next
FIRST_SLOT = 1 << 32  # and up: one for each writer slot
FIRST_BLOCK = 1 << 33  # and up: one for each block under maintenance, whose holder has MAINTENANCE shared

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
_HAS_OFD = sys.platform.startswith("linux") and hasattr(fcntl, "F_OFD_SETLK")
_REFUSED = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)


class LockFile:
    """The lock file of one store, opened once.

    Two threads must not take the same byte through it: both would succeed (I1). A call is a system call or two, 1 us.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._flags = (os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY) | os.O_CLOEXEC
        self._each: dict[int, int] = {}  # byte -> descriptor, where flock stands in
        self._fd = -1
        self._fd = os.open(path, self._flags, 0o600)

    def take(self, byte: int, *, shared: bool = False) -> bool:
        """Take a byte, or turn a shared hold into an exclusive one and back; False where another has it."""
        kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
        try:
            if _HAS_OFD:
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))
            else:
                fcntl.flock(self._descriptor(byte), (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno in _REFUSED:
                return False
            raise
        return True

    def wait(self, byte: int, *, shared: bool = False, until: float) -> bool:
        """Take a byte, trying until a time of the monotonic clock (I2); False when it was held throughout.

        It sleeps between tries, for longer the longer it waits, 5 ms at most: what it sleeps beyond the release is a
        small part of the whole.
        """
        begun = now = time.monotonic()
        while not self.take(byte, shared=shared):
            if now >= until:
                return False
            time.sleep(max(0.0001, min((now - begun) / 8, 0.005)))
            now = time.monotonic()
        return True

    def release(self, byte: int) -> None:
        """Give a byte back; nothing happens when it was not held."""
        if _HAS_OFD:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0))
        elif byte in self._each:
            os.close(self._each.pop(byte))

    def is_held_elsewhere(self, byte: int) -> bool:
        """Say whether another open file description holds a byte, exclusively or shared."""
        if _HAS_OFD:
            answer = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
            return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
        return byte not in self._each and self._is_refused(byte)

    def _is_refused(self, byte: int) -> bool:
        """Try to take a byte that is not held here, and say whether it was refused: where flock stands in."""
        is_free = self.take(byte)
        if is_free:
            self.release(byte)
        return not is_free

    def close(self) -> None:
        """Close the file: that frees every byte, unless a forked child has it open too. A second call does nothing."""
        while self._each:
            os.close(self._each.popitem()[1])
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()  # else the locks of a store that was dropped, or half opened, would last

    def _descriptor(self, byte: int) -> int:
        """Return a descriptor of the byte's own file: flock knows only whole files."""
        if byte not in self._each:
            path = self.path.with_name(f"{self.path.name}.{byte}")
            self._each[byte] = os.open(path, self._flags, 0o600)
        return self._each[byte]
