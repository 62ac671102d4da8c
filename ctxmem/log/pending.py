"""The queue of appended records that no commit has covered yet: no other place knows which they are.

I1. Ids rise along the queue. A record leaves it when it is on disk.
I2. A record is queued by one operation on one dictionary, so an exception raised anywhere (a signal handler's among
    them) leaves it queued whole or not at all. Other modules ask here what waits, and keep no copy.
I3. A key is found exactly while its record is queued.

Thread-safety: `push`, `settle` and `by_key` are called under `Writer._lock`; the others read once and need no lock.
"""

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
        self._items: dict[int, Pending] = {}
        self._by_key: dict[bytes, Pending] = {}  # may hold more than `_items`, after an interrupt: see `by_key`
        self.packed_bytes = 0

    def push(self, item: Pending) -> None:
        """Add at the end; O(1)."""
        if item.key is not None:
            self._by_key[item.key] = item
        self._items[item.segment_id] = item  # I2: from here on it is queued
        self.packed_bytes += len(item.packed)

    def settle(self, items: list[Pending]) -> None:
        """Remove items that are on disk now (I1). An interrupt leaves some of them for the next call."""
        for item in items:
            self._items.pop(item.segment_id, None)
            if item.key is not None:
                self._by_key.pop(item.key, None)
            self.packed_bytes -= len(item.packed)
        if not self._items:  # also drops what an interrupt left, and the holes that a dictionary keeps at its front
            self._items, self._by_key, self.packed_bytes = {}, {}, 0

    def by_key(self, key: bytes) -> Pending | None:
        """Return the record that a key names, while it waits, else None."""
        item = self._by_key.get(key)
        return item if item is not None and item.segment_id in self._items else None

    def by_id(self, segment_id: int) -> Pending | None:
        """Return a record while it waits, else None."""
        return self._items.get(segment_id)

    def first(self, most: int | None = None) -> list[Pending]:
        """Return the records that have waited longest, all by default."""
        return list(self._items.values())[:most]

    def after(self, segment_id: int) -> list[tuple[int, Record]]:
        """Return the records with a higher id, ascending."""
        found: list[tuple[int, Record]] = []
        for item in reversed(list(self._items.values())):
            if item.segment_id <= segment_id:
                break
            found.append((item.segment_id, item.record))
        return found[::-1]

    @property
    def first_id(self) -> int | None:
        """The id that has waited longest."""
        items = self.first(1)
        return items[0].segment_id if items else None

    def __len__(self) -> int:
        return len(self._items)
