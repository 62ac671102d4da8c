"""Roots: the groups that stay whatever they cost, and why. Pure; one rule a group, the first that applies."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ctxmem.collector.growable import Array
from ctxmem.collector.working import SYSTEM, USER, WorkingSet
from ctxmem.options import Policy

# Why a group is shown as it is. On disk: never renumber.
RULES: Final = (
    "pinned",
    "system",
    "task",
    "newest user message",
    "open call",
    "newest group",
    "restored",
    "recent",
    "user message",
    "referenced",
    "value",
    "superseded",
)
(PINNED, SYSTEM_RULE, TASK, NEWEST_USER, OPEN_CALL, NEWEST, RESTORED, RECENT) = range(8)
(SMALL_USER, REFERENCED, VALUE, SUPERSEDED) = range(8, 12)

OPEN_TURNS: Final = 64  # a call that was not answered within so many turns no longer holds its group
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


def task_row(working: WorkingSet) -> int:
    """Return the row of the first user message of the current task, else of the session; -1 where there is none."""
    groups = working.groups
    users = np.flatnonzero(groups["kind"] == USER)
    if not len(users):
        return -1
    of_task = users[groups["task"][users] == working.task]
    return int(of_task[0] if len(of_task) else users[0])


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
    rules[groups["restored_until"] > turn] = RESTORED
    rules[n - 1] = NEWEST
    rules[(groups["open_calls"] > 0) & (groups["turn"] >= turn - OPEN_TURNS)] = OPEN_CALL
    users = np.flatnonzero(groups["kind"] == USER)
    if len(users):
        rules[task_row(working)] = TASK
        rules[users[-1]] = NEWEST_USER  # after the task's rule: a message that is both must not give way
    rules[groups["kind"] == SYSTEM] = SYSTEM_RULE
    rules[groups["pins"] > 0] = PINNED
    return Roots(rules)
