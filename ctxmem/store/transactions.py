"""A snapshot and a batch of an LMDB environment: `contract` says what they do.

I1. Nothing handed out outlives the transaction: values and keys are copies, but for `view`.
I2. A value is stored with its checksum and handed out without it; small tables are verified at each read.
I3. A put that LMDB does not do raises: LMDB itself only returns False for `append=True` out of order.
I4. Ending twice does nothing, and a snapshot that is garbage has ended: so an exception that a signal handler raised
    on the way in or out keeps nobody waiting. `LocalStore.write` ends each batch twice for that reason.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import currentframe
from types import TracebackType
from typing import Any

from ctxmem.errors import StoreClosed, StoreDamaged, StoreError
from ctxmem.store.environment import Environment, LmdbError, translate
from ctxmem.store.gate import Visitor
from ctxmem.store.tables import CRC_BYTES, UNCHECKED, is_sound, seal


class LocalSnapshot(Visitor):
    """One consistent state of the store, for as long as the `with` block lasts; keep it short, it pins old pages.

    For one thread at a time. A point read costs about 1 us and its checksum 0.3 us a KB.
    """

    _is_write = False
    _is_open = False  # True from before the transaction begins until after all is given back

    def __init__(self, environment: Environment, opening: Callable[[int], None], closed: Callable[[int], None]) -> None:
        """Take `opening` and `closed`, called with this object's id before the transaction and after it."""
        self._environment = environment
        self._tables: Mapping[str, Any] = {}
        self._opening = opening
        self._closed = closed
        self._transaction: Any = None

    def __enter__(self) -> "LocalSnapshot":  # noqa: PYI034 - typing.Self is of 3.11
        self.frame = id(currentframe().f_back)  # type: ignore[union-attr] # CPython has it
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end(commit=False)
        finally:
            self.end(commit=False)  # an interrupt on the way into the first one may have skipped it

    @property
    def number(self) -> int:
        """The id of the transaction that this state is the result of, or that this batch will be."""
        found: int = self._reading().id()
        return found + self._environment.before

    def get(self, table: str, key: bytes, *, verify: bool | None = None) -> bytes | None:
        """Return the value, or None.

        `verify` forces or skips the checksum; by default it is checked in all tables but the run tables.

        Raises:
            StoreDamaged: the value fails its checksum.
        """
        found = self._find(table, key)
        return None if found is None else self._value(table, key, found, verify=verify)

    def get_many(self, table: str, keys: Iterable[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys; None for each that is missing."""
        return [self.get(table, key) for key in keys]

    def view(self, table: str, key: bytes) -> memoryview | None:
        """Return the value where it lies, neither copied nor verified.

        It is read-only, and valid inside the `with` block only.
        """
        found = self._find(table, key)
        return None if found is None else found[:-CRC_BYTES]

    def views(self, table: str, keys: Iterable[bytes]) -> list[memoryview | None]:
        """Return a `view` of each of many keys, at a third of its time; fastest in the order of the keys."""
        get, db = self._reading().get, self._tables[table]
        try:
            return [None if (found := get(key, db=db)) is None else found[:-CRC_BYTES] for key in keys]
        except LmdbError as exc:
            raise self._translated(exc) from exc

    def scan(
        self,
        table: str,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
        verify: bool | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield entries with start <= key < stop, in key order or from the last.

        The table must not change meanwhile.
        """
        left = -1 if limit is None else limit
        if not left:
            return
        try:
            with self._reading().cursor(db=self._tables[table]) as cursor:
                is_on = _place(cursor, start, stop, reverse=reverse)
                move = cursor.prev if reverse else cursor.next
                while is_on and left:
                    key = bytes(cursor.key())
                    if (key < start) if reverse else (stop is not None and key >= stop):
                        return
                    yield key, self._value(table, key, cursor.value(), verify=verify)
                    left -= 1
                    is_on = move()
        except LmdbError as exc:
            raise self._translated(exc) from exc

    def keys(self, table: str, start: bytes = b"", stop: bytes | None = None) -> Iterator[bytes]:
        """Yield keys alone, in order: values are neither copied nor verified."""
        try:
            with self._reading().cursor(db=self._tables[table]) as cursor:
                is_on = _place(cursor, start, stop, reverse=False)
                while is_on:
                    key = bytes(cursor.key())
                    if stop is not None and key >= stop:
                        return
                    yield key
                    is_on = cursor.next()
        except LmdbError as exc:
            raise self._translated(exc) from exc

    def floor(self, table: str, key: bytes) -> tuple[bytes, bytes] | None:
        """Return the entry with the largest key that is not above `key`, or None."""
        try:
            with self._reading().cursor(db=self._tables[table]) as cursor:
                is_on = cursor.set_range(key) if key else False
                if is_on and cursor.key() != key:
                    is_on = cursor.prev()
                elif not is_on and key:
                    is_on = cursor.last()
                if not is_on:
                    return None
                found = bytes(cursor.key())
                return found, self._value(table, found, cursor.value())
        except LmdbError as exc:
            raise self._translated(exc) from exc

    def last(self, table: str) -> tuple[bytes, bytes] | None:
        """Return the entry with the largest key, or None."""
        return next(self.scan(table, reverse=True, limit=1), None)

    def count(self, table: str) -> int:
        """Return how many entries a table has; O(1)."""
        try:
            found: int = self._reading().stat(self._tables[table])["entries"]
        except LmdbError as exc:
            raise self._translated(exc) from exc
        return found

    def bytes_of(self, table: str) -> int:
        """Return how many bytes the pages of a table fill; O(1)."""
        try:
            stat = self._reading().stat(self._tables[table])
        except LmdbError as exc:
            raise self._translated(exc) from exc
        pages: int = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return pages * int(stat["psize"])

    def unsound(self, table: str) -> Iterator[bytes]:
        """Yield the keys whose values fail their checksums; reads the whole table."""
        try:
            with self._reading().cursor(db=self._tables[table]) as cursor:
                for key, value in cursor:
                    if not is_sound(table, bytes(key), value):
                        yield bytes(key)
        except LmdbError as exc:
            raise self._translated(exc) from exc

    def _reading(self) -> Any:
        """Return the open transaction; raise `StoreClosed` where it has ended."""
        if self._transaction is None:
            raise StoreClosed("this snapshot or batch has ended; read inside its `with` block")
        return self._transaction

    def _find(self, table: str, key: bytes) -> Any:
        """Return LMDB's own view of a value, its checksum included."""
        try:
            return self._reading().get(key, db=self._tables[table])
        except LmdbError as exc:
            raise self._translated(exc) from exc

    def _value(self, table: str, key: bytes, found: memoryview, *, verify: bool | None = None) -> bytes:
        """Copy a value out without its checksum (I1, I2)."""
        if (table not in UNCHECKED if verify is None else verify) and not is_sound(table, key, found):
            raise StoreDamaged(
                f"{self._environment.path}: table {table}, key {key.hex()}: the value fails its checksum; "
                "run check, and restore the store from a backup"
            )
        return bytes(found[:-CRC_BYTES])

    def _translated(self, exc: Exception) -> StoreError:
        return translate(exc, self._environment.path)

    def begin(self) -> None:
        """Open the transaction: what `with` does first."""
        self._is_open = True
        try:
            self._opening(id(self))
            self._transaction = self._environment.begin(self, write=self._is_write)
            self._tables = self._environment.tables
        except BaseException:
            self.end(commit=False)
            raise

    def end(self, *, commit: bool) -> None:
        """End the transaction and give back what was taken for it, as `with` does last.

        A second call does nothing (I4).
        """
        if not self._is_open:
            return
        try:
            self._environment.end(self, self._transaction, commit=commit)
        finally:
            self._environment.end(self, self._transaction, commit=False)  # again: an interrupt may have skipped it
            self._closed(id(self))
            self._transaction = None
            self._is_open = False


class LocalBatch(LocalSnapshot):
    """One write transaction: committed where its block ends, rolled back by an exception. Reads see its own writes."""

    _is_write = True

    def __enter__(self) -> "LocalBatch":  # noqa: PYI034 - typing.Self is of 3.11
        self.frame = id(currentframe().f_back)  # type: ignore[union-attr]
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end(commit=kind is None)
        finally:
            self.end(commit=False)

    @property
    def slot(self) -> int | None:
        """The writer slot that the store holds, or None."""
        return self._environment.slot

    @property
    def clock(self) -> int:
        """The transaction's id: LMDB numbers writes one after the other, so it is above that of every one before."""
        found: int = self._reading().id()
        return found

    def put(self, table: str, key: bytes, value: bytes, *, append: bool = False) -> None:
        """Store a value. `append` is for a key above all others of its table: faster, and pages are filled.

        Raises:
            StoreError: LMDB did not store it: a key that is empty or longer than 511 bytes, or appended out of order.
            StoreFull: no room; the whole batch is rolled back.
        """
        try:
            done = self._reading().put(key, seal(table, key, value), append=append, db=self._tables[table])
        except LmdbError as exc:
            raise self._translated(exc) from exc
        if not done:  # I3
            raise StoreError(
                f"{self._environment.path}: table {table}, key {key.hex()} was not stored: appended out of order"
            )

    def delete(self, table: str, key: bytes) -> bool:
        """Delete an entry; say whether there was one."""
        try:
            found: bool = self._reading().delete(key, db=self._tables[table])
        except LmdbError as exc:
            raise self._translated(exc) from exc
        return found

    def delete_range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, limit: int | None = None
    ) -> int:
        """Delete the entries with start <= key < stop, at most `limit`; return how many there were."""
        deleted = 0
        try:
            with self._reading().cursor(db=self._tables[table]) as cursor:
                is_on = _place(cursor, start, stop, reverse=False)
                while is_on and deleted != limit and (stop is None or bytes(cursor.key()) < stop):
                    cursor.delete()
                    deleted += 1
                    is_on = bool(cursor.key())
        except LmdbError as exc:
            raise self._translated(exc) from exc
        return deleted


def _place(cursor: Any, start: bytes, stop: bytes | None, *, reverse: bool) -> bool:
    """Put a cursor on the first entry of a range in the direction of travel; False when the table has none there."""
    if not reverse:
        return bool(cursor.set_range(start) if start else cursor.first())
    if stop is not None and cursor.set_range(stop):
        return bool(cursor.prev())
    return bool(cursor.last())
