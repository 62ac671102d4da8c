"""The sweep: which steps down the ladder free enough, cheapest first. Arithmetic on columns, no loop over groups."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ctxmem.growable import Array

_SMALL: Final = 4_096  # steps that are simply sorted
_BUCKETS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Swept:
    """Masks over the groups: whose results are cut, which are dropped; `bar` is the value of the last step."""

    is_cut: Array
    is_dropped: Array
    bar: int


def sweep(
    cut_values: Array, saved: Array, drop_values: Array, tokens: Array, is_root: Array, need_tokens: int
) -> Swept:
    """Take the steps of lowest value until `need_tokens` are free, ties oldest first. O(groups).

    A group has two steps: to cut its results (`saved` tokens, 0 where that is not worth it), and to drop it. Where the
    drop is worth less than the cut, the cut is left out.
    """
    n = len(tokens)
    rows = np.flatnonzero(~is_root)
    cuts = rows[(saved[rows] > 0) & (cut_values[rows] < drop_values[rows])]
    has_cut = np.zeros(n, bool)
    has_cut[cuts] = True
    freed_by_drop = tokens[rows] - np.where(has_cut[rows], saved[rows], 0)
    values = np.concatenate([cut_values[cuts], drop_values[rows]])
    freed = np.concatenate([saved[cuts], freed_by_drop])
    owners = np.concatenate([cuts, rows])
    taken = cheapest(values, freed, owners, need_tokens)
    is_dropped, is_cut = np.zeros(n, bool), np.zeros(n, bool)
    is_cut[owners[taken[taken < len(cuts)]]] = True
    is_dropped[owners[taken[taken >= len(cuts)]]] = True
    is_cut &= ~is_dropped
    bar = int(values[taken].max()) if len(taken) else 0
    return Swept(is_cut, is_dropped, bar)


def cheapest(values: Array, freed: Array, owners: Array, need: int) -> Array:
    """Return the indices of the fewest steps, in order of value and owner, whose `freed` adds up to the need. O(n).

    >>> cheapest(np.array([5, 1, 3]), np.array([10, 10, 10]), np.arange(3), 15).tolist()
    [1, 2]
    """
    if need <= 0 or not len(values):
        return np.zeros(0, np.int64)
    if len(values) <= _SMALL:
        return _prefix(np.arange(len(values)), values, freed, owners, need)
    low, high = int(values.min()), int(values.max())
    bucket = (values - low) * _BUCKETS // (high - low + 1)
    sums = np.cumsum(np.bincount(bucket, weights=freed, minlength=_BUCKETS))
    at = int(np.searchsorted(sums, need))
    below = np.flatnonzero(bucket < at)
    if at == _BUCKETS:
        return below
    before = int(sums[at - 1]) if at else 0
    inside = np.flatnonzero(bucket == at)
    return np.concatenate([below, _prefix(inside, values[inside], freed[inside], owners[inside], need - before)])


def _prefix(indices: Array, values: Array, freed: Array, owners: Array, need: int) -> Array:
    order = np.lexsort((owners, values))
    enough = int(np.searchsorted(np.cumsum(freed[order]), need))
    return indices[order[: enough + 1]]
