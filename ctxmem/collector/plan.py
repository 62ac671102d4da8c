"""A plan: what happens to each group, why, and what it frees. Pure: a context applies it in one commit, or not at all.

Invariants:
    I1. A group is kept, cut, put in words or dropped whole: no call is parted from its result.
    I2. Equal working sets, policies and budgets give equal plans; time is in the groups' turns, never a clock's.
    I3. After a plan, the groups and the most that the ledger may take fit the budget, or `WindowOverflow` was raised.
"""

from typing import Final

import numpy as np

from ctxmem.collector.decisions import CUT, DROP, KEEP, LABEL, WORDS, Forms, Plan
from ctxmem.collector.fitting import Kept, Sizes, fit
from ctxmem.collector.growable import Array
from ctxmem.collector.item import SYSTEM
from ctxmem.collector.ladder import LAST, LEAST_SAVING_TOKENS, STUB_TOKENS, Ladder, ladder
from ctxmem.collector.mark import Marked, mark
from ctxmem.collector.roots import REFERENCED, SMALL_USER, SUPERSEDED, VALUE, find_roots, offers
from ctxmem.collector.shorten import FRAME_TOKENS
from ctxmem.collector.sweep import give_back, sweep
from ctxmem.collector.working import FULL, GONE, LABELLED, SHORT, STUB, Form, WorkingSet
from ctxmem.ledger.abridge import HEADING_TOKENS, ledger_bound, room_of_next
from ctxmem.options import Policy

LEAST_GIFT_TOKENS: Final = 100  # a cut result gets more room only where it is so much
LEAST_LEDGER_SHARE: Final = 0.10  # of the budget, that roots leave to the ledger where they can
_ACTIONS: Final = (LABEL, CUT, WORDS, DROP)  # by step of the ladder


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
        WindowOverflow: the roots do not fit, even with oversized ones shortened and without those that may give way.
    """
    bound = ledger_bound(budget_tokens, policy.ledger_share, policy.ledger_tokens)
    grown = min(max(bound, ledger_tokens), ledger_tokens + HEADING_TOKENS + room_of_next(bound, ledger_tokens))
    room = budget_tokens - overhead_tokens
    most = room - min(grown, int(LEAST_LEDGER_SHARE * budget_tokens))
    goal = max(0, min(target_tokens - overhead_tokens - grown, most))
    sizes = Sizes(goal, most, room, budget_tokens)
    roots = find_roots(working, turn=turn, budget_tokens=budget_tokens, policy=policy)
    kept = fit(working, roots, sizes, cuts_users=policy.oversized == "shorten")
    marked = mark(working, kept.roots, goal)
    steps = ladder(working, kept, marked, budget_tokens)
    taken = sweep(steps.steps, kept.roots.is_root, int(kept.tokens.sum()) - goal)
    taken = _taken_back(working, kept, steps, taken, goal)
    made = _written(working, kept, marked, steps, taken)
    _lengthen(working, made, goal)
    return made


def _taken_back(working: WorkingSet, kept: Kept, steps: Ladder, taken: Array, goal_tokens: int) -> Array:
    """Undo the dearest steps that are not needed; an agreement comes back with what was agreed to, or not at all."""
    last = len(_ACTIONS) - 1
    saved = sum(int(step.saved[taken == number].sum()) for number, step in enumerate(steps.steps))
    spare = goal_tokens - int(kept.tokens.sum()) + saved
    back = give_back(steps.steps, kept.roots.is_root, taken, spare, -LAST // 2)  # what goes first stays taken
    for answer, offer in offers(working).items():
        if back[offer] == last == taken[answer]:
            back[answer] = last
    return back


def _written(working: WorkingSet, kept: Kept, marked: Marked, steps: Ladder, taken: Array) -> Plan:
    """Write down what happens to each group and why; `taken` is the number of the last step it takes, -1: none."""
    groups, is_root = working.groups, kept.roots.is_root
    is_dropped = taken == len(_ACTIONS) - 1
    rules = np.full(len(groups), VALUE, np.uint8)
    rules[marked.strength > 0] = REFERENCED
    rules[steps.is_last & ~is_dropped] = SMALL_USER
    rules[steps.is_garbage & (taken >= 0) & (taken <= 1)] = SUPERSEDED
    rules[groups["kind"] == SYSTEM] = SUPERSEDED  # of the instructions of one kind only the newest is a root
    rules[is_root] = kept.roots.rules[is_root]
    parents = np.where(marked.parents >= 0, groups["id"][marked.parents], -1)
    actions = np.full(len(groups), KEEP, np.uint8)
    after = kept.tokens.copy()
    for number, (action, step) in enumerate(zip(_ACTIONS, steps.steps, strict=True)):
        mask = taken == number
        actions[mask] = action
        after[mask] -= step.saved[mask]
    for segment_id, form in kept.forms.items():  # of roots, which the sweep leaves alone
        row = working.row_of(segment_id)
        if form.code == FULL:
            continue
        actions[row] = CUT if form.code != LABELLED or actions[row] == CUT else LABEL
    before = groups["tokens"].astype(np.int64)
    forms = _forms(working, kept, actions)
    return Plan(groups["id"].copy(), actions, rules, steps.scores, parents, before, after, forms)


def _forms(working: WorkingSet, kept: Kept, actions: Array) -> Forms:
    """Return how the segments of roots that were too large, and the results that the sweep cuts, are shown now."""
    segments, forms = working.segments, dict(kept.forms)
    owner, ids, shown = segments["group"], segments["id"], segments["shown_tokens"]
    is_open = (segments["is_result"] > 0) & (segments["form"] != STUB) & (segments["form"] != GONE)
    is_open &= ~kept.roots.is_root[owner]
    for row in np.flatnonzero((actions[owner] == CUT) & is_open & (shown > STUB_TOKENS)).tolist():
        forms[int(ids[row])] = Form(STUB, 0, STUB_TOKENS)
    images = np.where(segments["form"] == FULL, segments["image_tokens"], 0)
    for row in np.flatnonzero((actions[owner] == LABEL) & is_open & (images > 0)).tolist():
        forms[int(ids[row])] = Form(LABELLED, 0, int(shown[row] - images[row]))
    return forms


def _lengthen(working: WorkingSet, made: Plan, goal_tokens: int) -> None:
    """Cut results to the room that there is: what is free still goes to the newest of them."""
    left = goal_tokens - int(made.tokens_after.sum())
    for segment_id in sorted((i for i, form in made.forms.items() if form.code == STUB), reverse=True):
        if left < LEAST_GIFT_TOKENS:
            return
        limit = min(working.tokens_of(segment_id) - LEAST_SAVING_TOKENS, STUB_TOKENS + left)
        if limit >= STUB_TOKENS + LEAST_GIFT_TOKENS:
            made.forms[segment_id] = Form(SHORT, limit - FRAME_TOKENS, limit)
            left -= limit - STUB_TOKENS
            made.tokens_after[working.row_of(segment_id)] += limit - STUB_TOKENS
