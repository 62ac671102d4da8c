"""Leases: which writer may run a session's context. One record a session, valid as long as its owner's slot is.

I1. A lease names slot and epoch. It is alive while the store says that the slot is held, and the slot's claim has that
    epoch.
I2. A dead owner's lease is taken over in the same transaction that finds it dead.
"""

from collections.abc import Callable
from struct import Struct

from ctxmem import codec
from ctxmem.errors import ContextBusy
from ctxmem.store import Batch, Snapshot
from ctxmem.tables import slots
from ctxmem.tables.slots import Slot

_SESSION = Struct(">I")  # On disk: never renumber.


def acquire(batch: Batch, slot: Slot, session: int, is_alive: Callable[[int], bool]) -> None:
    """Take a session's lease for this writer, in the caller's transaction; nothing where it has it.

    Parameters:
        is_alive: says whether a live process holds a slot.

    Raises:
        ContextBusy: the owner lives.
    """
    mine = slot.verify(batch)
    value = batch.get("leases", _SESSION.pack(session))
    if value is not None:
        number, epoch, pid, host = codec.unpack(value)
        if number == slot.number and epoch == slot.epoch:
            return
        owner = slots.read(batch, number)
        if number != slot.number and owner is not None and owner.epoch == epoch and is_alive(number):
            raise ContextBusy(f"session {session} is in use by process {pid} on {host}; close it there", pid, host)
    batch.put("leases", _SESSION.pack(session), codec.pack([slot.number, slot.epoch, mine.pid, mine.host]))


def elsewhere(snapshot: Snapshot, mine: int | None, is_alive: Callable[[int], bool]) -> frozenset[int]:
    """Return the sessions whose leases other live processes hold; `mine` is this writer's slot."""
    rows = [(_SESSION.unpack(key)[0], *codec.unpack(value)[:2]) for key, value in snapshot.scan("leases")]
    others = [row for row in rows if row[1] != mine and is_alive(row[1])]
    owners = {number: slots.read(snapshot, number) for _, number, _ in others}
    return frozenset(s for s, number, epoch in others if (c := owners[number]) is not None and c.epoch == epoch)


def release(batch: Batch, slot: Slot, session: int) -> None:
    """Give a lease back, if it is still this writer's."""
    value = batch.get("leases", _SESSION.pack(session))
    if value is not None and codec.unpack(value)[:2] == [slot.number, slot.epoch]:
        batch.delete("leases", _SESSION.pack(session))
