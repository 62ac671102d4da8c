"""The whole file at once: a copy beside it for a backup, and a fresh one in its place without what was deleted.

It does not know who else has the store open: `LocalStore.alone` keeps others out of a rewrite.
"""

import os
import shutil
from pathlib import Path

from ctxmem.errors import BadInput
from ctxmem.store import preflight
from ctxmem.store.environment import Environment, translated
from ctxmem.store.tables import TABLES

_COPY_BATCH = 8 << 20  # bytes of one transaction of a rewrite
REWRITE = "rewrite.tmp"


def backup(environment: Environment, target: Path) -> None:
    """Write a consistent copy into a new or empty directory, with its marker. On disk when this returns."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is not empty; give a backup a directory of its own")
    with translated(target):
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        preflight.write_marker(target, is_ready=False)
        descriptor = os.open(target / preflight.DATA, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            environment.copy(descriptor)
        finally:
            os.close(descriptor)
        preflight.write_marker(target, is_ready=True)


def rewrite(environment: Environment) -> None:
    """Write every entry into a fresh file and put that in place of the old: no byte of what was deleted remains.

    Entries are copied one by one, since LMDB's own copy keeps the unused parts of pages, where deleted values still
    stand. The caller holds the byte OPEN exclusively (`LocalStore.alone`) and the gate (`Gate.alone`). A crash leaves
    the old file or the new one.

    A full disk is an error of a write here, never a SIGBUS: LMDB writes its file and maps it for reading alone, and the
    one page that it writes through a map, the reader table, has its blocks before (`Environment.reopen`). So no room is
    reserved for the file: what it needs is known only once it is written, and a store is often compacted to make room.

    Raises:
        StoreFull: no room for the fresh file; it is gone again, and the old one stands.
    """
    path = environment.path
    fresh_path = path / REWRITE
    shutil.rmtree(fresh_path, ignore_errors=True)
    fresh_path.mkdir(mode=0o700)
    try:
        _copy_tables(environment, fresh_path)
        try:
            environment.close()
            (fresh_path / preflight.DATA).replace(path / preflight.DATA)
            preflight.sync_directory(path)
        finally:
            environment.reopen()
    finally:
        shutil.rmtree(fresh_path, ignore_errors=True)


def _copy_tables(environment: Environment, fresh_path: Path) -> None:
    fresh = Environment(fresh_path, TABLES, readonly=False, durability="unsafe", map_bytes=environment.map_bytes)
    try:
        for table in TABLES:
            environment.copy_table(table, fresh, _COPY_BATCH)
        fresh.sync()
    finally:
        fresh.close()
