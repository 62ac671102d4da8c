"""How a log ends: closed; dropped by a notebook's cell that is run again, or by an exception; or with the interpreter.

I1. What was appended is committed, by the log's own thread, and then slot, leases and file are given back. The garbage
    collector may find the log on any thread, whatever locks that one holds: so here nothing waits and nothing commits.
I2. Whoever opens the store again in this process waits for that, and so does the end of the interpreter.
"""

import atexit
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ctxmem.index.index import Index
from ctxmem.log.committer import Committer
from ctxmem.log.maintenance import Upkeep
from ctxmem.log.writer import Writer
from ctxmem.store import Store


class Flushable(Protocol):
    """A log, as far as its last commit is concerned."""

    def flush_at_exit(self) -> None:
        """Commit what nobody has."""


def let_go(upkeep: Upkeep, index: Index, writer: Writer, store: Store) -> None:
    """Give maintenance, slot and store back."""
    upkeep.stop()
    index.close()
    if writer.slot is not None:
        writer.slot.release()
    store.close()


def flush_at_exit(log: Flushable) -> Callable[[], None]:
    """Have a log commit at the end of the interpreter, if it is still there; return what `atexit.unregister` takes."""
    found = partial(_flush, weakref.ref(log))
    atexit.register(found)
    return found


def _flush(log: "weakref.ref[Flushable]") -> None:
    found = log()
    if found is not None:
        found.flush_at_exit()


def watch(log: Any, store: Store, committer: Committer, close: Callable[[], None]) -> "weakref.finalize[..., Any]":
    """Give everything back when the log is garbage; detach what is returned when it is closed.

    Neither `committer` nor `close` may know the log.
    """
    found = weakref.finalize(log, _drop, store, committer, close)
    found.atexit = False  # there the log commits what waits, and the process gives the rest back
    return found


# Those whose threads may still be at work: a thread keeps its committer.
_leaving: "weakref.WeakSet[Committer]" = weakref.WeakSet()


def _wait_for_all() -> None:
    for committer in list(_leaving):
        committer.join()


atexit.register(_wait_for_all)


def _drop(store: Store, committer: Committer, close: Callable[[], None]) -> None:
    if not store.is_open:
        return
    store.drop()
    _leaving.add(committer)
    committer.drop(close)
    warnings.warn(f"{store.name} was not closed: use `with`, or call close()", ResourceWarning, stacklevel=2)
