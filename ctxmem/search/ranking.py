"""Find the best segments by keywords: BM25 in integers, exact, without scoring what cannot be among the best.

Invariants:
I1. The result is the k best of all matching segments by (score, newest id): pruning drops only what cannot be there.
I2. A score is the sum over terms of weight x impact, in integers; a key is `score << 32 | spot`: keys sort as hits do.

How: thin terms, which few segments of the whole store hold, go first: their postings of all parts are summed in one
array, and a segment is looked up in the thick terms only where these could still bring it among the best. Segments that
hold thick terms alone are left. Their parts are visited from the highest bound down. In a part the terms are sorted by
what they can add at most. A segment whose first term in that order is the i-th scores at most weight x impact of that
term plus what the later terms can add, so each term in turn leads: of its postings only those whose impact is high
enough are kept, and only those are looked up in the others. The search of a part ends at the term from which on all
terms together cannot reach the k-th best.
Does not know: the store, conversations, texts.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.search import facets, thin
from ctxmem.search.parts import NONE, Scope
from ctxmem.search.postings import Posting
from ctxmem.search.scoring import Best, Int64s, Spread, Wanted

Array: TypeAlias = npt.NDArray[Any]
Lead: TypeAlias = "tuple[int, int, Posting]"  # what the term adds at most, its weight, its postings

THIN = 4_096  # postings in the whole store of a term that is summed up at once
FEW = 1_024  # a filter that leaves fewer segments of a part is scored directly
MANY = 100  # from this k on, all postings of a one-word query are scanned, even when a filter is set
MANY_LEADS = 6  # more leading terms than this are summed into one array instead


def thin_terms(scopes: Sequence[Scope], wanted: Wanted) -> dict[int, Posting]:
    """Return the whole postings of the ranked terms that few segments hold, by their places."""
    sizes = _sizes(scopes, wanted)
    return {place: thin.whole(scopes, place) for place in wanted.ranked if 0 < sizes[place] <= THIN}


def _sizes(scopes: Sequence[Scope], wanted: Wanted) -> dict[int, int]:
    return {
        place: sum([posting.n for scope in scopes if (posting := scope.postings[place]) is not None])
        for place in wanted.ranked
    }


def rank(scopes: Sequence[Scope], wanted: Wanted, k: int, whole: dict[int, Posting]) -> Int64s:
    """Return the keys of the k best matching segments, ascending (I1); scopes are in order of their first id.

    `whole`: what `thin_terms` returned.
    """
    best = Best(k)
    sizes = _sizes(scopes, wanted)
    if any(not sizes[place] for place in wanted.required):
        return best.keys
    thick = [place for place in wanted.ranked if sizes[place] and place not in whole]
    if _is_selective(scopes):
        _offer_chosen(scopes, wanted, best, whole, thick)
        return best.keys
    found: Int64s = np.zeros(0, np.int64)
    if whole and not (wanted.required and set(wanted.required).isdisjoint(whole)):
        thinnest = min(set(wanted.required) & set(whole), key=sizes.__getitem__, default=None)
        found = thin.Thin(scopes, wanted, best, whole, thick).offer(thinnest)
        if thinnest is not None:
            return best.keys
    places = wanted.ranked if wanted.required else thick
    if not places:
        return best.keys
    if len(wanted.ranked) == 1 and not wanted.is_strict and (k >= MANY or not thin.is_filtered(scopes)):
        return _best_of_one(scopes, wanted, k)
    visits = [_Visit(scope, wanted, best, places) for scope in scopes]
    visits = sorted((visit for visit in visits if visit.bound), key=lambda visit: visit.order, reverse=True)
    for visit in visits:
        if visit.bound << 32 | visit.scope.last_spot <= best.threshold:
            break
        visit.offer(found)
    return best.keys


def _keys_of_one(scope: Scope, wanted: Wanted, offsets: Array) -> Int64s:
    """Return the keys of those segments that hold the only term."""
    posting = scope.postings[wanted.ranked[0]]
    if posting is None:
        return np.zeros(0, np.int64)
    held, impacts = posting.among(offsets)
    keys: Int64s = impacts.astype(np.int64) * wanted.weights[wanted.ranked[0]] << 32
    keys |= held.astype(np.int64) + scope.base
    return keys


def _best_of_one(scopes: Sequence[Scope], wanted: Wanted, k: int) -> Int64s:
    """Return the keys of the k best by a single term, ascending: by impact, among equals the newest."""
    place = wanted.ranked[0]
    is_filtered = thin.is_filtered(scopes)
    held = [
        (
            scope.base,
            posting if not is_filtered or (chosen := scope.chosen()) is None else _filtered(posting, chosen),
        )
        for scope in scopes
        if (posting := scope.postings[place]) is not None
    ]
    if not held:
        return np.zeros(0, np.int64)
    impacts = np.concatenate([posting.impacts for _, posting in held])
    highest = max(posting.highest for _, posting in held)
    least = Posting(len(impacts), highest, None, impacts).least_of_best(k)
    above = (impacts > least).nonzero()[0]
    places = np.concatenate((above, _last(impacts, least, k - len(above))))
    places.sort()
    stops = np.cumsum([len(posting.impacts) for _, posting in held])
    edges = [0, *places.searchsorted(stops).tolist()]
    spots = np.empty(len(places), np.int64)
    for (base, posting), start, stop, at in zip(held, edges, edges[1:], [0, *stops.tolist()], strict=False):
        if start < stop:
            here = places[start:stop] - at
            spots[start:stop] = here if posting.offsets is None else posting.offsets.take(here)
            spots[start:stop] += base
    keys: Int64s = (impacts.take(places).astype(np.int64) * wanted.weights[place] << 32) | spots
    keys.sort()
    return keys


def _filtered(posting: Posting, chosen: facets.OffsetSet) -> Posting:
    """Return the same with an impact of 0 where the filter lets nothing through."""
    offsets = posting.offsets
    if offsets is None:
        passing = facets.contains(chosen, np.arange(len(posting.impacts)).astype(np.uint16))
    else:
        passing = facets.contains(chosen, offsets)
    return Posting(posting.n, posting.highest, offsets, posting.impacts * passing)


def _last(values: Array, value: int, n: int) -> Array:
    """Return the last n places that hold a value, fewer where there are not that many."""
    width = 64 * n
    while True:
        start = max(len(values) - width, 0)
        found = (values[start:] == value).nonzero()[0]
        if len(found) >= n or not start:
            last: Array = found[max(len(found) - n, 0) :] + start
            return last
        width *= 8


def _is_selective(scopes: Sequence[Scope]) -> bool:
    """Say whether the filter leaves so few segments that all of them are scored: the largest part stands for all."""
    conditions = scopes[0].conditions
    if not conditions.keys and conditions.sessions is None:
        return False
    largest = max(
        (scope for scope in scopes if conditions.may_hold(scope.part)), key=lambda scope: scope.part.n, default=None
    )
    if largest is None:
        return True
    if largest.is_mostly_chosen():
        return False
    chosen = largest.chosen()
    return chosen is not None and facets.size(chosen) <= FEW


def _offer_chosen(
    scopes: Sequence[Scope], wanted: Wanted, best: Best, whole: dict[int, Posting], thick: Sequence[int]
) -> None:
    """Score every segment that passes the filter."""
    left = [
        (scope, facets.offsets_of(chosen)) for scope in scopes if (chosen := scope.chosen()) is not None and len(chosen)
    ]
    if not left:
        return
    if len(wanted.ranked) == 1 and not wanted.is_strict:
        best.offer(np.concatenate([_keys_of_one(scope, wanted, offsets) for scope, offsets in left]))
        return
    spots: Int64s = np.concatenate([offsets.astype(np.int64) + scope.base for scope, offsets in left])
    spread = Spread(scopes, spots)
    scores = np.zeros(len(spots), np.int64)
    for place, posting in whole.items():
        scores += posting.at(spots).astype(np.int64) * wanted.weights[place]
    for place in thick:
        scores += spread.impacts(place).astype(np.int64) * wanted.weights[place]
    matching = scores > 0
    if wanted.is_strict:
        matching &= spread.admitted(wanted)
    best.offer(((scores << 32) | spots)[matching])


def _passing(postings: tuple[Array, Array], chosen: facets.OffsetSet | None) -> tuple[Array, Array]:
    """Return those offsets and impacts that the filter lets through."""
    if chosen is None:
        return postings
    offsets, impacts = postings
    held = facets.contains(chosen, offsets).nonzero()[0]
    return offsets.take(held), impacts.take(held)


class _Visit:
    """One part, and those of the given terms that it holds, those that can add most first."""

    __slots__ = ("best", "bound", "done", "is_late", "leads", "scope", "wanted")

    def __init__(self, scope: Scope, wanted: Wanted, best: Best, places: Sequence[int]) -> None:
        self.scope = scope
        self.wanted = wanted
        self.best = best
        held = scope.postings
        leads: list[Lead] = []
        if all(held[place] is not None for place in wanted.required):
            for place in places:
                posting = held[place]
                if posting is not None:
                    weight = wanted.weights[place]
                    leads.append((weight * posting.highest, weight, posting))
        leads.sort(key=lambda lead: lead[0], reverse=True)
        self.leads = leads
        self.done: Array = NONE
        self.is_late = False  # whether the filter is asked last, of what may reach the threshold
        self.bound = sum(lead[0] for lead in leads)  # no segment here scores more

    @property
    def order(self) -> tuple[int, int]:
        """The key by which parts are visited, the highest first."""
        return self.bound, self.scope.last_spot

    def offer(self, done: Int64s) -> None:
        """Offer all of the part's segments that may be among the best; `done` are spots that were offered."""
        base = self.scope.base
        low, high = done.searchsorted([base, base + self.scope.part.span]).tolist()
        self.done = done[low:high].astype(np.uint16)
        self.is_late = self.scope.is_mostly_chosen()
        chosen = None if self.is_late else self.scope.chosen()
        if chosen is not None:
            n = facets.size(chosen)
            if n < FEW:
                if n:
                    self._score(facets.offsets_of(chosen))
                return
        if self.wanted.required:
            self._by_required(chosen)
        elif self._n_essential() > MANY_LEADS:
            self._by_sum(chosen)
        else:
            self._by_leads(chosen)

    def _n_essential(self) -> int:
        """Return of how many terms, from the first on, a segment must hold at least one to reach the threshold."""
        rest = self.bound
        for number, lead in enumerate(self.leads):
            if rest < self.best.score:
                return number
            rest -= lead[0]
        return len(self.leads)

    def _by_leads(self, chosen: facets.OffsetSet | None) -> None:
        best, rest = self.best, self.bound
        for number, (most, weight, posting) in enumerate(self.leads):
            if rest << 32 | self.scope.last_spot <= best.threshold:
                return
            rest -= most
            if len(best.keys) < best.k < posting.n:  # a first threshold from the best by this term
                few = 2 * best.k if chosen is None and not self.is_late else 8 * best.k
                self._follow(number, rest, *_passing(posting.above(posting.least_of_best(few)), chosen))
            self._follow(number, rest, *_passing(posting.above(-((rest - best.score) // weight)), chosen))

    def _follow(self, number: int, rest: int, offsets: Array, impacts: Array) -> None:
        """Score segments that the term `number` leads; those of earlier terms were offered with them."""
        best = self.best
        scores = impacts.astype(np.int64) * self.leads[number][1]
        for most, weight, posting in self.leads[number + 1 :]:
            if best.threshold >= 0 and len(offsets) > 8:
                kept = (scores >= best.score - rest).nonzero()[0]
                if len(kept) < len(offsets):
                    offsets, scores = offsets.take(kept), scores.take(kept)
            if not len(offsets):
                return
            scores += posting.at(offsets).astype(np.int64) * weight
            rest -= most
        if not len(offsets):
            return
        for _, weight, posting in self.leads[:number]:
            scores += posting.at(offsets).astype(np.int64) * weight
        self._admit(offsets, scores)

    def _by_required(self, chosen: facets.OffsetSet | None) -> None:
        """Look for matches among those of the rarest required term alone: every match holds it."""
        postings = [self.scope.postings[place] for place in self.wanted.required]
        held = sorted((posting for posting in postings if posting is not None), key=lambda posting: posting.n)
        most, weight = next(lead[:2] for lead in self.leads if lead[2] is held[0])
        offsets, _ = held[0].above(-((self.bound - most - self.best.score) // weight))
        for posting in held[1:]:
            if len(offsets):
                offsets = offsets[posting.at(offsets) > 0]
        if chosen is not None:
            offsets = offsets[facets.contains(chosen, offsets)]
        self._score(offsets)

    def _by_sum(self, chosen: facets.OffsetSet | None) -> None:
        """Sum the essential terms into one array, then look the others up for what can still be among the best."""
        best, n = self.best, self._n_essential()
        sums = np.zeros(self.scope.part.span, np.int64)
        for _, weight, posting in self.leads[:n]:
            if posting.offsets is None:
                sums += posting.impacts.astype(np.int64) * weight
            else:
                sums[posting.offsets] += posting.impacts.astype(np.int64) * weight
        rest = sum(lead[0] for lead in self.leads[n:])
        offsets = (sums >= max(best.score - rest, 1)).nonzero()[0].astype(np.uint16)
        if chosen is not None:
            offsets = offsets[facets.contains(chosen, offsets)]
        scores = sums[offsets]
        for most, weight, posting in self.leads[n:]:
            kept = (scores >= best.score - rest).nonzero()[0]
            offsets, scores = offsets[kept], scores[kept]
            scores += posting.at(offsets).astype(np.int64) * weight
            rest -= most
        self._admit(offsets, scores)

    def _score(self, offsets: Array) -> None:
        """Score segments by every term."""
        scores = np.zeros(len(offsets), np.int64)
        for _, weight, posting in self.leads:
            scores += posting.at(offsets).astype(np.int64) * weight
        matching = scores > 0
        self._admit(offsets[matching], scores[matching])

    def _admit(self, offsets: Array, scores: Int64s) -> None:
        if len(self.done) and len(offsets):
            is_new = ~facets.contains(self.done, offsets)
            offsets, scores = offsets[is_new], scores[is_new]
        keys = (scores << 32) | (offsets.astype(np.int64) + self.scope.base)
        kept = (keys > self.best.threshold).nonzero()[0]
        if self.is_late and len(kept):
            kept = kept[self.scope.passing(offsets.take(kept))]
        if self.wanted.is_strict and len(kept):
            kept = kept[self.wanted.admits(self.scope, offsets.take(kept))]
        self.best.offer(keys.take(kept))
