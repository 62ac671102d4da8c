"""The list of runs in the store, and how one comes to be in it: serials, what is being written, publishing, sweeping.

Invariants:
I1. A serial is given out once, before anything is written under it: a run is appended at the end of its tables.
I2. At most one unpublished run exists; its record in `meta` says which ids it is of. Whoever maintains next sweeps it.
I3. Publishing is one transaction: new run in, replaced runs out, the change told to other processes.
I4. A process whose work was taken over finds its record gone and gives up: nothing is published twice.
Does not know: what is in a run, when to make one.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import methodcaller

from ctxmem.search.runs import TABLES, Put, Run
from ctxmem.store import Batch, Snapshot, Store
from ctxmem.tables import changes, frames

WRITE_BYTES = 128 << 10  # of one maintenance transaction: about 0.5 ms
SWEPT = 512  # entries deleted in one transaction

_KEY = b"index.state"  # On disk: never rename.
_RECORD = struct.Struct("<BIIQQ?")  # version, next serial; of the draft (0: none): serial, first id, stop, is a seal
_VERSION = 2  # On disk: never renumber.
_RUBBISH = b"index.rubbish"  # On disk: never rename. Serials whose entries are to be deleted.


class TakenOver(Exception):
    """Another process has taken up maintenance; what this one was writing is swept."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A run that is being written: its serial, the ids `[first, stop)` that it is of, and whether bodies go with it."""

    serial: int
    first: int
    stop: int
    is_seal: bool


def load(snapshot: Snapshot) -> list[Run]:
    """Return the published runs in order of their first id: 2 us each."""
    return sorted((Run.decode(key, value) for key, value in snapshot.scan("runs")), key=lambda run: run.first)


def begin(store: Store, first: int, stop: int, *, is_seal: bool) -> Draft:
    """Claim the next serial for a run of the ids `[first, stop)`; there must be nothing left to sweep.

    Raises:
        TakenOver: another process has begun one.
    """

    def apply(batch: Batch) -> Draft:
        serial, writing = _read(batch)
        if writing is not None:
            raise TakenOver
        draft = Draft(serial, first, stop, is_seal)
        _write(batch, serial + 1, draft)
        return draft

    return store.write(apply)


def write(store: Store, draft: Draft, puts: Iterable[Put | None], *, limit_bytes: int = WRITE_BYTES) -> Iterator[None]:
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


def _put(store: Store, draft: Draft, puts: Sequence[Put]) -> None:
    def apply(batch: Batch) -> None:
        _check(batch, draft)
        for table, key, value in puts:
            batch.put(table, key, value, append=table in TABLES)

    store.write(apply)


def publish(
    store: Store,
    draft: Draft,
    run: Run | None,
    replaced: Sequence[Run],
    *,
    kind: str,
    also: Callable[[Batch], None] | None = None,
) -> None:
    """Make a written run visible in place of others, and do what belongs in the same transaction; on disk at return.

    Raises:
        TakenOver: I4.
    """

    def apply(batch: Batch) -> None:
        _check(batch, draft)
        if run is not None:
            batch.put("runs", run.key, run.encode())
        for old in replaced:
            batch.delete("runs", old.key)
        rubbish = batch.get("meta", _RUBBISH) or b""
        batch.put("meta", _RUBBISH, rubbish + b"".join(old.key for old in replaced))
        if also is not None:
            also(batch)
        _write(batch, _read(batch)[0], None)
        changes.record(batch, kind, [draft.first, draft.stop])

    store.write(apply)


def is_untidy(snapshot: Snapshot) -> bool:
    """Say whether there is anything to sweep."""
    return _read(snapshot)[1] is not None or bool(snapshot.get("meta", _RUBBISH))


def sweep(store: Store) -> Iterator[None]:
    """Delete what an unfinished draft and replaced runs left, in bounded transactions; yield after each."""
    with store.snapshot() as snapshot:
        _, draft = _read(snapshot)
        rubbish = snapshot.get("meta", _RUBBISH) or b""
    if draft is not None:
        serial = draft.serial.to_bytes(4, "big")
        ranges = [(table, serial, _after(serial)) for table in TABLES]
        if draft.is_seal:  # nobody can have read them; those of a merge are live
            ranges.append(("frames", frames.key(draft.first), frames.key(draft.stop)))
        yield from _delete(store, ranges)
        store.write(partial(_let_go, draft=draft))
        yield
    for start in range(0, len(rubbish), 4):
        serial = rubbish[start : start + 4]
        yield from _delete(store, [(table, serial, _after(serial)) for table in TABLES])
    if rubbish:
        store.write(partial(_swept, n_bytes=len(rubbish)))
        yield


def _let_go(batch: Batch, draft: Draft) -> None:
    """Note that nothing is left of a draft."""
    following, found = _read(batch)
    if found == draft:
        _write(batch, following, None)


def _swept(batch: Batch, n_bytes: int) -> None:
    """Note that nothing is left of the serials in the first bytes of the list."""
    batch.put("meta", _RUBBISH, (batch.get("meta", _RUBBISH) or b"")[n_bytes:])


def _delete(store: Store, ranges: Iterable[tuple[str, bytes, bytes]]) -> Iterator[None]:
    for table, start, stop in ranges:
        while True:
            deleted = store.write(methodcaller("delete_range", table, start, stop, limit=SWEPT))
            yield
            if deleted < SWEPT:
                break


def _after(serial: bytes) -> bytes:
    return (int.from_bytes(serial, "big") + 1).to_bytes(4, "big")


def _check(batch: Batch, draft: Draft) -> None:
    if _read(batch)[1] != draft:
        raise TakenOver


def _read(snapshot: Snapshot) -> tuple[int, Draft | None]:
    value = snapshot.get("meta", _KEY)
    if value is None:
        return 1, None
    _, following, serial, first, stop, is_seal = _RECORD.unpack(value)
    return following, Draft(serial, first, stop, is_seal) if serial else None


def _write(batch: Batch, following: int, draft: Draft | None) -> None:
    found = draft or Draft(0, 0, 0, is_seal=False)
    record = _RECORD.pack(_VERSION, following, found.serial, found.first, found.stop, found.is_seal)
    batch.put("meta", _KEY, record)
