"""The hot tier: packed records that are on disk and were used lately, in memory.

Owns cachetools.

I1. It is a cache: what is in it is on disk too, and all of it may be dropped at any time.
I2. Values and what an entry costs beside them stay within `limit_bytes`; one larger than that is not kept.

It does not know records or the store. What is not on disk yet waits in the queue (`pending`), not here.
"""

import threading
from collections.abc import Iterable

from cachetools import LRUCache

ENTRY_BYTES = 240  # key, headers and the LRU's place: 231 measured with tracemalloc (cachetools 8.0, Python 3.11)


def _cost(packed: bytes) -> int:
    return len(packed) + ENTRY_BYTES


class Hot:
    """Packed records by segment id. Safe from any thread; a hit costs about 0.5 us."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept = self._empty()
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0

    def keep(self, values: Iterable[tuple[int, bytes]]) -> None:
        """Keep values as the most recently used; the least recently used ones make room."""
        with self._lock:
            try:
                for segment_id, packed in values:
                    # Popped first: overwriting with a larger value may evict that very key (cachetools 7 and 8).
                    self._kept.pop(segment_id, None)
                    if _cost(packed) <= self._limit_bytes:
                        self._kept[segment_id] = packed
            except BaseException:
                self._kept = self._empty()  # its dictionaries may disagree after an interrupt (I1)
                raise

    def get(self, segment_id: int) -> bytes | None:
        """Return a value and mark it as just used; None when it is not hot."""
        with self._lock:
            try:
                packed = self._kept[segment_id]
            except KeyError:
                self._misses += 1
                return None
            self._hits += 1
            return packed

    def get_many(self, segment_ids: Iterable[int]) -> list[bytes | None]:
        """Return the values of many ids, None for each that is not hot; the lock is taken once."""
        with self._lock:
            kept = self._kept
            found = [kept.get(segment_id) for segment_id in segment_ids]
            self._misses += found.count(None)
            self._hits += len(found) - found.count(None)
        return found

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._kept = self._empty()

    def stats(self) -> dict[str, int]:
        """Return bytes, entries, hits and misses."""
        with self._lock:
            return {
                "hot_bytes": int(self._kept.currsize),
                "hot_entries": len(self._kept),
                "hot_hits": self._hits,
                "hot_misses": self._misses,
            }

    def check(self) -> list[str]:
        """Return what breaks an invariant; empty when nothing does."""
        with self._lock:
            if self._kept.currsize > self._limit_bytes or self._kept.currsize != sum(map(_cost, self._kept.values())):
                return ["I2: kept bytes exceed the limit or do not add up"]
            return []

    def _empty(self) -> "LRUCache[int, bytes]":
        return LRUCache(max(self._limit_bytes, 1), getsizeof=_cost)
