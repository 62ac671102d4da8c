"""A plan: what happens to each group, why, and what it frees. Pure: a context applies it in one commit, or not at all.

Invariants:
    I1. A group is kept, cut or dropped whole: no call is parted from its result.
    I2. Equal working sets, policies and budgets give equal plans; time is in the groups' turns, never a clock's.
    I3. After a plan, the groups and the most that the ledger may take fit the budget, or `WindowOverflow` was raised.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ctxmem.collector.decisions import CUT, DROP, KEEP, LABEL, Forms, Plan
from ctxmem.collector.growable import Array
from ctxmem.collector.keepvalue import (
    HALF_LIFE_TURNS,
    IMAGE_WEIGHT,
    RESULT_WEIGHT,
    SIZE_EXPONENT,
    USER_WEIGHT,
    keep_values,
)
from ctxmem.collector.mark import Marked, mark
from ctxmem.collector.roots import (
    NO_RULE,
    RECENT,
    REFERENCED,
    RESTORED,
    RULES,
    SMALL_USER,
    SUPERSEDED,
    TASK,
    VALUE,
    Roots,
    find_roots,
)
from ctxmem.collector.shorten import shorten
from ctxmem.collector.sweep import Step, sweep
from ctxmem.collector.working import FULL, GONE, LABELLED, STUB, USER, Form, WorkingSet
from ctxmem.errors import WindowOverflow
from ctxmem.ledger.abridge import HEADING_TOKENS, ledger_bound, room_of_next
from ctxmem.options import Policy

STUB_TOKENS: Final = 44  # of a stub with the framing of its result, at most
CUT_SHARE: Final = 0.60  # the least share of a group that its results must be: elided arguments teach a model to elide
SMALL_USER_TOKENS: Final = 500  # a user message up to this is swept last
SMALL_USER_SHARE: Final = 0.10  # of the budget, while they fit it
LEAST_SAVING_TOKENS: Final = 30  # a cut that frees less is not worth an edit
LEAST_LEDGER_SHARE: Final = 0.10  # of the budget, that roots leave to the ledger where they can
LAST: Final = 1 << 40  # beyond any value: subtracted for what goes first, added for what goes last


# What is tried, in order, where the roots alone do not fit: which rules give way, and the least length of a result as a
# share of the budget.
_ATTEMPTS: Final = (
    ((), 0.10),
    ((RECENT, RESTORED), 0.10),
    ((RECENT, RESTORED), 0.0),
    ((RECENT, RESTORED, TASK), 0.10),
    ((RECENT, RESTORED, TASK), 0.0),
)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What a plan has to reach, in tokens of groups: `goal` to be worth it, `most` to fit the budget at all."""

    goal_tokens: int
    most_tokens: int
    budget_tokens: int
    overhead_tokens: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """The roots as they are kept: rules, results shortened, tokens by group after that."""

    roots: Roots
    forms: Forms
    tokens: Array


@dataclass(frozen=True, slots=True)
class _Swept:
    """What the sweep takes, as masks over the groups, and what a label and a cut of each save."""

    is_labelled: Array
    is_cut: Array
    is_dropped: Array
    labels: Array
    saved: Array

    def freed(self) -> Array:
        """Return the tokens that leave each group that stays."""
        return np.where(self.is_labelled, self.labels, 0) + np.where(self.is_cut, self.saved, 0)


def plan(
    working: WorkingSet,
    *,
    budget_tokens: int,
    target_tokens: int,
    overhead_tokens: int,
    ledger_tokens: int,
    turn: int,
    policy: Policy,
) -> Plan:
    """Decide how to bring the prompt down to `target_tokens`. Pure and deterministic; O(groups) in numpy.

    `overhead_tokens` is what is sent besides the groups and the ledger (system, tools, extra, framing);
    `ledger_tokens` is what the ledger takes now: the plan leaves room for its growth.

    Raises:
        WindowOverflow: the roots do not fit, even with oversized results shortened and without those that may give way.
    """
    bound = ledger_bound(budget_tokens, policy.ledger_share, policy.ledger_tokens)
    grown = min(max(bound, ledger_tokens), ledger_tokens + HEADING_TOKENS + room_of_next(bound, ledger_tokens))
    goal = target_tokens - overhead_tokens - grown
    most = budget_tokens - overhead_tokens - min(grown, int(LEAST_LEDGER_SHARE * budget_tokens))
    sizes = _Sizes(max(0, min(goal, most)), most, budget_tokens, overhead_tokens)
    kept = _fit(working, find_roots(working, turn=turn, budget_tokens=budget_tokens, policy=policy), sizes)
    marked = mark(working, kept.roots, sizes.goal_tokens)
    return _decide(working, kept, marked, sizes)


