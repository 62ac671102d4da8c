"""Search as its definition says it, in plain Python over a dict: nothing pruned, nothing cached, no numpy.

The model tests compare ids, order and scores of the index with it. It follows the formula in `ctxmem.search.relevance` by its
own arithmetic; of ours it takes the analysis of texts and the parsed query.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

from ctxmem.search import terms
from ctxmem.search.query import Query, Sign

POOL = 200
EXPANSIONS = 64


@dataclass
class Doc:
    """One segment, as far as search goes; `session` 0: none."""

    id: int
    text: str
    session: int = 0
    kind: str = "note"
    at: float = 0.0
    facets: dict[str, Any] = field(default_factory=dict)
    impacts: dict[str, int] = field(default_factory=dict)

    def holds(self, name: str, value: Any) -> bool:
        """Say whether a facet has the value, or all values of a list."""
        own = self.facets.get(name, [])
        own = own if isinstance(own, list) else [own]
        wanted = value if isinstance(value, list) else [value]
        return all(any(type(a) is type(b) and a == b for a in own) for b in wanted)


@cache
def impact(tf: int, length: int) -> int:
    tf, norm = min(tf, 255), 3 * (32 + length)
    odds = max(Fraction(160 * tf, norm), Fraction(160, 288) + Fraction(80 * (tf - 1), norm))
    return max(1, min(255, math.floor(256 * odds / (1 + odds) + Fraction(1, 2))))


def idf(n: int, df: int) -> int:
    return max(1, round(4096 * math.log1p((n - df + 0.5) / (df + 0.5))))


class Oracle:
    """Add segments, forget some, search."""

    def __init__(self) -> None:
        self.docs: dict[int, Doc] = {}

    def add(self, doc: Doc) -> None:
        speakers = doc.facets.get("entity")
        names = [name for name in (speakers if isinstance(speakers, list) else [speakers]) if isinstance(name, str)]
        counts, length = terms.document(doc.text, names, doc.at)
        doc.impacts = {term: impact(count, length) for term, count in counts}
        self.docs[doc.id] = doc

    def forget(self, segment_id: int) -> None:
        del self.docs[segment_id]

    def search(
        self,
        query: Query,
        limit: int,
        *,
        passes: Callable[[Doc], bool] = lambda _: True,
        conversation: bool = True,
    ) -> list[tuple[int, int]]:
        """Return (id, score) of the hits, best first."""
        docs = self.docs.values()
        if limit <= 0:
            return []
        if query.is_empty:
            found = sorted((doc for doc in docs if passes(doc)), key=lambda doc: (-doc.at, -doc.id))
            return [(doc.id, 0) for doc in found[:limit]]
        question = _Question(query, docs)
        scores = {doc.id: question.own_score(doc) for doc in docs}
        matching = [doc for doc in docs if scores[doc.id] and passes(doc) and question.admits(doc)]
        pool = sorted(matching, key=lambda doc: (-scores[doc.id], -doc.id))
        if not conversation:
            return [(doc.id, scores[doc.id]) for doc in pool[:limit]]
        pool = pool[: max(POOL, limit)]
        reranked = self._rerank(question, {doc.id for doc in pool})
        hits = [
            (-score, -i)
            for i, score in reranked.items()
            if score > 0 and passes(self.docs[i]) and question.admits(self.docs[i])
        ]
        return [(-i, -score) for score, i in sorted(hits)[:limit]]

    def around(self, segment_id: int) -> list[int]:
        """Return the ids at distance 1 and 2 in the session."""
        session = self.docs[segment_id].session
        if not session:
            return []
        ids = sorted(i for i, doc in self.docs.items() if doc.session == session)
        place = ids.index(segment_id)
        return ids[max(0, place - 2) : place] + ids[place + 1 : place + 3]

    def _rerank(self, question: "_Question", pool: set[int]) -> dict[int, int]:
        around = {i: self.around(i) for i in pool}
        rows = pool.union(*around.values()) if pool else pool
        said = {}
        for i in rows:
            beside = [j for j in (around.get(i) or self.around(i)) if j in rows]
            for term in question.weights:
                total = 4 * self._odds(i, term) + sum(self._odds(j, term) for j in beside)
                said[i, term] = 65536 * total // (total + 16384)
        best: dict[tuple[int, str], int] = {}
        for (i, term), x in said.items():
            key = self.docs[i].session, term
            best[key] = max(best.get(key, 0), x)
        scores = {}
        for i in rows:
            session = self.docs[i].session
            alone = sum(weight * said[i, term] for term, weight in question.weights.items())
            shared = sum(weight * best[session, term] for term, weight in question.weights.items()) if session else 0
            scores[i] = (alone + shared * 3 // 8) // 256
        return scores

    def _odds(self, segment_id: int, term: str) -> int:
        value = self.docs[segment_id].impacts.get(term, 0)
        return 4096 * value // (256 - value)


class _Question:
    """A query with its prefixes expanded and its terms weighed over all live segments."""

    def __init__(self, query: Query, docs: Iterable[Doc]) -> None:
        self.query = query
        held: dict[str, int] = {}
        n = 0
        for doc in docs:
            n += 1
            for term in doc.impacts:
                held[term] = held.get(term, 0) + 1
        self.groups: list[list[str]] = []
        ranked = [*query.required, *query.should]
        self.excluded = set(query.excluded)
        for prefix in query.prefixes:
            expanded = _expand(prefix.start, prefix.stems, held)
            if prefix.sign is Sign.EXCLUDED:
                self.excluded.update(expanded)
            else:
                ranked += expanded
            if prefix.sign is Sign.REQUIRED:
                self.groups.append(expanded)
        self.weights = {term: idf(n, held.get(term, 0)) for term in dict.fromkeys(ranked)}

    def own_score(self, doc: Doc) -> int:
        return sum(weight * doc.impacts.get(term, 0) for term, weight in self.weights.items())

    def admits(self, doc: Doc) -> bool:
        return (
            all(term in doc.impacts for term in self.query.required)
            and all(any(term in doc.impacts for term in group) for group in self.groups)
            and not any(term in doc.impacts for term in self.excluded)
            and all(phrase.is_in(doc.text) is (phrase.sign is Sign.REQUIRED) for phrase in self.query.phrases)
        )


def _expand(start: str, stems: Iterable[str], held: dict[str, int]) -> list[str]:
    found = [term for term in held if term.startswith(start) or term in stems]
    return sorted(found, key=lambda term: (-held[term], term.encode()))[:EXPANSIONS]
