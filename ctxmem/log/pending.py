"""The queue of appended records that no commit has covered yet, with the keys that name them.

I1. Ids rise along the queue. A record leaves it from the front, and only when it is on disk.
I2. A key is here exactly while its record is.

Not thread-safe: the log calls it under its lock.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ctxmem.segment import Record


@dataclass(slots=True)
class Pending:
    """One appended record; `stored` and `forward` are filled in by the first attempt to commit it."""

    segment_id: int
    record: Record
    packed: bytes
    key: bytes | None = None
    digest: bytes = b""
    stored: bytes = b""
    forward: bytes | None = None


class PendingQueue:
    """Appended records in the order of their ids."""

    def __init__(self) -> None:
        self._items: deque[Pending] = deque()
        self._by_id: dict[int, Pending] = {}
        self._by_key: dict[bytes, Pending] = {}
        self.packed_bytes = 0

    def push(self, item: Pending) -> None:
        """Add at the end; O(1)."""
        self._items.append(item)
        self._by_id[item.segment_id] = item
        if item.key is not None:
            self._by_key[item.key] = item
        self.packed_bytes += len(item.packed)

    def settle(self, items: list[Pending]) -> None:
        """Take items from the front: they are on disk now (I1)."""
        for item in items:
            first = self._items.popleft()
            assert first is item  # I1
            del self._by_id[item.segment_id]
            if item.key is not None:
                del self._by_key[item.key]
            self.packed_bytes -= len(item.packed)

    def by_key(self, key: bytes) -> Pending | None:
        """The record that a key names, while it waits."""
        return self._by_key.get(key)

    def by_id(self, segment_id: int) -> Pending | None:
        """A record while it waits."""
        return self._by_id.get(segment_id)

    @property
    def first_id(self) -> int | None:
        """The id that has waited longest."""
        return self._items[0].segment_id if self._items else None

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
