"""The store: named tables of ordered keys, read through snapshots and written by `Store.write`."""

from ctxmem.store.contract import MAX_KEY_BYTES, Batch, Snapshot, Store, after
from ctxmem.store.opening import look_at, open_store
from ctxmem.store.tables import TABLES, UNCHECKED

__all__ = ["MAX_KEY_BYTES", "TABLES", "UNCHECKED", "Batch", "Snapshot", "Store", "after", "look_at", "open_store"]
