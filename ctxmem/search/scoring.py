"""What a search asks of the terms, and the best segments so far: the values that all ways of ranking share.

Invariants:
I1. A key is `score << 32 | spot`, so keys sort as hits do: by score, then the newest id. For spots see `parts.Scope`.
Does not know: how segments are found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.search.parts import Scope

Array: TypeAlias = npt.NDArray[Any]
Int64s: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The terms of a query, by their place in `Scope.postings` and `weights`.

    `required`: each must be there. `groups`: of each at least one must be there. `excluded`: none may be there; their
    weights are not used.
    """

    weights: tuple[int, ...]
    ranked: tuple[int, ...]
    required: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    excluded: tuple[int, ...] = ()

    def admits(self, scope: Scope, offsets: Array) -> Array:
        """Say of each segment whether it holds what it must and nothing that it must not: bool[n]."""
        ok = np.ones(len(offsets), np.bool_)
        for place in self.required:
            ok &= _impacts(scope, place, offsets) > 0
        for group in self.groups:
            held = np.zeros(len(offsets), np.bool_)
            for place in group:
                held |= _impacts(scope, place, offsets) > 0
            ok &= held
        for place in self.excluded:
            ok &= _impacts(scope, place, offsets) == 0
        return ok

    @property
    def is_strict(self) -> bool:
        """Whether there is anything for `admits` to check."""
        return bool(self.required or self.groups or self.excluded)


def _impacts(scope: Scope, place: int, offsets: Array) -> Array:
    posting = scope.postings[place]
    return np.zeros(len(offsets), np.uint8) if posting is None else posting.at(offsets)


class Best:
    """The k best keys so far.

    >>> best = Best(2)
    >>> best.offer(np.array([5 << 32 | 1, 7 << 32 | 2, 5 << 32 | 3]))
    >>> [(key >> 32, key & 0xFFFFFFFF) for key in best.keys.tolist()]
    [(5, 3), (7, 2)]
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.keys: Int64s = np.zeros(0, np.int64)  # ascending
        self.threshold = -1  # a key that is not above it cannot be among the best

    def offer(self, keys: Int64s) -> None:
        """Take keys into account; the same key may come twice."""
        keys = keys[keys > self.threshold]
        if not len(keys):
            return
        keys = np.concatenate((self.keys, keys))
        keys.sort()
        is_first = np.empty(len(keys), np.bool_)
        is_first[0] = True
        np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
        self.keys = keys[is_first][-self.k :]
        if len(self.keys) == self.k:
            self.threshold = int(self.keys[0])

    @property
    def score(self) -> int:
        """The score that a segment has to reach."""
        return self.threshold >> 32


class Spread:
    """Ascending spots, and which stretch of them lies in which part; scopes are numbered."""

    __slots__ = ("offsets", "spots", "stretches")

    def __init__(self, scopes: Sequence[Scope], spots: Int64s) -> None:
        bases = np.arange(len(scopes), dtype=np.int64) << 16
        bounds = np.empty(len(bases) + 1, np.int64)
        bounds[:-1], bounds[-1] = spots.searchsorted(bases), len(spots)
        self.spots = spots
        self.offsets = spots.astype(np.uint16)  # from their parts' first ids: the spots' lower 16 bits
        edges = bounds.tolist()
        self.stretches = [
            (scope, start, stop) for scope, start, stop in zip(scopes, edges, edges[1:], strict=False) if start < stop
        ]

    def impacts(self, place: int) -> npt.NDArray[np.uint8]:
        """Return the impact of a term in each segment, 0 where it is absent."""
        found = np.zeros(len(self.spots), np.uint8)
        offsets = self.offsets
        for scope, start, stop in self.stretches:
            posting = scope.postings[place]
            if posting is not None:
                found[start:stop] = posting.at(offsets[start:stop])
        return found

    def admitted(self, wanted: Wanted) -> Array:
        """Say of each segment what `Wanted.admits` says: bool[n]."""
        ok = np.empty(len(self.spots), np.bool_)
        for scope, start, stop in self.stretches:
            ok[start:stop] = wanted.admits(scope, self.offsets[start:stop])
        return ok

    def passing(self) -> Array:
        """Say of each segment whether it passes the filter: bool[n]."""
        ok = np.empty(len(self.spots), np.bool_)
        for scope, start, stop in self.stretches:
            ok[start:stop] = scope.passing(self.offsets[start:stop])
        return ok
