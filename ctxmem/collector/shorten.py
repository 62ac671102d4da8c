"""Shortening: where the roots alone are too large, images in their results go, then the largest results are cut.

Images go first, the oldest before newer ones; what is still too much is cut to one common length.
"""

from typing import Final

import numpy as np

from ctxmem.collector.decisions import Forms
from ctxmem.collector.growable import Array
from ctxmem.collector.item import USER
from ctxmem.collector.working import FULL, LABELLED, SHORT, Form, WorkingSet

LEAST_LIMIT_TOKENS: Final = 12  # what the notice of the cut takes
FRAME_TOKENS: Final = 20  # of a result's message, at most


def shorten(
    working: WorkingSet, kept: Array, goal_tokens: int, floor_tokens: int, is_cut: Array
) -> tuple[Forms, Array]:
    """Cut results of the kept groups to the largest common limit that brings them down to the goal.

    `is_cut`: the groups of which what users said is cut as well, but for what is pinned. The limit is at least
    `floor_tokens`, so the goal may be missed. Returns the forms, and the groups' tokens after.
    """
    segments, groups = working.segments, working.groups
    tokens = groups["tokens"].astype(np.int64)
    owner = segments["group"]
    is_said = (groups["kind"][owner] == USER) & (segments["pinned"] == 0)
    may_cut = (segments["is_result"] > 0) | (is_said & is_cut[owner])
    is_open = kept[owner] & may_cut & (working.shows_text() | (segments["form"] == SHORT))
    rows = np.flatnonzero(is_open)
    sizes = segments["shown_tokens"][rows].astype(np.int64)
    over = int(tokens[kept].sum()) - goal_tokens
    forms: Forms = {}
    for place in _oldest_images(working, rows, over):
        saved = int(segments["image_tokens"][rows[place]])
        sizes[place] -= saved
        tokens[owner[rows[place]]] -= saved
        over -= saved
        forms[int(segments["id"][rows[place]])] = Form(LABELLED, 0, int(sizes[place]))
    if over <= 0:
        return forms, tokens
    limit = max(_limit(sizes, int(sizes.sum()) - over), floor_tokens, LEAST_LIMIT_TOKENS + FRAME_TOKENS)
    for row, size in zip(rows.tolist(), sizes.tolist(), strict=True):
        if size > limit:
            forms[int(segments["id"][row])] = Form(SHORT, limit - FRAME_TOKENS, limit)
            tokens[owner[row]] -= size - limit
    return forms, tokens


def _oldest_images(working: WorkingSet, rows: Array, over: int) -> list[int]:
    """Return the places in `rows` of the results whose images go: the fewest that free `over` tokens, oldest first."""
    segments = working.segments
    has_images = (segments["form"][rows] == FULL) & (segments["image_tokens"][rows] > 0)
    places = np.flatnonzero(has_images)
    freed = np.cumsum(segments["image_tokens"][rows[places]])
    chosen: list[int] = places[: int(np.searchsorted(freed, over)) + 1].tolist()
    return chosen


def _limit(sizes: Array, room: int) -> int:
    """Return the largest limit at which the sizes, each cut to it, add up to the room at most; 0 where none does."""
    if room <= 0 or not len(sizes):
        return 0
    ascending = np.sort(sizes)
    before = np.concatenate([[0], np.cumsum(ascending)[:-1]])
    levels = (room - before) // np.arange(len(sizes), 0, -1)
    above = np.flatnonzero(levels < ascending)
    return int(levels[above[0]]) if len(above) else int(ascending[-1])
