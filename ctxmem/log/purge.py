"""Taking the bytes of what was forgotten out of records, keys and dictionaries; the store's rewrite does the pages.

I1. Each transaction leaves the store sound: a crash in between leaves some bytes for the next `compact`, and no damage.
I2. A dictionary is trained anew from live text, the unsealed log is compressed anew with it, and only then do the old
    ones go.
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice

from ctxmem import codec
from ctxmem.codec import Codec
from ctxmem.log.reader import redacted
from ctxmem.store import Batch, Snapshot, Store
from ctxmem.tables import changes, flags, frames, names
from ctxmem.tables.dictionaries import current_dictionary, dictionaries, drop_dictionaries, put_dictionary

_BATCH = 256  # frames or records of one transaction
_SAMPLE_BYTES = 1 << 20
_SAMPLES_LEAST = 256


def purge_records(store: Store, coder: Codec) -> None:
    """Rewrite every frame and log record that holds something forgotten, the keys and the dictionaries."""
    with store.snapshot() as snapshot:
        forgotten: list[int] = flags.ids(snapshot, flags.FORGOTTEN).tolist()
    for chunk in _chunks(forgotten):
        store.write(partial(_redact, coder=coder, ids=chunk))
    if forgotten:
        store.write(lambda batch: names.drop_keys(batch, set(forgotten)))
    _renew_dictionary(store, coder)


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    left = iter(ids)
    while chunk := list(islice(left, _BATCH)):
        yield chunk


def _redact(batch: Batch, coder: Codec, ids: list[int]) -> None:
    """Replace forgotten records where they lie; each frame is opened once."""
    wanted = set(ids)
    done: set[int] = set()
    for segment_id in ids:
        if segment_id in done:
            continue
        stored = batch.get("log", frames.key(segment_id))
        if stored is not None:
            batch.put("log", frames.key(segment_id), coder.store(_redacted(coder.load(stored))))
        # While it is being sealed it is in the log and in a frame.
        frame = frames.find(batch, segment_id)
        if frame is None:
            continue  # flagged, but in no frame: `check` reports it
        records = frames.unpack(*frame, coder)
        hit = wanted & records.keys()
        done |= hit
        renewed = {number: _redacted(records[number]) if number in hit else records[number] for number in records}
        if renewed == records:
            continue
        batch.delete("frames", frame[0])
        for key, value in frames.pack(renewed.items(), coder):
            batch.put("frames", key, value)


def _redacted(packed: bytes) -> bytes:
    return codec.pack_record(redacted(codec.unpack_record(packed)))


def _renew_dictionary(store: Store, coder: Codec) -> None:
    """Train on what is live, compress the unsealed log with it, drop the others (I2)."""
    with store.snapshot() as snapshot:
        before = dictionaries(snapshot)
        samples = _samples(snapshot, coder) if before else []
    if not before:
        return
    data = codec.train(samples) if len(samples) >= _SAMPLES_LEAST else None
    current = None if data is None else store.write(lambda batch: put_dictionary(batch, data))
    coder.use(current)
    start: bytes | None = b""
    while start is not None:
        start = store.write(partial(_store_anew, coder=coder, start=start))
    store.write(lambda batch: _drop(batch, before))


def _drop(batch: Batch, numbers: list[int]) -> None:
    drop_dictionaries(batch, numbers)
    changes.record(batch, "dictionary", current_dictionary(batch))


def _samples(snapshot: Snapshot, coder: Codec) -> list[bytes]:
    """Return packed records from the newest back, up to 1 MB."""
    found: list[bytes] = []
    size = 0
    for _, stored in snapshot.scan("log", reverse=True):
        found.append(coder.load(stored))
        size += len(found[-1])
        if size > _SAMPLE_BYTES:
            return found
    for key, value in snapshot.scan("frames", reverse=True):
        records = list(frames.unpack(key, value, coder).values())
        found += records
        size += sum(map(len, records))
        if size > _SAMPLE_BYTES:
            break
    return found


def _store_anew(batch: Batch, coder: Codec, start: bytes) -> bytes | None:
    """Compress some records of the log with the current dictionary; return where to go on, or None at the end."""
    entries = list(batch.scan("log", start, limit=_BATCH))
    for key, stored in entries:
        batch.put("log", key, coder.store(coder.load(stored)))
    return entries[-1][0] + b"\0" if len(entries) == _BATCH else None
