"""Which stores are open in this process: LMDB must not open a file twice, and a forked child must not use its copies.

I1. A directory is open once in a process, whatever path leads to it.
I2. `open` waits for a store of the same directory that nobody refers to any more, until that is closed.
I3. After a fork each store that the child inherited is told so, before the child runs anything else.
"""

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from ctxmem.errors import StoreBusy


class Opened(Protocol):
    """What the registry needs of an open store."""

    @property
    def holds_file(self) -> bool:
        """Whether LMDB still has the file open here."""

    @property
    def is_leaving(self) -> bool:
        """Whether it gives the file back by itself: it is being closed, or nobody refers to it any more."""

    def leave_to_parent(self) -> None:
        """Record that this process is a child, and that the store is its parent's."""


S = TypeVar("S", bound=Opened)

_LEAVING_S = 10.0


class Registry:
    """The open stores of this process by device and inode of their directories. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant: a destructor that runs meanwhile may open another store
        self._opened: weakref.WeakValueDictionary[tuple[int, int], Opened] = weakref.WeakValueDictionary()

    def open(self, where: Path, make: Callable[[], S]) -> S:
        """Make the store of an existing directory, unless it is open already.

        Raises:
            StoreBusy: it is (I1).
        """
        with self._lock:
            facts = where.stat()
            identity = (facts.st_dev, facts.st_ino)
            if self._is_open(identity):
                gc.collect()  # the store may be garbage, as where a notebook cell is run again
                until = time.monotonic() + _LEAVING_S
                while self._is_open(identity, and_leaving=True) and time.monotonic() < until:
                    time.sleep(0.002)
            if self._is_open(identity):
                raise StoreBusy(
                    f"{where} is open in this process already; share that object between threads, or close it first"
                )
            made = make()
            self._opened[identity] = made
            return made

    def _is_open(self, identity: tuple[int, int], *, and_leaving: bool = False) -> bool:
        known = self._opened.get(identity)
        return known is not None and known.holds_file and (known.is_leaving or not and_leaving)

    def leave_to_parent(self) -> None:
        """Tell every store that this is a child process (I3).

        The lock is made anew: another thread of the parent may have held it.
        """
        self._lock = threading.RLock()
        for store in list(self._opened.values()):
            store.leave_to_parent()
        self._opened.clear()


REGISTRY = Registry()
os.register_at_fork(after_in_child=REGISTRY.leave_to_parent)
