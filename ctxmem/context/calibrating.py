"""Learn from what the provider counted: calibrate, notice a cache that was not hit, account for what it cost."""

from dataclasses import replace

from ctxmem.context import accounting
from ctxmem.context.session import Session
from ctxmem.context.standing import Standing
from ctxmem.models import Model, lookup
from ctxmem.prompt.usage import Usage
from ctxmem.store import Batch
from ctxmem.tables import spending, turns
from ctxmem.tables.turns import ContextRow, Observed, TurnRow
from ctxmem.tokens import Calibration


def observe(s: Session, usage: Usage, turn: int | None, model: str | None) -> None:
    """Learn from a provider's usage for one turn (the last unless given); a second one for a turn replaces the first.

    The caller holds the session's own lock (`Session.locked`). Raises as `Context.observe`.
    """
    row = s.turn_row(s.now.row.turn if turn is None else turn)
    turn_number = row.turn
    usage.check(row.counted_tokens)
    spoken = lookup(row.model if model is None else model, s.options.models)
    s.apply(lambda standing: _learned(standing, row, spoken, usage))
    learned, spent = s.now.row, accounting.reported(s, row, spoken.name, usage)

    def write(batch: Batch) -> None:
        """Put what was learned into the row that is there by then: a turn may have been committed meanwhile."""
        stored = turns.context(batch, s.number)
        if stored is not None:
            is_cold = stored.is_cold or (learned.is_cold and stored.turn == learned.turn)
            row = replace(stored, calibrations=learned.calibrations, observed=learned.observed, is_cold=is_cold)
            turns.put_context(batch, s.number, row)
        spending.put(batch, s.number, turn_number, spent)

    accounting.report(s, turn_number, spent, s.log.commit_soon(write))


def _learned(at: Standing, turn: TurnRow, model: Model, usage: Usage) -> Standing:
    """Return the standing with what a usage teaches of the model's counts, and of its cache."""
    row, calibration = at.row, at.calibration
    if usage.input_tokens:
        row = _calibrated(row, turn, model, usage.input_tokens)
        if model.name == at.target.model.name:
            calibration = Calibration.from_dict(row.calibrations[model.name])
    is_missed = usage.cached_tokens == 0 and turn.stable_prefix_tokens > at.target.model.cache_min_tokens
    if is_missed and turn.turn == row.turn:
        row = replace(row, is_cold=True)
    return replace(at, row=row, calibration=calibration)


def _calibrated(row: ContextRow, turn: TurnRow, model: Model, actual_tokens: int) -> ContextRow:
    last = row.observed
    if last is not None and (last.turn, last.model) == (turn.turn, model.name):
        before = last.before  # the usage of this turn replaces the one observed before
    else:
        before = row.calibrations.get(model.name) or Calibration(scale=model.prior).to_dict()
    learned = Calibration.from_dict(before)
    if not model.exact:
        learned.observe(turn.counted_tokens, actual_tokens)
    known = {**row.calibrations, model.name: learned.to_dict()}
    return replace(row, observed=Observed(turn.turn, model.name, before), calibrations=known)
