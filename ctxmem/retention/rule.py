"""One rule: of which segments how many are kept, and for how long. A value, as it is stored.

I1. In order of time what a rule lets go is always a beginning: each limit says how long it is, and the longest counts.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np

from ctxmem import inputs
from ctxmem.errors import BadInput
from ctxmem.search.facets import facet_keys, kind_key
from ctxmem.search.timeline import Timeline
from ctxmem.segment import Facets

LIMITS = ("max_age", "max_segments", "max_tokens", "max_bytes")
_MOST = 1 << 62


@dataclass(frozen=True, slots=True)
class Rule:
    """Limits for the segments of a session, a kind and facets; None: no such limit, or of all. `max_age` in seconds."""

    session: str | None = None
    kind: str | None = None
    facets: Facets = field(default_factory=dict)
    max_age: float | None = None
    max_segments: int | None = None
    max_tokens: int | None = None
    max_bytes: int | None = None

    @staticmethod
    def of(given: Mapping[str, Any], session: object, kind: object, facets: Mapping[str, Any]) -> "Rule":
        """Make a rule of what a caller gave, all of it checked.

        Raises:
            BadInput: a limit that is negative, NaN or no number; a bad session, kind or facet.
        """
        age = given["max_age"].total_seconds() if isinstance(given["max_age"], timedelta) else given["max_age"]
        if age is not None:
            inputs.number(age, "max_age", inputs.MAX_TIME_S)
        counts = {
            name: given[name] if given[name] is None else inputs.count(given[name], name, 0, _MOST)
            for name in LIMITS[1:]
        }
        return Rule(
            None if session is None else inputs.short(session, "session"),
            None if kind is None else inputs.short(kind, "kind", inputs.MAX_FACET_BYTES),
            inputs.filters(facets),
            None if age is None else float(age),
            **counts,
        )

    @property
    def has_limits(self) -> bool:
        """Whether it lets anything go; one without limits takes the rule of its scope away."""
        return any(getattr(self, name) is not None for name in LIMITS)

    @property
    def scope(self) -> tuple[Any, ...]:
        """What it is a rule of: a second rule of the same scope takes the place of the first."""
        return self.session, self.kind, sorted(self.facets.items())

    def keys(self) -> tuple[bytes, ...]:
        """Return the facet keys that its segments have."""
        return (*([] if self.kind is None else [kind_key(self.kind)]), *facet_keys(self.facets))

    def past(self, listed: Timeline, now: float) -> int:
        """Return how many of the oldest go by age, number and tokens (I1)."""
        n = len(listed.ids)
        past = 0
        if self.max_age is not None:
            past = int(listed.at.searchsorted(now - self.max_age))
        if self.max_segments is not None:
            past = max(past, n - self.max_segments)
        if self.max_tokens is not None:
            newest_first = np.cumsum(listed.tokens[::-1].astype(np.int64))
            past = max(past, n - int(newest_first.searchsorted(self.max_tokens, side="right")))
        return past

    def row(self) -> dict[str, Any]:
        """Return the rule as it is stored."""
        return asdict(self)

    @staticmethod
    def of_row(row: Mapping[str, Any]) -> "Rule":
        """Return a stored rule.

        Raises:
            BadInput: a newer ctxmem wrote it.
        """
        try:
            return Rule(**row)
        except TypeError as error:
            raise BadInput("a retention rule of this store is of a newer ctxmem; install that") from error