def _fit(working: WorkingSet, roots: Roots, sizes: _Sizes) -> _Kept:
    """Make the roots fit, giving up as little as that takes (I3)."""
    tokens = working.groups["tokens"].astype(np.int64)
    if int(tokens[roots.is_root].sum()) <= sizes.most_tokens:
        return _Kept(roots, {}, tokens)
    most = sizes.most_tokens
    for gives, share in (*_ATTEMPTS, ((RECENT, RESTORED, TASK), -1.0)):
        rules = roots.rules.copy()
        rules[np.isin(rules, gives)] = NO_RULE
        is_root = rules != NO_RULE
        goal = sizes.goal_tokens if share > 0 else most
        if share < 0:  # the last resort: no room for the ledger either
            goal = most = sizes.budget_tokens - sizes.overhead_tokens
        if int(tokens[is_root].sum()) <= most:
            return _Kept(Roots(rules), {}, tokens)
        forms, after = shorten(working, is_root, goal, int(max(share, 0.0) * sizes.budget_tokens))
        if int(after[is_root].sum()) <= most:
            return _Kept(Roots(rules), forms, after)
    raise _overflow(working, roots, tokens, sizes)


def _overflow(working: WorkingSet, roots: Roots, tokens: Array, sizes: _Sizes) -> WindowOverflow:
    rows = np.flatnonzero(roots.is_root)
    ids = working.groups["id"]
    listed = [(int(ids[row]), int(tokens[row]), RULES[roots.rules[row]]) for row in rows]
    listed.sort(key=lambda entry: (-entry[1], entry[0]))
    needed = int(tokens[rows].sum()) + sizes.overhead_tokens
    largest = ", ".join(f"#{group} {size:,} ({rule})" for group, size, rule in listed[:3])
    return WindowOverflow(
        f"what must stay takes {needed:,} of {sizes.budget_tokens:,} tokens: {largest}; raise the window or unpin",
        sizes.budget_tokens,
        needed,
        listed,
    )


def _decide(working: WorkingSet, kept: _Kept, marked: Marked, sizes: _Sizes) -> Plan:
    """Sweep what is no root, and write down what happens to each group and why."""
    groups, tokens, is_root = working.groups, kept.tokens, kept.roots.is_root
    importance = 1.0 + 3.0 * marked.strength
    is_small_user = _small_users(working, is_root, sizes.budget_tokens)
    weight = np.where((groups["kind"] == USER) & (groups["tokens"] <= SMALL_USER_TOKENS), USER_WEIGHT, 1.0)
    saved, is_garbage = _cuts(working)
    turn, hits = groups["turn"], groups["hits"]
    labels = _images(working)
    label = _values(weight * IMAGE_WEIGHT, importance, hits, turn, labels + 1) if labels.any() else labels.copy()
    cut = _values(weight * RESULT_WEIGHT, importance, hits, turn, saved - labels + STUB_TOKENS)
    drop = _values(weight, importance, hits, turn, tokens - np.maximum(saved, labels))
    scores = drop.copy()
    label[is_garbage] -= LAST
    cut[is_garbage] -= LAST
    drop[is_small_user] += LAST
    saved = np.where(saved > labels, saved, 0)  # of a result that is an image alone a stub would save no more
    steps = (Step(label, labels), Step(cut, saved), Step(drop, tokens))
    taken = sweep(steps, is_root, int(tokens.sum()) - sizes.goal_tokens)
    swept = _Swept(taken == 0, taken == 1, taken == 2, labels, saved)
    return _written(working, kept, marked, swept, (scores, is_garbage, is_small_user))


def _values(weight: Array, importance: Array, hits: Array, turn: Array, tokens: Array) -> Array:
    return keep_values(
        weight, importance, hits, turn, tokens, half_life_turns=HALF_LIFE_TURNS, size_exponent=SIZE_EXPONENT
    )


