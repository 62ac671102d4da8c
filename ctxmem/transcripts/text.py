"""Plain text and source trees, cut into chunks at line ends.

I1. The chunks of a file, joined, are the file as read (universal newlines): nothing is lost between two.
I2. A chunk's key names file, first line and content: an import that runs again adds only what has changed.
I3. A file is read line by line; of a single huge line, at most one chunk is held.
I4. No byte is replaced: a file that is not UTF-8 from beginning to end is not read at all (`trouble`).
In a tree, such files and machine-made directories are passed over; links are not followed.
"""

import codecs
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ctxmem.errors import BadInput
from ctxmem.transcripts.fitting import fitting

# A chunk ends at the first blank line after SOFT characters, and at HARD in any case: about 400 to 800 tokens of code.
_SOFT_CHARS = 1_600
_HARD_CHARS = 3_200
_LONGEST_NAME_BYTES = 240
_BLOCK_BYTES = 1 << 16
_SNIFF_BYTES = 8_192  # a NUL among these makes a file binary
_BINARY, _EMPTY = "binary", "empty"
_LARGEST_FILE_BYTES = 16 << 20  # of a tree; a file named by itself may be of any size
SKIPPED_DIRECTORIES = frozenset(
    {"__pycache__", "node_modules", "venv", "site-packages", "dist", "build", "target", "vendor"}
)


def read(path: Path, passed_over: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yield every chunk of a file, or of every text file below a directory, as the fields of `Memory.add`."""
    if not path.is_dir():
        yield from chunks(path, path.name)
        return
    for file in walk(path, passed_over):
        yield from chunks(file, file.relative_to(path.parent).as_posix())


def walk(root: Path, passed_over: Callable[[str], None]) -> Iterator[Path]:
    """Yield every text file below `root`, sorted, without hidden and machine-made directories.

    `passed_over` is told of text that cannot be read as such, and not of links, pipes, empty and binary files.
    """
    for folder, folders, files in os.walk(root, onerror=lambda exc: passed_over(f"{exc.filename} ({exc.strerror})")):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_DIRECTORIES and not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            found = _trouble_of_file(path)
            if not found:
                yield path
            elif found not in {_BINARY, _EMPTY}:
                passed_over(f"{path} ({found})")


def _trouble_of_file(path: Path) -> str:
    """Say why a file of a tree is passed over; empty where it is not."""
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE_BYTES:
            return f"above {_LARGEST_FILE_BYTES >> 20} MB"
        return trouble(path) if size else _EMPTY
    except OSError as exc:  # gone or forbidden since it was listed
        return exc.strerror or str(exc)


def trouble(path: Path) -> str:
    """Say why a file is no UTF-8 text; empty where it is. Reads it whole, a block at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    begin = 0  # of the block, less what the decoder still holds of the one before
    with path.open("rb") as stream:
        while True:
            block = stream.read(_BLOCK_BYTES)
            if begin == 0 and b"\0" in block[:_SNIFF_BYTES]:
                return _BINARY
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as exc:
                return f"not UTF-8 at byte {begin + exc.start:,}"
            if not block:
                return ""
            begin = stream.tell() - len(decoder.getstate()[0])


def chunks(path: Path, name: str) -> Iterator[dict[str, Any]]:
    """Cut one file; `name` becomes the facet `file`, the lines of the chunk the facet `lines`."""
    held: list[str] = []
    size = 0
    first = 1
    for line in _pieces(path):
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


def _pieces(path: Path) -> Iterator[str]:
    """Yield every line of a file, a very long one in pieces (I3)."""
    with path.open(encoding="utf-8") as stream:
        try:
            yield from iter(lambda: stream.readline(_HARD_CHARS), "")
        except UnicodeDecodeError as exc:
            raise BadInput(
                f"{path} is no longer UTF-8 text: it was changed while it was read; import it again."
            ) from exc


def _ended(held: list[str]) -> int:
    """Return how many lines ended in these pieces: a piece of a long line ends none."""
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
