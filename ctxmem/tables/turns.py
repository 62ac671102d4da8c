"""What a context leaves on disk beside its segments: its row, one row a turn, one a collection, one state an epoch.

    contexts  session                 -> the context's row: model, turn, epoch, calibration (a few hundred bytes)
    contexts  session + "t" + digest  -> tools, once for each set
    epochs    session + epoch         -> the state at the start of the epoch, compressed
    turns     session + turn          -> what was sent, by reference: epoch, newest segment, extra
    journal   session + collection    -> a packed plan, compressed: rule, score, rank, path, tokens of every group

I1. A turn's row, its epoch's state and the log give its prompt to the byte.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ctxmem.codec import pack, pack_large, unpack, unpack_large
from ctxmem.errors import FormatMismatch
from ctxmem.store import Batch, Snapshot

VERSION = 1  # On disk: of every row here.
_ONE = struct.Struct(">I")
_TWO = struct.Struct(">II")


class TargetKey(NamedTuple):
    """Model, wire shape, window and tools, compared to see whether they changed. On disk by place."""

    model: str
    provider: str
    window: int
    reserve: int
    tools: bytes  # their digest


class Ancestor(NamedTuple):
    """A session that this one was forked from, and what of it is shared. On disk by place."""

    session: int
    newest: int  # id of the newest segment that is shared
    collections: int  # how many the other session had made by then


class Observed(NamedTuple):
    """The turn whose usage was observed last, and the model's calibration before. On disk by place."""

    turn: int
    model: str
    before: dict[str, float]


@dataclass(frozen=True, slots=True)
class ContextRow:
    """Where a context stands."""

    name: str
    target: TargetKey
    turn: int = 0
    newest: int = -1  # id of the newest segment that was sent
    epoch: int = 0
    collections: int = 0
    last_at: float = 0.0
    last_tokens: int = 0  # o200k, of the last prompt
    mean_turn_tokens: float = 0.0
    is_cold: bool = False
    asked: bytes = b""  # a digest of what the caller wanted of the last turn
    calibrations: dict[str, dict[str, float]] = field(default_factory=dict)
    observed: Observed | None = None
    ancestors: tuple[Ancestor, ...] = ()  # the oldest first


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One prompt that was sent, by reference; sizes in the model's tokens but for `counted_tokens` (o200k)."""

    turn: int
    epoch: int
    newest: int
    model: str
    provider: str
    window: int
    reserve: int
    tools: bytes
    tokens: int
    budget: int
    exact: bool
    counted_tokens: int
    stable_prefix_tokens: int
    n_stable: int  # entries of the layout that the prompt before it had too, from the start
    at: float
    collection: int = -1
    extra: list[Any] = field(default_factory=list)


def _fields(row: Any) -> dict[str, Any]:
    """Return a row's fields; `dataclasses.asdict` copies them all the way down, at five times the price."""
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _load(unpacked: Sequence[Any]) -> dict[str, Any]:
    version, row = unpacked
    if version > VERSION:
        raise FormatMismatch(f"a context's row has version {version}: upgrade ctxmem, this one reads up to {VERSION}")
    found: dict[str, Any] = row
    return found


def put_context(batch: Batch, session: int, row: ContextRow) -> None:
    """Write the context's row."""
    batch.put("contexts", _ONE.pack(session), pack((VERSION, _fields(row))))


def context(snapshot: Snapshot, session: int) -> ContextRow | None:
    """Return a context's row; None where the session never had one."""
    data = snapshot.get("contexts", _ONE.pack(session))
    if data is None:
        return None
    row = _load(unpack(data))
    row["target"] = TargetKey(*row["target"])
    row["observed"] = None if row["observed"] is None else Observed(*row["observed"])
    row["ancestors"] = tuple(Ancestor(*one) for one in row["ancestors"])
    return ContextRow(**row)


def put_tools(batch: Batch, session: int, digest: bytes, tools: tuple[Any, ...]) -> None:
    """Write a set of tools, once."""
    key = _ONE.pack(session) + b"t" + digest
    if digest and batch.get("contexts", key) is None:
        batch.put("contexts", key, pack((VERSION, {"tools": list(tools)})))


