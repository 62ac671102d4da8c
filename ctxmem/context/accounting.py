"""What each call of a session costs: estimated when its prompt is committed, corrected by what the provider reports.

I1. A call whose usage was reported is never estimated again.
I2. What was reported and is not on disk yet counts already: `Session.reported` holds it until it is.
"""

from concurrent.futures import Future

from ctxmem import prices
from ctxmem.context.session import Session
from ctxmem.log.writer import Write
from ctxmem.models import Model, lookup
from ctxmem.prices import Counts
from ctxmem.prompt.usage import Usage
from ctxmem.store import Batch
from ctxmem.tables import spending
from ctxmem.tables.spending import Spent
from ctxmem.tables.turns import TurnRow


def priced(s: Session, name: str, at: float) -> Model:
    """Look a model up with the prices of a day; the session's own, whose prices have no dates, is at hand."""
    own = s.now.target.model
    if name == own.name and "prices_since" not in s.options.models.get(name, {}):
        return own
    return lookup(name, s.options.models, prices.day_name(prices.day_of(at)))


def input_of(turn: TurnRow, model: Model) -> Counts:
    """Estimate the input of a turn's prompt: what the last one began with is read from the cache, where it is kept.

    The rest is written to it with a provider that charges for that.
    """
    is_kept = model.cache_read_price is not None and turn.stable_prefix_tokens >= model.cache_min_tokens
    cached = min(turn.stable_prefix_tokens, turn.tokens) if is_kept else 0
    is_charged = model.cache_read_price is not None and (model.cache_write_price or 0) > (model.input_price or 0)
    is_written = is_charged and turn.tokens >= model.cache_min_tokens
    return Counts(input=turn.tokens, cached=cached, cache_write=turn.tokens - cached if is_written else 0)


def estimated(s: Session, turn: TurnRow) -> Spent:
    """Estimate what a turn's call costs before its answer is known: its input alone."""
    model = priced(s, turn.model, turn.at)
    counts = input_of(turn, model)
    return Spent(turn.at, turn.model, counts, prices.nanos(counts, model), is_estimated=True)


def reported(s: Session, turn: TurnRow, model: str, usage: Usage) -> Spent:
    """Return what a turn's call cost by what the provider reported."""
    found = priced(s, model, turn.at)
    counts = usage.counts(input_of(turn, found))
    return Spent(turn.at, model, counts, prices.nanos(counts, found), is_estimated=False)


def writer(s: Session, turn: TurnRow) -> Write:
    """Return what puts the estimate of a new turn, and completes that of the last one by what was answered."""
    number, spent, last = s.number, estimated(s, turn), _answered(s)

    def write(batch: Batch) -> None:
        spending.put_estimate(batch, number, turn.turn, spent)
        if last is not None:
            spending.put_estimate(batch, number, turn.turn - 1, last)

    return write


def _answered(s: Session) -> Spent | None:
    """Estimate the last turn's call with its answer; None where its usage was reported, or nothing was answered."""
    row = s.now.row
    if not row.turn or row.turn in s.reported or (row.observed is not None and row.observed.turn == row.turn):
        return None
    ids = s.log.index.session_ids(s.number, row.newest)
    answers = [record.tokens for record in s.log.get_many(ids) if record.role == "assistant"]
    if not answers:
        return None
    with s.log.snapshot() as snapshot:
        known = spending.turn(snapshot, s.number, row.turn)
    if known is None or not known.is_estimated:
        return None
    model = priced(s, known.model, known.at)
    counts = known.counts._replace(output=s.now.calibration.estimate(sum(answers)))
    return Spent(known.at, known.model, counts, prices.nanos(counts, model), is_estimated=True)


def report(s: Session, turn: int, spent: Spent, commit: "Future[None]") -> None:
    """Count a reported call from now on, until its commit is through (I2)."""
    s.reported[turn] = spent

    def settled(_: "Future[None]") -> None:
        if s.reported.get(turn) is spent:
            s.reported.pop(turn, None)

    commit.add_done_callback(settled)
