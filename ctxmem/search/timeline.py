"""List everything that passes, in order of time: what a log asks for, where a search asks for the best.

I1. The order is that of (time, id), a total one.
I2. What is forgotten, or never a hit, is not listed.
Does not know: the store, scores.
"""

from collections.abc import Sequence

import numpy as np

from ctxmem.search import facets
from ctxmem.search.parts import NONE, Array, Int64s, Scope


def timeline(scopes: Sequence[Scope], terms: Sequence[bytes] = ()) -> tuple[Int64s, Array]:
    """Return the ids of the segments that pass and hold every term, and their times: O(parts + what passes)."""
    all_ids, all_at = [np.zeros(0, np.int64)], [np.zeros(0)]
    for scope in scopes:
        offsets = _passing(scope, terms)
        if len(offsets):
            all_ids.append(offsets.astype(np.int64) + scope.part.first)
            all_at.append(scope.part.at().take(offsets))
    ids, at = np.concatenate(all_ids), np.concatenate(all_at)
    order = np.lexsort((ids, at))
    return ids[order], at[order]


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
