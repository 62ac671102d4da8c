"""Reading records: from memory, from the log, from frames; and following what other processes commit.

I1. What is read is what is committed, or what this process has appended. Forgotten is forgotten wherever it lies.
I2. Before it answers, it has applied every change that was committed when it was asked.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ctxmem import codec
from ctxmem.codec import Codec
from ctxmem.errors import CorruptSegment, SegmentNotFound, StoreDamaged
from ctxmem.log.hot import Hot
from ctxmem.log.pending import PendingQueue
from ctxmem.segment import FORGOTTEN_TEXT, MAX_ID, Call, Record
from ctxmem.store import Snapshot, Store
from ctxmem.tables import changes, flags, frames
from ctxmem.tables.dictionaries import current_dictionary, dictionary_key


def redacted(record: Record) -> Record:
    """Return what remains of a forgotten record.

    Its place, its size, and the ids by which calls and results are matched.
    """
    calls = tuple(Call(call.id, call.name, {}) for call in record.calls)
    facts = record.facts._replace(is_forgotten=True)
    return replace(record, text=FORGOTTEN_TEXT, message=None, calls=calls, facets={}, facts=facts)


_WINDOW = 1_024  # records of a stream that are held packed at a time


class Reader:
    """Records by id over one store. Safe from any thread."""

    def __init__(self, store: Store, queue: PendingQueue, hot: Hot) -> None:
        self._store = store
        self._queue = queue
        self._hot = hot
        self.codec = Codec(self._dictionary)
        self.flags = flags.Flags(store.snapshot)
        self._refreshing = threading.Lock()
        self._head = -1
        self._position: changes.Position = {}

    def refresh(self) -> None:
        """Apply what was committed since the last call (I2); 1 us when nothing was."""
        head = self._store.head
        if head == self._head:
            return
        with self._refreshing, self._store.snapshot() as snapshot:
            found = changes.since(snapshot, self._position) if self._head >= 0 else None
            if found is None:
                self._reload(snapshot)
                self._position = changes.newest(snapshot)
            else:
                for change in found[0]:
                    self._apply(change)
                self._position = found[1]
            self._head = head

    def get(self, segment_id: int) -> Record:
        """Return one record; about 6 us hot, 15 us from the log, 40 us from a frame.

        Raises:
            SegmentNotFound: no such id is committed, or appended here.
            CorruptSegment: its stored bytes fail their checksum.
        """
        self.refresh()
        waiting = self._queue.by_id(segment_id)
        packed = self._hot.get(segment_id) if waiting is None else waiting.packed
        if packed is None:
            with self._store.snapshot() as snapshot:
                packed = self._read(snapshot, segment_id, {})
        return self._record(segment_id, packed)

    def get_many(self, segment_ids: Iterable[int]) -> list[Record]:
        """Return records in the order asked for; each frame is opened once.

        Raises:
            SegmentNotFound, CorruptSegment: as `get`, for the first of them.
        """
        return list(self.each(segment_ids))

    def each(self, segment_ids: Iterable[int]) -> Iterator[Record]:
        """Yield what `get_many` returns: dropping each record before the next avoids a garbage collection."""
        self.refresh()
        wanted = list(segment_ids)
        found = self._in_memory(wanted)
        missing = sorted({segment_id for segment_id, packed in zip(wanted, found, strict=True) if packed is None})
        read: dict[int, bytes] = {}
        if missing:
            opened: dict[int, bytes] = {}
            with self._store.snapshot() as snapshot:
                for segment_id in missing:
                    read[segment_id] = self._read(snapshot, segment_id, opened)
        forgotten = self.flags.among(flags.FORGOTTEN, wanted)
        for segment_id, packed in zip(wanted, found, strict=True):
            record = self._unpacked(segment_id, read[segment_id] if packed is None else packed)
            yield redacted(record) if segment_id in forgotten else record

    def stream(self, segment_ids: Sequence[int]) -> Iterator[tuple[int, Record]]:
        """Yield many records in the order asked for, without those that are forgotten by the time they are reached.

        They are read a window at a time, in order of id: each frame is opened once for what lies near together, and
        what is read does not displace what is hot. `pinned` is as it is now. Raises as `get`.
        """
        for start in range(0, len(segment_ids), _WINDOW):
            self.refresh()
            some = segment_ids[start : start + _WINDOW]
            forgotten, pinned = self.flags.among(flags.FORGOTTEN, some), self.flags.among(flags.PINNED, some)
            wanted = [segment_id for segment_id in some if segment_id not in forgotten] if forgotten else some
            waiting = self._waiting(wanted)
            found = self._stored([i for i in wanted if i not in waiting] if waiting else wanted)
            for segment_id in wanted:
                packed = found.get(segment_id)
                if packed is None:  # it waits: its own field says whether it is pinned
                    yield segment_id, self._unpacked(segment_id, waiting[segment_id])
                    continue
                record = self._unpacked(segment_id, packed)
                record.pinned = segment_id in pinned
                yield segment_id, record

    def sizes(self, segment_ids: Sequence[int]) -> list[int]:
        """Return the packed bytes of each record."""
        waiting = self._waiting(segment_ids)
        found = {**self._stored([i for i in segment_ids if i not in waiting]), **waiting}
        return [len(found[segment_id]) for segment_id in segment_ids]

    def _waiting(self, wanted: Sequence[int]) -> dict[int, bytes]:
        if not len(self._queue):
            return {}
        items = ((segment_id, self._queue.by_id(segment_id)) for segment_id in wanted)
        return {segment_id: item.packed for segment_id, item in items if item is not None}

    def _stored(self, wanted: Sequence[int]) -> dict[int, bytes]:
        """Return packed records from disk, frame by frame."""
        found: dict[int, bytes] = {}
        ordered = sorted(wanted)
        place = 0
        with self._store.snapshot() as snapshot:
            while place < len(ordered):
                segment_id = ordered[place]
                frame = frames.find(snapshot, segment_id)
                if frame is None:
                    found[segment_id] = self._read(snapshot, segment_id, {})
                    place += 1
                    continue
                stop = bisect_left(ordered, frames.ids(*frame).stop, place)
                try:
                    found.update(frames.pick(*frame, ordered[place:stop], self.codec))
                except CorruptSegment as exc:
                    raise CorruptSegment(f"segment {segment_id} is damaged: {exc}", segment_id) from exc
                place = stop
        return found

    def _in_memory(self, wanted: list[int]) -> list[bytes | None]:
        """Return what is queued or hot, None for the rest.

        The queue is asked first: a record leaves it only once it is on disk.
        """
        if not len(self._queue):
            return self._hot.get_many(wanted)
        waiting = [self._queue.by_id(segment_id) for segment_id in wanted]
        kept = iter(self._hot.get_many(i for i, item in zip(wanted, waiting, strict=True) if item is None))
        return [next(kept) if item is None else item.packed for item in waiting]

    def has(self, flag: bytes, segment_id: int) -> bool:
        """Say whether a segment has a flag (forgotten, pinned), as committed."""
        self.refresh()
        return self.flags.has(flag, segment_id)

    def _record(self, segment_id: int, packed: bytes) -> Record:
        record = self._unpacked(segment_id, packed)
        return redacted(record) if self.flags.has(flags.FORGOTTEN, segment_id) else record

    def _unpacked(self, segment_id: int, packed: bytes) -> Record:
        try:
            return codec.unpack_record(packed)
        except CorruptSegment as exc:
            raise CorruptSegment(f"segment {segment_id}: {exc}", segment_id) from exc

    def _read(self, snapshot: Snapshot, segment_id: int, opened: dict[int, bytes]) -> bytes:
        """Read a packed record from disk and keep it hot; `opened` holds the other records of frames opened before."""
        packed = opened.get(segment_id)
        if packed is not None:
            return packed
        if not 0 <= segment_id <= MAX_ID:
            raise SegmentNotFound(f"{segment_id} is not a segment id", segment_id)
        try:
            stored = snapshot.get("log", frames.key(segment_id))
            if stored is not None:
                packed = self.codec.load(stored)
            else:
                frame = frames.find(snapshot, segment_id)
                if frame is None:
                    raise SegmentNotFound(f"there is no segment {segment_id}", segment_id)
                opened.update(frames.unpack(*frame, self.codec))
                packed = opened[segment_id]
        except (CorruptSegment, StoreDamaged) as exc:
            raise CorruptSegment(f"segment {segment_id} is damaged: {exc}", segment_id) from exc
        self._hot.keep([(segment_id, packed)])
        return packed

    def _apply(self, change: changes.Change) -> None:
        if change.kind in {"forget", "pin", "unpin"}:
            self.flags.clear()
        elif change.kind == "dictionary":
            self.codec.use(change.detail)

    def _reload(self, snapshot: Snapshot) -> None:
        """Start afresh: at the first call, or when the change log no longer holds all since the last."""
        self.flags.clear()
        self.codec.use(current_dictionary(snapshot))

    def _dictionary(self, number: int) -> bytes | None:
        with self._store.snapshot() as snapshot:
            return snapshot.get("meta", dictionary_key(number))
