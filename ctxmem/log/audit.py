"""Reading a whole store to see that it is what was written: checksums, and what the tables say of each other.

It reports and repairs nothing.
"""

from collections.abc import Iterator
from itertools import pairwise

from ctxmem import codec
from ctxmem.codec import Codec
from ctxmem.errors import CtxMemError
from ctxmem.log.hot import Hot
from ctxmem.segment import Problem
from ctxmem.store import TABLES, Snapshot, Store
from ctxmem.tables import chunks, flags, frames, names, slots, spending, turns
from ctxmem.tables.dictionaries import current_dictionary, dictionaries

_RESTORE = "restore the store from a backup"
_REPORT = "this is a defect of ctxmem: report it, and restore the store from a backup"


def check(store: Store, coder: Codec, hot: Hot) -> list[Problem]:
    """Return the problems of the log's own tables, and of the checksums of every table."""
    found = [Problem("hot tier", what, _REPORT) for what in hot.check()]
    with store.snapshot() as snapshot:
        unsound = [
            Problem(f"table {table}, key {key.hex()}", "the value fails its checksum", _RESTORE)
            for table in TABLES
            for key in snapshot.unsound(table)
        ]
        if unsound:  # the checks below would raise at the first of them
            return found + unsound
        found += list(_order(snapshot))
        found += [Problem(f"session {number}", what, _RESTORE) for number, what in turns.check(snapshot)]
        found += [Problem(f"spending of session {number}", what, _REPORT) for number, what in spending.check(snapshot)]
        found += [Problem("claims", what, _REPORT) for what in slots.check(snapshot)]
        found += [Problem("sessions", what, _REPORT) for what in names.check(snapshot)]
        found += list(_records(snapshot, coder))
        found += list(_references(snapshot))
    return found


def _order(snapshot: Snapshot) -> Iterator[Problem]:
    """Yield the tables whose keys do not rise: a page is not where it belongs, and looking a key up may miss it."""
    for table in TABLES:
        for before, key in pairwise(snapshot.keys(table)):
            if key <= before:
                yield Problem(f"table {table}, key {key.hex()}", "it stands out of order", _RESTORE)
                break


def _records(snapshot: Snapshot, coder: Codec) -> Iterator[Problem]:
    """Yield the records that cannot be read, have no forward record, or lie in frames that overlap."""
    known = set(dictionaries(snapshot))
    current = current_dictionary(snapshot)
    if current is not None and current not in known:
        yield Problem("meta", f"dictionary {current} is in use and missing", _RESTORE)
    for key, stored in snapshot.scan("log"):
        segment_id = frames.segment_id_of(key)
        try:
            codec.unpack_record(coder.load(stored))
        except CtxMemError as exc:
            yield Problem(f"segment {segment_id}", str(exc), _RESTORE)
        if snapshot.get("forward", key) is None:
            yield Problem(f"segment {segment_id}", "it has no forward record", _REPORT)
    end = -1
    for key, value in snapshot.scan("frames"):
        numbers = frames.ids(key, value)
        if numbers.start < end:
            yield Problem(f"frame {numbers.start}", "it overlaps the frame before it", _REPORT)
        end = numbers.stop
        try:
            for packed in frames.unpack(key, value, coder).values():
                codec.unpack_record(packed)
        except CtxMemError as exc:
            yield Problem(f"frame {numbers.start}", str(exc), _RESTORE)


def _references(snapshot: Snapshot) -> Iterator[Problem]:
    """Yield the keys, flags and forward records of missing segments, and the ids that exist and are called unused."""
    wanted = {"key": names.key_ids(snapshot)}
    wanted |= {f"flag {kind.decode()}": flags.ids(snapshot, kind).tolist() for kind in flags.KINDS}
    wanted["forward record"] = [frames.segment_id_of(key) for key in snapshot.keys("forward")]
    for what, ids in wanted.items():
        for segment_id in ids:
            if not exists(snapshot, segment_id):
                yield Problem(f"segment {segment_id}", f"it does not exist, and a {what} names it", _REPORT)
    unused = [(f"slot {slot}", each) for slot, claim in slots.all_of(snapshot) for each in claim.open]
    for where, (first, stop) in [*unused, *(("free ids", each) for each in chunks.free(snapshot))]:
        if _holds_any(snapshot, first, stop):
            yield Problem(where, f"some of the ids from {first} to {stop - 1} exist already", _REPORT)


def _holds_any(snapshot: Snapshot, first: int, stop: int) -> bool:
    """Say whether any id of a range is committed."""
    start, end = frames.key(first), frames.key(stop)
    frame = snapshot.floor("frames", frames.key(stop - 1))
    return next(snapshot.keys("log", start, end), None) is not None or (
        frame is not None and frames.ids(*frame).stop > first
    )


def exists(snapshot: Snapshot, segment_id: int) -> bool:
    """Say whether a segment is committed."""
    return (
        next(snapshot.keys("log", frames.key(segment_id), frames.key(segment_id) + b"\0"), None) is not None
        or frames.find(snapshot, segment_id) is not None
    )
