"""Write many records as whole blocks, past the queue: what `add_many` does with tens of thousands of them.

I1. A block is reserved for the load alone; other threads go on appending meanwhile, in the writer's own chunk.
I2. A block's records are found, and on disk, when it is full or `end` returns; a crash before that leaves none of them.
I3. A block whose filling or flush was cut short, by a signal handler's exception or a full disk, is given up.
I4. The load holds the maintenance of the block that it fills; ids left of the last block are free at the end.
"""

from collections.abc import Callable
from functools import partial

from ctxmem import codec
from ctxmem.errors import KeyConflict
from ctxmem.index.index import Index
from ctxmem.search import forward
from ctxmem.search.forward import Words
from ctxmem.segment import Record
from ctxmem.store import Batch, Store
from ctxmem.tables import chunks, names

Known = Callable[[bytes, bytes], "int | None"]  # (key's stored name, digest) -> id of the segment it names already


class Load:
    """One load; made by `Log.bulk`. Not safe from several threads."""

    def __init__(self, store: Store, index: Index, size: int, known: Known) -> None:
        self._bulk = index.bulk()
        self._store = store
        self._size = size  # ids of a block
        self._known = known
        self._next_id = 0
        self._stop = 0  # one past the block that is being filled; equal to the next id where there is none
        self._keys: dict[bytes, tuple[int, bytes]] = {}  # of what is not flushed yet: stored name -> id, digest
        self._is_torn = False  # a change of the block was begun and not ended (I3)
        self.last_id = -1

    def add(self, record: Record, key: str | None = None, words: Words | None = None) -> int:
        """Take one record and return its id, or that of the segment its key names. On disk once in a block.

        `words`: its text analysed, where that was done elsewhere.

        Raises:
            BadInput: the record holds a value that cannot be stored. KeyConflict: the key names other content.
        """
        packed = codec.pack_record(record)
        name = None if key is None else names.key_name(record.session, key)
        digest = b"" if key is None else codec.content_digest(record)
        if name is not None and (found := self._find(name, digest)) is not None:
            return found
        self._is_torn = True
        if self._next_id == self._stop:
            self._next_id, self._stop = self._store.write(partial(chunks.take_block, size=self._size))
        segment_id = self.last_id = self._next_id
        self._next_id += 1
        if name is not None:
            self._keys[name] = segment_id, digest
        is_full = self._bulk.add(segment_id, forward.of_record(record, words), packed)
        self._is_torn = False
        if is_full:
            self.flush()
        return segment_id

    def _find(self, name: bytes, digest: bytes) -> int | None:
        if name not in self._keys:
            return self._known(name, digest)
        segment_id, known_digest = self._keys[name]
        if known_digest != digest:
            raise KeyConflict(f"this key names segment {segment_id}, which holds other content", segment_id)
        return segment_id

    def end(self) -> None:
        """Publish what was added, and give the block back whether that succeeds or not."""
        try:
            self.flush()
        finally:
            self._bulk.give_up()

    def flush(self) -> None:
        """Publish what was added; on disk when this returns. A block that was cut short is given up instead (I3)."""
        keys, self._keys = self._keys, {}
        if self._is_torn:
            self._bulk.give_up()
        self._is_torn = True
        left, stop = self._next_id, self._stop

        def also(batch: Batch) -> None:
            for name, (segment_id, digest) in keys.items():
                names.put_key(batch, name, segment_id, digest)
            chunks.give_back(batch, self._size, left, stop)

        self._bulk.flush(also)
        self._next_id = self._stop
        self._is_torn = False
