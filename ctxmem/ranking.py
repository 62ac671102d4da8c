"""Find the best segments by keywords: BM25 in integers, exact, without scoring what cannot be among the best.

Invariants:
I1. The result is the k best of all matching segments by (score, newest id): pruning drops only what cannot be there.
I2. A score is the sum over terms of weight x impact, in integers; a key is `score << 32 | id`, so keys sort as hits do.

How: thin terms, of few segments in the whole store, go first: their postings of all parts are summed in one array, and
only what can still be among the best with the help of the thick terms is looked up in those. What is left is segments
of thick terms alone. Their parts are visited from the highest bound down. In a part the terms are sorted by what they
can add at most. A segment whose first term in that order is the i-th scores at most weight x impact of that term plus
what the later terms can add, so each term in turn leads: of its postings only those whose impact is high enough
survive, and only those are looked up in the others. It ends at the term from which on all terms together cannot reach
the k-th best.
Does not know: the store, conversations, texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem import facets
from ctxmem.parts import NONE, Filter, Scope
from ctxmem.postings import Posting

Array: TypeAlias = npt.NDArray[Any]
Int64s: TypeAlias = npt.NDArray[np.int64]
Lead: TypeAlias = "tuple[int, int, Posting]"  # what the term adds at most, its weight, its postings

THIN = 4_096  # postings in the whole store of a term that is summed up at once
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
        """The score that a segment has to equal, or pass."""
        return self.threshold >> 32


def rank(scopes: Sequence[Scope], wanted: Wanted, k: int) -> Int64s:
    """Return the keys of the k best matching segments, ascending (I1); scopes are in order of their first id."""
    best = Best(k)
    sizes = {place: sum(posting.n for s in scopes if (posting := s.postings[place])) for place in wanted.ranked}
    thin = [place for place in wanted.ranked if 0 < sizes[place] <= THIN]
    thick = [place for place in wanted.ranked if sizes[place] > THIN]
    if any(not sizes[place] for place in wanted.required):
        return best.keys
    found: Int64s = np.zeros(0, np.int64)
    if thin and not (wanted.required and set(wanted.required).isdisjoint(thin)):
        thinnest = min(set(wanted.required) & set(thin), key=sizes.__getitem__, default=None)
        found = _Thin(scopes, wanted, best, thin, thick).offer(thinnest)
        if thinnest is not None:
            return best.keys
    visits = [_Visit(scope, wanted, best, wanted.ranked if wanted.required else thick) for scope in scopes]
    visits = sorted((visit for visit in visits if visit.bound), key=lambda visit: visit.order, reverse=True)
    for visit in visits:
        if visit.bound << 32 | visit.scope.last_id <= best.threshold:
            break
        visit.offer(found)
    return best.keys


class _Thin:
    """The segments that hold at least one thin term, of all parts at once."""

    def __init__(
        self, scopes: Sequence[Scope], wanted: Wanted, best: Best, thin: Sequence[int], thick: Sequence[int]
    ) -> None:
        self.scopes = scopes
        self.wanted = wanted
        self.best = best
        self.thin = thin
        self.leads = self._leads(thick)
        self.is_filtered = any(len(scope.forgotten) for scope in scopes) or scopes[0].conditions != Filter()
        self.firsts = np.array([scope.part.first for scope in scopes], np.int64)

    def offer(self, required: int | None) -> Int64s:
        """Offer all that may be among the best; return the ids that hold a thin term (of `required`, where given)."""
        parts = [self._gather(place) for place in self.thin]
        ids, scores = _summed(parts)
        if required is not None:
            kept = np.isin(ids, parts[self.thin.index(required)] >> 32, assume_unique=True)
            ids, scores = ids[kept], scores[kept]
        if self.is_filtered:
            ids, scores = self._passing(ids, scores)
        rest = sum(most for most, _, _ in self.leads)
        few = 2 * self.best.k
        if len(ids) <= 2 * few or not rest:
            self._look_up(ids, scores, rest)
            return ids
        least = int(np.partition(scores, -few)[-few])
        is_first = scores >= least
        self._look_up(ids[is_first], scores[is_first], rest)
        others = ~is_first & (scores + rest >= self.best.score)
        self._look_up(ids[others], scores[others], rest)
        return ids

    def _gather(self, place: int) -> Int64s:
        """Return a term's postings in all parts as `id << 32 | weight x impact`, ascending."""
        held = [(scope.part.first, posting) for scope in self.scopes if (posting := scope.postings[place])]
        lists = [posting.above(1) for _, posting in held]
        offsets = np.concatenate([offsets for offsets, _ in lists])
        impacts = np.concatenate([impacts for _, impacts in lists])
        packed: Int64s = np.repeat(np.array([first for first, _ in held]), [len(offsets) for offsets, _ in lists])
        packed += offsets
        packed <<= 32
        packed |= impacts.astype(np.int64) * self.wanted.weights[place]
        return packed

    def _leads(self, thick: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return what each thick term adds at most, its weight and its place, those that can add most first."""
        leads = []
        for place in thick:
            weight = self.wanted.weights[place]
            highest = max(posting.highest for scope in self.scopes if (posting := scope.postings[place]))
            leads.append((weight * highest, weight, place))
        return sorted(leads, reverse=True)

    def _look_up(self, ids: Int64s, scores: Int64s, rest: int) -> None:
        """Add the thick terms, those that can add most first, and offer what passes and may reach the threshold."""
        best = self.best
        for most, weight, place in self.leads:
            if best.threshold >= 0:
                kept = scores + rest >= best.score
                ids, scores = ids[kept], scores[kept]
            scores = scores + self._impacts(place, ids) * weight
            rest -= most
        keys = (scores << 32) | ids
        kept = keys > best.threshold
        if not self.wanted.is_strict:
            best.offer(keys[kept])
            return
        ids, keys = ids[kept], keys[kept]
        for scope, part in self._slices(ids):
            offsets = (ids[part] - scope.part.first).astype(np.uint16)
            best.offer(keys[part][self.wanted.admits(scope, offsets)])

    def _slices(self, ids: Int64s) -> list[tuple[Scope, slice]]:
        """Return which stretch of ascending ids lies in which part."""
        bounds = [*ids.searchsorted(self.firsts).tolist(), len(ids)]
        return [
            (scope, slice(start, stop))
            for scope, start, stop in zip(self.scopes, bounds, bounds[1:], strict=False)
            if start < stop
        ]

    def _passing(self, ids: Int64s, scores: Int64s) -> tuple[Int64s, Int64s]:
        passing = np.ones(len(ids), np.bool_)
        for scope, part in self._slices(ids):
            chosen = scope.chosen()
            if chosen is not None:
                passing[part] = facets.contains(chosen, (ids[part] - scope.part.first).astype(np.uint16))
        return ids[passing], scores[passing]

    def _impacts(self, place: int, ids: Int64s) -> Int64s:
        found = np.zeros(len(ids), np.int64)
        for scope, part in self._slices(ids):
            posting = scope.postings[place]
            if posting is not None:
                found[part] = posting.at((ids[part] - scope.part.first).astype(np.uint16))
        return found


def _summed(parts: Sequence[Int64s]) -> tuple[Int64s, Int64s]:
    """Return the ids that several terms' postings name, ascending, and the sum of each one's scores."""
    if len(parts) == 1:
        return parts[0] >> 32, parts[0] & 0xFFFFFFFF
    packed = np.concatenate(parts)
    packed.sort()
    ids, scores = packed >> 32, packed & 0xFFFFFFFF
    is_first = np.empty(len(ids), np.bool_)
    is_first[0] = True
    np.not_equal(ids[1:], ids[:-1], out=is_first[1:])
    starts = is_first.nonzero()[0]
    summed: Int64s = np.add.reduceat(scores, starts)
    return ids[starts], summed


def _admit(scope: Scope, wanted: Wanted, best: Best, offsets: Array, scores: Int64s) -> None:
    """Offer scored segments that match and may reach the threshold."""
    keys = (scores << 32) | (offsets.astype(np.int64) + scope.part.first)
    kept = keys > best.threshold
    if wanted.is_strict:
        kept &= wanted.admits(scope, offsets)
    best.offer(keys[kept])


class _Visit:
    """One part, and those of the given terms that it holds, those that can add most first."""

    __slots__ = ("best", "bound", "done", "leads", "scope", "wanted")

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
        self.bound = sum(lead[0] for lead in leads)  # no segment here scores more

    @property
    def order(self) -> tuple[int, int]:
        """What parts are visited by: the highest first."""
        return self.bound, self.scope.last_id

    def offer(self, done: Int64s) -> None:
        """Offer all of the part's segments that may be among the best; `done` are ids that were offered."""
        first = self.scope.part.first
        low, high = done.searchsorted([first, first + self.scope.part.span]).tolist()
        self.done = (done[low:high] - first).astype(np.uint16)
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
        if len(self.done) and len(offsets):
            is_new = ~facets.contains(self.done, offsets)
            offsets, scores = offsets[is_new], scores[is_new]
        _admit(self.scope, self.wanted, self.best, offsets, scores)
