"""The list of runs in the store, and how a run enters it: serials, drafts, publishing, sweeping what is left over.

Invariants:
I1. A serial is given out once, before anything is written under it.
I2. At most one unpublished run of a block exists; the block's record in `meta` says which ids it is of. The process
    that maintains the block next sweeps it.
I3. Publishing is one transaction: new run in, replaced runs out, the change told to other processes.
I4. A process whose work was taken over finds its record gone and gives up: nothing is published twice.
I5. The caller of `begin`, `write`, `publish` and `sweep` holds the maintenance of the block.
Does not know: what is in a run, when to make one.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import methodcaller

from ctxmem.search.runs import TABLES, Put, Run
from ctxmem.store import Batch, Snapshot, Store, after
from ctxmem.tables import changes, frames

WRITE_BYTES = 128 << 10  # of one maintenance transaction: about 0.5 ms
SWEPT = 512  # entries deleted in one transaction

_SERIAL = b"index.serial"  # On disk: never rename. The next serial, u32.
_BLOCK = b"index.block/"  # On disk: never rename. With the block's number, u32: what is unfinished in it.
_RECORD = struct.Struct("<BIQQ?")  # version; draft (serial 0: none): serial, first, stop, is a seal; rubbish follows
_VERSION = 2  # On disk: never renumber.


class TakenOver(Exception):
    """Another process has taken up the block's maintenance; what this one was writing is swept."""


@dataclass(frozen=True, slots=True)
class RunDraft:
    """A run that is being written, of the ids `[first, stop)` of a block; `is_seal`: bodies go with it."""

    block: int
    serial: int
    first: int
    stop: int
    is_seal: bool


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """What is unfinished in a block: a draft, and serials whose entries are to be deleted, four bytes each."""

    draft: RunDraft | None = None
    rubbish: bytes = b""


def load(snapshot: Snapshot) -> list[Run]:
    """Return the published runs in order of their first id: 2 us each."""
    return sorted((Run.decode(key, value) for key, value in snapshot.scan("runs")), key=lambda run: run.first)


def begin(
    store: Store, block: int, first: int, stop: int, *, is_seal: bool, if_so: Callable[[Batch], bool] | None = None
) -> RunDraft:
    """Claim the next serial for a run of the ids `[first, stop)` of a block that has no other draft.

    Parameters:
        if_so: run in the same transaction; where it says False nothing is begun.

    Raises:
        TakenOver: another process has begun one, or `if_so` said False.
    """

    def apply(batch: Batch) -> RunDraft:
        if _unfinished(batch, block).draft is not None or (if_so is not None and not if_so(batch)):
            raise TakenOver
        value = batch.get("meta", _SERIAL)
        serial = 1 if value is None else int.from_bytes(value, "big")
        batch.put("meta", _SERIAL, (serial + 1).to_bytes(4, "big"))
        draft = RunDraft(block, serial, first, stop, is_seal)
        _note(batch, block, _Unfinished(draft, _unfinished(batch, block).rubbish))
        return draft

    return store.write(apply)


def write(
    store: Store, draft: RunDraft, puts: Iterable[Put | None], *, limit_bytes: int = WRITE_BYTES
) -> Iterator[None]:
    """Write entries of a draft in bounded transactions, and yield after each, and wherever there is a None among them.

    Raises:
        TakenOver: I4.
    """
    waiting: list[Put] = []
    n_bytes = 0
    for put in puts:
        if put is None:
            yield
            continue
        waiting.append(put)
        n_bytes += len(put[2])
        if n_bytes >= limit_bytes:
            _put(store, draft, waiting)
            waiting, n_bytes = [], 0
            yield
    if waiting:
        _put(store, draft, waiting)
        yield


def _put(store: Store, draft: RunDraft, puts: Sequence[Put]) -> None:
    def apply(batch: Batch) -> None:
        ensure(batch, draft)
        is_last = {table: _is_last(batch, table, draft.serial) for table in {put[0] for put in puts} & set(TABLES)}
        for table, key, value in puts:
            batch.put(table, key, value, append=is_last.get(table, False))

    store.write(apply)


