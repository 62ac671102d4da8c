"""Rank the segments that hold a rare word, of all parts at once.

A term is thin when few segments of the whole store hold it. Its postings of all parts are joined into one, over spots,
and those of all thin terms are summed. A segment is looked up in the thick terms only where these could still bring it
among the best.
Does not know: the store, conversations, texts.
"""

from collections.abc import Sequence

import numpy as np

from ctxmem.search.parts import Filter, Scope
from ctxmem.search.postings import Posting
from ctxmem.search.scoring import Best, Int64s, Spread, Wanted

AT_ONCE = 512  # up to this many segments in one look-up: it costs about what two passes over all parts do


def whole(scopes: Sequence[Scope], place: int) -> Posting:
    """Return a term's postings in all parts as one, its offsets being spots: int64[n]."""
    held = [(scope.base, posting) for scope in scopes if (posting := scope.postings[place])]
    lists = [posting.above(1) for _, posting in held]
    spots: Int64s = np.repeat(np.array([base for base, _ in held], np.int64), [posting.n for _, posting in held])
    spots += np.concatenate([offsets for offsets, _ in lists])
    impacts = np.concatenate([impacts for _, impacts in lists])
    return Posting(len(spots), max(posting.highest for _, posting in held), spots, impacts)


def is_filtered(scopes: Sequence[Scope]) -> bool:
    """Say whether any segment may be ruled out."""
    return scopes[0].conditions != Filter() or any(len(scope.forgotten) for scope in scopes)


class Thin:
    """The segments that hold at least one thin term; `whole` are the postings of those by their places."""

    def __init__(
        self,
        scopes: Sequence[Scope],
        wanted: Wanted,
        best: Best,
        thin: dict[int, Posting],
        thick: Sequence[int],
    ) -> None:
        self.scopes = scopes
        self.wanted = wanted
        self.best = best
        self.thin = thin
        self.leads = self._leads(thick)

    def offer(self, required: int | None) -> Int64s:
        """Offer all that may be among the best; return the spots that hold a thin term (of `required`, where given)."""
        spots, scores = self._summed()
        if required is not None:
            kept = np.isin(spots, self.thin[required].all_offsets(), assume_unique=True)
            spots, scores = spots[kept], scores[kept]
        if is_filtered(self.scopes):
            kept = Spread(self.scopes, spots).passing()
            spots, scores = spots[kept], scores[kept]
        rest = sum(most for most, _, _ in self.leads)
        few = 2 * self.best.k
        if len(spots) <= max(2 * few, AT_ONCE) or not rest:
            self._look_up(spots, scores, rest)
            return spots
        least = int(np.partition(scores, -few)[-few])
        is_first = scores >= least
        self._look_up(spots[is_first], scores[is_first], rest)
        others = ~is_first & (scores + rest >= self.best.score)
        self._look_up(spots[others], scores[others], rest)
        return spots

    def _leads(self, thick: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return what each thick term adds at most, its weight and its place, those that can add most first."""
        leads = []
        for place in thick:
            weight = self.wanted.weights[place]
            highest = max(posting.highest for scope in self.scopes if (posting := scope.postings[place]))
            leads.append((weight * highest, weight, place))
        return sorted(leads, reverse=True)

    def _look_up(self, spots: Int64s, scores: Int64s, rest: int) -> None:
        """Add the thick terms, those that can add most first, and offer what passes and may reach the threshold."""
        best = self.best
        spread = Spread(self.scopes, spots)
        for most, weight, place in self.leads:
            if best.threshold >= 0 and len(spread.spots):
                kept = (scores + rest >= best.score).nonzero()[0]
                if 4 * len(kept) < 3 * len(scores):
                    scores, spread = scores[kept], Spread(self.scopes, spread.spots[kept])
            scores = scores + spread.impacts(place).astype(np.int64) * weight
            rest -= most
        keys = (scores << 32) | spread.spots
        if self.wanted.is_strict:
            keys = keys[spread.admitted(self.wanted)]
        best.offer(keys)

    def _summed(self) -> tuple[Int64s, Int64s]:
        """Return the spots that hold a thin term, ascending, and what these terms sum up to in each."""
        weights = self.wanted.weights
        parts = [
            (posting.all_offsets(), posting.impacts.astype(np.int64) * weights[place])
            for place, posting in self.thin.items()
        ]
        if len(parts) == 1:
            return parts[0]
        packed = np.concatenate([(spots << 32) | scores for spots, scores in parts])
        packed.sort()
        spots, scores = packed >> 32, packed & 0xFFFFFFFF
        is_first = np.empty(len(spots), np.bool_)
        is_first[0] = True
        np.not_equal(spots[1:], spots[:-1], out=is_first[1:])
        starts = is_first.nonzero()[0]
        summed: Int64s = np.add.reduceat(scores, starts)
        return spots[starts], summed