def tools(snapshot: Snapshot, session: int, digest: bytes) -> tuple[Any, ...]:
    """Return a set of tools by its digest; empty where there is none."""
    data = snapshot.get("contexts", _ONE.pack(session) + b"t" + digest) if digest else None
    return () if data is None else tuple(_load(unpack(data))["tools"])


def put_turn(batch: Batch, session: int, row: TurnRow) -> None:
    """Write one turn's row."""
    batch.put("turns", _TWO.pack(session, row.turn), pack((VERSION, _fields(row))))


def turn(snapshot: Snapshot, session: int, number: int) -> TurnRow | None:
    """Return one turn's row; None where there is none."""
    data = snapshot.get("turns", _TWO.pack(session, number)) if 0 < number < 2**32 else None
    return None if data is None else TurnRow(**_load(unpack(data)))


def put_epoch(batch: Batch, session: int, epoch: int, state: dict[str, Any]) -> None:
    """Write the state at the start of an epoch."""
    batch.put("epochs", _TWO.pack(session, epoch), pack_large((VERSION, state)))


def epoch(snapshot: Snapshot, session: int, number: int) -> dict[str, Any] | None:
    """Return the state at the start of an epoch; None where none was stored."""
    data = snapshot.get("epochs", _TWO.pack(session, number))
    return None if data is None else _load(unpack_large(data))


def put_collection(batch: Batch, session: int, number: int, row: dict[str, Any]) -> None:
    """Write one collection's packed plan."""
    batch.put("journal", _TWO.pack(session, number), pack_large((VERSION, row)))


def collections(snapshot: Snapshot, session: int, newest_first_below: int) -> list[tuple[int, dict[str, Any]]]:
    """Read up to 32 collections before a number, the newest first."""
    rows = snapshot.scan(
        "journal", _TWO.pack(session, 0), _TWO.pack(session, newest_first_below), reverse=True, limit=32
    )
    return [(_TWO.unpack(key)[1], _load(unpack_large(value))) for key, value in rows]


def check(snapshot: Snapshot) -> Iterator[tuple[int, str]]:
    """Yield what is missing of what the rows name, each with its session: turns 1 to the last, epochs, plans, tools."""
    sessions = [_ONE.unpack(key)[0] for key in snapshot.keys("contexts") if len(key) == _ONE.size]
    for session in sessions:
        yield from ((session, what) for what in _missing(snapshot, session))
    for table in ("turns", "epochs", "journal"):
        lost = {_TWO.unpack(key)[0] for key in snapshot.keys(table)} - set(sessions)
        yield from ((session, f"table {table} has rows of it, and its context's row is missing") for session in lost)


def _missing(snapshot: Snapshot, session: int) -> Iterator[str]:
    """Yield which rows a session's context row and turns name, and are not there."""
    row = context(snapshot, session)
    if row is None:
        yield "its context's row is not found where it stands"
        return
    found = {number: turn(snapshot, session, number) for number in range(1, row.turn + 1)}
    kept = [one for one in found.values() if one is not None]
    wrong = {number for number, one in found.items() if one is None or one.turn != number}
    wanted = {one.epoch for one in kept} | ({row.epoch} if row.turn else set())
    epochs = {number for number in wanted if snapshot.get("epochs", _TWO.pack(session, number)) is None}
    made = {one.collection for one in kept if one.collection >= 0} | set(range(row.collections))
    plans = {number for number in made if snapshot.get("journal", _TWO.pack(session, number)) is None}
    for what, numbers in (("turn", wrong), ("epoch", epochs), ("collection", plans)):
        yield from (f"the row of {what} {one} is missing" for one in _spans(numbers))
    for digest in sorted({one.tools for one in kept if one.tools}):
        if snapshot.get("contexts", _ONE.pack(session) + b"t" + digest) is None:
            yield f"the tools {digest.hex()} are missing"


def _spans(numbers: set[int]) -> Iterator[str]:
    """Name numbers, those that follow each other together.

    >>> list(_spans({1, 2, 3, 7}))
    ['1 to 3', '7']
    """
    firsts = sorted(number for number in numbers if number - 1 not in numbers)
    lasts = sorted(number for number in numbers if number + 1 not in numbers)
    for first, last in zip(firsts, lasts, strict=True):
        yield str(first) if first == last else f"{first} to {last}"
