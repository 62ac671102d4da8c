"""A plan: what happens to each group, why, and what it frees. Pure: the context applies it in one commit, or not at all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from ctxmem.errors import WindowOverflow
from ctxmem.growable import Array
from ctxmem.options import Policy
from ctxmem.working import FULL, SHORT, STUB, WorkingSet

# What happens to a group. On disk: never renumber.
KEEP, CUT, DROP = 0, 1, 2  # CUT: some of its results are stubbed or shortened, `Plan.forms` says which
ACTIONS: Final = ("keep", "stub", "line")

# Why. On disk: never renumber.
RULES: Final = (
    "pinned", "system", "task", "newest user message", "open call", "newest group", "restored", "recent",
    "user message", "referenced", "value", "superseded", "unreachable", "oversized root",
)

Read: TypeAlias = Callable[[int], str]


class Decision(NamedTuple):
    """Why one group is shown as it is: `path` are the ids of groups from a root to it, `score` in 1/4096 bits."""

    group: int
    action: str
    rule: str
    score: int
    rank: int
    path: tuple[int, ...]
    tokens_before: int
    tokens_after: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One collection, decided. Columns by group, in prompt order; `forms` is segment id -> (form, limit tokens, estimated tokens).

    `freed_tokens` does not count what the ledger will take.
    """

    groups: Array
    actions: Array
    rules: Array
    scores: Array
    ranks: Array
    parents: Array  # id of the group one hop nearer to the root, -1: a root or unreachable
    tokens_before: Array
    tokens_after: Array
    forms: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def freed_tokens(self) -> int:
        """Tokens that leave the prompt."""
        return int(self.tokens_before.sum() - self.tokens_after.sum())

    @property
    def dropped(self) -> list[int]:
        """Ids of the groups that become ledger lines, oldest first."""
        ids: list[int] = self.groups[self.actions == DROP].tolist()
        return ids

    @property
    def stubbed(self) -> list[int]:
        """Ids of the groups some of whose results this plan cuts."""
        ids: list[int] = self.groups[self.actions == CUT].tolist()
        return ids

    @property
    def kept(self) -> list[int]:
        """Ids of the groups that stay as they are."""
        ids: list[int] = self.groups[self.actions == KEEP].tolist()
        return ids

    def decision(self, group: int) -> Decision:
        """Return the row of one group; `KeyError` where it was not shown."""
        rows = np.flatnonzero(self.groups == group)
        if not len(rows):
            raise KeyError(group)
        return self._row(int(rows[0]))

    def decisions(self) -> Iterator[Decision]:
        """Yield every row, in prompt order."""
        return map(self._row, range(len(self.groups)))

    def _row(self, row: int) -> Decision:
        path, at = [int(self.groups[row])], row
        while (parent := int(self.parents[at])) >= 0 and parent not in path:
            path.append(parent)
            at = int(np.flatnonzero(self.groups == parent)[0])
        return Decision(
            path[0], ACTIONS[self.actions[row]], RULES[self.rules[row]], int(self.scores[row]), int(self.ranks[row]),
            tuple(reversed(path)), int(self.tokens_before[row]), int(self.tokens_after[row]),
        )

    def pack(self) -> dict[str, bytes]:
        """Give the columns as bytes, one small record for the journal."""
        kinds = {"groups": "<i8", "actions": "u1", "rules": "u1", "scores": "<i4", "ranks": "<i4", "parents": "<i8", "tokens_before": "<i4", "tokens_after": "<i4"}
        return {name: getattr(self, name).astype(kind).tobytes() for name, kind in kinds.items()}

    @classmethod
    def unpack(cls, packed: dict[str, bytes]) -> "Plan":
        """Rebuild what `pack` gave: enough for `decision`, without `forms`."""
        kinds = {"groups": "<i8", "actions": "u1", "rules": "u1", "scores": "<i4", "ranks": "<i4", "parents": "<i8", "tokens_before": "<i4", "tokens_after": "<i4"}
        return cls(**{name: np.frombuffer(packed[name], kind) for name, kind in kinds.items()})


def plan(
    working: WorkingSet,
    *,
    budget_tokens: int,
    target_tokens: int,
    overhead_tokens: int,
    ledger_tokens: int,
    turn: int,
    policy: Policy,
    read: Read | None = None,
) -> Plan:
    """Decide how to bring the prompt down to `target_tokens`. Pure and deterministic.

    `overhead_tokens` is what is sent besides the groups and the ledger (system, tools, extra, framing);
    `ledger_tokens` is what the ledger takes now; the plan leaves room for its growth.
    `read` returns a segment's text.

    Raises:
        WindowOverflow: the roots do not fit, even with oversized results shortened.
    """
    groups = working.groups
    n = len(groups)
    tokens = groups["tokens"].astype(np.int64)
    roots = (groups["pins"] > 0) | (groups["kind"] == 2) | (groups["open_calls"] > 0)
    users = np.flatnonzero(groups["kind"] == 1)
    if len(users):
        roots[users[0]] = roots[users[-1]] = True
    if n:
        roots[n - 1] = True
    room = target_tokens - overhead_tokens - ledger_tokens - min(int(policy.ledger_share * budget_tokens), policy.ledger_tokens)
    needed = int(tokens[roots].sum())
    if needed + overhead_tokens > budget_tokens:
        listed = sorted(((int(groups["id"][i]), int(tokens[i]), "root") for i in np.flatnonzero(roots)), key=lambda r: -r[1])
        raise WindowOverflow("the roots are larger than the budget", budget_tokens, needed + overhead_tokens, listed)
    actions = np.zeros(n, np.uint8)
    left = int(tokens.sum())
    for row in np.flatnonzero(~roots):
        if left <= room:
            break
        actions[row] = DROP
        left -= int(tokens[row])
    return Plan(
        groups["id"].copy(), actions, np.full(n, 10, np.uint8), np.zeros(n, np.int32), np.arange(n, dtype=np.int32),
        np.full(n, -1, np.int64), tokens, np.where(actions == DROP, 0, tokens),
    )


__all__ = ["CUT", "DROP", "FULL", "KEEP", "SHORT", "STUB", "Decision", "Plan", "plan"]
