"""One open store: a directory with one LMDB environment, opened once in a process and used by any of its threads.

I1. A directory that is not ours is not changed; a suspect file is not mapped (preflight).
I2. One write transaction at a time, in this process by a lock and among processes by the lock file: LMDB's own lock
    knows no time-out and ignores Ctrl-C, so nobody ever waits at it.
I3. Whoever has the store open holds the byte OPEN; `rewrite` runs only when nobody else does.
I4. After a fork the child's copy answers with StoreForked and never touches LMDB, whose locks are the parent's.

It does not know what the tables hold.
"""

import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ctxmem.errors import (
    BadInput,
    NotAStore,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreForked,
    StoreFull,
    StoreReadonly,
)
from ctxmem.options import Durability
from ctxmem.store import locks, preflight
from ctxmem.store.environment import Environment, is_map_full, translated
from ctxmem.store.tables import TABLES
from ctxmem.store.transactions import Batch, Snapshot

T = TypeVar("T")

WRITE_TIMEOUT_S = 60.0
OPEN_TIMEOUT_S = 10.0
_COPY_BATCH = 8 << 20  # bytes of one transaction of a rewrite
_READER_CHECK_EVERY = 256  # writes: a killed reader pins old pages until its place is freed

_opened: "weakref.WeakValueDictionary[tuple[int, int], Store]" = weakref.WeakValueDictionary()
_opened_lock = threading.Lock()


