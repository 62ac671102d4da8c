"""The change log of a store: what was committed, and by which writer, for readers that keep up with all of them.

A writer numbers its own changes; there is no number that all writers would have to agree on. A reader keeps a
`Position`: how far it has come in each slot.

I1. A change takes the next number of its writer's slot inside the transaction that makes it.
I2. A change carries the clock of its transaction, which is above that of every change it can have followed from. So a
    reader that applies changes in order of (clock, slot, number) applies a cause before its effect, and all readers
    apply them in the same order.
I3. The table holds the newest `KEEP` changes of each slot. A reader that fell behind them is told so, and loads afresh.

It does not know what a change means: the module that records a kind defines its detail.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any, TypeAlias

from ctxmem import codec
from ctxmem.errors import CorruptSegment
from ctxmem.store import Batch, Snapshot

Position: TypeAlias = dict[int, int]  # slot -> number of the newest change that was applied

KEEP = 4096
NOBODY = 0xFFFF  # On disk: never renumber. The slot of changes made without one: no appends are among them.

_KEY = Struct(">HQ")  # On disk: never renumber.
_SLOT = Struct(">H")
_LAST = 2**64 - 1


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One committed change; sorts in the order of I2."""

    clock: int
    slot: int
    number: int
    kind: str
    detail: Any


def record(batch: Batch, kind: str, detail: Any = None) -> None:
    """Record a change in the caller's transaction. Two puts, about 4 us."""
    slot = NOBODY if batch.slot is None else batch.slot
    newest = _newest_of(batch, slot)
    number = newest + 1
    batch.put("changes", _KEY.pack(slot, number), codec.pack([kind, batch.clock, detail]))
    if number > KEEP:
        batch.delete("changes", _KEY.pack(slot, number - KEEP))


def _newest_of(snapshot: Snapshot, slot: int) -> int:
    entries = snapshot.scan("changes", _KEY.pack(slot, 0), _KEY.pack(slot, _LAST), reverse=True, limit=1)
    return next((int(_KEY.unpack(key)[1]) for key, _ in entries), 0)


def newest(snapshot: Snapshot) -> Position:
    """Return how far every slot has come: 3 us a slot."""
    found: Position = {}
    start: bytes | None = b""
    while start is not None:
        key = next(snapshot.keys("changes", start), None)
        if key is None:
            break
        slot = _KEY.unpack(key)[0]
        found[slot] = _newest_of(snapshot, slot)
        start = _after(slot)
    return found


def since(snapshot: Snapshot, position: Position) -> tuple[list[Change], Position] | None:
    """Return the changes after a position, in the order of I2, and where they lead; 3 us a slot and 2 a change.

    None when some of them are no longer kept (I3).
    """
    changes: list[Change] = []
    reached = dict(position)
    slot = 0
    while True:
        expected = reached.get(slot, 0) + 1
        key = next(snapshot.keys("changes", _KEY.pack(slot, expected)), None)
        if key is None:
            break
        found, number = _KEY.unpack(key)
        if found == slot:
            for number, change in enumerate(_of_slot(snapshot, slot, expected), expected):
                if change.number != number:
                    return None
                changes.append(change)
                reached[slot] = number
            if slot == NOBODY:
                break
            found = slot + 1
        slot = found
    changes.sort(key=lambda change: (change.clock, change.slot, change.number))
    return changes, reached


def _of_slot(snapshot: Snapshot, slot: int, start: int) -> Iterator[Change]:
    """Yield the changes of a slot from a number on."""
    for key, value in snapshot.scan("changes", _KEY.pack(slot, start), _after(slot)):
        kind, clock, detail = _fields(value)
        yield Change(clock, slot, _KEY.unpack(key)[1], kind, detail)


def _after(slot: int) -> bytes | None:
    return None if slot == NOBODY else _SLOT.pack(slot + 1)


def _fields(value: bytes) -> tuple[str, int, Any]:
    fields = codec.unpack(value)
    if not isinstance(fields, list) or len(fields) != 3 or not isinstance(fields[0], str):
        raise CorruptSegment("an entry of the change log is not a change; run check")
    return fields[0], fields[1], fields[2]
