"""A second store, of plain dicts in memory: what an engine must do and no more, so that the contract has an oracle.

A commit replaces the dicts it changes, so a snapshot is the dicts of its time. `write` runs every `apply` twice, as an
engine may that commits optimistically: whoever changes more than the batch in one is found out.
"""

import pickle
import threading
from pathlib import Path

from ctxmem.errors import StoreBusy, StoreClosed, StoreError, StoreReadonly
from ctxmem.store import MAX_KEY_BYTES, TABLES


class PlainSnapshot:
    def __init__(self, tables, number):
        self._all, self._number = tables, number

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._all = None

    @property
    def _tables(self):
        if self._all is None:
            raise StoreClosed("this snapshot or batch has ended")
        return self._all

    @property
    def number(self):
        assert self._tables is not None
        return self._number

    def get(self, table, key, **_):
        return self._tables[table].get(key)

    def get_many(self, table, keys):
        return [self.get(table, key) for key in keys]

    def view(self, table, key):
        value = self.get(table, key)
        return None if value is None else memoryview(value)

    def views(self, table, keys):
        return [self.view(table, key) for key in keys]

    def scan(self, table, start=b"", stop=None, *, reverse=False, limit=None, **_):
        keys = sorted(k for k in self._tables[table] if k >= start and (stop is None or k < stop))
        for key in (keys[::-1] if reverse else keys)[:limit]:
            yield key, self._tables[table][key]

    def keys(self, table, start=b"", stop=None):
        return (key for key, _ in self.scan(table, start, stop))

    def floor(self, table, key):
        return next(self.scan(table, b"", key + b"\0", reverse=True), None) if key else None

    def last(self, table):
        return next(self.scan(table, reverse=True), None)

    def count(self, table):
        return len(self._tables[table])

    def unsound(self, _):
        return iter(())


class PlainBatch(PlainSnapshot):
    def __init__(self, tables, number, slot):
        super().__init__({name: dict(table) for name, table in tables.items()}, number)
        self.slot, self.clock = slot, number

    def put(self, table, key, value, *, append=False):
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise StoreError("a key has 1 to 511 bytes")
        if append and any(other >= key for other in self._tables[table]):
            raise StoreError("appended out of order")
        self._tables[table][bytes(key)] = bytes(value)

    def delete(self, table, key):
        return self._tables[table].pop(key, None) is not None

    def delete_range(self, table, start=b"", stop=None, *, limit=None):
        doomed = [key for key, _ in self.scan(table, start, stop, limit=limit)]
        for key in doomed:
            del self._tables[table][key]
        return len(doomed)


class PlainData:
    """What the open stores of one place share."""

    def __init__(self, tables=None):
        self.tables = tables or {name: {} for name in TABLES}
        self.head = 1
        self.lock = threading.RLock()
        self.opened = []


class PlainStore:
    """A `Store` in memory: `PlainStore(data)` twice is two processes that have one store open."""

    def __init__(self, data=None, *, readonly=False):
        self.data = data or PlainData()
        self.readonly, self.is_open, self.name = readonly, True, "plain"
        self._slot = None
        self._slots, self._blocks, self._is_writing = set(), set(), threading.local()
        self.data.opened.append(self)

    def ensure_usable(self):
        if not self.is_open:
            raise StoreClosed("it was closed")

    def _refuse_readonly(self):
        self.ensure_usable()
        if self.readonly:
            raise StoreReadonly("it was opened for reading")

    @property
    def head(self):
        self.ensure_usable()
        return self.data.head

    def snapshot(self):
        self.ensure_usable()
        with self.data.lock:
            return PlainSnapshot(self.data.tables, self.data.head)

    def write(self, apply):
        self._refuse_readonly()
        if getattr(self._is_writing, "now", False):
            raise StoreError("a batch inside a batch")
        with self.data.lock:
            self._is_writing.now = True
            try:
                for _ in range(2):
                    with PlainBatch(self.data.tables, self.data.head + 1, self._slot) as batch:
                        answer, written = apply(batch), batch._tables
                self.data.tables, self.data.head = written, self.data.head + 1
                return answer
            finally:
                self._is_writing.now = False

    def hold_slot(self, bound):
        self.ensure_usable()
        free = [slot for slot in range(bound) if not self.is_slot_alive(slot)]
        if self.readonly or not free:
            return None
        self._slot = free[0]
        self._slots.add(self._slot)
        return self._slot

    def release_slot(self, slot):
        self._slots.discard(slot)
        if self._slot == slot:
            self._slot = None

    def is_slot_alive(self, slot):
        return any(slot in store._slots for store in self.data.opened)

    def hold_maintenance(self, block=None):
        self.ensure_usable()
        held = set().union(*(store._blocks for store in self.data.opened))
        if self.readonly or None in held or (held if block is None else block in held):
            return False
        self._blocks.add(block)
        return True

    def release_maintenance(self, block=None):
        self._blocks.discard(block)

    def alone(self, act):
        self._refuse_readonly()
        if self.data.opened != [self]:
            raise StoreBusy("it is open elsewhere")
        return act()

    def rewrite(self):
        self.ensure_usable()
        self.data.head += 1

    def backup(self, path):
        self.ensure_usable()
        Path(path).mkdir(exist_ok=True)
        (Path(path) / "plain").write_bytes(pickle.dumps(self.data.tables))

    @staticmethod
    def restored(path):
        return PlainStore(PlainData(pickle.loads((Path(path) / "plain").read_bytes())))

    def check(self):
        self.ensure_usable()
        return []

    def stats(self):
        self.ensure_usable()
        return {f"{name}_entries": len(table) for name, table in self.data.tables.items()}

    def drop(self):
        pass

    def close(self):
        self.is_open = False
        if self in self.data.opened:
            self.data.opened.remove(self)
