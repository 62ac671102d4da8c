"""What calls cost: one row a turn, and the sums that a budget and a report read instead of the rows.

    spending  "t" + session + turn                          -> the call of a turn
    spending  "s" + session + day + blake2b-64 of the model -> the sum of a session's calls of a day with a model
    spending  "d" + day                                     -> the sum of all calls of a day

I1. A row and the sums that it is in change in one transaction, so each sum is that of its rows, exactly.
I2. A turn costs a fixed number of reads and writes, however many there are.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from ctxmem.codec import pack, unpack
from ctxmem.errors import FormatMismatch
from ctxmem.prices import Counts, day_of
from ctxmem.store import Batch, Snapshot

VERSION = 1  # On disk: of every row here.
_TABLE = "spending"
_TURN = struct.Struct(">cII")
_SUM = struct.Struct(">cII8s")
_DAY = struct.Struct(">cI")
_T, _S, _D = b"t", b"s", b"d"
_END = b"\xff"


@dataclass(frozen=True, slots=True)
class Spent:
    """One call. `nanos` is None where the model's prices were not known; `is_estimated`: nobody reported its usage."""

    at: float
    model: str
    counts: Counts
    nanos: int | None
    is_estimated: bool

    @property
    def day(self) -> int:
        """The number of its UTC day."""
        return day_of(self.at)


class Sum(NamedTuple):
    """Many calls: how many, of them estimated and without a price, their tokens, billionths of a dollar."""

    calls: int = 0
    estimated: int = 0
    unpriced: int = 0
    counts: Counts = Counts()
    nanos: int = 0

    @staticmethod
    def of(spent: Spent) -> "Sum":
        """Take one call as a sum."""
        return Sum(1, int(spent.is_estimated), int(spent.nanos is None), spent.counts, spent.nanos or 0)

    def plus(self, other: "Sum", sign: int = 1) -> "Sum":
        """Add another sum, or take it away."""
        counts = Counts(*(mine + sign * theirs for mine, theirs in zip(self.counts, other.counts, strict=True)))
        return Sum(
            self.calls + sign * other.calls,
            self.estimated + sign * other.estimated,
            self.unpriced + sign * other.unpriced,
            counts,
            self.nanos + sign * other.nanos,
        )


def put(batch: Batch, session: int, turn: int, spent: Spent) -> None:
    """Write what a turn's call cost, in place of what was known of it, and correct the sums."""
    before = _read(batch, session, turn)
    if before is not None:
        _add(batch, session, before, -1)
    row = (spent.at, spent.model, list(spent.counts), spent.nanos, spent.is_estimated)
    batch.put(_TABLE, _TURN.pack(_T, session, turn), pack((VERSION, row)))
    _add(batch, session, spent, 1)


def put_estimate(batch: Batch, session: int, turn: int, spent: Spent) -> None:
    """Write an estimate, unless the call's usage is known already."""
    before = _read(batch, session, turn)
    if before is None or before.is_estimated:
        put(batch, session, turn, spent)


def turn(snapshot: Snapshot, session: int, number: int) -> Spent | None:
    """Return what a turn's call cost; None where nothing is known of it."""
    data = snapshot.get(_TABLE, _TURN.pack(_T, session, number)) if 0 < number < 2**32 else None
    return None if data is None else _spent(data)


def each_turn(snapshot: Snapshot, session: int | None = None) -> Iterator[tuple[int, int, Spent]]:
    """Yield (session, turn, call) of a session, or of all, in this order."""
    start, stop = _range(_T, session)
    for key, data in snapshot.scan(_TABLE, start, stop):
        _, number, turn_number = _TURN.unpack(key)
        yield number, turn_number, _spent(data)


def each_sum(snapshot: Snapshot, session: int | None = None) -> Iterator[tuple[int, int, str, Sum]]:
    """Yield (session, day, model, sum) of a session, or of all, in order of session and day."""
    start, stop = _range(_S, session)
    for key, data in snapshot.scan(_TABLE, start, stop):
        _, number, day, _ = _SUM.unpack(key)
        model, found = _sum(data)
        yield number, day, model, found


