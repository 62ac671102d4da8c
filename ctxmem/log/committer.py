"""The one small thread of an open log: commits what no barrier has fetched, and commits once for many callers.

I1. A record waits for at most about 100 ms, or until 1 MB is queued, whichever comes first.
I2. A caller of `soon` gets the outcome of the transaction that contained its writes, and of no other.
I3. Where `soon` raises, a signal handler's exception among them, its writes are not made, or made already.
I4. It computes nothing for the index: that would pause the caller's Python.

It does not know what a commit is: it is given one to call, and one of few records that says whether many are left.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress

from ctxmem.errors import StoreClosed
from ctxmem.log.writer import Write

TICK_S = 0.05
ASLEEP_S = 5.0  # other writers may wait for what this one holds and does not use; a drop that did not notify is seen
_QUIET_TICKS = 20  # after this long with nothing queued the thread sleeps, until it is called or for `ASLEEP_S`
_RETRY_S = 1.0  # after a commit that failed


class Committer:
    """Owns the thread; it starts at the first call and ends in `close`."""

    def __init__(
        self,
        commit: Callable[[list[Write]], None],
        commit_some: Callable[[], bool],
        first_id: Callable[[], int | None],
        idle: Callable[[], None],
    ) -> None:
        self._commit = commit
        self._commit_some = commit_some
        self._first_id = first_id
        self._idle = idle
        self._lock = threading.Lock()  # entered itself: an interrupt inside a condition's __enter__ would keep it
        self._condition = threading.Condition(self._lock)
        self._waiters: list[tuple[Write | None, Future[None]]] = []
        self._thread: threading.Thread | None = None
        self._is_asleep = False
        self._is_urgent = False
        self._is_closing = False
        self._dropped: Callable[[], None] | None = None

    def note(self, *, is_urgent: bool) -> None:
        """Say that something is queued; cheap unless the thread sleeps or must hurry."""
        if self._thread is None or self._is_asleep or is_urgent or self._thread.ident is None:
            with self._lock:
                self._is_urgent = self._is_urgent or is_urgent
                self._start()
                self._condition.notify()

    def soon(self, write: Write | None) -> "Future[None]":
        """Commit what is queued, with these writes, in a transaction shared with other callers."""
        future: Future[None] = Future()
        try:
            self._take(write, future)
        except BaseException:
            if not future.cancel():  # I3: it is under way, and must not end when its caller has gone on
                wait([future])
            raise
        return future

    def close(self) -> None:
        """Serve who waits, end the thread and join it; again does nothing."""
        with self._lock:
            self._is_closing = True
            self._condition.notify()
        self.join()

    def join(self) -> None:
        """Wait for the end of the thread, where it was told to end."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def drop(self, close: Callable[[], None]) -> None:
        """Commit what is queued, call `close` and end, on the thread; where there is none, nothing is queued: at once.

        The garbage collector calls this, perhaps on the thread itself inside `_lock`: hence no waiting for that.
        """
        if self._thread is None:
            close()
            return
        self._dropped = close
        if self._lock.acquire(blocking=False):
            self._condition.notify()
            self._lock.release()

    def _take(self, write: Write | None, future: "Future[None]") -> None:
        with self._lock:
            if self._is_closing:
                raise StoreClosed("the store was closed; open it again")
            self._start()
            self._waiters.append((write, future))
            self._condition.notify()

    def _start(self) -> None:
        """Start the thread, again where an interrupt came between making and starting it; the caller holds `_lock`."""
        if (self._thread is None or self._thread.ident is None) and not self._is_closing:
            self._thread = threading.Thread(target=self._run, name="ctxmem-commit", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        quiet, seen, pause_s = 0, None, TICK_S
        while self._thread is threading.current_thread():  # else `_start` was interrupted, and has started another
            with self._lock:
                if not (self._waiters or self._is_urgent or self._is_closing or self._dropped):
                    self._is_asleep = quiet >= _QUIET_TICKS and self._first_id() is None
                    is_called = self._condition.wait(ASLEEP_S if self._is_asleep else pause_s)
                    quiet = 0 if self._is_asleep and is_called else quiet + 1
                    self._is_asleep = False
                waiters, self._waiters = self._waiters, []
                is_urgent, self._is_urgent = self._is_urgent, False
                if self._is_closing and not waiters:
                    return
            if self._dropped is not None and not waiters:
                self._end_dropped(self._dropped)
                return
            first = self._first_id()
            is_due = first is not None and (is_urgent or first == seen)
            pause_s = TICK_S
            if waiters:
                self._serve(waiters)
            elif is_due and not self._try_commit():
                pause_s = _RETRY_S
            self._between()
            seen = self._first_id()
            quiet = 0 if first is not None else quiet

    def _end_dropped(self, close: Callable[[], None]) -> None:
        """Commit what nobody will ask for, as far as that can be, and let go."""
        with suppress(Exception):
            while self._first_id() is not None:
                self._commit_some()
        with suppress(Exception):
            close()

    def _try_commit(self) -> bool:
        """Commit what waits. A failure leaves it queued: the next barrier meets it again, and its caller hears."""
        try:
            while self._commit_some() and not self._waiters and not self._is_closing:
                pass
        except Exception:  # noqa: BLE001 - every kind: the thread must live, and the barrier reports
            return False
        return True

    def _between(self) -> None:
        """Do what may wait. It may fail, too: it is tried again, and what it did not do nobody misses."""
        with suppress(Exception):
            self._idle()

    def _serve(self, waiters: "list[tuple[Write | None, Future[None]]]") -> None:
        """Commit for all at once; if that fails, for each alone, so that an error affects only its caller (I2)."""
        live = [(write, future) for write, future in waiters if future.set_running_or_notify_cancel()]
        try:
            self._commit([write for write, _ in live if write is not None])
        except Exception as exc:  # noqa: BLE001 - handed to the callers
            for write, future in live:
                self._serve_one(write, future, exc if len(live) == 1 else None)
            return
        for _, future in live:
            future.set_result(None)

    def _serve_one(self, write: Write | None, future: "Future[None]", failure: Exception | None) -> None:
        if failure is None:
            try:
                self._commit([write] if write is not None else [])
            except Exception as exc:  # noqa: BLE001 - handed to the caller
                failure = exc
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
