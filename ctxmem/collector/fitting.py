"""Fitting: the roots as they are kept, where they alone are too large; the list of them, where nothing fits.

Invariants:
    I1. What is given up is the least of `_ATTEMPTS`, in their order, that makes the roots fit.
    I2. `WindowOverflow` names every root with its size and its rule.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from ctxmem.collector.decisions import Forms
from ctxmem.collector.growable import Array
from ctxmem.collector.roots import ANSWERED, NEWEST_USER, NO_RULE, PINNED, RECENT, RESTORED, RULES, TASK, Roots
from ctxmem.collector.shorten import shorten
from ctxmem.collector.working import FULL, SHORT, Form, WorkingSet
from ctxmem.errors import WindowOverflow


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a plan has to reach, in tokens of groups.

    `goal_tokens` makes it worth it, `most_tokens` leaves the ledger the least that it should have, `room_tokens` is all
    that the budget leaves to groups.
    """

    goal_tokens: int
    most_tokens: int
    room_tokens: int
    budget_tokens: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The roots as they are kept: rules, results shortened, tokens by group after that."""

    roots: Roots
    forms: Forms
    tokens: Array


class _Attempt(NamedTuple):
    """Which rules give way, the least length of a result as a share of the budget, and what is cut or taken besides.

    `cuts`: the rules of the user messages that are cut like results.
    """

    gives: tuple[int, ...] = ()
    share: float = 0.0
    cuts: tuple[int, ...] = ()
    takes_ledger: bool = False


_BY_VALUE: Final = (RECENT, RESTORED)
_BUT_TASK: Final = (*_BY_VALUE, ANSWERED)
_ALL: Final = (*_BUT_TASK, TASK)
_USERS: Final = tuple(range(PINNED + 1, len(RULES)))
_ATTEMPTS: Final = (
    _Attempt((), 0.10),
    _Attempt(_BY_VALUE, 0.10),
    _Attempt(_BY_VALUE),
    _Attempt(_BUT_TASK),
    _Attempt(_BUT_TASK, 0.05, cuts=(TASK,)),  # the task is shortened before it goes
    _Attempt(_BUT_TASK, 0.05, cuts=(TASK,), takes_ledger=True),
    _Attempt(_BUT_TASK, 0.05, cuts=_USERS),
    _Attempt(_BUT_TASK, 0.05, cuts=_USERS, takes_ledger=True),
    _Attempt(_ALL, 0.10),
    _Attempt(_ALL),
    _Attempt(_ALL, takes_ledger=True),
    _Attempt(_ALL, cuts=_USERS, takes_ledger=True),
)


def fit(working: WorkingSet, roots: Roots, sizes: Sizes, *, cuts_users: bool) -> Kept:
    """Make the roots fit, giving up as little as that takes (I1); `cuts_users` allows to shorten what users said.

    Raises:
        WindowOverflow: they do not fit.
    """
    tokens = working.groups["tokens"].astype(np.int64)
    if int(tokens[roots.is_root].sum()) <= sizes.most_tokens:
        return _with_whole_request(working, Kept(roots, {}, tokens), sizes.most_tokens)
    for attempt in _ATTEMPTS:
        if cuts_users or not attempt.cuts:
            kept = _tried(working, roots, sizes, attempt)
            if kept is not None:
                return kept
    raise overflow(working, roots, sizes)


def _with_whole_request(working: WorkingSet, kept: Kept, most_tokens: int) -> Kept:
    """Show a request in full again that was shortened, where it fits: one large result must not cut it for ever."""
    segments, is_root, tokens = working.segments, kept.roots.is_root, kept.tokens
    is_request = np.isin(kept.roots.rules, (TASK, NEWEST_USER))[segments["group"]]
    for row in np.flatnonzero(is_request & (segments["form"] == SHORT)).tolist():
        more = int(segments["tokens"][row]) - int(segments["shown_tokens"][row])
        if int(tokens[is_root].sum()) + more <= most_tokens:
            kept.forms[int(segments["id"][row])] = Form(FULL, 0, int(segments["tokens"][row]))
            tokens[segments["group"][row]] += more
    return kept


def _tried(working: WorkingSet, roots: Roots, sizes: Sizes, attempt: _Attempt) -> Kept | None:
    """Return the roots as one attempt keeps them, None where they do not fit so."""
    tokens = working.groups["tokens"].astype(np.int64)
    rules = roots.rules.copy()
    rules[np.isin(rules, attempt.gives)] = NO_RULE
    left = Roots(rules)
    most = sizes.room_tokens if attempt.takes_ledger else sizes.most_tokens
    if int(tokens[left.is_root].sum()) <= most:
        return Kept(left, {}, tokens)
    goal = sizes.goal_tokens if attempt.share else most
    floor = int(attempt.share * sizes.budget_tokens)
    is_cut = np.isin(rules, attempt.cuts)
    forms, after = shorten(working, left.is_root, goal, floor, is_cut)
    return Kept(left, forms, after) if int(after[left.is_root].sum()) <= most else None


def overflow(working: WorkingSet, roots: Roots, sizes: Sizes) -> WindowOverflow:
    """Return the error that lists the roots by size (I2)."""
    rows = np.flatnonzero(roots.is_root)
    ids, tokens = working.groups["id"], working.groups["tokens"].astype(np.int64)
    listed = [(int(ids[row]), int(tokens[row]), RULES[roots.rules[row]]) for row in rows]
    listed.sort(key=lambda entry: (-entry[1], entry[0]))
    needed = int(tokens[rows].sum()) + sizes.budget_tokens - sizes.room_tokens
    largest = ", ".join(f"#{group} {size:,} ({rule})" for group, size, rule in listed[:3])
    return WindowOverflow(
        f"what must stay takes {needed:,} of {sizes.budget_tokens:,} tokens: {largest}; raise the window or unpin",
        sizes.budget_tokens,
        needed,
        listed,
    )
