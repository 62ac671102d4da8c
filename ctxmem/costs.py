"""What calls cost, added up as a caller asks: by session, model, day or turn; from the sums, or the turns' rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from ctxmem import inputs, prices
from ctxmem.errors import BadInput
from ctxmem.log import Log
from ctxmem.store import Snapshot
from ctxmem.tables import spending
from ctxmem.tables.spending import Sum

GROUPS: Final = ("session", "model", "day", "turn")


@dataclass(frozen=True, slots=True)
class Cost:
    """What some calls took and cost. `session`, `model`, `day` (UTC) and `turn` are None where they are added up.

    Tokens are the model's own: `cached_tokens` and `cache_write_tokens` are parts of `input_tokens`, `reasoning_tokens`
    of `output_tokens`. Of the `calls`, `estimated` had no usage reported, and `unpriced` had a model without a known
    price: those are in no dollars.
    """

    session: str | None
    model: str | None
    day: str | None
    turn: int | None
    calls: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    dollars: float
    estimated: int
    unpriced: int


class _Key(NamedTuple):
    """What some calls have in common; None where they differ, or need not be the same."""

    session: int | None
    day: int | None
    turn: int | None
    model: str | None


class _Row(NamedTuple):
    session: int
    model: str
    day: int
    turn: int
    sum: Sum

    def key(self, wanted: frozenset[str]) -> _Key:
        """Return the group of this row."""
        return _Key(
            self.session if "session" in wanted else None,
            self.day if "day" in wanted else None,
            self.turn if "turn" in wanted else None,
            self.model if "model" in wanted else None,
        )


def costs(
    log: Log,
    by: str | Sequence[str],
    *,
    session: str | None,
    model: str | None,
    since: float | datetime | None,
    until: float | datetime | None,
) -> list[Cost]:
    """Add up what calls cost; see `Memory.costs`."""
    wanted = _groups(by)
    first, last = inputs.time_s(since, "since"), inputs.time_s(until, "until")
    if model is not None:
        inputs.short(model, "model")
    number = None
    if session is not None:
        number = log.session(inputs.short(session, "session"), create=False)
        if number is None:
            return []
    is_exact = first is not None or last is not None or "turn" in wanted
    with log.snapshot() as snapshot:
        rows = _turns(snapshot, number, first, last) if is_exact else _sums(snapshot, number)
        found: dict[_Key, Sum] = {}
        for row in rows:
            if model is None or row.model == model:
                key = row.key(wanted)
                found[key] = found.get(key, Sum()).plus(row.sum)
    return [_cost(log, key, found[key]) for key in sorted(found, key=_order)]


def _groups(by: str | Sequence[str]) -> frozenset[str]:
    """Check what to group by; a turn's number means something within its session only."""
    names = [by] if isinstance(by, str) else by
    if not isinstance(names, Sequence) or not all(isinstance(name, str) and name in GROUPS for name in names):
        raise BadInput(f"by={inputs.shown(by)} must be one or several of {', '.join(map(repr, GROUPS))}")
    return frozenset(names) | ({"session"} if "turn" in names else set())


def _turns(snapshot: Snapshot, session: int | None, since: float | None, until: float | None) -> Iterator[_Row]:
    for number, turn, spent in spending.each_turn(snapshot, session):
        if (since is None or since <= spent.at) and (until is None or spent.at <= until):
            yield _Row(number, spent.model, spent.day, turn, Sum.of(spent))


def _sums(snapshot: Snapshot, session: int | None) -> Iterator[_Row]:
    for number, day, model, total in spending.each_sum(snapshot, session):
        yield _Row(number, model, day, 0, total)


def _order(key: _Key) -> tuple[int, int, int, str]:
    """Order by session, day, turn and model; what is not grouped by is the same in all."""
    return key.session or 0, key.day or 0, key.turn or 0, key.model or ""


def _cost(log: Log, key: _Key, total: Sum) -> Cost:
    counts = total.counts
    return Cost(
        session=None if key.session is None else log.session_name(key.session),
        model=key.model,
        day=None if key.day is None else prices.day_name(key.day),
        turn=key.turn,
        calls=total.calls,
        input_tokens=counts.input,
        cached_tokens=counts.cached,
        cache_write_tokens=counts.cache_write,
        output_tokens=counts.output,
        reasoning_tokens=counts.reasoning,
        dollars=total.nanos / prices.NANOS,
        estimated=total.estimated,
        unpriced=total.unpriced,
    )
