"""The mark: what can be reached from a root, how strongly, and over which path. Bounded by the window, not by history.

References: the `refs` given by the caller; the newest reads and writes of a file that a root names; from an edit to the
newest read or write of its file before it; the groups of the current task, from its first message.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ctxmem.collector.growable import Array
from ctxmem.collector.roots import TASK, Roots
from ctxmem.collector.working import EDIT, GONE, WorkingSet

HOP: Final = 0.5  # strength that is left after one reference
LEAST: Final = 0.05  # below it nothing is followed


@dataclass(frozen=True, slots=True)
class Marked:
    """`strength` is float64[n], 1 at a root, 0 where not reached; `parents` int64[n], the row one hop nearer, or -1."""

    strength: Array
    parents: Array


def mark(working: WorkingSet, roots: Roots, room_tokens: int) -> Marked:
    """Follow references from the roots, best first, until what is live fills the room.

    A heap, no recursion; a cycle is followed once. O((live groups + their references) log live).
    """
    n = len(working.groups)
    strength, parents = np.zeros(n), np.full(n, -1, np.int64)
    if not n or not (len(working.refs) or len(working.uses) or working.task):
        strength[roots.is_root] = 1.0
        return Marked(strength, parents)
    follow = _references(working, roots)
    tokens = working.groups["tokens"]
    rows = np.flatnonzero(roots.is_root).tolist()
    heap = [(-1.0, -row, -1) for row in rows]
    heapq.heapify(heap)
    live = 0
    while heap:
        negative, minus_row, parent = heapq.heappop(heap)
        row = -minus_row
        if strength[row] > 0:
            continue
        strength[row], parents[row] = -negative, parent
        live += int(tokens[row])
        if live > room_tokens and parent >= 0:
            break
        given = -negative * HOP
        if given >= LEAST:
            for target in follow(row):
                if strength[target] == 0:
                    heapq.heappush(heap, (-given, -target, row))
    strength[roots.is_root] = 1.0
    return Marked(strength, parents)


def _references(working: WorkingSet, roots: Roots) -> Callable[[int], list[int]]:
    """Return the function from a group's row to the rows that it refers to."""
    owner = working.segments["group"]
    named: dict[int, list[int]] = {}
    for segment, target in zip(working.refs["segment"].tolist(), working.refs["target"].tolist(), strict=True):
        if target in working:
            named.setdefault(int(owner[segment]), []).append(working.row_of(target))
    uses = _Uses(working)
    is_root, groups = roots.is_root, working.groups

    def follow(row: int) -> list[int]:
        found = list(named.get(row, ()))
        for path, op in uses.of_group(row):
            if op == EDIT or is_root[row]:
                found += uses.newest_before(path, row)
        if working.task and roots.rules[row] == TASK:
            found += np.flatnonzero(groups["task"] == working.task).tolist()
        return found

    return follow


class _Uses:
    """The uses of files in two orders, by group and by path, each found by bisection."""

    def __init__(self, working: WorkingSet) -> None:
        uses, segments = working.uses, working.segments
        rows = uses["segment"]
        owners = segments["group"][rows].astype(np.int64)
        there = np.flatnonzero(segments["form"][rows] != GONE)
        self._by_group = there[np.argsort(owners[there], kind="stable")]
        self._owners = owners[self._by_group]
        self._path, self._op = uses["path"], uses["op"]
        shown = working.shows_text()[rows] & (segments["superseded_by"][rows] < 0) & (uses["op"] != EDIT)
        self._shown = np.sort((uses["path"][shown].astype(np.int64) << 32) | owners[shown])

    def of_group(self, row: int) -> list[tuple[int, int]]:
        """Return (path, op) of the uses in a group."""
        low, high = np.searchsorted(self._owners, (row, row + 1))
        return [(int(self._path[use]), int(self._op[use])) for use in self._by_group[low:high]]

    def newest_before(self, path: int, row: int) -> list[int]:
        """Return the newest group before a row that still shows the file, as a list of one or none."""
        at = int(np.searchsorted(self._shown, (path << 32) | row)) - 1
        return [int(self._shown[at]) & 0xFFFFFFFF] if at >= 0 and int(self._shown[at]) >> 32 == path else []
