"""Let go of what the standing rules no longer keep, a little at a time, as a part of the maintenance.

I1. What is pinned stays, with its group; what stays keeps what it refers to; what an open context shows, quotes or
    speaks of stays, and so does what a tool's result there repeats. Of a session that is open in another process
    everything stays.
I2. What goes is forgotten as `Memory.forget` does it, with the memory tools' results that repeat it.
I3. `step` waits for no session: where one is at work, the rest waits for the next barrier.
I4. Rules are looked at again when they change, when the store has grown by a fiftieth, or when time has passed: never
    at each barrier.
"""

import math
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol

from ctxmem.log import Log
from ctxmem.retention.rule import Rule
from ctxmem.search.facets import REFERRING
from ctxmem.search.parts import Filter
from ctxmem.search.timeline import Timeline
from ctxmem.store import Batch
from ctxmem.tables import retaining

AT_ONCE = 256  # segments forgotten in one commit
_WINDOW = 1_024  # records read in one step
_GROWN_LEAST, _GROWN_SHARE = 1_024, 0.02
_LEAST_S, _AGE_SHARE = 60.0, 0.01


class Shown(Protocol):
    """The ids that the open contexts show; None where one is at work and the caller does not wait."""

    def __call__(self, *, waits: bool = False) -> set[int] | None: ...  # noqa: D102


class Findings(NamedTuple):
    """What would go, oldest first, its tokens, and what stays although it is past a limit: id -> why."""

    goes: list[int]
    tokens: int
    stays: dict[int, str]
    copies: dict[int, list[int]]  # of what goes: the results that repeat it

    def plain(self) -> dict[str, Any]:
        """Return what callers are told."""
        return {"goes": self.goes, "tokens": self.tokens, "stays": self.stays}


