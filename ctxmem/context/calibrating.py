"""Learn from what the provider counted: calibrate, and notice a cache that was not hit."""

from typing import Any

from ctxmem.context.session import Session
from ctxmem.errors import TurnNotFound
from ctxmem.models import lookup
from ctxmem.prompt.usage import as_mapping, cached_tokens, input_tokens
from ctxmem.store import Batch
from ctxmem.tables import turns
from ctxmem.tables.turns import TurnRow
from ctxmem.tokens import Calibration


def observe(s: Session, usage: Any, turn: int | None, model: str | None) -> None:
    """Take a provider's usage for one turn, the last unless given; again for the same turn replaces.

    The caller holds the lock. Raises as `Context.observe`.
    """
    reported = as_mapping(usage)
    number = s.row.turn if turn is None else turn
    row = _turn(s, number)
    actual = input_tokens(reported)
    name = lookup(model, s.options.models).name if model is not None else row.model
    if actual:
        _calibrate(s, number, name, row.counted_tokens, actual)
    cached = cached_tokens(reported)
    if cached == 0 and number == s.row.turn and row.stable_prefix_tokens > s.target.model.cache_min_tokens:
        s.row.is_cold = True
    learned, observed, is_cold, last = dict(s.row.calibrations), list(s.row.observed), s.row.is_cold, s.row.turn

    def write(batch: Batch) -> None:
        """Put what was learned into the row that is there by then: a turn may have been committed meanwhile."""
        stored = turns.context(batch, s.number)
        if stored is not None:
            stored.calibrations, stored.observed = learned, observed
            stored.is_cold = stored.is_cold or (is_cold and stored.turn == last)
            turns.put_context(batch, s.number, stored)

    s.log.commit_soon(write)


def _turn(s: Session, number: int) -> TurnRow:
    with s.log.snapshot() as snapshot:
        row = turns.turn(snapshot, s.number, number)
    if row is None:
        raise TurnNotFound(f"session {s.name!r} has no turn {number} to observe; it has {s.row.turn}")
    return row


def _calibrate(s: Session, number: int, name: str, counted: int, actual: int) -> None:
    is_current = name == s.target.model.name
    known = s.row.calibrations.get(name)
    now = s.calibration if is_current else None
    if now is None:
        now = Calibration.from_dict(known) if known else Calibration(scale=lookup(name, s.options.models).prior)
    if s.row.observed[:2] == [number, name]:
        now = Calibration.from_dict(s.row.observed[2])  # as it was before this turn was observed
    s.row.observed = [number, name, now.to_dict()]
    learned = Calibration.from_dict(now.to_dict())
    if not lookup(name, s.options.models).exact:
        learned.observe(counted, actual)
    s.row.calibrations[name] = learned.to_dict()
    if is_current:
        s.calibration = learned
        if learned.estimate(s.row.last_tokens) > s.target.budget(exact=s.is_exact(s.state)):
            s.state.version += 1  # the last prompt does not fit, as is known now: a retry needs another
