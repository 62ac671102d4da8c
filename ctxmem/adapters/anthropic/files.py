"""The files of the memory tool: each a segment whose text is what stands in it, and what the model is told of them.

The sentences are those of the SDK's own tool for a file system: models are trained on them.
I1. A path is plain text below /memories: `.` and `..` are resolved in it, and one that leads out is refused. No path
    ever meets a file system.
I2. A folder is there while a file stands in it.
I3. An edit and the forgetting of what it replaces are one commit; what is deleted is erased.
"""

import json
import threading
from collections.abc import Iterable, Sequence
from typing import Final

from anthropic.lib.tools import ToolError

from ctxmem import inputs
from ctxmem.adapters.shelf import Row, Shelf
from ctxmem.memory import Memory

ROOT: Final = "/memories"
_MOST_LINES: Final = 999_999
_NUMBER_WIDTH: Final = 6
_LEVELS: Final = 2  # of a folder that are shown
_AROUND: Final = 2  # lines shown before and after an edit


class Files:
    """The memory files of one session. Safe from any thread."""

    def __init__(self, memory: Memory, session: str | None) -> None:
        self._shelf = Shelf(memory, "memory_file")
        self._session = None if session is None else inputs.short(session, "session")
        self._lock = threading.Lock()  # an edit reads and writes; none of another thread comes between

    def view(self, path: str, view_range: Sequence[int] | None = None) -> str:
        """Return a file with line numbers, or what is in a folder two levels deep."""
        place = _resolved(path)
        row = self._file(place)
        if row is None:
            below = self._below(place)
            if below or place == ROOT:
                return _listing(path, place, below)
            raise ToolError(f"The path {path} does not exist. Please provide a valid path.")
        lines = row.text.split("\n")
        if len(lines) > _MOST_LINES:
            raise ToolError(f"File {path} exceeds maximum line limit of {_MOST_LINES:,} lines.")
        start, stop = 0, len(lines)
        if view_range and len(view_range) == 2:
            start = max(1, view_range[0]) - 1
            stop = len(lines) if view_range[1] == -1 else view_range[1]
        return f"Here's the content of {path} with line numbers:\n" + _numbered(lines[start:stop], start + 1)

    def create(self, path: str, text: str) -> str:
        """Write a new file."""
        place = _resolved(path)
        with self._lock:
            self._refuse_taken(place, f"File {path} already exists")
            self._write(place, text)
            self._shelf.flush()
        return f"File created successfully at: {path}"

    def str_replace(self, path: str, old: str, new: str) -> str:
        """Replace a text that stands once in a file, and show the lines around it."""
        with self._lock:
            row = self._existing(path)
            places = _places(row.text, old)
            if not places:
                raise ToolError(f"No replacement was performed, old_str `{old}` did not appear verbatim in {path}.")
            if row.text.count(old) > 1:
                lines = ", ".join(str(row.text.count("\n", 0, place) + 1) for place in places)
                raise ToolError(
                    f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines: {lines}."
                    " Please ensure it is unique"
                )
            edited = row.text.replace(old, new)
            self._replace(row, edited)
        first = max(0, row.text.count("\n", 0, places[0]) - _AROUND)
        shown = edited.split("\n")[first : row.text.count("\n", 0, places[0]) + _AROUND + 1]
        return (
            "The memory file has been edited. Here is the snippet showing the change (with line numbers):\n"
            + _numbered(shown, first + 1)
        )

    def insert(self, path: str, line: int, text: str) -> str:
        """Insert lines after a line of a file, 0 for its beginning."""
        with self._lock:
            row = self._existing(path)
            lines = row.text.split("\n")
            if lines[-1] == "":
                lines.pop()  # what a newline at the end leaves is no line
            if not 0 <= line <= len(lines):
                raise ToolError(
                    f"Invalid `insert_line` parameter: {line}. It should be within the range [0, {len(lines)}]."
                )
            lines.insert(line, text.rstrip("\n"))
            edited = "\n".join(lines)
            self._replace(row, edited if edited.endswith("\n") else edited + "\n")
        return f"The file {path} has been edited."

    def delete(self, path: str) -> str:
        """Erase a file, or a folder with all that is in it."""
        place = _resolved(path)
        if place == ROOT:
            raise ToolError("Cannot delete the /memories directory itself")
        with self._lock:
            ids = self._shelf.ids(file=self._name(place)) or self._shelf.ids(folder=self._name(place))
            if not ids:
                raise ToolError(f"The path {path} does not exist")
            self._shelf.forget(ids)
        return f"Successfully deleted {path}"

    def rename(self, old: str, new: str) -> str:
        """Rename or move a file, or a folder with all that is in it, in one commit."""
        source, target = _resolved(old), _resolved(new)
        if source == ROOT:
            raise ToolError("Cannot rename the /memories directory itself")
        with self._lock:
            self._refuse_taken(target, f"The destination {new} already exists")
            found = self._file(source)
            rows = self._below(source) if found is None else [found]
            if not rows:
                raise ToolError(f"The path {old} does not exist")
            if target.startswith(source + "/"):
                raise ToolError(f"Cannot move {old} into itself")
            for row in rows:
                self._write(target + row.value["path"][len(source) :], row.text)
            self._shelf.drop(row.id for row in rows)
        return f"Successfully renamed {old} to {new}"

    def clear(self) -> None:
        """Erase every file."""
        with self._lock:
            self._shelf.forget(self._shelf.ids(folder=self._name(ROOT)))

    def _name(self, place: str) -> str:
        """Return a path of this session as a facet has it."""
        return json.dumps([self._session, place], ensure_ascii=False)

    def _file(self, place: str) -> Row | None:
        return self._shelf.newest(file=self._name(place))

    def _below(self, place: str) -> list[Row]:
        """Return the files below a folder: of two versions of one, which two writers at once may leave, the newest."""
        found: dict[str, Row] = {}
        for row in self._shelf.rows(facets={"folder": self._name(place)}):
            found.setdefault(row.value["path"], row)
        return list(found.values())

    def _existing(self, path: str) -> Row:
        place = _resolved(path)
        row = self._file(place)
        if row is not None:
            return row
        if place == ROOT or self._shelf.ids(folder=self._name(place)):
            raise ToolError(f"The path {path} is not a file.")
        raise ToolError(f"The path {path} does not exist. Please provide a valid path.")

    def _refuse_taken(self, place: str, sentence: str) -> None:
        """Refuse a path that is a file or a folder, or leads through a file."""
        if place == ROOT or self._file(place) or self._shelf.ids(folder=self._name(place)):
            raise ToolError(sentence)
        for folder in _folders(place):
            if self._file(folder):
                raise ToolError(f"The path {folder} is a file, not a directory.")

    def _write(self, place: str, text: str, after: float | None = None) -> None:
        folders = [self._name(folder) for folder in _folders(place)]
        facets = {"file": self._name(place), "folder": folders}
        self._shelf.add({"path": place}, text, session=self._session, after=after, facets=facets)

    def _replace(self, row: Row, text: str) -> None:
        place = row.value["path"]
        old = self._shelf.ids(file=self._name(place))
        self._write(place, text, row.at)
        self._shelf.drop(old)


