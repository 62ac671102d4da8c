"""What a caller may choose, with units and defaults: `Options` for a store, `Policy` for a context's collector."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Durability: TypeAlias = Literal["full", "last-commit-may-go", "unsafe"]


@dataclass(frozen=True, slots=True)
class Options:
    """Choices for one open store.

    Parameters that affect behaviour:
        durability: "full": what a barrier covered survives power loss. "last-commit-may-go": the newest commits may
            be missing after power loss, the store is sound. "unsafe": no fsync at all; the file may be corrupt
            after power loss (a killed process loses nothing more than with "full").
        facets_of_call: `(name, arguments) -> facets` for a tool result, e.g. `{"file": path, "lines": [1, 200]}`;
            None: the built-in reading of common argument names. Facets given by the caller win.
        models: overrides and additions to the model table, by model name.
        clock: seconds since the epoch; passed in by tests.

    Parameters that affect performance:
        hot_bytes: bound of the hot tier.
        tail_segments: segments of one writer that wait unsealed before maintenance seals them.
        merge_factor: runs of one size that are merged into the next.
        block_segments: consecutive ids of one block; fixed when the store is made, at most 65,536.
        load_workers: processes that count and analyse texts for a large `add_many` (None: one a core, at most 4).
        map_bytes: address space reserved for the file (0: as much as the system lets us, at most 1 TiB).
    """

    durability: Durability = "full"
    facets_of_call: Callable[[str, Mapping[str, Any]], Mapping[str, Any]] | None = None
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    hot_bytes: int = 64 << 20
    tail_segments: int = 1024
    merge_factor: int = 8
    block_segments: int = 65_536
    load_workers: int | None = None
    map_bytes: int = 0


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
        cache_ttl_s: seconds after which the provider's cache is surely cold; None: by provider.
    """

    high: float | None = None
    low: float | None = None
    min_reclaim: float = 0.10
    ceiling: int = 200_000
    keep_recent: int = 8
    restore_turns: int = 8
    ledger_share: float = 0.30
    ledger_tokens: int = 6_000
    recall_tokens: int | None = None
    cache_ttl_s: float | None = None