class Store:
    """One open store. Every method is safe from any thread; durability is as `Options.durability` says."""

    def __init__(self, path: Path, *, readonly: bool, durability: Durability, map_bytes: int) -> None:
        self.path = path
        self.readonly = readonly
        self._durability: Durability = durability
        self._map_bytes = map_bytes
        self._trouble: type[StoreError] | None = None
        self._writing = threading.Lock()
        self._writer = 0  # thread inside a batch
        self._writes = 0
        self._maintaining = threading.Lock()
        self.locks: locks.LockFile | None = None
        self._environment = self._prepare()

    @staticmethod
    def open(
        path: str | os.PathLike[str], *, readonly: bool = False, durability: Durability = "full", map_bytes: int = 0
    ) -> "Store":
        """Open a store, made where the directory is missing or empty. About 1 ms, whatever it holds.

        Raises:
            NotAStore: the path is a file, holds something else, or is missing and was to be read.
            FormatMismatch: a newer ctxmem wrote it.
            StoreDamaged: the file is truncated or its first pages are not what was written; it was not mapped.
            StoreBusy: open in this process already, or another process is rewriting it.
            StoreReadonly: a read-only file system, and `readonly` not asked for.
        """
        where = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - resolve() would follow a link the caller gave
        preflight.read_marker(where)
        if readonly and not (where / preflight.MARKER).exists():
            raise NotAStore(
                f"{where} does not exist, so there is nothing to read; open it without readonly=True to make it"
            )
        with translated(where), _opened_lock:
            if not readonly:
                where.mkdir(mode=0o700, parents=True, exist_ok=True)
            facts = where.stat()
            identity = (facts.st_dev, facts.st_ino)
            if identity in _opened and _opened[identity]._trouble is None:  # noqa: SLF001 - our own class
                raise StoreBusy(f"{where} is open in this process already; share that object between threads")
            store = Store(where, readonly=readonly, durability=durability, map_bytes=map_bytes)
            _opened[identity] = store
            return store

    # --- reading and writing ---

    def snapshot(self) -> Snapshot:
        """A short read transaction, for a `with` block; 1 us. May be nested, in a batch too."""
        return Snapshot(self._environment, self._usable, _nothing)

    def batch(self) -> Batch:
        """One write transaction, for a `with` block: on disk when the block ends, rolled back by an exception.

        Raises:
            StoreReadonly: opened for reading.
            StoreBusy: another process or thread wrote for a minute.
            StoreFull: no room; nothing was written. The map has then grown, if it could: a second try may succeed.
        """
        return Batch(self._environment, self._begin_write, self._end_write)

    def write(self, apply: Callable[[Batch], T]) -> T:
        """Run `apply` in a batch; run it again, in a new batch, when the map was too small and could grow."""
        while True:
            grown = self._environment.growths
            try:
                with self.batch() as batch:
                    return apply(batch)
            except StoreFull as exc:
                if not is_map_full(exc):
                    raise
                if grown == self._environment.growths:
                    self._environment.grow()

    def ensure_usable(self) -> None:
        """Raise `StoreClosed`, or `StoreForked` in a child process, where it cannot be used; 0.1 us."""
        self._usable()

    @property
    def head(self) -> int:
        """The last committed transaction's id, of any process; 0.7 us."""
        self._usable()
        return self._environment.head

    # --- what belongs to one process at a time ---

    @contextmanager
    def maintenance(self) -> Iterator[bool]:
        """Hold the maintenance lock of the store; the value says whether it was free. Never waits."""
        taken = self.take_maintenance()
        try:
            yield taken
        finally:
            if taken:
                self.release_maintenance()

    def take_maintenance(self) -> bool:
        """Take the maintenance lock, for whoever seals or merges over several calls; False when it is held."""
        self._usable()
        if self.locks is None or not self._maintaining.acquire(blocking=False):
            return False
        if self.locks.take(locks.MAINTENANCE):
            return True
        self._maintaining.release()
        return False

    def release_maintenance(self) -> None:
        """Give the maintenance lock back."""
        if self.locks is not None and self._trouble is None:
            self.locks.release(locks.MAINTENANCE)
        self._maintaining.release()

    # --- the whole store ---

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy into a new or empty directory; appends go on meanwhile. On disk when this returns."""
        self._usable()
        target = Path(os.fsdecode(path)).absolute()
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise BadInput(f"{target} is not empty; give a backup a directory of its own")
        with translated(target):
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            preflight.write_marker(target, is_ready=False)
            descriptor = os.open(target / preflight.DATA, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                self._environment.copy(descriptor)
            finally:
                os.close(descriptor)
            preflight.write_marker(target, is_ready=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out for the length of a `with` block (I3).

        Raises:
            StoreBusy: another process has the store open.
        """
        self._usable()
        self._refuse_readonly()
        assert self.locks is not None  # readonly is refused above
        if not self.locks.take(locks.OPEN):
            raise StoreBusy(f"{self.path} is open in another process; close it there, compact needs the store alone")
        try:
            yield
        finally:
            self.locks.take(locks.OPEN, shared=True)

    def rewrite(self) -> None:
        """Write every entry into a fresh file and put that in place of the old: no byte of what was deleted remains.

        Entry by entry: LMDB's own copy keeps the unused parts of pages, where deleted values still stand. For the
        inside of an `alone` block. A crash leaves the old file or the new one.

        Raises:
            StoreBusy: a thread of this process stays inside a transaction.
        """
        self._usable()
        with self._environment.gate.alone(), translated(self.path):
            self._rewrite()

    @property
    def is_open(self) -> bool:
        """Neither closed nor the copy of a parent process."""
        return self._trouble is None

    def stats(self) -> dict[str, int]:
        """Sizes in bytes, readers, and the number of entries of each table; O(1)."""
        self._usable()
        found = self._environment.stats()
        with self.snapshot() as snapshot:
            for table in TABLES:
                found[f"{table}_entries"] = snapshot.count(table)
                found[f"{table}_bytes"] = snapshot.bytes_of(table)
        return found

    def close(self) -> None:
        """Unmap the file and free the locks; again does nothing. Waits for open transactions of other threads."""
        if self._trouble is not None:
            return
        with self._environment.gate.alone():
            if self._take_down():
                self._environment.close()
                if self.locks is not None:
                    self.locks.close()

    # --- inside ---

    def _take_down(self) -> bool:
        """Note that the store is closed; False when it was already."""
        was_open = self._trouble is None
        self._trouble = self._trouble or StoreClosed
        return was_open

    def _prepare(self) -> Environment:
        """Take the locks, make what is missing, look at the pages, map."""
        writable = not self.readonly
        try:
            self.locks = locks.LockFile(self.path / preflight.LOCK, writable=writable)
        except OSError:
            if writable:
                raise
            self.locks = None  # readonly and never written by a process that could: nobody to lock out
        try:
            self._lock(locks.OPEN, "rewriting", OPEN_TIMEOUT_S, shared=True)
            return self._map() if self.readonly else self._make_and_map()
        except BaseException:
            if self.locks is not None:
                self.locks.close()
            raise

    def _make_and_map(self) -> Environment:
        """Map the file, with the lock of creation in hand so that two processes do not make it at once."""
        assert self.locks is not None  # opened for writing
        self._lock(locks.CREATE, "opening", OPEN_TIMEOUT_S)
        try:
            marker = preflight.read_marker(self.path)
            if marker is not None and marker.is_ready:
                return self._map()
            preflight.write_marker(self.path, is_ready=False)
            (self.path / preflight.DATA).unlink(missing_ok=True)  # of a creation that was cut short: never committed to
            environment = self._map()
            preflight.write_marker(self.path, is_ready=True)
            return environment
        finally:
            self.locks.release(locks.CREATE)

    def _map(self) -> Environment:
        """Look at the pages, then map them. To LMDB, opening the tables is a write transaction: hence the lock."""
        if (self.path / preflight.DATA).exists():
            preflight.check_pages(self.path)
        elif self.readonly:
            raise StoreDamaged(f"{self.path / preflight.DATA} is missing; restore the store from a backup")
        if not self.readonly:
            self._lock(locks.WRITE, "writing", WRITE_TIMEOUT_S)
        try:
            return Environment(
                self.path, TABLES, readonly=self.readonly, durability=self._durability, map_bytes=self._map_bytes
            )
        finally:
            if self.locks is not None and not self.readonly:
                self.locks.release(locks.WRITE)

    def _usable(self) -> None:
        if self._trouble is None:
            return
        if self._trouble is StoreForked:
            raise StoreForked(f"{self.path} was opened by the parent of this process; open it again here")
        raise StoreClosed(f"{self.path} was closed; open it again")

    def _lock(self, byte: int, doing: str, timeout_s: float, *, shared: bool = False) -> None:
        """Take a byte of the lock file, where there is one, or say who is in the way."""
        if self.locks is not None and not self.locks.wait(byte, shared=shared, timeout_s=timeout_s):
            raise StoreBusy(f"{self.path}: another process has been {doing} it for {timeout_s:.0f} s; try again later")

    def _refuse_readonly(self) -> None:
        if self.readonly:
            raise StoreReadonly(f"{self.path} was opened for reading; open it without readonly=True")

    def _begin_write(self) -> None:
        """Take both locks of writing (I2), and see that there is room and that no dead reader pins pages."""
        self._usable()
        self._refuse_readonly()
        me = threading.get_ident()
        if self._writer == me:
            raise StoreError("a batch inside a batch of the same thread; use the outer one")
        if not self._writing.acquire(timeout=WRITE_TIMEOUT_S):
            raise StoreBusy(f"{self.path}: another thread has been writing for {WRITE_TIMEOUT_S:.0f} s; try again")
        try:
            self._usable()
            self._writes += 1
            if not self._writes % _READER_CHECK_EVERY:
                self._environment.check_readers()
            if not self._environment.has_room():
                self._make_room()
            self._lock(locks.WRITE, "writing", WRITE_TIMEOUT_S)
        except BaseException:
            self._writing.release()
            raise
        self._writer = me

    def _end_write(self) -> None:
        self._writer = 0
        if self.locks is not None and self._trouble is None:
            self.locks.release(locks.WRITE)
        self._writing.release()

    def _make_room(self) -> None:
        """Grow the map ahead of need; a transaction that still has room may go on where it cannot."""
        try:
            self._environment.grow()
        except (StoreBusy, StoreFull):
            return

    def _rewrite(self) -> None:
        """Copy into a new environment beside the file, put it in place, map it. The caller is alone."""
        fresh_path = self.path / "rewrite.tmp"
        shutil.rmtree(fresh_path, ignore_errors=True)
        fresh_path.mkdir(mode=0o700)
        fresh = Environment(
            fresh_path, TABLES, readonly=False, durability="unsafe", map_bytes=self._environment.map_bytes
        )
        try:
            for table in TABLES:
                self._environment.copy_table(table, fresh, _COPY_BATCH)
            fresh.sync()
        finally:
            fresh.close()
        self._environment.close()
        try:
            (fresh_path / preflight.DATA).replace(self.path / preflight.DATA)
            preflight.sync_directory(self.path)
        finally:
            self._environment.reopen()
            shutil.rmtree(fresh_path, ignore_errors=True)

    def _forget_after_fork(self) -> None:
        """Mark this copy as the parent's, and drop our descriptors of the lock file: the parent keeps its own (I4)."""
        if self._trouble is None:
            self._trouble = StoreForked
            if self.locks is not None:
                self.locks.close()
            _kept_by_children.append(self._environment)


def _nothing() -> None:
    """End of a snapshot: nothing to give back."""


# In a child, LMDB's environment must neither be used nor closed: it is kept out of the garbage collector's reach.
_kept_by_children: list[Environment] = []


def _after_fork_in_child() -> None:
    global _opened_lock  # noqa: PLW0603 - the parent may have held it
    _opened_lock = threading.Lock()
    for store in list(_opened.values()):
        store._forget_after_fork()  # noqa: SLF001 - our own class
    _opened.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
