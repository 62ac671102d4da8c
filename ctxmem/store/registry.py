"""Which stores are open in this process: LMDB must not open a file twice, and a forked child must let its copies be.

I1. A directory is open once in a process, whatever path leads to it.
I2. After a fork each store that the child inherited is told so, before the child runs anything else.
"""

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from ctxmem.errors import StoreBusy


class Opened(Protocol):
    """What is asked of an open store here."""

    @property
    def is_open(self) -> bool:
        """Return whether it can be used."""

    def leave_to_parent(self) -> None:
        """Note that this process is a child, and that the store is its parent's."""


S = TypeVar("S", bound=Opened)


class Registry:
    """The open stores of this process by device and inode of their directories. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: weakref.WeakValueDictionary[tuple[int, int], Opened] = weakref.WeakValueDictionary()

    def open(self, where: Path, make: Callable[[], S]) -> S:
        """Make the store of an existing directory, unless it is open already.

        Raises:
            StoreBusy: it is (I1).
        """
        with self._lock:
            facts = where.stat()
            identity = (facts.st_dev, facts.st_ino)
            known = self._opened.get(identity)
            if known is not None and known.is_open:
                raise StoreBusy(f"{where} is open in this process already; share that object between threads")
            made = make()
            self._opened[identity] = made
            return made

    def leave_to_parent(self) -> None:
        """Tell every store that this is a child process (I2); another thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        for store in list(self._opened.values()):
            store.leave_to_parent()
        self._opened.clear()


REGISTRY = Registry()
os.register_at_fork(after_in_child=REGISTRY.leave_to_parent)