class Retention:
    """The rules of one store. `step` is called under the lock of the maintenance, by one thread at a time.

    `shown` gives the ids that the open contexts show, None where that cannot be said without waiting.
    """

    def __init__(self, log: Log, shown: Shown) -> None:
        self._log = log
        self._shown = shown
        self._work: Generator[None, None, None] | None = None
        self._seen: list[dict[str, Any]] = []  # rules, as of the last look
        self._n_seen = -1
        self._seen_at = -math.inf

    def rules(self) -> list[Rule]:
        """Return the standing rules."""
        with self._log.snapshot() as snapshot:
            return [Rule.of_row(row) for row in retaining.rules(snapshot)]

    def put(self, rule: Rule) -> None:
        """Let a rule stand, in the place of one of the same scope; on disk when this returns."""

        def write(batch: Batch) -> None:
            rows = [row for row in retaining.rules(batch) if Rule.of_row(row).scope != rule.scope]
            retaining.put_rules(batch, [*rows, rule.row()] if rule.has_limits else rows)

        self._seen_at = -math.inf  # the same rule again is applied again: what kept it from something may have ended
        self._log.commit(write)

    def look(self, rules: Sequence[Rule]) -> Findings:
        """Say what rules would let go of now. Cost: reads what refers to others, and with `max_bytes` what is kept."""
        looking = self._look(rules, self._shown(waits=True) or set())
        while True:
            try:
                next(looking)
            except StopIteration as done:
                found: Findings = done.value
                return found

    def step(self) -> bool:
        """Do a little of what is due; say whether more can be done now."""
        if self._work is None and not self._begin():
            return False
        assert self._work is not None  # `_begin` says so
        if self._shown() is None:
            return False  # I3
        try:
            next(self._work)
        except StopIteration:
            self._work = None
            return False
        except BaseException:
            self._work = None
            raise
        return True

    # --- inside ---

    def _begin(self) -> bool:
        """Look whether rules are due (I4), and begin to apply them."""
        with self._log.snapshot() as snapshot:
            rows = retaining.rules(snapshot)
        if not rows:
            self._seen = rows
            return False
        rules = [Rule.of_row(row) for row in rows]
        stats, now = self._log.index.stats(), self._log.options.now()
        n = stats["sealed_segments"] + stats["tail_segments"]
        waits_s = max(_LEAST_S, _AGE_SHARE * min((r.max_age for r in rules if r.max_age is not None), default=math.inf))
        is_grown = n - self._n_seen > max(_GROWN_LEAST, _GROWN_SHARE * n)
        if rows == self._seen and not is_grown and now < self._seen_at + waits_s:
            return False
        self._seen, self._n_seen, self._seen_at = rows, n, now
        self._work = self._apply(rules)
        return True

    def _apply(self, rules: Sequence[Rule]) -> Generator[None, None, None]:
        found = yield from self._look(rules, self._shown() or set())
        for start in range(0, len(found.goes), AT_ONCE):
            shown = self._shown()
            while shown is None:
                yield
                shown = self._shown()
            some = [i for i in found.goes[start : start + AT_ONCE] if self._is_free(i, shown, found)]
            if some:
                self._log.forget([*some, *(copy for i in some for copy in found.copies.get(i, ()))])
            yield

    def _is_free(self, segment_id: int, shown: set[int], found: Findings) -> bool:
        if segment_id in shown or self._log.is_pinned(segment_id):
            return False
        return shown.isdisjoint(found.copies.get(segment_id, ()))

    def _look(self, rules: Sequence[Rule], shown: set[int]) -> Generator[None, None, Findings]:
        past: dict[int, int] = {}  # of what is past a limit, oldest first of each rule: its tokens
        for rule in rules:
            listed = self._listed(rule)
            n = rule.past(listed, self._log.options.now())
            if rule.max_bytes is not None:
                n = max(n, (yield from self._past_bytes(listed, n, rule.max_bytes)))
            past.update(zip(listed.ids[:n].tolist(), listed.tokens[:n].tolist(), strict=True))
            yield
        stays: dict[int, str] = {}
        copies: dict[int, list[int]] = {}
        if past:
            copies = yield from self._copies(past)
            self._kept_by_flags(past, shown, copies, stays)
            yield from self._kept_by_references(past, stays)
        goes = sorted(past.keys() - stays.keys())
        return Findings(goes, sum(past[i] for i in goes), dict(sorted(stays.items())), copies)

    def _listed(self, rule: Rule) -> Timeline:
        sessions = None
        if rule.session is not None:
            number = self._log.session(rule.session, create=False)
            sessions = frozenset([-1 if number is None else number])
        return self._log.index.timeline([Filter(rule.keys(), sessions)])

    def _past_bytes(self, listed: Timeline, past: int, most: int) -> Generator[None, None, int]:
        """Return how many of the oldest go where the newest take at most so many bytes."""
        ids, left = listed.ids[past:][::-1].tolist(), most
        for start in range(0, len(ids), _WINDOW):
            for place, size in enumerate(self._log.sizes(ids[start : start + _WINDOW]), start=start):
                left -= size
                if left < 0:
                    return past + len(ids) - place
            yield
        return past

    def _copies(self, past: dict[int, int]) -> Generator[None, None, dict[int, list[int]]]:
        found: dict[int, list[int]] = {}
        ids = self._log.index.unsearched_ids(min(past))
        for start in range(0, len(ids), _WINDOW):
            for segment_id, record in self._log.stream(ids[start : start + _WINDOW]):
                for source in record.facts.sources:
                    if source in past:
                        found.setdefault(source, []).append(segment_id)
            yield
        return found

    def _kept_by_flags(
        self, past: dict[int, int], shown: set[int], copies: dict[int, list[int]], stays: dict[int, str]
    ) -> None:
        elsewhere = self._log.sessions_elsewhere()
        if elsewhere:
            ids = self._log.index.timeline([Filter(sessions=elsewhere)]).ids.tolist()
            stays.update((i, "its session is open in another process") for i in ids if i in past)
        stays.update((i, "an open context shows it") for i in past.keys() & shown)
        stays.update((i, "an open context shows a result that repeats it") for i, c in copies.items() if shown & {*c})
        for segment_id in self._log.pinned_ids():
            stays.update((i, "it is pinned") for i in self._group_of(segment_id) if i in past)

    def _group_of(self, segment_id: int) -> list[int]:
        record = self._log.get(segment_id)
        group = record.group_id(segment_id)
        if not record.session:
            return [segment_id]
        ids = [group, *self._log.index.session_ids(record.session, group)[:_WINDOW]]
        return [i for i, r in self._log.stream(ids) if r.group_id(i) == group]

    def _kept_by_references(self, past: dict[int, int], stays: dict[int, str]) -> Generator[None, None, None]:
        """Keep what is referred to by what stays, however long the chain."""
        of_past: dict[int, tuple[int, ...]] = {}
        waiting: list[int] = []
        ids = self._log.index.timeline([Filter((REFERRING,))]).ids.tolist()
        for start in range(0, len(ids), _WINDOW):
            for segment_id, record in self._log.stream(ids[start : start + _WINDOW]):
                if segment_id in past:
                    of_past[segment_id] = record.refs
                    continue
                for ref in record.refs:
                    if ref in past and ref not in stays:
                        stays[ref] = f"segment {segment_id} refers to it"
            yield
        waiting = list(stays)
        while waiting:
            segment_id = waiting.pop()
            for ref in of_past.get(segment_id, ()):
                if ref in past and ref not in stays:
                    stays[ref] = f"segment {segment_id} refers to it"
                    waiting.append(ref)
