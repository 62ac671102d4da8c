"""The sweep: which steps down the ladder free enough, cheapest first.

A heap where there are few, as in an everyday window; arithmetic on columns, without a loop over groups, where there are
many. Both take the same steps: docs/decisions/0028-sweep.md has the figures.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ctxmem.collector.growable import Array

FEW: Final = 64  # steps up to this come off a heap
MOST_BACK: Final = 256  # steps that may be undone
_SMALL: Final = 4_096  # steps up to this are simply sorted
_BUCKET_BITS: Final = 10
NEVER: Final = 1 << 61  # the value of a step that is not there


@dataclass(frozen=True, slots=True)
class Step:
    """One step down the ladder, by group: its value, and what is free once it is taken, milder steps included.

    `saved` is 0 where a group has no such step.
    """

    values: Array
    saved: Array


def sweep(steps: Sequence[Step], is_root: Array, need_tokens: int) -> Array:
    """Take the steps of lowest value until `need_tokens` are free, ties oldest first. O(groups) in numpy.

    `steps` are in order, the mildest first; a root takes none. Where a harder step is worth no more than a milder one,
    the milder is left out. Returns int64[n]: which step each group takes at last, -1 where none.
    """
    n = len(is_root)
    last: Array = np.full(n, -1, np.int64)
    numbers, values, freed = _weighed(steps, is_root)
    if numbers:
        taken = cheapest(np.concatenate(values), np.concatenate(freed), need_tokens)
        np.maximum.at(last, taken % n, np.array(numbers)[taken // n])
    return last


def give_back(steps: Sequence[Step], is_root: Array, last: Array, spare_tokens: int, least_value: int) -> Array:
    """Undo steps of a sweep that turned out not to be needed, the dearest first, while what they freed fits the spare.

    The last step that a sweep takes may free far more than it was to. Steps below `least_value` stay taken. Looks at
    the dearest `MOST_BACK`. Returns what `sweep` returns.
    """
    n = len(is_root)
    back: Array = last.copy()
    numbers, by_step, freed_by_step = _weighed(steps, is_root)
    if not numbers or spare_tokens <= 0:
        return back
    values, freed = np.concatenate(by_step), np.concatenate(freed_by_step)
    is_taken = np.repeat(numbers, n) <= np.tile(last, len(numbers))
    entries = np.flatnonzero(is_taken & (values < NEVER) & (values >= least_value) & (freed <= spare_tokens))
    dearest = entries[np.argsort(values[entries], kind="stable")][: -MOST_BACK - 1 : -1]
    for place, row, gain in zip((dearest // n).tolist(), (dearest % n).tolist(), freed[dearest].tolist(), strict=True):
        if gain <= spare_tokens and back[row] == numbers[place]:  # else a harder step stays taken
            milder = (numbers[at] for at in reversed(range(place)) if by_step[at][row] < NEVER)
            back[row] = next(milder, -1)
            spare_tokens -= gain
    return back


def _weighed(steps: Sequence[Step], is_root: Array) -> tuple[list[int], list[Array], list[Array]]:
    """Return the numbers of the steps that are there, and of each its values (NEVER: none) and what it frees alone."""
    bound = np.full(len(is_root), NEVER)
    there: list[Array] = []
    for step in reversed(steps):
        has_step = (step.saved > 0) & (step.values < bound) & ~is_root
        bound = np.where(has_step, step.values, bound)
        there.insert(0, has_step)
    numbers = [number for number, has_step in enumerate(there) if has_step.any()]
    values, freed, before = [], [], np.zeros(len(is_root), np.int64)
    for number in numbers:
        step, has_step = steps[number], there[number]
        values.append(np.where(has_step, step.values, NEVER))
        freed.append(np.where(has_step, step.saved - before, 0))
        before = np.where(has_step, step.saved, before)
    return numbers, values, freed


def cheapest(values: Array, freed: Array, need: int) -> Array:
    """Return the indices of the fewest steps, in order of value and index, whose `freed` adds up to the need.

    Steps of value NEVER are not taken. O(n + k log n) for k of few steps, O(n) for many.

    >>> cheapest(np.array([5, 1, 3]), np.array([10, 10, 10]), 15).tolist()
    [1, 2]
    """
    return _from_heap(values, freed, need) if len(values) <= FEW else _from_buckets(values, freed, need)


def _from_heap(values: Array, freed: Array, need: int) -> Array:
    """Take the smallest entry off a heap of (value, index) until enough is free."""
    heap = [entry for entry in zip(values.tolist(), range(len(values)), strict=True) if entry[0] < NEVER]
    heapq.heapify(heap)
    gains, taken = freed.tolist(), []
    while heap and need > 0:
        _, row = heapq.heappop(heap)
        taken.append(row)
        need -= gains[row]
    return np.array(taken, np.int64)


def _from_buckets(values: Array, freed: Array, need: int) -> Array:
    """Narrow the values bucket by bucket, until few enough are left to be sorted."""
    taken = []
    inside = None  # None: all
    while need > 0:
        part, gains = (values, freed) if inside is None else (values[inside], freed[inside])
        if len(part) <= _SMALL or int(part.min()) == int(part.max()):
            rows = np.flatnonzero(part < NEVER)
            order = rows[np.argsort(part[rows], kind="stable")]
            enough = int(np.searchsorted(np.cumsum(gains[order]), need)) + 1
            taken.append(order[:enough] if inside is None else inside[order[:enough]])
            break
        low = int(part.min())
        bucket = (part - low) >> max(0, (int(part.max()) - low).bit_length() - _BUCKET_BITS)
        sums = np.cumsum(np.bincount(bucket, weights=gains))
        at = min(int(np.searchsorted(sums, need)), len(sums) - 1)
        below, here = np.flatnonzero(bucket < at), np.flatnonzero(bucket == at)
        taken.append(below if inside is None else inside[below])
        need -= int(sums[at - 1]) if at else 0
        inside = here if inside is None else inside[here]
    return np.concatenate(taken) if taken else np.zeros(0, np.int64)
