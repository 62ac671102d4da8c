"""LMDB as ctxmem uses it: opening, growing, copying, and the one table that turns its errors into ours.

Owns the import of lmdb and every flag given to it.

I1. No lmdb error leaves the package: each call is made inside `translated`, or its error passes `translate`.
I2. The map grows through the gate only, with no transaction of this process open.
I3. A forked child neither uses nor closes the environment that it inherited, not even at its end: reader slots and
    locks are the parent's. The child opens the file anew, with a reader slot and descriptors of its own.

It does not know tables or checksums.
"""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import lmdb
from lmdb import _envid

from ctxmem.errors import (
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreForked,
    StoreFull,
    StoreGone,
    StoreReadonly,
)
from ctxmem.options import Durability
from ctxmem.store.gate import Gate, Visitor
from ctxmem.store.preflight import DATA

LmdbError = lmdb.Error
Transaction: TypeAlias = Any  # lmdb has no type hints

MAX_READERS = 512
_READER_TABLE = "lock.mdb"
_READER_TABLE_BYTES = 192 + 64 * (MAX_READERS - 1)  # the size that LMDB gives it
_LARGEST_MAP = 1 << 40
_SMALLEST_MAP = 1 << 26
_TERABYTE_STEP = 2  # a refused reservation is tried again at half the size
_ROOM_LOW = 256 << 20  # grow before a transaction when less than this, or a quarter of the map, is left

