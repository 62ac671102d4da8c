"""The thread of an open log: it commits what no barrier has committed, and commits once for many callers.

I1. A record waits for at most about 100 ms, or until 1 MB is queued, whichever comes first.
I2. A caller of `soon` gets the outcome of the transaction that contained its writes, and of no other.
I3. Where `soon` raises (a signal handler's exception too), its writes are either on disk already or will never be made.
I4. It computes nothing for the index: that would hold the interpreter's lock and pause the caller.

It does not know what a commit is: it is given `commit`, and `commit_some`, which says whether many records are left.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress

from ctxmem.errors import StoreClosed
from ctxmem.log.writer import Write

TICK_S = 0.05
ASLEEP_S = 5.0  # then it looks whether others wait for ids held here (`idle`), and for a `drop` that did not notify
_QUIET_TICKS = 20  # after this long with nothing queued the thread sleeps, until it is called or for `ASLEEP_S`
_RETRY_S = 1.0  # after a commit that failed


class Committer:
    """Owns the thread, which starts at the first call and ends in `close`. Safe from any thread."""

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
        self._lock = threading.Lock()  # entered directly: an interrupt in a condition's __enter__ would keep it locked
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
            if not future.cancel():  # I3: it is under way, and must end before its caller goes on
                wait([future])
            raise
        return future

    def close(self) -> None:
        """Serve the callers that wait, end the thread and join it; a second call does nothing."""
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
        """Call `close`, which commits what is queued, and end, on the thread; without a thread, call `close` at once.

        Without a thread nothing is queued. The garbage collector calls this, perhaps on the thread itself while that
        holds `_lock`: so this never waits for the lock.
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
        """Start the thread; the caller holds `Committer._lock`.

        An interrupt may have come between making it and starting it: then it is made again.
        """
        if (self._thread is None or self._thread.ident is None) and not self._is_closing:
            self._thread = threading.Thread(target=self._run, name="ctxmem-commit", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """Serve those who await a commit, and commit what has waited for a tick; what the thread runs until `close`."""
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
                self._dropped()
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

    def _try_commit(self) -> bool:
        """Commit what waits; say whether that succeeded.

        A failure leaves it queued: the next barrier meets the same error and raises it to its caller.
        """
        try:
            while self._commit_some() and not self._waiters and not self._is_closing:
                pass
        except Exception:  # noqa: BLE001 - every kind: the thread must live, and the barrier reports
            return False
        return True

    def _between(self) -> None:
        """Do the work that may wait. A failure is dropped: the work is tried again later, and nobody depends on it."""
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
