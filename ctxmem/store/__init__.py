"""The store: named tables of ordered keys in one LMDB environment, read through snapshots and written in batches."""

from ctxmem.store.store import Store
from ctxmem.store.tables import TABLES
from ctxmem.store.transactions import MAX_KEY_BYTES, Batch, Snapshot, after

__all__ = ["MAX_KEY_BYTES", "TABLES", "Batch", "Snapshot", "Store", "after"]
