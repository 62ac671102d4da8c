"""What a caller may choose, with units and defaults: `Options` for a store, `Policy` for a context's collector.

I1. A value that exists is one that can be followed: each field is checked when the value is made, so before a store is
    touched. A field that cannot be followed raises `BadInput`, which names it, what it was given and what it takes.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from ctxmem import inputs, models
from ctxmem.errors import BadInput
from ctxmem.segment import Nature

Durability: TypeAlias = Literal["full", "last-commit-may-go", "unsafe"]

Oversized: TypeAlias = Literal["shorten", "raise"]

BudgetPer: TypeAlias = Literal["turn", "session", "day"]

_LARGEST_BYTES = 1 << 47  # the address space of a process
_MOST_USD = 1e9
_LARGEST_BLOCK = 65_536  # ids; fixed by the format
_OPTION_RANGES = {
    "hot_bytes": (0, _LARGEST_BYTES),
    "tail_segments": (1, _LARGEST_BLOCK),
    "merge_factor": (2, _LARGEST_BLOCK),  # with 1, merging a run into itself would never end
    "block_segments": (1, _LARGEST_BLOCK),
    "load_workers": (0, 256),
    "map_bytes": (0, _LARGEST_BYTES),
}
_POLICY_COUNTS = ("ceiling", "keep_recent", "restore_turns", "ledger_tokens", "recall_tokens")
_POLICY_SHARES = ("high", "low", "min_reclaim", "ledger_share")


@dataclass(frozen=True, slots=True)
class Options:
    """Choices for one open store.

    Parameters that affect behaviour:
        durability: "full": what a barrier covered survives power loss. "last-commit-may-go": the newest commits may
            be missing after power loss, the store is sound. "unsafe": no fsync at all; the file may be corrupt
            after power loss (a killed process loses nothing more than with "full").
        facets_of_call: `(name, arguments) -> facets` for a tool result, e.g. `{"file": path, "lines": [1, 200]}`;
            None: the built-in reading of common argument names. Facets given by the caller win.
        nature_of_call: `(name, arguments) -> "read" | "change" | "run"` for a tool call: whether it only reads, changes
            something in the world (then it keeps its line in the ledger, and is never told to be run again), or runs a
            program; None from it: the hints of the tool's schema (`readOnlyHint`), else its name and arguments, say.
            Asked once, when the call is appended.
        models: overrides and additions to the model table, by model name.
        clock: seconds since the epoch; passed in by tests. A context calls both functions without a lock: they may
            use it, and may be called from several threads at once.

    Parameters that affect performance:
        hot_bytes: bound of the hot tier.
        tail_segments: segments of one block that wait unsealed before maintenance seals them.
        merge_factor: runs of one size that are merged into the next.
        block_segments: consecutive ids of one block; fixed when the store is made, at most 65,536.
        load_workers: processes that count and analyse texts for a large `add_many` (0: none, this thread does it;
            None: one a core, at most 4).
        map_bytes: address space reserved for the file (0: as much as the system lets us, at most 1 TiB).

    Raises:
        BadInput: a field of the wrong type or out of its range.
    """

    durability: Durability = "full"
    facets_of_call: Callable[[str, Mapping[str, Any]], Mapping[str, Any]] | None = None
    nature_of_call: Callable[[str, Mapping[str, Any]], Nature | None] | None = None
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    hot_bytes: int = 64 << 20
    tail_segments: int = 1024
    merge_factor: int = 8
    block_segments: int = 65_536
    load_workers: int | None = None
    map_bytes: int = 0

    def __post_init__(self) -> None:
        """Check every field (I1); what counts as an int becomes one."""
        if not isinstance(self.durability, str) or self.durability not in get_args(Durability):
            names = ", ".join(map(repr, get_args(Durability)))
            raise BadInput(f"Options.durability={inputs.shown(self.durability)} must be one of {names}")
        if self.facets_of_call is not None:
            _function(self, "facets_of_call", "a function of (name, arguments), or None")
        if self.nature_of_call is not None:
            _function(self, "nature_of_call", "a function of (name, arguments), or None")
        _function(self, "clock", "a function that returns seconds since the epoch")
        models.check_overrides(self.models, "Options.models")
        for name, (low, high) in _OPTION_RANGES.items():
            _count(self, name, low, high, may_be_none=name == "load_workers")

    def now(self) -> float:
        """Return the clock's time, checked: what is stored of a record must be a moment.

        Raises:
            BadInput: the clock returned something else.
        """
        moment = self.clock()
        if type(moment) is float and 0.0 <= moment <= inputs.MAX_TIME_S:
            return moment
        checked = inputs.time_s(moment, "Options.clock()")
        if checked is None:
            raise BadInput("Options.clock() returned None; it must return seconds since the epoch")
        return checked


@dataclass(frozen=True, slots=True)
class Policy:
    """Choices for one context's collector: shares of what system and tools leave of the budget; sizes in tokens.

    None: derived, see docs/collector.md.

    Parameters:
        high, low: water marks as shares of budget; a collection starts above high and frees down to low.
        min_reclaim: a collection that frees less than this share is not worth the provider's cache.
        ceiling: bound on the budget where `window` is not given.
        keep_recent: newest groups kept while they fit a tenth of the budget.
        restore_turns: turns for which a restored group is a root.
        ledger_share, ledger_tokens: bound of the ledger, whichever is smaller.
        recall_tokens: bound of what one recall adds; None: min(0.05 of budget, 2,000).
        oversized: what becomes of a user message that does not fit the budget: "shorten" keeps its head and its tail
            (`Prompt.stubs` names it), "raise" is a `WindowOverflow`. What is pinned is never shortened so.
        cache_ttl_s: seconds after which the provider's cache is surely cold; None: by provider.
        budget_usd: dollars that calls may cost: `assemble` warns, collects earlier where that is cheaper, then raises
            `BudgetExceeded`. Asks for a model whose prices are known. See docs/money.md.
        budget_per: what the budget is for: one "turn", the "session", or a UTC "day" of the whole store.
        on_budget: called with the dollars spent and the budget when four fifths of it are spent, once a session or day,
            after the turn is on disk and without a lock; what it raises, `assemble` raises.

    Raises:
        BadInput: a field of the wrong type or out of its range, or `low` above `high`.
    """

    high: float | None = None
    low: float | None = None
    min_reclaim: float = 0.10
    ceiling: int = 200_000
    keep_recent: int = 8
    restore_turns: int = 8
    ledger_share: float = 0.15
    ledger_tokens: int = 6_000
    recall_tokens: int | None = None
    cache_ttl_s: float | None = None
    oversized: Oversized = "shorten"
    budget_usd: float | None = None
    budget_per: BudgetPer = "session"
    on_budget: Callable[[float, float], None] | None = None

    def __post_init__(self) -> None:
        """Check every field (I1); what counts as an int becomes one."""
        for name in _POLICY_SHARES:
            _number(self, name, 1.0, may_be_none=name in {"high", "low"})
        _number(self, "cache_ttl_s", float("inf"), may_be_none=True)
        for name in _POLICY_COUNTS:
            _count(self, name, 0, inputs.MAX_COUNT, may_be_none=name == "recall_tokens")
        _number(self, "budget_usd", _MOST_USD, may_be_none=True)
        if self.budget_per not in get_args(BudgetPer):
            names = ", ".join(map(repr, get_args(BudgetPer)))
            raise BadInput(f"Policy.budget_per={inputs.shown(self.budget_per)} must be one of {names}")
        if self.on_budget is not None and not callable(self.on_budget):
            raise BadInput(f"Policy.on_budget={inputs.shown(self.on_budget)} must be a function of (spent, budget)")
        if self.oversized not in get_args(Oversized):
            names = ", ".join(map(repr, get_args(Oversized)))
            raise BadInput(f"Policy.oversized={inputs.shown(self.oversized)} must be one of {names}")
        if self.high is not None and self.low is not None and self.low > self.high:
            raise BadInput(f"Policy.low={self.low} lies above Policy.high={self.high}; swap them")


def _function(owner: Options, name: str, wanted: str) -> None:
    """Check a field that is called."""
    value = getattr(owner, name)
    if not callable(value):
        raise BadInput(f"Options.{name}={inputs.shown(value)} must be {wanted}")


def _count(owner: Options | Policy, name: str, low: int, high: int, *, may_be_none: bool) -> None:
    """Check a field that is a whole number, and make it a plain int."""
    value = getattr(owner, name)
    if value is not None or not may_be_none:
        object.__setattr__(owner, name, inputs.count(value, f"{type(owner).__name__}.{name}", low, high))


def _number(owner: Options | Policy, name: str, most: float, *, may_be_none: bool) -> None:
    """Check a field that is any number from 0 to `most`."""
    value = getattr(owner, name)
    if value is not None or not may_be_none:
        inputs.number(value, f"{type(owner).__name__}.{name}", most)
