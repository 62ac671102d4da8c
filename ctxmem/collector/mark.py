"""The mark: what can be reached from a root, how strongly, and over which path. Bounded by the window, not by history.

References: the `refs` given by the caller; the newest reads and writes of a file that a root names; from an edit to the
newest read or write of its file before it; the groups of the current task, from its first message.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ctxmem.collector.roots import TASK, Roots
from ctxmem.growable import Array
from ctxmem.working import EDIT, FULL, GONE, WorkingSet

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
    by_group, newest = _uses(working)
    is_root, groups = roots.is_root, working.groups

    def follow(row: int) -> list[int]:
        found = list(named.get(row, ()))
        for path, op in by_group.get(row, ()):
            if op == EDIT or is_root[row]:
                earlier = [other for other in newest.get(path, ()) if other < row]
                found += earlier[-1:]
        if working.task and roots.rules[row] == TASK:
            found += np.flatnonzero(groups["task"] == working.task).tolist()
        return found

    return follow


def _uses(working: WorkingSet) -> tuple[dict[int, list[tuple[int, int]]], dict[int, list[int]]]:
    """Return group row -> (path, op) of its uses, and path -> rows of groups that still show it, oldest first."""
    uses, segments = working.uses, working.segments
    rows = uses["segment"]
    shown = (segments["form"][rows] == FULL) & (segments["superseded_by"][rows] < 0) & (uses["op"] != EDIT)
    by_group: dict[int, list[tuple[int, int]]] = {}
    newest: dict[int, list[int]] = {}
    owners = segments["group"][rows].tolist()
    there = segments["form"][rows] != GONE
    for group, path, op, is_shown, is_there in zip(
        owners, uses["path"].tolist(), uses["op"].tolist(), shown.tolist(), there.tolist(), strict=True
    ):
        if is_there:
            by_group.setdefault(group, []).append((path, op))
        if is_shown:
            newest.setdefault(path, []).append(group)
    return by_group, newest
