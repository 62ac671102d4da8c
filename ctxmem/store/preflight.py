"""Checks before a file is mapped: the marker that makes a directory ours, and LMDB's pages read as plain bytes.

LMDB trusts its pages: a truncated file ends the process with SIGBUS, a zeroed tree page with SIGABRT (measured). So:

I1. Nothing is created or changed in a directory that is not ours.
I2. A file that is shorter than its last page says, or whose roots are not pages, is refused before it is mapped.

The marker is a text file: `ctxmem store`, `format N`, and `state new` until the environment exists, then `state ready`:
a data file that goes missing later is damage, not a new store.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from ctxmem.errors import FormatMismatch, NotAStore, StoreDamaged, StoreReadonly

FORMAT = 2  # On disk: never renumber. Raised when an older ctxmem could not read what is written.

MARKER = "ctxmem.store"
DATA = "data.mdb"
LOCK = "lock"
_EXPORT = "there is no conversion: read it with the ctxmem that wrote it, and add what it holds to a new store"
_OURS = frozenset({MARKER, MARKER + ".tmp", LOCK, DATA, "lock.mdb"})

_MAGIC = 0xBEEFC0DE
_PAGE_HEADER = struct.Struct("<QHHHH")  # page number, pad, flags, lower, upper
_META = struct.Struct("<IIQQ")  # magic, version, address, map size
_TREE = struct.Struct("<IHHQQQQQ")  # pad, flags, depth, branch, leaf, overflow pages, entries, root
_TAIL = struct.Struct("<QQ")  # last page, transaction id
_TREES_AT = _PAGE_HEADER.size + _META.size
_TAIL_AT = _TREES_AT + 2 * _TREE.size
_P_BRANCH, _P_LEAF, _P_META = 1, 2, 8
_NO_PAGE = 2**64 - 1
_F_SUBTREE = 2


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker as read: its format, and whether the environment was ever made."""

    format: int
    is_ready: bool


def read_marker(directory: Path) -> Marker | None:
    """Read the marker; None where the directory is missing, or empty, and a store may be made there.

    Raises:
        NotAStore: the path holds something else.
        FormatMismatch: a ctxmem of another format wrote the store.
    """
    try:
        names = {entry.name for entry in directory.iterdir()}
    except FileNotFoundError:
        return None
    except NotADirectoryError as exc:
        raise NotAStore(f"{directory} is a file; a store is a directory of its own") from exc
    except PermissionError as exc:
        raise StoreReadonly(f"{directory} may not be read by this user; change its owner or mode") from exc
    if MARKER not in names:
        if names - {LOCK, MARKER + ".tmp"}:
            raise NotAStore(
                f"{directory} holds {len(names)} files and no {MARKER}; give a store a directory of its own, "
                "or restore the marker from a backup if this was one"
            )
        return None
    try:
        text = (directory / MARKER).read_bytes()[:4096].decode("utf-8", "replace").split("\n")
    except PermissionError as exc:
        raise StoreReadonly(f"{directory / MARKER} may not be read by this user; change its owner or mode") from exc
    facts = dict(line.split(" ", 1) for line in text[1:] if " " in line)
    if text[0] != "ctxmem store" or not facts.get("format", "").isdigit():
        raise NotAStore(f"{directory / MARKER} is not a marker that ctxmem wrote; restore it from a backup")
    marker = Marker(int(facts["format"]), facts.get("state") == "ready")
    if marker.format != FORMAT:
        remedy = "install a newer ctxmem" if marker.format > FORMAT else _EXPORT
        raise FormatMismatch(f"{directory} has format {marker.format} and this ctxmem reads format {FORMAT}; {remedy}")
    if marker.is_ready and DATA not in names:
        raise StoreDamaged(f"{directory / DATA} is missing; restore the store from a backup")
    return marker


def write_marker(directory: Path, *, is_ready: bool) -> None:
    """Write the marker whole or not at all; on disk when this returns."""
    temporary = directory / (MARKER + ".tmp")
    text = f"ctxmem store\nformat {FORMAT}\nstate {'ready' if is_ready else 'new'}\n"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(directory / MARKER)
    sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_pages(directory: Path) -> None:
    """Refuse a data file that would end the process when mapped (I2). About 30 reads of one page, whatever the size.

    Another process may commit meanwhile and reuse the pages that are looked at: then look again.

    Raises:
        StoreDamaged: truncated, zeroed or overwritten.
    """
    path = directory / DATA
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as exc:
        raise StoreReadonly(f"{path} may not be read by this user; change its owner or mode") from exc
    try:
        for attempt in range(20):
            before = _newest(descriptor)
            trouble = _trouble(descriptor, before) if before else "its first two pages are not LMDB's"
            if not trouble:
                return
            if attempt > 2 and before == _newest(descriptor):
                break
        raise StoreDamaged(f"{path}: {trouble}; it was not opened. Restore the store from a backup")
    finally:
        os.close(descriptor)


