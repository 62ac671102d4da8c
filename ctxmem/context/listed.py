"""The list that a session followed last, by position: the caller's objects, their digests, the segments that they made.

I1. An entry is what the log has: its digest and its ids are read again from the segments after a reopening.
I2. The objects are only a shortcut: what is not known to be the same is compared by digest.
I3. An object that was changed in place is noticed: every dict and list in it is compared with a shallow copy of it.

It does not know sessions, the log or providers.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from json import dumps
from typing import Any, NamedTuple

_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})
_FIRST_BIT = 1 << 62


def digest_of(message: Mapping[str, Any], unsent: AbstractSet[str] = frozenset()) -> int:
    """Return 62 bits that name a message of plain JSON, never 0.

    The order of its fields does not count, nor those that are null or in `unsent`: objects and dicts of one message
    differ in these.

    >>> digest_of({"a": 1, "b": None, "c": 2}, {"c"}) == digest_of({"a": 1})
    True
    """
    said = {key: value for key, value in message.items() if value is not None and key not in unsent}
    data = dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") % _FIRST_BIT | 1


class Entry(NamedTuple):
    """What one message of the list made: how many items of the list it is, its digest, its segments.

    Most items are one message; of some APIs several items are (`providers.shape.Shape.continues`).
    """

    n_items: int
    digest: int
    ids: tuple[int, ...]


class Listed:
    """The list as it was followed last. Not safe from several threads: the session holds its own lock around it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.stops: list[int] = []  # of each entry: the position after its last item
        self.seen_id = -1  # the newest segment that was looked at
        self.version = 0  # changes with the entries
        self._items: list[Any] = []  # the caller's, as far as they are known
        self._parts: list[Any] = []  # every dict and list in them (I3)
        self._copies: list[Any] = []  # a shallow copy of each
        self._part_stops: list[int] = []  # of each item: how many parts there are up to its end

    # -- comparing --------------------------------------------------------------------------------------------------

    def common(self, given: Sequence[Any]) -> int:
        """Return how many entries the objects of `given` begin with, without a look at what they say.

        Objects are the same, or of the same type and equal, as Python compares them. O(n), 0.1 us an item.
        """
        n = min(len(self._items), len(given))
        try:
            is_same = self._parts == self._copies and self._items[:n] == given[:n]
        except Exception:  # noqa: BLE001 - any object may refuse to be compared: then its digest is
            is_same = False
        return bisect_right(self.stops, n if is_same else self._first_change(given, n))

    def _first_change(self, given: Sequence[Any], n: int) -> int:
        changed = next((i for i, part in enumerate(self._parts) if not _is_equal(part, self._copies[i])), None)
        if changed is not None:
            n = min(n, bisect_right(self._part_stops, changed))
        return next((i for i in range(n) if not _is_equal(self._items[i], given[i])), n)

    # -- changing ---------------------------------------------------------------------------------------------------

    def add(self, entry: Entry) -> None:
        """Take one more entry at the end."""
        self.seen_id = max(self.seen_id, *entry.ids)
        self.entries.append(entry)
        self.stops.append(self.stop_of(len(self.stops)) + entry.n_items)
        self.version += 1

    def cut(self, first: int, last: int | None = None) -> None:
        """Leave out the entries from `first` on, up to `last`."""
        kept = [] if last is None else self.entries[last:]
        self._forget_items(self.stop_of(first))
        del self.entries[first:], self.stops[first:]
        for entry in kept:
            self.add(entry)
        self.version += 1

    def stop_of(self, n_entries: int) -> int:
        """Return how many items the first entries are."""
        return self.stops[n_entries - 1] if n_entries else 0

    def seat(self, first: int, n_items: Sequence[int]) -> None:
        """Say how many items each entry from `first` on is: the log does not know it."""
        if any(entry.n_items != n for entry, n in zip(self.entries[first:], n_items, strict=False)):
            seated = self.entries[first : first + len(n_items)]
            after = self.entries[first + len(n_items) :]
            del self.entries[first:], self.stops[first:]
            for entry in [*(one._replace(n_items=n) for one, n in zip(seated, n_items, strict=True)), *after]:
                self.add(entry)

    def look(self, segment_id: int) -> None:
        """Note the newest segment that was looked at."""
        self.seen_id = segment_id

    def clear(self) -> None:
        """Know nothing any more."""
        self.cut(0)
        self.seen_id = -1

    def hold(self, given: Sequence[Any], start: int) -> None:
        """Keep the objects of the list from a position on: by them it is known the next time."""
        self._forget_items(start)
        for item in given[len(self._items) :]:
            parts = list(_parts(item))
            self._items.append(item)
            self._parts += parts
            self._copies += [part.copy() for part in parts]
            self._part_stops.append(len(self._parts))

    def _forget_items(self, start: int) -> None:
        if start < len(self._items):
            del self._items[start:], self._part_stops[start:]
            n_parts = self._part_stops[-1] if self._part_stops else 0
            del self._parts[n_parts:], self._copies[n_parts:]


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return one is other or (type(one) is type(other) and bool(one == other))
    except Exception:  # noqa: BLE001 - see `Listed.common`
        return False


class _Restless(list[Any]):
    """Stands for an object that cannot be looked into: it differs from every copy, so its digest is compared."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return False


def _parts(item: Any) -> Iterator[Any]:
    """Yield every dict and list in an object, the fields of objects included."""
    seen, waiting = set[int](), [item]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind in _ATOMS or id(value) in seen:
            continue
        seen.add(id(value))
        if kind is dict:
            yield value
            waiting += value.values()
        elif kind is list:
            yield value
            waiting += value
        elif kind is tuple:
            waiting += value
        elif hasattr(value, "__dataclass_fields__") or hasattr(value, "model_dump"):
            fields = getattr(value, "__dict__", None)
            if fields is None:
                yield _Restless()
            else:
                waiting += [fields, getattr(value, "__pydantic_extra__", None)]
        elif isinstance(value, dict | list):
            yield _Restless()
