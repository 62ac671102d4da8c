"""How a log ends that was not closed: dropped (a notebook cell run again, an exception), or by the interpreter's end.

I1. What was appended is committed by the log's own thread; then slot, leases and file are given back. The garbage
    collector may drop the log on any thread, whatever locks that thread holds: so the drop itself neither waits nor
    commits.
I2. Opening the store again in this process waits until that is done, and so does the end of the interpreter.
I3. Nobody is left to raise to. What cannot be committed, after the wait that every commit has, is named in the logger
    `ctxmem`: on stderr, unless the program set up its logging otherwise.
"""

import atexit
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from ctxmem.index.index import Index
from ctxmem.log.committer import Committer
from ctxmem.log.maintenance import Upkeep
from ctxmem.log.writer import Writer
from ctxmem.store import Store


class Flushable(Protocol):
    """What `flush_at_exit` needs of a log."""

    def flush_at_exit(self) -> None:
        """Commit what is still queued."""


def let_go(upkeep: Upkeep, index: Index, writer: Writer, store: Store) -> None:
    """Give maintenance, slot and store back."""
    upkeep.stop()
    index.close()
    if writer.slot is not None:
        writer.slot.release()
    store.close()


def flush_at_exit(log: Flushable) -> Callable[[], None]:
    """Arrange that a log still in use at the interpreter's end commits; return what `atexit.unregister` takes."""
    found = partial(_flush, weakref.ref(log))
    atexit.register(found)
    return found


def _flush(log: "weakref.ref[Flushable]") -> None:
    found = log()
    if found is not None:
        found.flush_at_exit()


def commit_or_say(store: Store, writer: Writer) -> None:
    """Commit what is queued, and log what could not be: nobody is left to raise to (I3)."""
    try:
        if writer.queued:
            writer.commit([])
    except BaseException as exc:  # noqa: BLE001 - Ctrl-C too: it ends the waiting, and nothing else
        import logging  # noqa: PLC0415 - some milliseconds of `import ctxmem`, for a case that is rare

        logging.getLogger("ctxmem").critical(
            "%s: the last %d segments, from %s on, were not written and are lost: %s: %s",
            *(store.name, writer.queued, writer.first_id(), type(exc).__name__, exc),
        )


def watch(
    log: Any, store: Store, committer: Committer, writer: Writer, let_go: Callable[[], None]
) -> "weakref.finalize[..., Any]":
    """Arrange that everything is given back when the log is garbage; `close` detaches what is returned.

    None of the others may refer to the log: it would then never be garbage.
    """
    found = weakref.finalize(log, _drop, store, committer, partial(_end, store, writer, let_go))
    found.atexit = False  # at the interpreter's end `flush_at_exit` commits, and the process's end frees the rest
    return found


# Committers whose threads may still run; a running thread keeps its committer alive.
_leaving: "weakref.WeakSet[Committer]" = weakref.WeakSet()


def _wait_for_all() -> None:
    for committer in list(_leaving):
        committer.join()


atexit.register(_wait_for_all)


def _end(store: Store, writer: Writer, let_go: Callable[[], None]) -> None:
    commit_or_say(store, writer)
    with suppress(Exception):
        let_go()


def _drop(store: Store, committer: Committer, close: Callable[[], None]) -> None:
    if not store.is_open:
        return
    store.drop()
    _leaving.add(committer)
    committer.drop(close)
    warnings.warn(f"{store.name} was not closed: use `with`, or call close()", ResourceWarning, stacklevel=2)
