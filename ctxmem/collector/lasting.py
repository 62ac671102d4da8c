"""What goes last: the words of a conversation, and what the next step most likely needs. Masks over the groups."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from ctxmem.collector.growable import Array
from ctxmem.collector.item import ASSISTANT, EDIT, READ, USER
from ctxmem.collector.roots import offers
from ctxmem.collector.working import WorkingSet

SMALL_USER_TOKENS: Final = 500  # a user message up to this may go last
WORDS_SHARE: Final = 0.30  # of the budget, for what users typed, and what the assistant said and planned
NEEDED_SHARE: Final = 0.10  # of the budget, for what the next step most likely needs
SHOWN: Final = 2  # results that show one file, the newest: a part of it may have been read since the whole
CHANGES: Final = 4  # of one file, the newest
RECENT_TURNS: Final = 24  # turns in which a file that was edited, or a run that failed, is likely to be needed again


def words_last(working: WorkingSet, is_root: Array, budget_tokens: int) -> Array:
    """Return the mask of the groups whose words go last: the newest plan, what users typed, what the assistant said.

    Newest first, while they fit their share. What a user answers in few words is taken with the message it answers, or
    not at all: an agreement alone says nothing. O(groups).
    """
    groups = working.groups
    mask = is_root.copy()
    left = WORDS_SHARE * budget_tokens
    users = np.flatnonzero((groups["kind"] == USER) & (groups["tokens"] <= SMALL_USER_TOKENS))[::-1]
    is_said = (groups["kind"] == ASSISTANT) & (groups["text_tokens"] > 0)
    sizes = np.where(is_said, groups["text_tokens"], groups["tokens"]).tolist()
    answered = offers(working)
    plans = np.flatnonzero(is_said & (groups["has_list"] > 0))[-1:]
    said = np.flatnonzero(is_said & (groups["tool"] == 0))[::-1]
    for row in np.concatenate([plans, users, said]).tolist():
        unit = {one for one in (row, answered.get(row, row)) if not mask[one]}
        tokens = sum(sizes[one] for one in unit)
        if tokens <= left:
            left -= tokens
            mask[list(unit)] = True
    found: Array = mask & ~is_root
    return found


def needed_next(working: WorkingSet, is_root: Array, budget_tokens: int) -> Array:
    """Return the mask of what the next step most likely needs, while it fits its share. O(segments).

    That is the newest failure, and of each file that was changed lately, the one changed last first, the newest groups
    that show it and its newest changes: an edit that no longer sees the text it replaces fails.
    """
    groups = working.groups
    mask = is_root.copy()
    left = NEEDED_SHARE * budget_tokens
    for row in _wanted(working) if len(groups) else ():
        tokens = int(groups["tokens"][row])
        if not mask[row] and tokens <= left:
            left -= tokens
            mask[row] = True
    found: Array = mask & ~is_root
    return found


def _wanted(working: WorkingSet) -> Iterator[int]:
    """Yield the rows that `needed_next` looks for, the most wanted first."""
    groups, segments, uses = working.groups, working.segments, working.uses
    is_recent = groups["turn"] >= int(groups["turn"][-1]) - RECENT_TURNS
    shows_text = working.shows_text()
    failed = segments["group"][np.flatnonzero((segments["is_error"] > 0) & (segments["is_result"] > 0) & shows_text)]
    yield from failed[-1:][is_recent[failed[-1:]]].tolist()
    owners = segments["group"][uses["segment"]]
    shows = (uses["op"] != EDIT) & (shows_text & (segments["superseded_by"] < 0))[uses["segment"]]
    changes = np.flatnonzero((uses["op"] != READ) & is_recent[owners])[::-1]
    paths = uses["path"][changes]
    for path in dict.fromkeys(paths.tolist()):
        yield from owners[shows & (uses["path"] == path)][: -SHOWN - 1 : -1].tolist()
    for path in dict.fromkeys(paths.tolist()):
        yield from owners[changes[paths == path][:CHANGES]].tolist()
