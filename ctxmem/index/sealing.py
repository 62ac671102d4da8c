"""Seal segments into a run: forward records become the run's entries, bodies become frames, and both leave the log.

Invariants:
I1. Each step is bounded: `STEP_SEGMENTS` read, `manifest.WRITE_BYTES` written.
I2. Run visible, log and forward records gone: one transaction. Before it nothing has changed for a reader.
I3. A forgotten segment keeps its place and its columns; its terms and facets are not written.
Does not know: when to seal.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from ctxmem.codec import Codec
from ctxmem.errors import StoreBusy
from ctxmem.index import manifest
from ctxmem.index.manifest import RunDraft
from ctxmem.search.building import RunBuilder
from ctxmem.search.forward import Forward, decode, encode
from ctxmem.search.runs import Put, Run
from ctxmem.store import Batch, Store
from ctxmem.tables import frames

Also: TypeAlias = Callable[[Batch], None]

STEP_SEGMENTS = 128
_BULK_BYTES = 4 << 20  # packed records that wait for their frames
_PIECE = 4_096  # postings that one step sorts out


def erase_forwards(store: Store, forgotten: Sequence[int]) -> None:
    """Take terms and facets out of the forward records of what is forgotten and not sealed yet (I3)."""

    def write(batch: Batch) -> None:
        for segment_id in forgotten:
            found = batch.get("forward", frames.key(segment_id))
            if found is not None:
                left = replace(decode(found), terms=[], counts=b"", keys=[])
                batch.put("forward", frames.key(segment_id), encode(left))

    if forgotten:
        store.write(write)


def seal(
    store: Store,
    codec: Codec,
    draft: RunDraft,
    ids: Sequence[int],
    forward_of: Callable[[int], Forward],
    forgotten: set[int],
) -> Iterator[None]:
    """Seal what is committed of the ids of a draft, given ascending, in bounded steps; all of them are settled.

    Raises:
        manifest.TakenOver: another process maintains the block now.
    """
    builder = RunBuilder(draft.serial)
    for start in range(0, len(ids), STEP_SEGMENTS):
        part = ids[start : start + STEP_SEGMENTS]
        for segment_id in part:
            builder.add(segment_id, forward_of(segment_id), is_forgotten=segment_id in forgotten)
        yield
    first, stop = draft.first, draft.stop
    yield from manifest.write(store, draft, builder.entries(piece=_PIECE))
    yield from manifest.write(store, draft, _bodies(store, codec, first, stop))
    manifest.publish(store, draft, builder.run, (), kind="seal", also=lambda batch: _let_go(batch, first, stop))


def _bodies(store: Store, codec: Codec, first: int, stop: int) -> Iterator[Put | None]:
    """Yield the frames of what the log holds of `[first, stop)`, and None after each, where a step may end."""
    for key, value in frames.pack(_logged(store, codec, first, stop), codec):
        yield "frames", key, value
        yield None


def _logged(store: Store, codec: Codec, first: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Yield the packed records of the log, read a frame's worth at a time."""
    start, end = frames.key(first), frames.key(stop)
    while True:
        pairs, n_bytes = [], 0
        with store.snapshot() as snapshot:
            for key, value in snapshot.scan("log", start, end):
                pairs.append((frames.segment_id_of(key), value))
                n_bytes += len(value)
                if n_bytes >= frames.FRAME_BYTES:
                    break
        if not pairs:
            return
        for segment_id, stored in pairs:
            yield segment_id, codec.load(stored)
        start = frames.key(pairs[-1][0] + 1)


def _let_go(batch: Batch, first: int, stop: int) -> None:
    for table in ("log", "forward"):
        batch.delete_range(table, frames.key(first), frames.key(stop))


class Bulk:
    """Writes many segments as runs at once, past the log: `add` each, `flush` at the end. See `Index.bulk`.

    Holds one run's worth: about 6 bytes a posting, and the compressed bodies. What was added is on disk, and is found,
    when the `flush` that follows it returns; a crash before that leaves nothing of the run.
    """

    def __init__(self, store: Store, codec: Codec, block_segments: int) -> None:
        self._store = store
        self._codec = codec
        self._block_segments = block_segments
        self._builder: RunBuilder | None = None
        self._draft: RunDraft | None = None
        self._packed: list[tuple[int, bytes]] = []
        self._n_bytes = 0
        self._held: int | None = None  # the block whose maintenance is held

    def add(self, segment_id: int, forward: Forward, packed: bytes) -> bool:
        """Take one segment: its forward record and its body as `codec.pack_record` makes it; disk once in 4 MB.

        Ids rise. Returns whether the block is full: `flush` then, before the next.
        """
        if self._builder is None:
            block = segment_id // self._block_segments
            self._held = block  # noted before it is taken: an interrupt must not leave it held
            if not self._store.hold_maintenance(block):  # else the process that maintains the block would sweep it
                self._held = None
                raise StoreBusy(f"{self._store.name}: block {block} is under maintenance; try again")
            stop = (block + 1) * self._block_segments
            self._draft = manifest.begin(self._store, block, segment_id, stop, is_seal=True)
            self._builder = RunBuilder(self._draft.serial)
        self._builder.add(segment_id, forward)
        self._packed.append((segment_id, packed))
        self._n_bytes += len(packed)
        if self._n_bytes >= _BULK_BYTES:
            self._write_frames()
        return (segment_id + 1) % self._block_segments == 0

    def flush(self, also: Also | None = None) -> Run | None:
        """Publish the run, together with what `also` writes; on disk when this returns."""
        builder, draft = self._builder, self._draft
        if builder is None or draft is None:
            return None
        self._write_frames()
        for _ in manifest.write(self._store, draft, builder.entries(), limit_bytes=4 << 20):
            pass
        manifest.publish(self._store, draft, builder.run, (), kind="seal", also=also)
        self._builder = self._draft = None
        self._release()
        return builder.run

    def give_up(self) -> None:
        """Drop what was added since the last flush; what is on disk of it is swept when maintenance is next due."""
        self._builder = self._draft = None
        self._packed, self._n_bytes = [], 0
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            self._store.release_maintenance(self._held)
            self._held = None

    def _write_frames(self) -> None:
        assert self._draft is not None  # set with the first segment
        puts = (("frames", key, value) for key, value in frames.pack(self._packed, self._codec))
        for _ in manifest.write(self._store, self._draft, puts, limit_bytes=4 << 20):
            pass
        self._packed, self._n_bytes = [], 0
