"""List everything that passes, in order of time: what a log asks for, where a search asks for the best.

I1. The order is that of (time, id), a total one.
I2. What is forgotten, or never a hit, is not listed.
Does not know: the store, scores.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ctxmem.search import facets
from ctxmem.search.parts import NONE, Array, Int64s, Scope


class Timeline(NamedTuple):
    """Segments in order of time (I1), in arrays of one length: int64 ids, float64 times, tokens."""

    ids: Int64s
    at: Array
    tokens: Array

    def ordered(self) -> "Timeline":
        """Return the same in order."""
        order = np.lexsort((self.ids, self.at))
        return Timeline(self.ids[order], self.at[order], self.tokens[order])


def timeline(scopes: Sequence[Scope], terms: Sequence[bytes] = ()) -> Timeline:
    """List the segments that pass and hold every term: O(parts + what passes)."""
    found = [Timeline(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))]
    for scope in scopes:
        offsets, part = _passing(scope, terms), scope.part
        if len(offsets):
            ids = offsets.astype(np.int64) + part.first
            found.append(Timeline(ids, part.at().take(offsets), part.tokens().take(offsets)))
    return Timeline(*map(np.concatenate, zip(*found, strict=True))).ordered()


def union(found: Sequence[Timeline]) -> Timeline:
    """Return what any of several lists holds."""
    if len(found) == 1:
        return found[0]
    ids, at, tokens = map(np.concatenate, zip(*found, strict=True))
    _, places = np.unique(ids, return_index=True)
    return Timeline(ids[places], at[places], tokens[places]).ordered()


def _passing(scope: Scope, terms: Sequence[bytes]) -> facets.Uint16s:
    chosen = scope.chosen()
    if chosen is not None and not len(chosen):
        return NONE
    for posting in scope.part.postings(terms) if terms else ():
        if posting is None:
            return NONE
        chosen = facets.intersect(chosen, posting.all_offsets())
    chosen = facets.intersect(chosen, scope.part.present())
    unsearched = scope.part.unsearched()
    if unsearched is not None:
        chosen = facets.without(chosen, facets.offsets_of(unsearched), scope.part.span)
    return np.arange(scope.part.span).astype(np.uint16) if chosen is None else facets.offsets_of(chosen)
