"""What stands around the best segments in their sessions: the numbers that conversation-aware relevance is made of.

Nothing is indexed for it: a forgotten neighbour leaves nothing, the next one takes its place.
Does not know: the formula, see `relevance.rerank`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.search import relevance
from ctxmem.search.parts import Scope
from ctxmem.search.postings import Posting
from ctxmem.search.scoring import Spread

Array: TypeAlias = npt.NDArray[Any]
Int64s: TypeAlias = npt.NDArray[np.int64]

_REACH = 2 * relevance.REACH  # the neighbours of neighbours
_MIDDLE = slice(_REACH - relevance.REACH, _REACH + relevance.REACH + 1)
_STEPS = np.array([-1, 1, -2, 2])
_AROUND = np.arange(-_REACH, _REACH + 1)
_CELL_BITS = 22  # a spot and a place in the windows of a pool in one number
_CELL = (1 << _CELL_BITS) - 1


@dataclass(frozen=True, slots=True)
class Rows:
    """The pool and its neighbours, in order of id: what `relevance.rerank` takes of them."""

    spread: Spread
    own: npt.NDArray[np.uint8]
    neighbours: Int64s
    sessions: Int64s


def rows(scopes: Sequence[Scope], ranked: Sequence[int], pool: Int64s, whole: Mapping[int, Posting]) -> Rows:
    """Return the rows for a pool of ascending spots; scopes are in order of their first id.

    `whole`: those of the ranked terms whose postings of all scopes are at hand as one, over spots.
    """
    windows, sessions = _windows(Spread(scopes, pool))
    _bridge(scopes, windows, sessions)
    cells = windows[:, _MIDDLE].ravel() << _CELL_BITS
    cells += np.arange(len(cells))
    cells.sort()
    found = cells >> _CELL_BITS
    is_first = np.empty(len(cells), np.bool_)
    is_first[0] = found[0] >= 0
    np.not_equal(found[1:], found[:-1], out=is_first[1:])
    is_first &= found >= 0
    spots = found[is_first]
    row, column = np.divmod(cells[is_first] & _CELL, 2 * relevance.REACH + 1)
    at = row * windows.shape[1] + column + relevance.REACH
    around = windows.ravel().take(_STEPS[:, None] + at)
    neighbours = spots.searchsorted(around)
    neighbours[spots.take(neighbours, mode="clip") != around] = -1
    own = np.zeros((len(spots), len(ranked)), np.uint8)
    spread = Spread(scopes, spots)
    for number, place in enumerate(ranked):
        known = whole.get(place)
        own[:, number] = spread.impacts(place) if known is None else known.at(spots)
    return Rows(spread, own, neighbours.T, sessions.take(row))


def _windows(pool: Spread) -> tuple[Int64s, Int64s]:
    """Return the spots around each one of the pool in its session, from -reach to +reach, and its session's number.

    -1 where the session has none in that part. Segments of session 0, which is none, stand alone.
    """
    places = pool.offsets.astype(np.uint32)
    low, high, sessions = np.empty((3, len(places)), np.uint32)
    ordered = []
    for scope, start, stop in pool.stretches:
        grouped, part = scope.sessions(), slice(start, stop)
        low[part], high[part], sessions[part] = grouped.bounds(places[part])
        if grouped.order is not None:
            ordered.append((grouped.order, part))
    wanted = places[:, None] + _AROUND
    outside = (wanted < low[:, None]) | (wanted >= high[:, None])
    for order, part in ordered:
        wanted[part] = order.take(wanted[part], mode="clip")
    wanted += (pool.spots & -0x10000)[:, None]
    wanted[outside] = -1
    alone = (sessions == 0).nonzero()[0]
    if len(alone):
        wanted[alone] = -1
        wanted[alone, _REACH] = pool.spots[alone]
    return wanted, sessions.astype(np.int64)


def _bridge(scopes: Sequence[Scope], windows: Int64s, sessions: Int64s) -> None:
    """Fill in neighbours that stand in other parts: only windows that end inside their part look for them."""
    cut = ((windows[:, 0] < 0) | (windows[:, -1] < 0)) & (sessions != 0)
    rows_cut = cut.nonzero()[0]
    if not len(rows_cut) or len(scopes) == 1:
        return
    wanted = np.unique(sessions[rows_cut])
    wanted = wanted[_shared(scopes, wanted)]
    if not len(wanted):
        return
    is_shared = np.isin(sessions[rows_cut], wanted)
    rows_cut = rows_cut[is_shared]
    firsts = np.full((len(scopes), len(wanted), _REACH), -1, np.int64)
    lasts = firsts.copy()
    for number, scope in enumerate(scopes):
        low, high = wanted.searchsorted([scope.part.session_min, scope.part.session_max + 1]).tolist()
        grouped, base = scope.sessions(), scope.base
        if low < high and len(grouped.numbers):
            places = slice(low, high)
            head, end = grouped.ends(wanted[places], _REACH)
            firsts[number, places] = np.where(head >= 0, head + base, -1)
            lasts[number, places] = np.where(end >= 0, end + base, -1)
    here = windows[rows_cut, _REACH] >> 16
    places = wanted.searchsorted(sessions[rows_cut])
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


def _shared(scopes: Sequence[Scope], sessions: Int64s) -> Array:
    """Say of each session whether more than one part may hold it: bool[n]; from the parts' bounds, no disk."""
    lows = np.sort(np.array([scope.part.session_min for scope in scopes], np.int64))
    highs = np.sort(np.array([scope.part.session_max for scope in scopes], np.int64))
    found: Array = lows.searchsorted(sessions, side="right") - highs.searchsorted(sessions, side="left") > 1
    return found