def _resolved(path: str) -> str:
    """Return a path without `.`, `..` and empty parts (I1).

    >>> _resolved("/memories/a/../b//c.txt/")
    '/memories/b/c.txt'
    """
    if path != ROOT and not path.startswith(ROOT + "/"):
        raise ToolError(f"Path must start with /memories, got: {path}")
    parts: list[str] = []
    for part in path[len(ROOT) :].split("/"):
        if part == "..":
            if not parts:
                raise ToolError(f"Path {path} would escape /memories directory")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join([ROOT, *parts])


def _folders(place: str) -> list[str]:
    """Return the folders that a path leads through, the root first.

    >>> _folders("/memories/a/b.txt")
    ['/memories', '/memories/a']
    """
    parts = place.split("/")
    return ["/".join(parts[:n]) for n in range(2, len(parts))]


def _places(text: str, old: str) -> list[int]:
    """Return where a text stands in another, overlapping ones too."""
    found: list[int] = []
    place = text.find(old)
    while place >= 0:
        found.append(place)
        place = text.find(old, place + 1)
    return found


def _numbered(lines: Iterable[str], first: int) -> str:
    return "\n".join(f"{number:>{_NUMBER_WIDTH}}\t{line}" for number, line in enumerate(lines, first))


def _listing(path: str, place: str, below: Sequence[Row]) -> str:
    """Return what is in a folder, by name, with sizes; a folder's is that of all files below it."""
    sizes: dict[tuple[str, ...], int] = {}  # by the parts of a path; a folder's ends with an empty part
    total = 0
    for row in below:
        size = len(row.text.encode("utf-8", "surrogatepass"))
        parts = tuple(row.value["path"][len(place) + 1 :].split("/"))
        total += size
        for n in range(1, len(parts) + 1):
            if n <= _LEVELS and not any(part.startswith(".") for part in parts[:n]):
                shown = parts if n == len(parts) else (*parts[:n], "")
                sizes[shown] = sizes.get(shown, 0) + size
    lines = [f"{_size(sizes[parts])}\t{path}/{'/'.join(parts)}" for parts in sorted(sizes)]
    head = f"Here're the files and directories up to 2 levels deep in {path}, excluding hidden items:"
    return "\n".join([head, f"{_size(total)}\t{path}", *lines])


def _size(n_bytes: int) -> str:
    """Return a size as the model is used to.

    >>> [_size(n) for n in (0, 12, 1024, 1536, 5 << 20)]
    ['0B', '12B', '1K', '1.5K', '5M']
    """
    unit = min(max(n_bytes.bit_length() - 1, 0) // 10, 3)
    size = n_bytes / (1 << 10 * unit)
    return f"{size:.0f}{'BKMG'[unit]}" if size == int(size) else f"{size:.1f}{'BKMG'[unit]}"
