"""Plain text and source trees, cut into chunks at line ends.

I1. The chunks of a file, joined, are the file as read (universal newlines): nothing is lost between two.
I2. A chunk's key names file, first line and content: an import that runs again adds only what has changed.
I3. A file is read line by line; of a single huge line, at most one chunk is held.
Files that are not UTF-8 text, and directories that no person wrote, are passed over; links are not followed.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctxmem.errors import BadInput
from ctxmem.transcripts.names import fitting

# A chunk ends at the first blank line after SOFT characters, and at HARD in any case: about 400 to 800 tokens of code.
_SOFT_CHARS = 1_600
_HARD_CHARS = 3_200
_LONGEST_NAME_BYTES = 240
_SNIFF_BYTES = 8_192
_LARGEST_FILE_BYTES = 16 << 20  # of a tree; a file named by itself may be of any size
SKIPPED_DIRECTORIES = frozenset(
    {"__pycache__", "node_modules", "venv", "site-packages", "dist", "build", "target", "vendor"}
)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Give every chunk of a file, or of every text file below a directory, as the fields of `Memory.add`.

    Raises:
        BadInput: the path names a single file that is not UTF-8 text.
    """
    if path.is_dir():
        for file in walk(path):
            yield from chunks(file, file.relative_to(path.parent).as_posix())
    elif is_text(path):
        yield from chunks(path, path.name)
    else:
        raise BadInput(f"{path.name} is not UTF-8 text: convert it first, or name another format with --format.")


def walk(root: Path) -> Iterator[Path]:
    """Every text file below `root`, sorted, without hidden and machine-made directories."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_DIRECTORIES and not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if not name.startswith(".") and not path.is_symlink() and path.is_file() and _is_small_text(path):
                yield path


def _is_small_text(path: Path) -> bool:
    try:
        return 0 < path.stat().st_size <= _LARGEST_FILE_BYTES and is_text(path)
    except OSError:
        return False  # gone or forbidden since it was listed


def is_text(path: Path) -> bool:
    """Say whether the beginning of the file is UTF-8 without NULs."""
    with path.open("rb") as stream:
        head = stream.read(_SNIFF_BYTES)
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        return exc.start > len(head) - 4 and len(head) == _SNIFF_BYTES  # a character cut by the sniff itself
    return True


def chunks(path: Path, name: str) -> Iterator[dict[str, Any]]:
    """Cut one file; `name` becomes the facet `file`, the lines of the chunk the facet `lines`."""
    held: list[str] = []
    size = 0
    first = 1
    # Damaged bytes further down must not stop a whole tree: they are replaced, as any editor would show them.
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in iter(lambda: stream.readline(_HARD_CHARS), ""):
            if held and size + len(line) > _HARD_CHARS:
                yield _chunk(held, first, name)
                first += _ended(held)
                held, size = [], 0
            held.append(line)
            size += len(line)
            if size >= _SOFT_CHARS and not line.strip():
                yield _chunk(held, first, name)
                first += _ended(held)
                held, size = [], 0
    if held:
        yield _chunk(held, first, name)


def _ended(held: list[str]) -> int:
    """Lines that ended in these pieces: a piece of a long line ends none."""
    return sum(piece.endswith("\n") for piece in held)


def _chunk(held: list[str], first: int, name: str) -> dict[str, Any]:
    text = "".join(held)
    last = first + _ended(held) - held[-1].endswith("\n")
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    key = f"{fitting(name, _LONGEST_NAME_BYTES)}#{first}#{digest}"
    return {
        "text": text,
        "kind": "chunk",
        "key": key,
        "file": fitting(name, _LONGEST_NAME_BYTES),
        "lines": [first, last],
    }
