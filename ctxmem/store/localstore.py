"""One open store on this machine: a directory with one LMDB environment, used by any thread of the process.

I1. A directory that is not ours is not changed; a suspect file is not mapped (preflight).
I2. Every open store holds the byte OPEN; `rewrite` runs only where no other does.
I3. After a fork the child's copy answers with StoreForked and never touches LMDB, whose locks are the parent's.

It does not know what the tables hold.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ctxmem.errors import (
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
from ctxmem.segment import Problem
from ctxmem.store import copying, inspection, locks, preflight
from ctxmem.store.environment import Environment, is_map_full, translated
from ctxmem.store.holding import Holdings
from ctxmem.store.registry import REGISTRY
from ctxmem.store.tables import TABLES
from ctxmem.store.transactions import LocalBatch, LocalSnapshot
from ctxmem.store.writelock import WriteLock

T = TypeVar("T")

OPEN_TIMEOUT_S = 10.0
_READER_CHECK_EVERY = 256  # writes: a killed reader pins old pages until its place is freed


class LocalStore:
    """The `Store` of one directory. Every method is safe from any thread."""

    def __init__(self, path: Path, *, readonly: bool, durability: Durability, map_bytes: int) -> None:
        self.path = path
        self.readonly = readonly
        self._durability: Durability = durability
        self._map_bytes = map_bytes
        self._trouble: type[StoreError] | None = None
        self._is_dropped = False  # nobody refers to it any more, and it is about to be closed
        self._is_down = False  # the file is unmapped and all locks are free
        self._writes = 0
        self._locks = self._lock_file()
        self._holdings = None if self._locks is None or readonly else Holdings(self._locks)
        self._writing = None if self._locks is None or readonly else WriteLock(self._locks, path)
        self._environment = self._prepare()

    @staticmethod
    def open(
        path: str | os.PathLike[str], *, readonly: bool = False, durability: Durability = "full", map_bytes: int = 0
    ) -> "LocalStore":
        """Open a store, made where the directory is missing or empty. About 1 ms, whatever it holds.

        Raises:
            NotAStore: the path is a file, holds something else, or is missing and was to be read.
            FormatMismatch: a ctxmem of another format wrote it.
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
        with translated(where):
            if not readonly:
                where.mkdir(mode=0o700, parents=True, exist_ok=True)
            return REGISTRY.open(
                where, lambda: LocalStore(where, readonly=readonly, durability=durability, map_bytes=map_bytes)
            )

    @property
    def name(self) -> str:
        """The path of the directory."""
        return str(self.path)

    # --- reading and writing ---

    def snapshot(self) -> LocalSnapshot:
        """Return a short read transaction, for a `with` block; 1 us. May be nested, in a batch too."""
        return LocalSnapshot(self._environment, self._begin_read, _nothing)

    def batch(self) -> LocalBatch:
        """Return a write transaction, for a `with` block: on disk when the block ends, rolled back by an exception.

        Raises:
            StoreReadonly: opened for reading.
            StoreBusy: another process or thread wrote for a minute.
            StoreFull: no room; nothing was written. The map has then grown, if it could: a second try may succeed.
        """
        return LocalBatch(self._environment, self._begin_write, self._end_write)

    def write(self, apply: Callable[[LocalBatch], T]) -> T:
        """Run `apply` in a batch; run it again, in a new batch, when the map was too small and could grow."""
        while True:
            grown = self._environment.growths
            batch = self.batch()
            try:
                try:
                    batch.begin()
                    found = apply(batch)
                    batch.end(commit=True)
                    return found
                finally:
                    batch.end(commit=False)  # does nothing after a commit
            except StoreFull as exc:
                if not is_map_full(exc):
                    raise
                if grown == self._environment.growths:
                    self._environment.grow()
            finally:
                batch.end(commit=False)  # again: an interrupt may have skipped the inner one

    def ensure_usable(self) -> None:
        """Raise `StoreClosed`, or `StoreForked` in a child process, where it cannot be used; 0.1 us."""
        self._usable()

    @property
    def head(self) -> int:
        """The last committed transaction's id, of any process; 0.7 us."""
        self._usable()
        return self._environment.head

    # --- what is held ---

    def hold_slot(self, bound: int) -> int | None:
        """Hold the lowest free writer slot below `bound`; None when there is none, or for reading."""
        self._usable()
        slot = None if self._holdings is None else self._holdings.hold_slot(bound)
        if slot is not None:
            self._environment.slot = slot
        return slot

    def release_slot(self, slot: int) -> None:
        """Give a slot back; nothing happens when it is not held."""
        if self._holdings is not None and self._trouble is None:
            self._holdings.release_slot(slot)
            if self._environment.slot == slot:
                self._environment.slot = None

    def is_slot_alive(self, slot: int) -> bool:
        """Say whether any open store, this one among them, holds a slot."""
        return self._locks is not None and (
            self._locks.is_held_elsewhere(locks.FIRST_SLOT + slot)
            if self._holdings is None
            else self._holdings.is_slot_alive(slot)
        )

    def hold_maintenance(self, block: int | None = None) -> bool:
        """Hold the maintenance of a block, or of all (None); say whether it was free. Never waits."""
        self._usable()
        return self._holdings is not None and self._holdings.hold_maintenance(block)

    def release_maintenance(self, block: int | None = None) -> None:
        """Give the maintenance of a block, or of all, back."""
        if self._holdings is not None and self._trouble is None:
            self._holdings.release_maintenance(block)

    # --- the whole store ---

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy into a new or empty directory; appends go on meanwhile. On disk when this returns."""
        self._usable()
        copying.backup(self._environment, Path(os.fsdecode(path)).absolute())

    def alone(self, act: Callable[[], T]) -> T:
        """Do something while other processes are kept out (I2).

        Raises:
            StoreBusy: another process has the store open.
        """
        self._usable()
        self._refuse_readonly()
        assert self._locks is not None  # readonly is refused above
        try:
            try:
                if not self._locks.take(locks.OPEN):
                    raise StoreBusy(
                        f"{self.path} is open in another process; close it there, compact needs the store alone"
                    )
                return act()
            finally:
                self._locks.take(locks.OPEN, shared=True)
        finally:
            self._locks.take(locks.OPEN, shared=True)  # an interrupt on the way into the first one may have skipped it

    def rewrite(self) -> None:
        """Put a fresh file in place of the old, so that no byte of what was deleted remains; see `copying.rewrite`.

        To be called inside `alone`.

        Raises:
            StoreBusy: a thread of this process stays inside a transaction.
        """
        self._usable()
        with translated(self.path):
            self._environment.gate.alone(lambda: copying.rewrite(self._environment))

    def check(self) -> list[Problem]:
        """Return what is wrong with the pages of the file, read without LMDB: see `inspection`.

        Raises:
            StoreBusy: others commit all the time, and it is open for reading, so they cannot be kept waiting.
        """
        self._usable()
        found = inspection.inspect(self.path)
        if found is None and self._writing is not None:
            try:
                self._writing.take(id(self))
                found = inspection.inspect(self.path)
            finally:
                self._writing.release(id(self))
        if found is None:
            raise StoreBusy(f"{self.path} is written to all the time; check it again later, or check a backup")
        return found

    @property
    def is_open(self) -> bool:
        """Whether it is neither closed nor a forked child's copy."""
        return self._trouble is None

    def stats(self) -> dict[str, int]:
        """Return sizes in bytes, readers, and the number of entries of each table; O(1)."""
        self._usable()
        found = self._environment.stats()
        with self.snapshot() as snapshot:
            for table in TABLES:
                found[f"{table}_entries"] = snapshot.count(table)
                found[f"{table}_bytes"] = snapshot.bytes_of(table)
        return found

    @property
    def holds_file(self) -> bool:
        """Whether LMDB still has the file open here: a little longer than the store is open."""
        return not self._is_down

    @property
    def is_leaving(self) -> bool:
        """Whether it gives the file back by itself: it is being closed, or nobody refers to it any more."""
        return self._is_dropped or self._trouble is not None

    def drop(self) -> None:
        """Announce that the store is closed once what is queued is on disk: an `open` of the path waits for that."""
        self._is_dropped = True

    def close(self) -> None:
        """Unmap the file and free the locks; a second call does nothing. Waits for other threads' transactions."""
        if self._is_down or self._trouble is StoreForked:
            return
        self._environment.gate.alone(self._let_go)

    # --- inside ---

    def _let_go(self) -> None:
        self._trouble = self._trouble or StoreClosed
        self._environment.close()
        self._close_locks()
        self._is_down = True  # last: an interrupt leaves the rest for the next call

    def _close_locks(self) -> None:
        if self._writing is not None:
            self._writing.close()
        if self._locks is not None:
            self._locks.close()

    def _lock_file(self) -> locks.LockFile | None:
        """Open the lock file; None where there is none and the store is only read: then nobody writes it either."""
        try:
            return locks.LockFile(self.path / preflight.LOCK, writable=not self.readonly)
        except OSError:
            if not self.readonly:
                raise
            return None

    def _prepare(self) -> Environment:
        """Take the locks, make what is missing, look at the pages, map."""
        try:
            self._lock(locks.OPEN, "rewriting", OPEN_TIMEOUT_S, shared=True)
            return self._map() if self.readonly else self._make_and_map()
        except BaseException:
            self._close_locks()
            raise

    def _make_and_map(self) -> Environment:
        """Map the file, made where it is missing; the byte CREATE is held, so that two processes do not make it."""
        assert self._locks is not None  # opened for writing
        self._lock(locks.CREATE, "opening", OPEN_TIMEOUT_S)
        try:
            marker = preflight.read_marker(self.path)
            if marker is not None and marker.is_ready:
                return self._map()
            preflight.write_marker(self.path, is_ready=False)
            (self.path / preflight.DATA).unlink(missing_ok=True)  # of a creation that was cut short: holds no commit
            environment = self._map()
            preflight.write_marker(self.path, is_ready=True)
            return environment
        finally:
            self._locks.release(locks.CREATE)

    def _map(self) -> Environment:
        """Look at the pages, then map them, holding the write lock: LMDB opens tables in a write transaction."""
        if (self.path / preflight.DATA).exists():
            preflight.check_pages(self.path)
        elif self.readonly:
            raise StoreDamaged(f"{self.path / preflight.DATA} is missing; restore the store from a backup")
        try:
            if self._writing is not None:
                self._writing.take(id(self))
            return Environment(
                self.path, TABLES, readonly=self.readonly, durability=self._durability, map_bytes=self._map_bytes
            )
        finally:
            if self._writing is not None:
                self._writing.release(id(self))

    def _usable(self) -> None:
        if self._trouble is None:
            return
        if self._trouble is StoreForked:
            raise StoreForked(f"{self.path} was opened by the parent of this process; open it again here")
        raise StoreClosed(f"{self.path} was closed; open it again")

    def _lock(self, byte: int, doing: str, timeout_s: float, *, shared: bool = False) -> None:
        """Take a byte of the lock file, where there is one, or raise `StoreBusy` that says what others are doing."""
        until = time.monotonic() + timeout_s
        if self._locks is not None and not self._locks.wait(byte, shared=shared, until=until):
            raise StoreBusy(f"{self.path}: another process has been {doing} it for {timeout_s:.0f} s; try again later")

    def _refuse_readonly(self) -> None:
        if self.readonly:
            raise StoreReadonly(f"{self.path} was opened for reading; open it without readonly=True")

    def _begin_read(self, number: int) -> None:
        del number
        self._usable()

    def _begin_write(self, number: int) -> None:
        """Wait for our turn to write; grow the map where room is short, and free dead readers' places now and then."""
        self._usable()
        if self._writing is None:
            raise StoreReadonly(f"{self.path} was opened for reading; open it without readonly=True")
        if not self._environment.has_room():  # before we take our turn: growing waits for this process's snapshots
            self._make_room()
        self._writing.take(number)
        self._usable()
        self._writes += 1
        if not self._writes % _READER_CHECK_EVERY:
            self._environment.check_readers()

    def _end_write(self, number: int) -> None:
        """Give our turn to write back, where we had it."""
        if self._writing is not None and self._trouble is None:
            self._writing.release(number)

    def _make_room(self) -> None:
        """Grow the map ahead of need; where it cannot grow, go on: the transaction may still have room."""
        try:
            self._environment.grow()
        except (StoreBusy, StoreFull):
            return

    def leave_to_parent(self) -> None:
        """Mark this copy as the parent's, and close our descriptors of the lock file: the parent keeps its own (I3).

        So what the parent holds is free when the parent has ended, even while children live on.
        """
        if self._trouble is None:
            self._trouble = StoreForked
            self._environment.leave_to_parent()
            self._close_locks()


def _nothing(number: int) -> None:
    """End a snapshot: there is nothing to give back."""
    del number