def newest_transaction(directory: Path) -> int | None:
    """Return the id of the last commit, read from the file; None where its first pages are not LMDB's."""
    descriptor = os.open(directory / DATA, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = _newest(descriptor)
    finally:
        os.close(descriptor)
    return None if head is None else head.transaction


@dataclass(frozen=True, slots=True)
class _Head:
    """The newest of the two meta pages."""

    page_bytes: int
    last_page: int
    transaction: int
    roots: tuple[int, int]  # of the free list and of the table of tables


def _newest(descriptor: int) -> _Head | None:
    """Read both meta pages; None unless both are LMDB's."""
    first = os.pread(descriptor, 4096, 0)
    page_bytes = _TREE.unpack_from(first, _TREES_AT)[0] if len(first) == 4096 else 0
    if page_bytes < 512 or page_bytes > 65536 or page_bytes & (page_bytes - 1):
        return None
    heads = []
    for number in (0, 1):
        page = os.pread(descriptor, 4096, number * page_bytes)
        if len(page) < _TAIL_AT + _TAIL.size:
            return None
        flags = _PAGE_HEADER.unpack_from(page)[2]
        if not flags & _P_META or _META.unpack_from(page, _PAGE_HEADER.size)[0] != _MAGIC:
            return None
        roots = tuple(_TREE.unpack_from(page, _TREES_AT + at * _TREE.size)[7] for at in (0, 1))
        last_page, transaction = _TAIL.unpack_from(page, _TAIL_AT)
        heads.append(_Head(page_bytes, last_page, transaction, (roots[0], roots[1])))
    return max(heads, key=lambda head: head.transaction)


def _trouble(descriptor: int, head: _Head) -> str:
    """Say what is wrong with the file's length or with the roots of its trees; empty when nothing is."""
    expected = (head.last_page + 1) * head.page_bytes
    actual = os.fstat(descriptor).st_size
    if actual < expected:
        return f"it has {actual} bytes and its last page ends at {expected}: it was truncated"
    for root in head.roots:
        if root != _NO_PAGE and not _is_tree_page(descriptor, head, root):
            return f"page {root}, the root of a tree, is not a page of LMDB's"
    for root in _table_roots(descriptor, head):
        if root != _NO_PAGE and not _is_tree_page(descriptor, head, root):
            return f"page {root}, the root of a table, is not a page of LMDB's"
    return ""


def _is_tree_page(descriptor: int, head: _Head, number: int) -> bool:
    """Say whether a page's header names that page and calls it part of a tree."""
    if number > head.last_page:
        return False
    found, _, flags, lower, upper = _PAGE_HEADER.unpack(
        os.pread(descriptor, _PAGE_HEADER.size, number * head.page_bytes)
    )
    return bool(found == number and flags & (_P_BRANCH | _P_LEAF) and lower <= upper <= head.page_bytes)


def _table_roots(descriptor: int, head: _Head) -> list[int]:
    """Return the roots in the table of tables, where that is one leaf: always, as it has about twenty tables."""
    number = head.roots[1]
    if number == _NO_PAGE:
        return []
    page = os.pread(descriptor, head.page_bytes, number * head.page_bytes)
    _, _, flags, lower, _ = _PAGE_HEADER.unpack_from(page)
    if not flags & _P_LEAF:
        return []
    roots = []
    for at in range(_PAGE_HEADER.size, min(lower, head.page_bytes - 1), 2):
        (node,) = struct.unpack_from("<H", page, at)
        if node + 8 > head.page_bytes:
            return [head.last_page + 1]
        node_flags, key_bytes = struct.unpack_from("<HH", page, node + 4)
        if node_flags & _F_SUBTREE and node + 8 + key_bytes + _TREE.size <= head.page_bytes:
            roots.append(_TREE.unpack_from(page, node + 8 + key_bytes)[7])
    return roots