def _is_last(batch: Batch, table: str, serial: int) -> bool:
    """Say whether a table ends with a serial's entries.

    It does not while a run of another block, begun later, is being written.
    """
    return next(batch.keys(table, (serial + 1).to_bytes(4, "big")), None) is None


def publish(
    store: Store,
    draft: RunDraft,
    run: Run | None,
    replaced: Sequence[Run],
    *,
    kind: str,
    also: Callable[[Batch], None] | None = None,
) -> None:
    """Make a written run visible in place of others, together with what `also` writes; on disk when this returns.

    Raises:
        TakenOver: I4.
    """

    def apply(batch: Batch) -> None:
        ensure(batch, draft)
        if run is not None:
            batch.put("runs", run.key, run.encode())
        for old in replaced:
            batch.delete("runs", old.key)
        if also is not None:
            also(batch)
        rubbish = _unfinished(batch, draft.block).rubbish + b"".join(old.key for old in replaced)
        _note(batch, draft.block, _Unfinished(None, rubbish))
        changes.record(batch, kind, [draft.first, draft.stop])

    store.write(apply)


def untidy(snapshot: Snapshot) -> list[int]:
    """Return the blocks in which there is something to sweep."""
    return [int.from_bytes(key[len(_BLOCK) :], "big") for key in snapshot.keys("meta", _BLOCK, after(_BLOCK))]


def sweep(store: Store, block: int) -> Iterator[None]:
    """Delete what an unfinished draft and replaced runs of a block left, in bounded transactions; yield after each."""
    with store.snapshot() as snapshot:
        found = _unfinished(snapshot, block)
    serials = [found.rubbish[start : start + 4] for start in range(0, len(found.rubbish), 4)]
    ranges = [(table, serial, _after(serial)) for serial in serials for table in TABLES]
    if found.draft is not None:
        serial = found.draft.serial.to_bytes(4, "big")
        ranges += [(table, serial, _after(serial)) for table in TABLES]
        if found.draft.is_seal:  # frames of an unpublished seal are unread; those under a merge are live
            ranges.append(("frames", frames.key(found.draft.first), frames.key(found.draft.stop)))
    yield from _delete(store, ranges)
    store.write(partial(_swept, block=block, found=found))
    yield


def _swept(batch: Batch, block: int, found: _Unfinished) -> None:
    """Record that nothing is left of what was found unfinished in a block."""
    if _unfinished(batch, block) == found:
        _note(batch, block, _Unfinished())


def _delete(store: Store, ranges: Iterable[tuple[str, bytes, bytes]]) -> Iterator[None]:
    for table, start, stop in ranges:
        while True:
            deleted = store.write(methodcaller("delete_range", table, start, stop, limit=SWEPT))
            yield
            if deleted < SWEPT:
                break


def _after(serial: bytes) -> bytes:
    return (int.from_bytes(serial, "big") + 1).to_bytes(4, "big")


def ensure(snapshot: Snapshot, draft: RunDraft) -> None:
    """Raise `TakenOver` where a draft is not the block's any more."""
    if _unfinished(snapshot, draft.block).draft != draft:
        raise TakenOver


def _key(block: int) -> bytes:
    return _BLOCK + block.to_bytes(4, "big")


def _unfinished(snapshot: Snapshot, block: int) -> _Unfinished:
    value = snapshot.get("meta", _key(block))
    if value is None:
        return _Unfinished()
    _, serial, first, stop, is_seal = _RECORD.unpack_from(value)
    return _Unfinished(RunDraft(block, serial, first, stop, is_seal) if serial else None, value[_RECORD.size :])


def _note(batch: Batch, block: int, unfinished: _Unfinished) -> None:
    if unfinished == _Unfinished():
        batch.delete("meta", _key(block))
        return
    draft = unfinished.draft or RunDraft(block, 0, 0, 0, is_seal=False)
    record = _RECORD.pack(_VERSION, draft.serial, draft.first, draft.stop, draft.is_seal)
    batch.put("meta", _key(block), record + unfinished.rubbish)
