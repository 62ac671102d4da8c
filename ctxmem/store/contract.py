"""What the floors above know of a store: named tables of ordered keys, read through snapshots and written by `write`.

A second engine implements these three protocols; `docs/architecture.md` says what it must write, and
`tests/contract/test_store_contract.py` is the proof that it did.

I1. Nothing handed out outlives its `with` block: values and keys are copies, but for `view` and `views`.
I2. What is read is what was written: an engine that cannot say so raises `StoreDamaged`.
I3. A commit is all or nothing, and on disk when `write` returns, as far as `Options.durability` says.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from os import PathLike
from typing import Protocol, TypeVar

from ctxmem.segment import Problem

T = TypeVar("T")

MAX_KEY_BYTES = 511


def after(prefix: bytes) -> bytes | None:
    """Return the first key after all that start with a prefix; None when there is none.

    >>> after(b"ab"), after(b"a" + bytes([255])), after(b"")
    (b'ac', b'b', None)
    """
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


class Snapshot(Protocol):
    """One consistent state of every table. For one thread at a time; keep it short: it pins what an engine would free.

    Keys of a table are ordered as bytes; ranges are start <= key < stop, and a stop of None is the end of the table.
    Every method raises `StoreClosed` outside the `with` block.
    """

    @property
    def number(self) -> int:
        """The head that this is the state of; in a batch, the one that its commit will make."""

    def get(self, table: str, key: bytes, *, verify: bool | None = None) -> bytes | None:
        """Return the value, or None.

        Parameters:
            verify: whether its checksum is tested; by default in every table but those in `UNCHECKED`.

        Raises:
            StoreDamaged: the value is not what was written.
        """

    def get_many(self, table: str, keys: Iterable[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys; None for each that is missing."""

    def view(self, table: str, key: bytes) -> memoryview | None:
        """Return the value unverified, read-only, and valid inside the `with` block only: no copy where that can be."""

    def views(self, table: str, keys: Iterable[bytes]) -> list[memoryview | None]:
        """Return a `view` for each of many keys; fastest in the order of the keys."""

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
        """Yield the entries of a range, in key order or from the last; the table must not change meanwhile."""

    def keys(self, table: str, start: bytes = b"", stop: bytes | None = None) -> Iterator[bytes]:
        """Yield the keys of a range in order; the table must not change meanwhile."""

    def floor(self, table: str, key: bytes) -> tuple[bytes, bytes] | None:
        """Return the entry with the largest key that is not above `key`, or None."""

    def last(self, table: str) -> tuple[bytes, bytes] | None:
        """Return the entry with the largest key, or None."""

    def count(self, table: str) -> int:
        """Return how many entries a table has."""

    def unsound(self, table: str) -> Iterator[bytes]:
        """Yield the keys whose values are not what was written: reads the whole table."""


class Batch(Snapshot, Protocol):
    """What `write` gives to `apply`: reads see its own writes, nobody else sees them before the commit."""

    @property
    def slot(self) -> int | None:
        """The writer slot that the store holds, the one held last where there are several; None: none."""

    @property
    def clock(self) -> int:
        """A Lamport number for what is changed here: above that of every batch whose writes this one can see."""

    def put(self, table: str, key: bytes, value: bytes, *, append: bool = False) -> None:
        """Store a value under a key of 1 to 511 bytes.

        Parameters:
            append: the key is above all others of its table; an engine may use that, and refuses what is not so.

        Raises:
            StoreError: a bad key, or one appended out of order.
            StoreFull: no room; nothing of the batch is kept.
        """

    def delete(self, table: str, key: bytes) -> bool:
        """Delete an entry; return whether there was one."""

    def delete_range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, limit: int | None = None
    ) -> int:
        """Delete the first entries of a range, at most `limit`; return how many there were."""


class Store(Protocol):
    """One open store. Every method is safe from any thread."""

    @property
    def name(self) -> str:
        """What messages call the store: a path, or an address."""

    @property
    def readonly(self) -> bool:
        """Whether it was opened for reading; `write`, `alone` and what is held raise or refuse then."""

    @property
    def is_open(self) -> bool:
        """Whether it can be used: neither closed, nor inherited by a forked child."""

    @property
    def head(self) -> int:
        """A number that has risen whenever a snapshot taken now may hold more than one taken before; 1 us."""

    def ensure_usable(self) -> None:
        """Raise `StoreClosed`, or `StoreForked` in a child process, where it cannot be used."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Return a snapshot for a `with` block without a `yield`. May be nested, in an `apply` too."""

    def write(self, apply: Callable[[Batch], T]) -> T:
        """Run `apply` on a batch, commit what it wrote, and return what it returned.

        `apply` may be run more than once, each time on a fresh batch: after a lack of room that could be mended, or
        after another writer changed what it had read. It changes nothing but the batch. An exception rolls back.

        Raises:
            StoreReadonly: opened for reading.
            StoreBusy: others wrote for a minute.
            StoreFull: no room; nothing was written.
            StoreGone: what the store is kept in was removed; nothing was written.
            StoreError: an `apply` inside an `apply` of the same thread.
        """

    # --- what one open store holds, and loses with its process, however that ends ---

    def hold_slot(self, bound: int) -> int | None:
        """Hold the lowest writer slot below `bound` that no open store holds; None where there is none."""

    def release_slot(self, slot: int) -> None:
        """Give a slot back; nothing happens when it is not held."""

    def is_slot_alive(self, slot: int) -> bool:
        """Return whether any open store, this one among them, holds a slot."""

    def hold_maintenance(self, block: int | None = None) -> bool:
        """Hold the maintenance of one block, or of all (None); return whether it was free. Never waits.

        A block is free where nobody holds it and nobody holds all; all are free where nobody holds any. Other callers
        of this open store count too.
        """

    def release_maintenance(self, block: int | None = None) -> None:
        """Give back what `hold_maintenance` of the same block has taken."""

    # --- the whole store ---

    def alone(self, act: Callable[[], T]) -> T:
        """Do something while every other open store of the same data is kept out; return what it returned.

        Raises:
            StoreBusy: there is one.
        """

    def rewrite(self) -> None:
        """Leave no byte of what was deleted; to be called inside `alone`. A crash leaves the store sound.

        Raises:
            StoreBusy: a thread of this process stays inside a snapshot.
            StoreFull: no room for the copy; the store is as it was.
        """

    def backup(self, path: str | PathLike[str]) -> None:
        """Write a consistent copy that opens as a store into a new or empty directory. On disk when this returns."""

    def check(self) -> list[Problem]:
        """Return what is wrong below the tables; empty when every entry can be read without harm. Reads everything."""

    def stats(self) -> dict[str, int]:
        """Return sizes, and the entries of each table, as `<table>_entries`; O(1)."""

    def drop(self) -> None:
        """Announce that nobody refers to the store any more and that it closes soon.

        `open` of the same store in this process waits for that.
        """

    def close(self) -> None:
        """Give everything back; a second call does nothing. Waits for open snapshots and batches of other threads."""
