"""A part, which is a run or a tail, and which of its segments may be hits: what a search goes through.

Does not know: scores, the store.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.search import facets
from ctxmem.search.columns import BySession
from ctxmem.search.facets import IdSet, OffsetSet
from ctxmem.search.postings import Posting

Array: TypeAlias = npt.NDArray[Any]
Uint16s: TypeAlias = npt.NDArray[np.uint16]
Int64s: TypeAlias = npt.NDArray[np.int64]

NONE: Uint16s = np.zeros(0, np.uint16)
FEW = 512  # up to this many offsets, a stored set is probed without decoding it


class Part(Protocol):
    """Segments `[first, first + span)` of one block, indexed; `n` of the ids hold a segment."""

    @property
    def first(self) -> int: ...  # noqa: D102
    @property
    def span(self) -> int: ...  # noqa: D102
    @property
    def n(self) -> int: ...  # noqa: D102
    @property
    def at_min(self) -> float: ...  # noqa: D102
    @property
    def at_max(self) -> float: ...  # noqa: D102

    @property
    def session_min(self) -> int: ...  # noqa: D102
    @property
    def session_max(self) -> int: ...  # noqa: D102

    def posting(self, term: bytes) -> Posting | None: ...  # noqa: D102
    def postings(self, terms: Sequence[bytes]) -> list[Posting | None]: ...  # noqa: D102
    def facet(self, key: bytes) -> OffsetSet | None: ...  # noqa: D102
    def holds(self, key: bytes, offsets: Uint16s) -> npt.NDArray[np.bool_]: ...  # noqa: D102
    def unsearched(self) -> OffsetSet | None: ...  # noqa: D102
    def facet_size(self, key: bytes) -> int: ...  # noqa: D102
    def terms_from(self, start: bytes) -> Iterator[tuple[bytes, int]]: ...  # noqa: D102
    def present(self) -> OffsetSet | None: ...  # noqa: D102
    def at(self) -> Array: ...  # noqa: D102
    def tokens(self) -> Array: ...  # noqa: D102
    def sessions(self) -> BySession: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Filter:
    """Which segments may be hits: all conditions hold.

    `keys` are `facets` keys, the kind's among them; `sessions` are numbers; times are in seconds, both ends included;
    `exclude` holds ids.
    """

    keys: tuple[bytes, ...] = ()
    sessions: frozenset[int] | None = None
    since: float | None = None
    until: float | None = None
    exclude: IdSet | None = None

    @property
    def is_of_keys(self) -> bool:
        """Whether facets alone decide."""
        return self.sessions is None and self.since is None and self.until is None and not self.exclude

    def may_hold(self, part: Part) -> bool:
        """Say whether a part's times allow a hit at all: no disk."""
        return (self.since is None or part.at_max >= self.since) and (self.until is None or part.at_min <= self.until)

    def choose(self, part: Part, forgotten: Uint16s, sessions: BySession | None = None) -> OffsetSet | None:
        """Return the segments of a part that pass and are not forgotten, None for all; empty offsets may pass.

        Cost: the most selective condition first, nothing more once nothing is left.
        """
        if not self.may_hold(part):
            return NONE
        chosen: OffsetSet | None = None
        for key in self.keys:
            members = part.facet(key)
            if members is None:
                return NONE
            chosen = facets.intersect(chosen, members)
        if self.sessions is not None and (chosen is None or len(chosen)):
            of_sessions = (sessions or part.sessions()).of_any(self.sessions)
            chosen = facets.intersect(chosen, of_sessions)
        chosen = facets.intersect(chosen, self._in_time(part))
        if self.exclude:
            chosen = facets.without(chosen, facets.ids_between(self.exclude, part.first, part.span), part.span)
        return facets.without(chosen, forgotten, part.span)

    def _in_time(self, part: Part) -> OffsetSet | None:
        after = self.since is not None and part.at_min < self.since
        before = self.until is not None and part.at_max > self.until
        if not after and not before:
            return None
        at = part.at()
        inside = at >= self.since if after else at <= self.until
        if after and before:
            inside &= at <= self.until
        return inside


class Scope:
    """One part during one search: its postings of the query's terms, and which of its segments may be hits.

    `base` is the spot of the part's first id. A spot is the number of a scope and an offset in its part, 16 bits: it
    stands for an id during a search, sorts as ids do, and fits into one number with a score.
    """

    __slots__ = ("_chosen", "_is_chosen", "_sessions", "base", "conditions", "forgotten", "part", "postings")

    def __init__(self, part: Part, forgotten: Uint16s, conditions: Filter, sessions: BySession | None = None) -> None:
        self.part = part
        self.base = 0  # set by `numbered`
        self.forgotten = forgotten  # offsets that are in the part and forgotten
        self.conditions = conditions
        self.postings: list[Posting | None] = []
        self._chosen: OffsetSet | None = None
        self._is_chosen = False
        self._sessions = sessions  # without the forgotten ones, where there are any

    @property
    def last_id(self) -> int:
        """The highest id of the part's range."""
        return self.part.first + self.part.span - 1

    @property
    def last_spot(self) -> int:
        """The highest spot of the part's range."""
        return self.base + self.part.span - 1

    def chosen(self) -> OffsetSet | None:
        """Return the segments that pass the filter, None for all; computed once."""
        if not self._is_chosen:
            self._chosen = self.conditions.choose(self.part, self.forgotten, self._sessions)
            self._is_chosen = True
        return self._chosen

    def is_mostly_chosen(self) -> bool:
        """Say whether facets alone decide and each admits over a quarter: then filtering last is cheaper."""
        if len(self.forgotten) or not self.conditions.keys or not self.conditions.is_of_keys:
            return False
        return all(4 * self.part.facet_size(key) > self.part.n for key in self.conditions.keys)

    def passing(self, offsets: Uint16s) -> npt.NDArray[np.bool_]:
        """Say of each segment whether it may be a hit; of a few, without reading the whole sets: bool[n]."""
        if self._is_chosen or len(offsets) > FEW or len(self.forgotten) or not self.conditions.is_of_keys:
            chosen = self.chosen()
            return np.ones(len(offsets), np.bool_) if chosen is None else facets.contains(chosen, offsets)
        ok = np.ones(len(offsets), np.bool_)
        for key in self.conditions.keys:
            ok &= self.part.holds(key, offsets)
        return ok

    def sessions(self) -> BySession:
        """Return the part's segments by session, without the forgotten ones."""
        if self._sessions is None:
            whole = self.part.sessions()
            self._sessions = whole.without(self.forgotten, self.part.span) if len(self.forgotten) else whole
        return self._sessions

    def count_forgotten(self, posting: Posting | None) -> int:
        """Return how many of the segments that hold a term are forgotten."""
        return 0 if posting is None else int(np.count_nonzero(posting.at(self.forgotten)))


def numbered(scopes: Sequence[Scope]) -> Sequence[Scope]:
    """Give scopes that are in order of their first id their bases, and return them."""
    for number, scope in enumerate(scopes):
        scope.base = number << 16
    return scopes


def ids_of(scopes: Sequence[Scope], spots: Int64s) -> Int64s:
    """Return the ids that spots stand for: int64[n]."""
    firsts = np.array([scope.part.first for scope in scopes], np.int64)
    ids: Int64s = firsts.take(spots >> 16) + (spots & 0xFFFF)
    return ids