def _small_users(working: WorkingSet, is_root: Array, budget_tokens: int) -> Array:
    """Return the mask of the user messages swept last: short ones, newest first, while they fit their share."""
    groups = working.groups
    rows = np.flatnonzero((groups["kind"] == USER) & (groups["tokens"] <= SMALL_USER_TOKENS) & ~is_root)[::-1]
    fits = np.cumsum(groups["tokens"][rows]) <= SMALL_USER_SHARE * budget_tokens
    mask = np.zeros(len(groups), bool)
    mask[rows[fits]] = True
    return mask


def _images(working: WorkingSet) -> Array:
    """Return what labels in the place of the images in a group's results save."""
    segments = working.segments
    has_images = (segments["is_result"] > 0) & (segments["form"] == FULL)
    saving = np.where(has_images, segments["image_tokens"], 0)
    return np.bincount(segments["group"], weights=saving, minlength=len(working.groups)).astype(np.int64)


def _cuts(working: WorkingSet) -> tuple[Array, Array]:
    """Return what cutting a group's results saves, 0 where they may not be cut; and whether all are superseded."""
    groups, segments = working.groups, working.segments
    n = len(groups)
    owner = segments["group"]
    is_whole = (segments["is_result"] > 0) & (segments["form"] != STUB) & (segments["form"] != GONE)
    saving = np.where(is_whole, np.maximum(segments["shown_tokens"].astype(np.int64) - STUB_TOKENS, 0), 0)
    by = segments["superseded_by"]
    is_stale = (by >= 0) & working.shows_text()[by]
    saved = np.bincount(owner, weights=saving, minlength=n).astype(np.int64)
    stale = np.bincount(owner, weights=np.where(is_stale, saving, 0), minlength=n).astype(np.int64)
    is_garbage = (saved > 0) & (stale == saved)
    may_cut = is_garbage | (groups["result_tokens"] >= CUT_SHARE * groups["full_tokens"])
    return np.where(may_cut & (saved >= LEAST_SAVING_TOKENS), saved, 0), is_garbage


def _written(working: WorkingSet, kept: _Kept, marked: Marked, swept: _Swept, why: tuple[Array, Array, Array]) -> Plan:
    scores, is_garbage, is_small_user = why
    groups, is_root, tokens = working.groups, kept.roots.is_root, kept.tokens
    rules = np.full(len(groups), VALUE, np.uint8)
    rules[marked.strength > 0] = REFERENCED
    rules[is_small_user & ~swept.is_dropped] = SMALL_USER
    rules[is_garbage & (swept.is_cut | swept.is_labelled)] = SUPERSEDED
    rules[is_root] = kept.roots.rules[is_root]
    parents = np.where(marked.parents >= 0, groups["id"][marked.parents], -1)
    after = np.where(swept.is_dropped, 0, tokens - swept.freed())
    actions, before = _actions(working, kept, swept), groups["tokens"].astype(np.int64)
    return Plan(groups["id"].copy(), actions, rules, scores, parents, before, after, _forms(working, kept, swept))


def _actions(working: WorkingSet, kept: _Kept, swept: _Swept) -> Array:
    actions = np.full(len(working.groups), KEEP, np.uint8)
    actions[swept.is_labelled] = LABEL
    actions[swept.is_cut] = CUT
    actions[swept.is_dropped] = DROP
    for segment_id, form in kept.forms.items():  # of roots, which the sweep leaves alone
        row = working.row_of(segment_id)
        actions[row] = CUT if form.code != LABELLED or actions[row] == CUT else LABEL
    return actions


def _forms(working: WorkingSet, kept: _Kept, swept: _Swept) -> Forms:
    """Return how the segments of roots that were too large, and the results that the sweep cuts, are shown now."""
    segments, forms = working.segments, dict(kept.forms)
    owner, ids, shown = segments["group"], segments["id"], segments["shown_tokens"]
    is_whole = (segments["is_result"] > 0) & (segments["form"] != STUB) & (segments["form"] != GONE)
    for row in np.flatnonzero(swept.is_cut[owner] & is_whole & (shown > STUB_TOKENS)).tolist():
        forms[int(ids[row])] = Form(STUB, 0, STUB_TOKENS)
    images = np.where(segments["form"] == FULL, segments["image_tokens"], 0)
    for row in np.flatnonzero(swept.is_labelled[owner] & is_whole & (images > 0)).tolist():
        forms[int(ids[row])] = Form(LABELLED, 0, int(shown[row] - images[row]))
    return forms
