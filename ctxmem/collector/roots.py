"""Roots: the groups that stay whatever they cost, and why. Pure; one rule a group, the first that applies."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ctxmem.collector.growable import Array
from ctxmem.collector.item import ASSISTANT, RECALL, SYSTEM, USER
from ctxmem.collector.working import WorkingSet
from ctxmem.options import Policy

# Why a group is shown as it is. On disk: never renumber.
RULES: Final = (
    "pinned",
    "system",
    "task",
    "newest user message",
    "open call",
    "newest group",
    "answered",
    "restored",
    "recent",
    "user message",
    "referenced",
    "value",
    "superseded",
)
(PINNED, SYSTEM_RULE, TASK, NEWEST_USER, OPEN_CALL, NEWEST, ANSWERED, RESTORED, RECENT) = range(9)
(SMALL_USER, REFERENCED, VALUE, SUPERSEDED) = range(9, 13)

OPEN_TURNS: Final = 64  # a call that was not answered within so many turns no longer holds its group
ANSWER_TOKENS: Final = 60  # a user message up to this means little without the message it answers
RECENT_SHARE: Final = 0.10  # of the budget, for the newest groups; beyond it their value keeps them
NO_RULE: Final = 255


@dataclass(frozen=True, slots=True)
class Roots:
    """`rules` is uint8[n], NO_RULE where a group is no root; `is_root` its mask."""

    rules: Array

    @property
    def is_root(self) -> Array:
        """Return bool[n]."""
        mask: Array = self.rules != NO_RULE
        return mask


def offers(working: WorkingSet) -> dict[int, int]:
    """Return by row of a short user message the row of the assistant's message that it answers."""
    groups = working.groups
    short = np.flatnonzero((groups["kind"] == USER) & (groups["tokens"] <= ANSWER_TOKENS))
    rows = short[short > 0]
    answers = rows[(groups["kind"][rows - 1] == ASSISTANT) & (groups["text_tokens"][rows - 1] > 0)]
    return {row: row - 1 for row in answers.tolist()}


def task_row(working: WorkingSet, users: Array) -> int:
    """Return the row of the request that governs the work; -1 where nobody said anything.

    It is the first user message of the current task, else of the session, that says enough to work by: not a greeting.
    """
    groups = working.groups
    if not len(users):
        return -1
    of_task = users[groups["task"][users] == working.task]
    candidates = of_task if len(of_task) else users
    requests = candidates[groups["is_request"][candidates] > 0]
    return int(requests[0] if len(requests) else candidates[0])


def find_roots(working: WorkingSet, *, turn: int, budget_tokens: int, policy: Policy) -> Roots:
    """Return the roots of a working set. O(groups); the newest groups are roots while they fit their share."""
    groups = working.groups
    n = len(groups)
    rules = np.full(n, NO_RULE, np.uint8)
    if not n:
        return Roots(rules)
    first = max(0, n - policy.keep_recent)
    recent = np.cumsum(groups["tokens"][first:][::-1])[::-1]
    rules[first:][recent <= RECENT_SHARE * budget_tokens] = RECENT
    rules[groups["kind"] == RECALL] = NO_RULE  # what was recalled leaves at the first collection
    rules[groups["restored_until"] > turn] = RESTORED
    rules[n - 1] = NEWEST
    rules[(groups["open_calls"] > 0) & (groups["turn"] >= turn - OPEN_TURNS)] = OPEN_CALL
    users = np.flatnonzero(groups["kind"] == USER)
    if len(users):
        rules[task_row(working, users)] = TASK
        if (offer := offers(working).get(int(users[-1]), -1)) >= 0:
            rules[offer] = min(ANSWERED, rules[offer])
        rules[users[-1]] = NEWEST_USER  # after the task's rule: a message that is both must not give way
    rules[_ruling(working)] = SYSTEM_RULE
    rules[groups["pins"] > 0] = PINNED
    return Roots(rules)


def _ruling(working: WorkingSet) -> Array:
    """Return the rows of the instructions that rule: of those sent during a conversation, the newest of each kind."""
    groups = working.groups
    rows = np.flatnonzero(groups["kind"] == SYSTEM)
    newest = {kind: row for row, kind in zip(rows.tolist(), groups["tool"][rows].tolist(), strict=True)}
    return np.fromiter(newest.values(), np.int64, len(newest))
