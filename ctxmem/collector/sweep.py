"""The sweep: which steps down the ladder free enough, cheapest first. Arithmetic on columns, no loop over groups."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ctxmem.collector.growable import Array

_SMALL: Final = 4_096  # steps that are simply sorted
_BUCKET_BITS: Final = 10
NEVER: Final = 1 << 61  # the value of a step that is not there


@dataclass(frozen=True, slots=True)
class Swept:
    """Masks over the groups: whose results are cut, and which are dropped."""

    is_cut: Array
    is_dropped: Array


def sweep(
    cut_values: Array, saved: Array, drop_values: Array, tokens: Array, is_root: Array, need_tokens: int
) -> Swept:
    """Take the steps of lowest value until `need_tokens` are free, ties oldest first. O(groups).

    A group has two steps: to cut its results (`saved` tokens, 0 where that is not worth it), and to drop it. Where the
    drop is worth less than the cut, the cut is left out.
    """
    n = len(tokens)
    has_cut = (saved > 0) & (cut_values < drop_values) & ~is_root
    saving = np.where(has_cut, saved, 0)
    values = np.concatenate([np.where(has_cut, cut_values, NEVER), np.where(is_root, NEVER, drop_values)])
    freed = np.concatenate([saving, np.where(is_root, 0, tokens - saving)])
    taken = cheapest(values, freed, need_tokens)
    is_dropped, is_cut = np.zeros(n, bool), np.zeros(n, bool)
    is_cut[taken[taken < n]] = True
    is_dropped[taken[taken >= n] - n] = True
    is_cut &= ~is_dropped
    return Swept(is_cut, is_dropped)


def cheapest(values: Array, freed: Array, need: int) -> Array:
    """Return the indices of the fewest steps, in order of value and index, whose `freed` adds up to the need. O(n).

    Steps of value NEVER are not taken. Values are narrowed bucket by bucket until few enough are left to be sorted.

    >>> cheapest(np.array([5, 1, 3]), np.array([10, 10, 10]), 15).tolist()
    [1, 2]
    """
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