# lmdb's class -> ours, and what to do about it.
_ERRORS: tuple[tuple[type[Exception], type[StoreError], str], ...] = (
    (lmdb.MapFullError, StoreFull, "the address space reserved for it is used up; raise Options.map_bytes"),
    (lmdb.ReadersFullError, StoreBusy, f"more than {MAX_READERS} readers at once; close some"),
    (lmdb.ReadonlyError, StoreReadonly, "it was opened for reading; open it without readonly=True"),
    (lmdb.VersionMismatchError, StoreDamaged, "another version of LMDB wrote the file; restore it from a backup"),
    (lmdb.InvalidError, StoreDamaged, "the file is not LMDB's; restore it from a backup"),
    (lmdb.CorruptedError, StoreDamaged, "a page is not what was written; restore the store from a backup"),
    (lmdb.PageNotFoundError, StoreDamaged, "a page is missing; restore the store from a backup"),
    (lmdb.PanicError, StoreDamaged, "an earlier write failed half-way; close and open the store again"),
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def translate(exc: Exception, path: Path) -> StoreError:
    """Return our error for one of lmdb's; the caller raises it `from` that."""
    for theirs, ours, remedy in _ERRORS:
        if isinstance(exc, theirs):
            return ours(f"{path}: {remedy} ({exc})")
    code = getattr(exc, "code", None) or getattr(exc, "errno", None)
    code = code or next((e for e in errno.errorcode if str(exc).endswith(os.strerror(e))), 0)
    if code in _FULL or (code == errno.EIO and _is_full(path)):
        return StoreFull(
            f"{path}: the disk has no room; free some and call again, nothing of this call was written ({exc})"
        )
    if code == errno.EROFS:
        return StoreReadonly(f"{path}: the file system is read-only; open with readonly=True ({exc})")
    if code in (errno.EACCES, errno.EPERM):
        return StoreReadonly(
            f"{path}: this user may not write {DATA} and lock.mdb (readers need lock.mdb too); "
            f"change the mode, or copy the store ({exc})"
        )
    if code in (errno.EAGAIN, errno.EBUSY):
        return StoreBusy(
            f"{path}: another process with the same process id has it open; "
            f"containers that share a store must share the pid namespace ({exc})"
        )
    if "closed" in str(exc):
        return StoreClosed(f"{path}: it was closed; open it again ({exc})")
    return StoreError(f"{path}: {exc}")


def is_map_full(exc: StoreError) -> bool:
    """Say whether an error means that the map, not the disk, is too small."""
    return isinstance(exc.__cause__, lmdb.MapFullError)


def _is_full(path: Path) -> bool:
    """Say whether the file system has under 1 MB left: LMDB reports a short write as an input/output error."""
    try:
        facts = os.statvfs(path)
    except OSError:
        return False
    return facts.f_bavail * facts.f_frsize < 1 << 20 or not facts.f_favail


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn lmdb's errors into ours (I1)."""
    try:
        yield
    except (lmdb.Error, OSError) as exc:
        if isinstance(exc, StoreError):
            raise
        raise translate(exc, path) from exc


class Environment:
    """One open LMDB environment with its tables. The caller of `begin` ends the transaction with `end`."""

    def __init__(
        self, path: Path, tables: Sequence[str], *, readonly: bool, durability: Durability, map_bytes: int
    ) -> None:
        self.path = path
        self._names = tuple(tables)
        self._flags: dict[str, Any] = {
            "readonly": readonly,
            "sync": durability != "unsafe",
            "metasync": durability == "full",
        }
        self.gate = Gate()
        self.tables: dict[str, Any] = {}
        self.map_bytes = map_bytes or _LARGEST_MAP
        self.growths = 0  # how often the map was resized
        self.slot: int | None = None  # the writer slot that the store holds
        self.before = 0  # transactions of the files that rewrites replaced: numbers rise across them
        self._env: Any = None
        self._is_mapped = False
        self._is_inherited = False  # I3
        self._file = -1  # the data file, to see whether it was removed
        self.reopen()

    def reopen(self) -> None:
        """Map the file as it is now; the one before was closed. No other thread may be inside a transaction."""
        self._allocate_reader_table()
        self._env = self._reserve(self.map_bytes)
        self._is_mapped = True
        try:
            self._open_tables()
            self.map_bytes = self._env.info()["map_size"]
            self._file = os.open(self.path / DATA, os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            self.close()
            raise

    def _allocate_reader_table(self) -> None:
        """Give LMDB's reader table its blocks: it is mapped, and a page without room on the disk ends the process.

        A table that exists keeps its size: other processes have it mapped. Where we may not write, LMDB says so itself.

        Raises:
            StoreFull: no room.
        """
        if not hasattr(os, "posix_fallocate"):
            return
        with translated(self.path), suppress(PermissionError):
            try:
                descriptor = os.open(self.path / _READER_TABLE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as exc:
                if exc.errno == errno.EROFS:
                    return
                raise
            try:
                os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size or _READER_TABLE_BYTES)
            finally:
                os.close(descriptor)

    def _reserve(self, wanted: int) -> Any:
        """Open with as much address space as the system gives: less under RLIMIT_AS or an overcommit bound."""
        size = max(wanted, _SMALLEST_MAP)
        while True:
            try:
                return lmdb.open(
                    str(self.path),
                    map_size=size,
                    max_dbs=len(self._names) + 1,
                    max_readers=MAX_READERS,
                    mode=0o600,
                    **self._flags,
                )
            except (lmdb.Error, MemoryError) as exc:
                no_room = isinstance(exc, (MemoryError, lmdb.MemoryError)) or getattr(exc, "code", 0) == errno.ENOMEM
                if no_room and size > _SMALLEST_MAP:
                    size //= _TERABYTE_STEP
                    continue
                if isinstance(exc, lmdb.ReadonlyError):
                    raise self._not_permitted() from exc
                raise translate(exc, self.path) from exc

    def _not_permitted(self) -> StoreReadonly:
        """Return the error for a user without write permission: readers need it too, on the reader table."""
        if self._flags["readonly"]:
            table = self.path / _READER_TABLE
            return StoreReadonly(
                f"{self.path}: a reader notes in {_READER_TABLE} what writers must keep for it, and this user may not; "
                f"let the owner run `touch {table}; chmod a+rw {table}`, or copy the directory and open the copy"
            )
        return StoreReadonly(f"{self.path}: this user may not write {DATA}; change its mode, or open it for reading")

    def _open_tables(self) -> None:
        """Open every table, and make those that are missing unless opened for reading.

        The caller holds the store's write lock (`writelock`) unless it opens for reading.
        """
        with translated(self.path):
            if self._flags["readonly"]:
                self.tables = {name: self._env.open_db(name.encode(), create=False) for name in self._names}
                return
            self._env.reader_check()
            with self._env.begin(write=True) as transaction:
                self.tables = {name: self._env.open_db(name.encode(), txn=transaction) for name in self._names}

    @property
    def head(self) -> int:
        """The last committed transaction's id; 0.6 us."""
        found: int = self._env.info()["last_txnid"]
        return found + self.before

    def begin(self, visitor: Visitor, *, write: bool) -> Transaction:
        """Open a transaction behind the gate; follows a map that another process has grown."""
        try:
            self.gate.enter(visitor)
            try:
                return self._env.begin(write=write, buffers=True)
            except lmdb.MapResizedError:
                self.gate.leave(visitor)
            self.resize(0)
            self.gate.enter(visitor)
            return self._env.begin(write=write, buffers=True)
        except lmdb.Error as exc:
            self.gate.leave(visitor)
            raise translate(exc, self.path) from exc
        except BaseException:
            self.gate.leave(visitor)
            raise

    def end(self, visitor: Visitor, transaction: Transaction, *, commit: bool) -> None:
        """Commit or abort, where it was begun, and leave the gate whatever happens; to abort again does nothing.

        Raises:
            StoreGone: the file was removed since it was opened; nothing is committed. A system call, 0.5 us.
            StoreForked: the process was forked meanwhile, and this is the child; its parent may still commit.
        """
        if self._is_inherited:
            if commit:
                raise StoreForked(f"{self.path}: it was begun by the parent of this process; open the store again here")
            return
        try:
            is_gone = commit and not os.fstat(self._file).st_nlink
            if commit and not is_gone:
                transaction.commit()
            elif transaction is not None:
                transaction.abort()
            if is_gone:
                raise StoreGone(
                    f"{self.path}: {DATA} was removed while it was open; what was not flushed before is not on disk "
                    "and cannot be. Restore the store from a backup, or open a new one and say it again"
                )
        except lmdb.Error as exc:
            raise translate(exc, self.path) from exc
        finally:
            self.gate.leave(visitor)

    def has_room(self) -> bool:
        """Say whether the map has room for a usual transaction."""
        info = self._env.info()
        used: int = (info["last_pgno"] + 1) * self._env.stat()["psize"]
        return used + min(_ROOM_LOW, self.map_bytes // 4) <= self.map_bytes

    def resize(self, map_bytes: int) -> None:
        """Set the size of the map (0: what another process has set), alone in this process (I2)."""

        def act() -> None:
            self._env.set_mapsize(map_bytes)
            self.map_bytes = self._env.info()["map_size"]
            self.growths += 1

        with translated(self.path):
            self.gate.alone(act)

    def grow(self) -> None:
        """Double the map.

        Raises:
            StoreFull: the system gives no more.
        """
        try:
            self.resize(2 * self.map_bytes)
        except StoreError as exc:
            if isinstance(exc, (StoreBusy, StoreClosed)):
                raise
            raise StoreFull(
                f"{self.path}: the map cannot grow beyond {self.map_bytes} bytes; raise the address space limit"
            ) from exc

    def copy(self, descriptor: int) -> None:
        """Write a consistent copy into an open file, without free pages; other transactions go on."""
        with translated(self.path):
            self._env.copyfd(descriptor, compact=True)
            os.fsync(descriptor)

    def stats(self) -> dict[str, int]:
        """Return sizes in bytes, and the number of readers at work."""
        with translated(self.path):
            info, stat = self._env.info(), self._env.stat()
            return {
                "map_bytes": info["map_size"],
                "used_bytes": (info["last_pgno"] + 1) * stat["psize"],
                "file_bytes": (self.path / DATA).stat().st_size,
                "readers": sum(1 for line in self._env.readers().splitlines()[1:] if line.strip()),
                "transaction": info["last_txnid"],
            }

    def check_readers(self) -> int:
        """Free the places of readers that died; return how many there were."""
        with translated(self.path):
            found: int = self._env.reader_check()
            return found

    def copy_table(self, name: str, target: "Environment", batch_bytes: int) -> None:
        """Append every entry of a table, values as they are stored, to an empty table of another environment."""
        with (
            translated(self.path),
            self._env.begin(buffers=True) as source,
            source.cursor(db=self.tables[name]) as entries,
        ):
            is_on = entries.first()
            while is_on:
                is_on = target.append_from(name, entries, batch_bytes)

    def append_from(self, name: str, entries: Any, batch_bytes: int) -> bool:
        """Append entries from a cursor in one transaction of about `batch_bytes`; say whether the cursor has more."""
        with translated(self.path), self._env.begin(write=True) as transaction:
            written, is_on = 0, True
            while is_on and written < batch_bytes:
                key, value = entries.item()
                if not transaction.put(bytes(key), bytes(value), append=True, db=self.tables[name]):
                    raise StoreDamaged(
                        f"{self.path}: table {name} is out of order at key {bytes(key).hex()}; run check"
                    )
                written += len(key) + len(value)
                is_on = entries.next()
        return is_on

    def sync(self) -> None:
        """Flush to disk, whatever the durability."""
        with translated(self.path):
            self._env.sync(True)  # noqa: FBT003 - lmdb's positional flag

    def leave_to_parent(self) -> None:
        """Give up the environment in a forked child, without touching LMDB (I3)."""
        self._is_inherited = True
        self.gate = Gate()  # another thread of the parent may have held its lock
        os.close(self._file)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._env))  # never dropped: the child must never close it

    def close(self) -> None:
        """Unmap the file; a second call does nothing. The caller has seen to it that no transaction is open."""
        if self._is_mapped:
            before = self.head
            self._is_mapped, self.before = False, before
        self._env.close()
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


_keys_of_files: Callable[..., tuple[tuple[Any, ...], ...]] = _envid.env_keys


def _open_anew() -> None:
    """Allow a forked child to open what its parent has open.

    lmdb refuses to open a file twice by a list of files, and the child has inherited that list.
    """
    pid = os.getpid()
    _envid.env_keys = lambda *arguments: tuple((pid, *key) for key in _keys_of_files(*arguments))


os.register_at_fork(after_in_child=_open_anew)
