"""The outcome of a plan, as columns: what happens to each group and why, small enough for the journal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from ctxmem.collector.growable import Array
from ctxmem.collector.item import Form
from ctxmem.collector.roots import RECENT, RULES

# What happens to a group. On disk: never renumber.
# CUT: some of its results are stubbed or shortened; LABEL: only the images of some are. `Plan.forms` says which.
# WORDS: its calls and results become a line, its text stays.
KEEP, CUT, DROP, LABEL, WORDS = 0, 1, 2, 3, 4
ACTIONS: Final = ("keep", "stub", "line", "images", "words")

Forms: TypeAlias = dict[int, Form]  # by segment

_KINDS: Final = {  # On disk: never renumber.
    "groups": "<i8",
    "actions": "u1",
    "rules": "u1",
    "scores": "<i4",
    "parents": "<i8",
    "tokens_before": "<i4",
    "tokens_after": "<i4",
}
_SCORE_LIMIT: Final = (1 << 31) - 1


class Decision(NamedTuple):
    """Why one group is shown as it is.

    `score` is its keep-value in 1/4096 bits, `rank` how many groups were worth less, `path` the ids of the groups from
    a root to it (itself alone: a root, or reached from none).
    """

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
    """One collection, decided. Columns by group, in prompt order; `parents` are ids, -1: a root, or reached from none.

    The tokens in `forms` are estimates. `freed_tokens` leaves the ledger out.
    """

    groups: Array
    actions: Array
    rules: Array
    scores: Array
    parents: Array
    tokens_before: Array
    tokens_after: Array
    forms: Forms = field(default_factory=dict)

    @property
    def freed_tokens(self) -> int:
        """Tokens that leave the prompt."""
        return int(self.tokens_before.sum() - self.tokens_after.sum())

    def _ids(self, action: int) -> list[int]:
        ids: list[int] = self.groups[self.actions == action].tolist()
        return ids

    @property
    def dropped(self) -> list[int]:
        """Ids of the groups that become ledger lines, oldest first."""
        return self._ids(DROP)

    @property
    def stubbed(self) -> list[int]:
        """Ids of the groups some of whose results this plan cuts."""
        return self._ids(CUT)

    @property
    def labelled(self) -> list[int]:
        """Ids of the groups that keep their texts and lose images of their results."""
        return self._ids(LABEL)

    @property
    def worded(self) -> list[int]:
        """Ids of the groups whose calls and results go, and whose words stay."""
        return self._ids(WORDS)

    @property
    def kept(self) -> list[int]:
        """Ids of the groups that stay as they are."""
        return self._ids(KEEP)

    def roots(self) -> list[tuple[int, int, str]]:
        """Return the groups that stay whatever they cost as (id, tokens after, rule)."""
        rows = np.flatnonzero((self.rules <= RECENT) & (self.tokens_after > 0)).tolist()
        return [(int(self.groups[row]), int(self.tokens_after[row]), RULES[self.rules[row]]) for row in rows]

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
            path[0],
            ACTIONS[self.actions[row]],
            RULES[self.rules[row]],
            int(self.scores[row]),
            int((self.scores < self.scores[row]).sum()),
            tuple(reversed(path)),
            int(self.tokens_before[row]),
            int(self.tokens_after[row]),
        )

    def pack(self) -> dict[str, bytes]:
        """Give the columns as bytes, one small record for the journal."""
        scores = np.clip(self.scores, -_SCORE_LIMIT, _SCORE_LIMIT)
        columns = {name: scores if name == "scores" else getattr(self, name) for name in _KINDS}
        return {name: columns[name].astype(kind).tobytes() for name, kind in _KINDS.items()}

    @classmethod
    def unpack(cls, packed: Mapping[str, bytes]) -> "Plan":
        """Rebuild what `pack` gave: enough for `decision`, without `forms`."""
        columns: dict[str, Any] = {name: np.frombuffer(packed[name], kind) for name, kind in _KINDS.items()}
        return cls(**columns)