def of_session(snapshot: Snapshot, session: int) -> Sum:
    """Return the sum of a session's calls. O(its days and models)."""
    total = Sum()
    for *_, found in each_sum(snapshot, session):
        total = total.plus(found)
    return total


def of_day(snapshot: Snapshot, day: int) -> Sum:
    """Return the sum of all calls of a day."""
    data = snapshot.get(_TABLE, _DAY.pack(_D, day))
    return Sum() if data is None else _sum(data)[1]


def check(snapshot: Snapshot) -> Iterator[tuple[int, str]]:
    """Yield the sums that are not those of their rows, each with its session; 0 for a day's."""
    wanted: dict[tuple[int, int, str], Sum] = {}
    days: dict[int, Sum] = {}
    for session, _, spent in each_turn(snapshot):
        key = session, spent.day, spent.model
        wanted[key] = wanted.get(key, Sum()).plus(Sum.of(spent))
        days[spent.day] = days.get(spent.day, Sum()).plus(Sum.of(spent))
    found = {(session, day, model): total for session, day, model, total in each_sum(snapshot)}
    for session, day, model in sorted(wanted.keys() | found.keys()):
        if wanted.get((session, day, model)) != found.get((session, day, model)):
            yield session, f"what day {day} cost with {model} is not the sum of its turns"
    start, stop = _range(_D, None)
    held = {_DAY.unpack(key)[1]: _sum(data)[1] for key, data in snapshot.scan(_TABLE, start, stop)}
    yield from ((0, f"what day {day} cost is not the sum of its turns") for day in _unlike(days, held))


def _unlike(one: dict[int, Sum], other: dict[int, Sum]) -> list[int]:
    return sorted(day for day in one.keys() | other.keys() if one.get(day) != other.get(day))


def _range(kind: bytes, session: int | None) -> tuple[bytes, bytes]:
    """Return where the keys of a kind begin and end, of one session where it is given."""
    if session is None:
        return kind, kind + _END * 9
    first = kind + session.to_bytes(4, "big")
    return first, first + _END * 17


def _add(batch: Batch, session: int, spent: Spent, sign: int) -> None:
    digest = blake2b(spent.model.encode(), digest_size=8).digest()
    one = Sum.of(spent)
    _change(batch, _SUM.pack(_S, session, spent.day, digest), spent.model, one, sign)
    _change(batch, _DAY.pack(_D, spent.day), "", one, sign)


def _change(batch: Batch, key: bytes, model: str, one: Sum, sign: int) -> None:
    """Add a call to a stored sum, or take it away; a sum of no calls is not kept."""
    data = batch.get(_TABLE, key)
    total = (Sum() if data is None else _sum(data)[1]).plus(one, sign)
    if total.calls:
        calls, estimated, unpriced, counts, nanos = total
        batch.put(_TABLE, key, pack((VERSION, (model, calls, estimated, unpriced, list(counts), nanos))))
    else:
        batch.delete(_TABLE, key)


def _read(batch: Batch, session: int, turn: int) -> Spent | None:
    data = batch.get(_TABLE, _TURN.pack(_T, session, turn))
    return None if data is None else _spent(data)


def _spent(data: bytes) -> Spent:
    at, model, counts, nanos, is_estimated = _load(data)
    return Spent(at, model, Counts(*counts), nanos, is_estimated)


def _sum(data: bytes) -> tuple[str, Sum]:
    model, calls, estimated, unpriced, counts, nanos = _load(data)
    return model, Sum(calls, estimated, unpriced, Counts(*counts), nanos)


def _load(data: bytes) -> list[Any]:
    version, row = unpack(data)
    if version > VERSION:
        raise FormatMismatch(f"a row of spending has version {version}: upgrade ctxmem, this one reads up to {VERSION}")
    found: list[Any] = row
    return found
