"""The change log of a store: one sequence of numbers over every committed change, whichever process made it.

I1. A change takes the next number inside the transaction that makes it: what the table holds has happened, in order.
I2. The table holds the newest `KEEP` changes. A reader that fell behind them is told so, and loads afresh.

It does not know what a change means; whoever records a kind says what its detail is.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Any

from ctxmem import codec
from ctxmem.errors import CorruptSegment
from ctxmem.store import Batch, Snapshot

KEEP = 4096

_NUMBER = Struct(">Q")  # On disk: never renumber.


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change."""

    number: int
    kind: str
    detail: Any


def record(batch: Batch, kind: str, detail: Any = None) -> int:
    """Note a change in the caller's transaction; its number. Two puts, about 3 us."""
    number = newest(batch) + 1
    batch.put("changes", _NUMBER.pack(number), codec.pack([kind, detail]), append=True)
    if number > KEEP:
        batch.delete("changes", _NUMBER.pack(number - KEEP))
    return number


def newest(snapshot: Snapshot) -> int:
    """The number of the last change; 0 before the first."""
    entry = snapshot.last("changes")
    return 0 if entry is None else int(_NUMBER.unpack(entry[0])[0])


def since(snapshot: Snapshot, number: int) -> tuple[list[Change], int] | None:
    """The changes after `number`, and the newest number; None when some of them are no longer kept (I2)."""
    changes = [
        Change(_NUMBER.unpack(key)[0], *_fields(value))
        for key, value in snapshot.scan("changes", _NUMBER.pack(number + 1))
    ]
    if not changes:
        last = newest(snapshot)
        return ([], last) if last <= number else None
    return (changes, changes[-1].number) if changes[0].number == number + 1 else None


def _fields(value: bytes) -> tuple[str, Any]:
    fields = codec.unpack(value)
    if not isinstance(fields, list) or len(fields) != 2 or not isinstance(fields[0], str):
        raise CorruptSegment("an entry of the change log is not a change; run check")
    return fields[0], fields[1]
