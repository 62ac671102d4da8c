"""What stands around the best segments in their sessions: the numbers that conversation-aware relevance is made of.

Nothing is indexed for it: a forgotten neighbour leaves nothing, the next one takes its place.
Does not know: the formula, see `relevance.rerank`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem import relevance
from ctxmem.parts import Scope

Array: TypeAlias = npt.NDArray[Any]
Int64s: TypeAlias = npt.NDArray[np.int64]

_REACH = 2 * relevance.REACH  # the neighbours of neighbours
_MIDDLE = slice(_REACH - relevance.REACH, _REACH + relevance.REACH + 1)
_STEPS = np.array([-1, 1, -2, 2])


@dataclass(frozen=True, slots=True)
class Rows:
    """The pool and its neighbours, in order of id: what `relevance.rerank` takes."""

    ids: Int64s
    own: npt.NDArray[np.uint8]
    neighbours: Int64s
    sessions: Int64s


def slices(scopes: Sequence[Scope], ids: Int64s) -> list[tuple[Scope, slice]]:
    """Return which stretch of ascending `ids` lies in which scope; scopes are in order of their first id."""
    bounds = ids.searchsorted([scope.part.first for scope in scopes]).tolist()
    stops = [*bounds[1:], len(ids)]
    return [
        (scope, slice(start, stop)) for scope, start, stop in zip(scopes, bounds, stops, strict=True) if stop > start
    ]


def rows(scopes: Sequence[Scope], ranked: Sequence[int], pool: Int64s) -> Rows:
    """Return the rows for a pool of ascending ids; scopes are in order of their first id."""
    windows, sessions = _windows(scopes, pool)
    _bridge(scopes, windows, sessions)
    middle = windows[:, _MIDDLE]
    ids, places = np.unique(middle, return_index=True)
    if ids[0] < 0:
        ids, places = ids[1:], places[1:]
    row, column = np.divmod(places, middle.shape[1])
    around = windows[row[:, None], column[:, None] + relevance.REACH + _STEPS]
    neighbours = ids.searchsorted(around)
    neighbours[ids.take(neighbours, mode="clip") != around] = -1
    own = np.zeros((len(ids), len(ranked)), np.uint8)
    for scope, part in slices(scopes, ids):
        own[part] = scope.own_impacts(ranked, (ids[part] - scope.part.first).astype(np.uint16))
    return Rows(ids, own, neighbours, sessions[row])


def _windows(scopes: Sequence[Scope], pool: Int64s) -> tuple[Int64s, Int64s]:
    """Return the ids around each one of the pool in its session, from -reach to +reach, and its session's number.

    -1 where the session has none in that part. Segments of session 0, which is none, stand alone.
    """
    places, low, high, sessions = np.empty((4, len(pool)), np.int64)
    ordered = []
    shift = np.empty(len(pool), np.int64)
    for scope, part in slices(scopes, pool):
        grouped, first = scope.sessions(), scope.part.first
        places[part], low[part], high[part], sessions[part] = grouped.bounds(pool[part] - first)
        shift[part] = first
        if grouped.order is not None:
            ordered.append((grouped.order, part))
    wanted = places[:, None] + np.arange(-_REACH, _REACH + 1)
    outside = (wanted < low[:, None]) | (wanted >= high[:, None])
    for order, part in ordered:
        wanted[part] = order.take(wanted[part], mode="clip")
    wanted += shift[:, None]
    wanted[outside] = -1
    alone = (sessions == 0).nonzero()[0]
    if len(alone):
        wanted[alone] = -1
        wanted[alone, _REACH] = pool[alone]
    return wanted, sessions


def _bridge(scopes: Sequence[Scope], windows: Int64s, sessions: Int64s) -> None:
    """Fill in neighbours that stand in other parts: only windows that end inside their part look for them."""
    cut = ((windows[:, 0] < 0) | (windows[:, -1] < 0)) & (sessions != 0)
    rows_cut = cut.nonzero()[0]
    if not len(rows_cut) or len(scopes) == 1:
        return
    wanted = np.unique(sessions[rows_cut])
    lows = np.array([scope.part.session_min for scope in scopes])
    highs = np.array([scope.part.session_max for scope in scopes])
    may_hold = (lows[:, None] <= wanted) & (wanted <= highs[:, None])
    is_shared = may_hold.sum(axis=0) > 1
    if not is_shared.any():
        return
    firsts = np.full((len(scopes), len(wanted), _REACH), -1, np.int64)
    lasts = firsts.copy()
    for number in (may_hold & is_shared).any(axis=1).nonzero()[0].tolist():
        grouped, first = scopes[number].sessions(), scopes[number].part.first
        if len(grouped.numbers):
            places = (may_hold[number] & is_shared).nonzero()[0]
            head, end = grouped.ends(wanted[places], _REACH)
            firsts[number, places] = np.where(head >= 0, head + first, -1)
            lasts[number, places] = np.where(end >= 0, end + first, -1)
    here = np.searchsorted([scope.part.first for scope in scopes], windows[rows_cut, _REACH], side="right") - 1
    places = wanted.searchsorted(sessions[rows_cut])
    rows_cut, here, places = (column[is_shared[places]] for column in (rows_cut, here, places))
    for row, number, place in zip(rows_cut.tolist(), here.tolist(), places.tolist(), strict=True):
        missing = int(np.count_nonzero(windows[row, :_REACH] < 0))
        if missing:
            before = lasts[:number, place].ravel()
            before = before[before >= 0][-missing:]
            windows[row, missing - len(before) : missing] = before
        missing = int(np.count_nonzero(windows[row, _REACH + 1 :] < 0))
        if missing:
            after = firsts[number + 1 :, place].ravel()
            after = after[after >= 0][:missing]
            start = windows.shape[1] - missing
            windows[row, start : start + len(after)] = after
