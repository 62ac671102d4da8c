"""Find the best segments by keywords: BM25 in integers, exact, without scoring what cannot be among the best.

Invariants:
I1. The result is the k best of all matching segments by (score, newest id): pruning drops only what cannot be there.
I2. A score is the sum over terms of weight x impact, in integers; a key is `score << 32 | id`, so keys sort as hits do.

How: parts are visited from the highest bound down. In a part the terms are sorted by what they can add at most. A
segment whose first term in that order is the i-th scores at most weight x impact of that term plus what the later terms
can add, so each term in turn leads: of its postings only those whose impact is high enough survive, and only those are
looked up in the others. It ends at the term from which on all terms together cannot reach the k-th best.
Does not know: the store, conversations, texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem import facets
from ctxmem.parts import Scope
from ctxmem.postings import Posting

Array: TypeAlias = npt.NDArray[Any]
Int64s: TypeAlias = npt.NDArray[np.int64]
Lead: TypeAlias = "tuple[int, int, Posting]"  # what the term adds at most, its weight, its postings

FEW = 1_024  # a filter that leaves fewer segments of a part is scored directly
MANY_LEADS = 6  # more leading terms than this are summed into one array instead


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
        self.keys = np.unique(np.concatenate((self.keys, keys)))[-self.k :]
        if len(self.keys) == self.k:
            self.threshold = int(self.keys[0])

    @property
    def score(self) -> int:
        """The score that a segment has to equal, or pass."""
        return self.threshold >> 32


def rank(scopes: Sequence[Scope], wanted: Wanted, k: int) -> Int64s:
    """Return the keys of the k best matching segments, ascending (I1)."""
    best = Best(k)
    visits = [_Visit(scope, wanted, best) for scope in scopes]
    visits = sorted((visit for visit in visits if visit.bound), key=lambda visit: visit.order, reverse=True)
    for visit in visits:
        if visit.bound << 32 | visit.scope.last_id <= best.threshold:
            break
        visit.offer()
    return best.keys


class _Visit:
    """One part, and the ranked terms it holds, those that can add most first."""

    __slots__ = ("best", "bound", "leads", "scope", "wanted")

    def __init__(self, scope: Scope, wanted: Wanted, best: Best) -> None:
        self.scope = scope
        self.wanted = wanted
        self.best = best
        held = scope.postings
        leads: list[Lead] = []
        if all(held[place] is not None for place in wanted.required):
            for place in wanted.ranked:
                posting = held[place]
                if posting is not None:
                    weight = wanted.weights[place]
                    leads.append((weight * posting.highest, weight, posting))
        leads.sort(key=lambda lead: lead[0], reverse=True)
        self.leads = leads
        self.bound = sum(lead[0] for lead in leads)  # no segment here scores more

    @property
    def order(self) -> tuple[int, int]:
        """What parts are visited by: the highest first."""
        return self.bound, self.scope.last_id

    def offer(self) -> None:
        """Offer all of the part's segments that may be among the best."""
        chosen = self.scope.chosen()
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
            if rest << 32 | self.scope.last_id <= best.threshold:
                return
            rest -= most
            if len(best.keys) < best.k < posting.n and chosen is None:  # a first threshold from the best by this term
                self._follow(number, rest, *posting.above(posting.least_of_best(2 * best.k)))
            offsets, impacts = posting.above(-((rest - best.score) // weight))
            if chosen is not None:
                passing = facets.contains(chosen, offsets)
                offsets, impacts = offsets[passing], impacts[passing]
            self._follow(number, rest, offsets, impacts)

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
        """Let the rarest required term lead alone: every match holds it."""
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
        """Offer scored segments that match and may reach the threshold."""
        keys = (scores << 32) | (offsets.astype(np.int64) + self.scope.part.first)
        kept = keys > self.best.threshold
        if self.wanted.is_strict:
            kept &= self.wanted.admits(self.scope, offsets)
        self.best.offer(keys[kept])
