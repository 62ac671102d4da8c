"""Open a store: the one place that knows which engines there are."""

import os
from pathlib import Path

from ctxmem.options import Options
from ctxmem.segment import Problem
from ctxmem.store import inspection
from ctxmem.store.contract import Store
from ctxmem.store.localstore import LocalStore
from ctxmem.store.preflight import DATA


def open_store(where: str | os.PathLike[str], *, readonly: bool, options: Options) -> Store:
    """Open the store at a path, made where the directory is missing or empty. Raises what `LocalStore.open` raises."""
    return LocalStore.open(where, readonly=readonly, durability=options.durability, map_bytes=options.map_bytes)


def look_at(where: str | os.PathLike[str]) -> list[Problem]:
    """Return what is wrong with the pages of a store, without opening it: opening a damaged one may end the process.

    Empty too where others commit all the time, so that it cannot be told: `Store.check` looks again.
    """
    path = Path(os.fsdecode(where))
    return inspection.inspect(path) or [] if (path / DATA).exists() else []
