"""Which call ids the window holds, and which of those calls still wait for a result.

I1. A call id is unique only within a group: 25 of 100 airline transcripts use one again. The newest outstanding call
    with an id is the one that a result answers.
I2. Only groups of the working set are here, so this is bounded by the window.
I3. A result costs the same whatever the number of calls beside its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any


class Outstanding:
    """The calls of the groups shown. Not safe from several threads: the session holds its own lock around it."""

    __slots__ = ("_groups", "_open", "_places", "_results")

    def __init__(self) -> None:
        # Values are tuples and ints, so that a copy need not copy them.
        self._groups: dict[int, tuple[str, ...]] = {}  # group -> its call ids, by index
        self._places: dict[str, tuple[tuple[int, int], ...]] = {}  # call id -> (group, index), oldest first
        self._results: dict[tuple[int, int], int] = {}  # (group, index) -> the result
        self._open: dict[int, int] = {}  # group -> how many of its calls wait; oldest first, none with 0

    def add(self, group: int, call_ids: Sequence[str]) -> None:
        """Take the calls of a new group; all of them wait."""
        self._groups[group] = tuple(call_ids)
        for index, call_id in enumerate(call_ids):
            self._places[call_id] = (*self._places.get(call_id, ()), (group, index))
        self._open[group] = len(call_ids)

    @property
    def n_waiting(self) -> int:
        """How many calls wait. O(groups with a call that waits)."""
        return sum(self._open.values())

    def knows(self, call_id: str) -> bool:
        """Say whether a group of the window uses this id already."""
        return call_id in self._places

    def find(self, call_id: str) -> tuple[int, int] | None:
        """Return (group, index) of the newest call with this id that waits, the first of its group; or None."""
        waiting = [place for place in self._places.get(call_id, ()) if place not in self._results]
        return next(place for place in waiting if place[0] == waiting[-1][0]) if waiting else None

    def result_of(self, call_id: str) -> int | None:
        """Return the id of the result that the newest call with this id has, None where it has none."""
        answered = (self._results.get(place) for place in reversed(self._places.get(call_id, ())))
        return next((result for result in answered if result is not None), None)

    def answer(self, group: int, index: int, segment_id: int) -> None:
        """Mark a call as answered by a result; another result in its place leaves it answered."""
        if (group, index) not in self._results:
            self._close(group)
        self._results[group, index] = segment_id

    def _close(self, group: int) -> None:
        left = self._open.get(group, 0) - 1
        if left > 0:
            self._open[group] = left
        else:
            self._open.pop(group, None)

    def waiting(self) -> Iterator[tuple[int, int]]:
        """Yield (group, index) of every call that waits, oldest first; O(calls that wait and their siblings)."""
        for group in self._open:
            for index in range(len(self._groups[group])):
                if (group, index) not in self._results:
                    yield group, index

    def drop(self, groups: Iterable[int]) -> None:
        """Leave out groups that are no longer shown."""
        for group in groups:
            self._open.pop(group, None)
            for index, call_id in enumerate(self._groups.pop(group, ())):
                self._results.pop((group, index), None)
                left = tuple(place for place in self._places.pop(call_id, ()) if place[0] != group)
                if left:
                    self._places[call_id] = left

    def reopen(self, first_id: int) -> None:
        """Undo the results with ids from `first_id` on, of groups that stay."""
        for place in [place for place, result in self._results.items() if result >= first_id]:
            del self._results[place]
            self._open[place[0]] = self._open.get(place[0], 0) + 1
        self._open = dict(sorted(self._open.items()))

    def copy(self) -> "Outstanding":
        """Return one that shares nothing that changes; O(calls)."""
        twin = Outstanding()
        for name in Outstanding.__slots__:
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def pack(self) -> list[tuple[int, tuple[tuple[str, int], ...]]]:
        """Return the state as plain values that share nothing that changes: call ids and results (or -1) by group."""
        results = self._results
        return [
            (group, tuple((call_id, results.get((group, index), -1)) for index, call_id in enumerate(call_ids)))
            for group, call_ids in self._groups.items()
        ]

    @classmethod
    def unpack(cls, packed: Iterable[Sequence[Any]]) -> "Outstanding":
        """Rebuild from `pack`."""
        made = cls()
        for group, rows in packed:
            made.add(group, [call_id for call_id, _ in rows])
            for index, (_, result) in enumerate(rows):
                if result >= 0:
                    made.answer(group, index, result)
        return made
