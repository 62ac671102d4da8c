"""The gate that every transaction of this process passes, so that the map may be resized when none is open.

I1. `alone` holds only while no transaction of this environment is open in this process.
I2. A thread inside a transaction may open another while somebody waits to be alone: it would wait for itself otherwise.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ctxmem.errors import StoreBusy


class Gate:
    """Counts the open transactions of one environment. Safe from any thread; 0.3 us for a pass."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._open = 0
        self._has_waiter = False
        self._mine = threading.local()

    def enter(self) -> None:
        """Note that this thread opens a transaction; waits while somebody is, or wants to be, alone."""
        depth = getattr(self._mine, "depth", 0)
        with self._condition:
            while self._has_waiter and not depth:
                self._condition.wait()
            self._open += 1
        self._mine.depth = depth + 1

    def leave(self) -> None:
        """Note that this thread's transaction has ended."""
        self._mine.depth -= 1
        with self._condition:
            self._open -= 1
            if self._has_waiter:
                self._condition.notify_all()

    @contextmanager
    def alone(self, timeout_s: float = 10.0) -> Iterator[None]:
        """Keep new transactions out and wait for the open ones to end.

        Raises:
            StoreBusy: this thread, or for `timeout_s` another, has one open.
        """
        if getattr(self._mine, "depth", 0):
            raise StoreBusy(
                "the store must be resized or rewritten, and this thread is inside a transaction; leave it first"
            )
        with self._condition:
            if not self._condition.wait_for(lambda: not self._has_waiter, timeout_s):
                raise StoreBusy("another thread is resizing or rewriting the store; try again")
            self._has_waiter = True
            is_alone = False
            try:
                is_alone = self._condition.wait_for(lambda: not self._open, timeout_s)
            finally:
                self._has_waiter = is_alone
                self._condition.notify_all()
            if not is_alone:
                raise StoreBusy(
                    f"{self._open} transactions of this process stayed open for {timeout_s:.0f} s; try again"
                )
        try:
            yield
        finally:
            with self._condition:
                self._has_waiter = False
                self._condition.notify_all()
