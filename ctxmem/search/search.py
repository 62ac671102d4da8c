"""Answer a query: expand it, rank by keywords, look at conversations, verify phrases, name the parts of a score.

Invariants:
I1. Hits are ordered by (score, newest id), those of an empty query by (time, newest id); both are total orders.
I2. Counts and weights are of the segments that are not forgotten: a store that never held them answers the same.
I3. Every hit passes the filter and holds what the query requires; a neighbour of a match can be a hit even if it
    contains none of the query's words.
Does not know: the store, how a text is kept (`read_texts` is given).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ctxmem.search import conversation, facets, relevance, thin
from ctxmem.search.parts import Scope, ids_of, numbered
from ctxmem.search.query import PREFIX_EXPANSIONS, Query, Sign
from ctxmem.search.ranking import rank, thin_terms
from ctxmem.search.scoring import Spread, Wanted

Array: TypeAlias = npt.NDArray[Any]
Int64s: TypeAlias = npt.NDArray[np.int64]
ReadTexts: TypeAlias = Callable[[Sequence[int]], Sequence[str]]

VERIFIED = 2_000  # candidates of a phrase that are read at most
_READ = 64  # texts read at a time
_SPOT = 0xFFFFFFFF
_NO_PARTS: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Scored:
    """A hit: `parts` names the summands of the score where they were asked for; `partial`: the search stopped early."""

    id: int
    score: int
    parts: Mapping[str, int]
    partial: bool = False


@dataclass(slots=True)
class Candidates:
    """Segments that may be hits, in arrays of one length."""

    spots: Int64s
    scores: Int64s
    partial: bool
    parts: dict[str, Int64s] = field(default_factory=dict)

    def keep(self, chosen: Array) -> None:
        """Keep the chosen candidates (a mask, or places in order) and drop the others."""
        self.spots, self.scores = self.spots[chosen], self.scores[chosen]
        self.parts = {name: values[chosen] for name, values in self.parts.items()}


def search(
    scopes: Sequence[Scope],
    query: Query,
    limit: int,
    read_texts: ReadTexts,
    *,
    explain: bool = False,
    is_conversation_aware: bool = True,
) -> Sequence[Scored]:
    """Return the best `limit` hits; `scopes` are in order of their first id and hold no postings yet."""
    if limit <= 0 or not scopes:
        return []
    if query.is_empty:
        return newest(scopes, limit)
    question = _Question(numbered(scopes), query, read_texts)
    if not question.wanted.ranked:
        return []
    found = question.candidates(limit, explain=explain, is_conversation_aware=is_conversation_aware)
    found.keep(np.lexsort((-found.spots, -found.scores))[:limit])
    return Hits(ids_of(scopes, found.spots), found, explain=explain) if len(found.spots) else []


class Hits(Sequence[Scored]):
    """Hits in order, each made when it is asked for: 500 objects at once would wake up the garbage collector."""

    __slots__ = ("_ids", "_partial", "_parts", "_scores")

    def __init__(self, ids: Int64s, found: Candidates, *, explain: bool) -> None:
        self._ids: list[int] = ids.tolist()
        self._scores: list[int] = found.scores.tolist()
        self._parts = {name: values.tolist() for name, values in found.parts.items()} if explain else {}
        self._partial = found.partial

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> Scored: ...
    @overload
    def __getitem__(self, place: slice) -> list[Scored]: ...
    def __getitem__(self, place: int | slice) -> Scored | list[Scored]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        parts = {name: values[place] for name, values in self._parts.items()} if self._parts else _NO_PARTS
        return Scored(self._ids[place], self._scores[place], parts, self._partial)


def newest(scopes: Sequence[Scope], limit: int) -> list[Scored]:
    """Return the newest segments that pass the filter: by time, then id."""
    best_at, best_ids = np.zeros(0), np.zeros(0, np.int64)
    for scope in sorted(scopes, key=lambda scope: (scope.part.at_max, scope.part.first), reverse=True):
        if len(best_at) == limit and (scope.part.at_max, scope.last_id) <= (
            best_at[-1],
            int(best_ids[-1]),
        ):
            continue
        chosen = facets.intersect(scope.chosen(), scope.part.present())
        unsearched = scope.part.unsearched()
        if unsearched is not None:
            chosen = facets.without(chosen, facets.offsets_of(unsearched), scope.part.span)
        offsets = np.arange(scope.part.span) if chosen is None else facets.offsets_of(chosen)
        at = scope.part.at().take(offsets)
        if len(best_at) == limit:
            offsets, at = offsets[at >= best_at[-1]], at[at >= best_at[-1]]
        ids = offsets.astype(np.int64) + scope.part.first
        if len(at) > 4 * limit:  # a partial sort first: only the newest times matter; of equal times all are kept
            least = np.partition(at, -limit)[-limit]
            ids, at = ids[at >= least], at[at >= least]
        ids, at = np.concatenate((best_ids, ids)), np.concatenate((best_at, at))
        order = np.lexsort((-ids, -at))[:limit]
        best_ids, best_at = ids[order], at[order]
    return [Scored(segment_id, 0, {}) for segment_id in best_ids.tolist()]


def _prepare(scopes: Sequence[Scope], query: Query) -> Wanted:
    """Look every term up in every part, and weigh it."""
    expanded = [(prefix.sign, _expand(scopes, prefix.start, prefix.stems)) for prefix in query.prefixes]
    places: dict[bytes, int] = {}

    def placed(terms: Sequence[bytes]) -> tuple[int, ...]:
        return tuple(places.setdefault(term, len(places)) for term in terms)

    required = placed([term.encode() for term in query.required])
    ranked = dict.fromkeys(required + placed([term.encode() for term in query.should]))
    for sign, terms in expanded:
        if sign is not Sign.EXCLUDED:
            ranked.update(dict.fromkeys(placed(terms)))
    groups = tuple(placed(terms) for sign, terms in expanded if sign is Sign.REQUIRED)
    excluded = dict.fromkeys(placed([term.encode() for term in query.excluded]))
    for sign, terms in expanded:
        if sign is Sign.EXCLUDED:
            excluded.update(dict.fromkeys(placed(terms)))
    names = list(places)
    for scope in scopes:
        scope.postings = scope.part.postings(names)
    n = sum(scope.part.n - len(scope.forgotten) for scope in scopes)
    columns = zip(*(scope.postings for scope in scopes), strict=True)
    counts = [sum([posting.n for posting in column if posting is not None]) for column in columns]
    for scope in scopes:
        if len(scope.forgotten):
            for place, posting in enumerate(scope.postings):
                counts[place] -= scope.count_forgotten(posting)
    weights = tuple(relevance.idf(n, count) for count in counts)
    return Wanted(weights, tuple(ranked), required, groups, tuple(excluded))


def _expand(scopes: Sequence[Scope], start: str, stems: Sequence[str]) -> list[bytes]:
    """Return the most frequent terms that begin with `start`, and the stems: by count, then by the term itself."""
    counts: dict[bytes, int] = {}
    begin = start.encode()
    for scope in scopes:
        for term, count in scope.part.terms_from(begin):
            counts[term] = counts.get(term, 0) + count
        for stem in stems:
            held = scope.part.posting(stem.encode())
            if held is not None:
                counts[stem.encode()] = counts.get(stem.encode(), 0) + held.n
    for scope in scopes:
        if len(scope.forgotten):
            for term in counts:
                held = scope.part.posting(term)
                counts[term] -= scope.count_forgotten(held)
    ordered = sorted((-count, term) for term, count in counts.items() if count > 0)
    return [term for _, term in ordered[:PREFIX_EXPANSIONS]]


class _Question:
    """One query, looked up in every part."""

    def __init__(self, scopes: Sequence[Scope], query: Query, read_texts: ReadTexts) -> None:
        self.scopes = scopes
        self.phrases = query.phrases
        self.read_texts = read_texts
        self.wanted = _prepare(scopes, query)
        self.thin = thin_terms(scopes, self.wanted)

    def candidates(self, limit: int, *, explain: bool, is_conversation_aware: bool) -> Candidates:
        """Return the segments that the hits are taken from, with their scores."""
        keys, partial = self._pool(max(relevance.POOL, limit) if is_conversation_aware else limit)
        if is_conversation_aware and len(keys):
            return self._rerank(np.sort(keys & _SPOT), partial=partial, explain=explain)
        return Candidates(keys & _SPOT, keys >> 32, partial, {"keywords": keys >> 32})

    def _pool(self, k: int) -> tuple[Int64s, bool]:
        """Return the keys of the k best whose texts hold the phrases, and whether the search stopped early."""
        if not self.phrases:
            return rank(self.scopes, self.wanted, k, self.thin), False
        keys = rank(self.scopes, self.wanted, max(k, VERIFIED), self.thin)[::-1]
        kept: list[int] = []
        for start in range(0, len(keys), _READ):
            some = keys[start : start + _READ]
            kept += some[self._holds_phrases(some & _SPOT)].tolist()
            if len(kept) >= k:
                break
        return np.array(kept[:k], np.int64), len(keys) >= VERIFIED and len(kept) < k

    def _holds_phrases(self, spots: Int64s) -> list[bool]:
        return [
            all(phrase.is_in(text) is (phrase.sign is Sign.REQUIRED) for phrase in self.phrases)
            for text in self.read_texts(ids_of(self.scopes, spots).tolist())
        ]

    def _rerank(self, pool: Int64s, *, partial: bool, explain: bool) -> Candidates:
        """Return the pool and its neighbours with conversation-aware scores, without those that may not be hits."""
        wanted = self.wanted
        rows = conversation.rows(self.scopes, wanted.ranked, pool, self.thin)
        weights = np.array([wanted.weights[place] for place in wanted.ranked], np.int64)
        scores = relevance.rerank(rows.own, weights, rows.neighbours, rows.sessions)
        spots = rows.spread.spots
        found = Candidates(spots, scores, partial, _explained(rows, weights, scores) if explain else {})
        found.keep(self._admitted(rows.spread, scores > 0, pool))
        return found

    def _admitted(self, rows: Spread, is_scored: Array, pool: Int64s) -> Array:
        """Say which rows may be hits: those of the pool, and neighbours that pass all conditions too: bool[n]."""
        in_pool = np.zeros(len(rows.spots), np.bool_)
        in_pool[rows.spots.searchsorted(pool)] = True
        ok = is_scored
        is_filtered = thin.is_filtered(self.scopes)
        for scope, start, stop in rows.stretches:
            unsearched = scope.part.unsearched()
            if not is_filtered and unsearched is None and not self.wanted.is_strict:
                continue
            others = start + (ok[start:stop] & ~in_pool[start:stop]).nonzero()[0]
            offsets = rows.offsets[others]
            passing = self.wanted.admits(scope, offsets)
            if is_filtered:
                passing &= scope.passing(offsets)
            if unsearched is not None:
                passing &= ~facets.contains(unsearched, offsets)
            ok[others] = passing
        if self.phrases:
            others = (ok & ~in_pool).nonzero()[0]
            ok[others] = self._holds_phrases(rows.spots[others])
        return ok


def _explained(rows: conversation.Rows, weights: Int64s, scores: Int64s) -> dict[str, Int64s]:
    nobody = np.full_like(rows.neighbours, -1)
    nowhere = np.zeros_like(rows.sessions)
    alone = relevance.rerank(rows.own, weights, nobody, nowhere)
    with_neighbours = relevance.rerank(rows.own, weights, rows.neighbours, nowhere)
    return {"keywords": alone, "neighbours": with_neighbours - alone, "session": scores - with_neighbours}
