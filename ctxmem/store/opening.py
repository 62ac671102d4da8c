"""Open a store: the one place that knows which engines there are."""

import os

from ctxmem.options import Options
from ctxmem.store.contract import Store
from ctxmem.store.localstore import LocalStore


def open_store(where: str | os.PathLike[str], *, readonly: bool, options: Options) -> Store:
    """Open the store at a path, made where the directory is missing or empty. Raises what `LocalStore.open` raises."""
    return LocalStore.open(where, readonly=readonly, durability=options.durability, map_bytes=options.map_bytes)
