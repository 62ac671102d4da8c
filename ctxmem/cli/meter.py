"""Measure prompts from outside, as a provider would see them: size, validity, what a prompt cache could have kept.

I1. Of the engine's own figures only `prompt.tokens` is used: prefix, cache share and validity are computed here from
    the rendered messages.
It does not print; `tables` does.
"""

import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import ctxmem


@dataclass(frozen=True, slots=True)
class Row:
    """One turn of the table.

    `cached` is the share of the prompt that also began the previous one; `epoch` counts from 1 and rises with
    every collection; `is_prefix` says that the whole previous prompt begins this one.
    """

    turn: int
    epoch: int
    tokens: int
    cached: float
    dropped: int
    stubbed: int
    recalled: int
    restored: int
    is_prefix: bool
    assemble_ms: float


@dataclass(slots=True)
class Meter:
    """Rows and totals over one run. `kind_of` tells the kind of a segment by its id."""

    kind_of: Callable[[int], str]
    rows: list[Row] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    prefix_breaks: int = 0
    budget: int = 0
    over_budget: int = 0
    is_exact: bool = True
    _epoch: int = 1
    _before: list[str] = field(default_factory=list)
    _ids: frozenset[int] = frozenset()

    def see(self, prompt: ctxmem.Prompt, seconds: float, *, restored: int = 0) -> Row:
        """Take one assembled prompt into account and return its row. Cost: O(prompt)."""
        units = _units(prompt)
        same = _common(self._before, units)
        is_prefix = same == len(self._before)
        collection = prompt.collection
        if collection is not None and self.rows:
            self._epoch += 1
        elif not is_prefix:
            self.prefix_breaks += 1
        self._judge(prompt)
        ids = frozenset(prompt.segments)
        row = Row(
            turn=prompt.turn,
            epoch=self._epoch,
            tokens=prompt.tokens,
            cached=_share(units[:same], units),
            dropped=len(collection.dropped) if collection else 0,
            stubbed=len(collection.stubbed) if collection else 0,
            recalled=sum(self.kind_of(one) == "recall" for one in ids - self._ids),
            restored=restored,
            is_prefix=is_prefix,
            assemble_ms=seconds * 1000,
        )
        self._before, self._ids = units, ids
        self.rows.append(row)
        return row

    def _judge(self, prompt: ctxmem.Prompt) -> None:
        found = ctxmem.validate(prompt.kwargs(), prompt.provider)
        self.violations += [f"turn {prompt.turn}: {one}" for one in found]
        self.budget = prompt.budget
        self.over_budget += prompt.tokens > prompt.budget
        self.is_exact &= prompt.exact

    def summary(self) -> dict[str, Any]:
        """Return the totals as plain values."""
        times = sorted(row.assemble_ms for row in self.rows) or [0.0]
        tokens = [row.tokens for row in self.rows] or [0]
        cached = sum(row.cached * row.tokens for row in self.rows)
        return {
            "turns": len(self.rows),
            "epochs": self._epoch,
            "budget_tokens": self.budget,
            "largest_prompt_tokens": max(tokens),
            "prompt_tokens_sent": sum(tokens),
            "prompts_over_budget": self.over_budget,
            "exact_counts": self.is_exact,
            "invalid_prompts": len({text.partition(":")[0] for text in self.violations}),
            "violations": self.violations[:10],
            "cache_hit_share": cached / max(1, sum(tokens)),
            "prefix_breaks": self.prefix_breaks,
            "dropped": sum(row.dropped for row in self.rows),
            "stubbed": sum(row.stubbed for row in self.rows),
            "recalled": sum(row.recalled for row in self.rows),
            "restored": sum(row.restored for row in self.rows),
            "assemble_ms_p50": statistics.median(times),
            "assemble_ms_p99": times[min(len(times) - 1, int(len(times) * 0.99))],
            "assemble_ms_max": times[-1],
        }

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the rows as plain values."""
        return [asdict(row) for row in self.rows]


def _units(prompt: ctxmem.Prompt) -> list[str]:
    """Return the prompt in the order a provider reads it, cut where a cache could: system, then message or block."""
    units = [] if prompt.system is None else [_plain(prompt.system)]
    for message in prompt.messages:
        content = message.get("content", message.get("parts"))
        if isinstance(content, list):
            role = message.get("role")
            units += [_plain([role, block]) for block in content]
        else:
            units.append(_plain(message))
    return units


def _plain(value: Any) -> str:
    """Return one unit as JSON, without the marks that are not content."""
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key != "cache_control"}
    elif isinstance(value, list):
        value = [json.loads(_plain(item)) for item in value]
    return json.dumps(value, ensure_ascii=False)


def _common(before: list[str], after: list[str]) -> int:
    """Return how many units both begin with."""
    for number, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return number
    return min(len(before), len(after))


def _share(part: Iterable[str], whole: Iterable[str]) -> float:
    return sum(map(len, part)) / max(1, sum(map(len, whole)))
