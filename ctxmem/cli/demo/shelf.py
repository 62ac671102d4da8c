"""The demo agent's tools: real functions over the Python standard library of this machine. They only read."""

import re
import sysconfig
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ctxmem.providers import registry

PAGE_LINES = 150
_MOST_MATCHES = 40
_LARGEST_FILE_BYTES = 2 << 20
_SKIPPED = {"__pycache__", "site-packages", "dist-packages", "__phello__", "lib-dynload"}


def _schema(name: str, text: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": text, "parameters": parameters}}


_PATH = {"type": "string", "description": "Relative to the library, with forward slashes."}
TOOLS = [
    _schema("list_dir", "List a directory: one entry a line, directories end with a slash.", {"path": _PATH}, ["path"]),
    _schema(
        "read_file",
        f"Read up to {PAGE_LINES} lines of a file, from line `start` on.",
        {"path": _PATH, "start": {"type": "integer", "minimum": 1}},
        ["path"],
    ),
    _schema(
        "grep",
        f"Find lines that match a regular expression below a path: at most {_MOST_MATCHES}, as path:line: text.",
        {"pattern": {"type": "string"}, "path": _PATH},
        ["pattern", "path"],
    ),
]


def tools(provider: str) -> list[dict[str, Any]]:
    """Return the schemas in the provider's shape."""
    shape = registry.named(provider)
    functions = [tool["function"] for tool in TOOLS]
    return [shape.tool(one["name"], one["description"], one["parameters"]) for one in functions]


class Shelf:
    """The library below one directory. Paths are relative and cannot leave it."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or Path(sysconfig.get_path("stdlib"))).resolve()
        self._tools: dict[str, Callable[..., str]] = {
            "list_dir": self.list_dir,
            "read_file": self.read_file,
            "grep": self.grep,
        }
        self._lines = lru_cache(maxsize=256)(self._read)

    def run(self, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Run one tool call: (its answer, whether it failed), as an agent's loop would."""
        try:
            return self._tools[name](**arguments), False
        except (OSError, ValueError, re.error) as exc:
            return f"{type(exc).__name__}: {exc}", True

    def list_dir(self, path: str = "") -> str:
        """Return the names in a directory, one a line."""
        return "\n".join(self.entries(path)) or "(empty)"

    def entries(self, path: str) -> list[str]:
        """Return the names in a directory, sorted, directories with a slash."""
        return sorted(
            f"{one.name}/" if one.is_dir() else one.name
            for one in self._inside(path).iterdir()
            if one.name not in _SKIPPED
        )

    def read_file(self, path: str, start: int = 1) -> str:
        """Return one page of a file under a heading that says which lines it holds."""
        lines = self.lines(path)
        page = lines[start - 1 : start - 1 + PAGE_LINES]
        if not page:
            raise ValueError(f"{path} has {len(lines)} lines, none from {start} on")
        return f"[{path} lines {start}-{start + len(page) - 1} of {len(lines)}]\n" + "".join(page)

    def grep(self, pattern: str, path: str = "") -> str:
        """Return the first matching lines below a path."""
        wanted = re.compile(pattern)
        found = []
        for file in self._files(self._inside(path)):
            for number, line in enumerate(self.lines(self.name(file)), start=1):
                if wanted.search(line):
                    found.append(f"{self.name(file)}:{number}: {line.strip()[:200]}")
                    if len(found) == _MOST_MATCHES:
                        return "\n".join([*found, "(more not shown)"])
        return "\n".join(found) or "(no match)"

    def lines(self, path: str) -> tuple[str, ...]:
        """Return the lines of a file, line ends kept."""
        return self._lines(path)

    def _read(self, path: str) -> tuple[str, ...]:
        text = self._inside(path).read_text(encoding="utf-8", errors="replace")
        return tuple(text.replace("\0", "\ufffd").splitlines(keepends=True))

    def name(self, file: Path) -> str:
        """Return the path of a file as the tools take it."""
        return file.relative_to(self.root).as_posix()

    def folders(self) -> Iterator[Path]:
        """Yield directories in reading order: the library first; its tests, which are as large again, at the end."""
        found = [self.root, *(one for one in sorted(self.root.rglob("*")) if one.is_dir())]
        kept = [one for one in found if not _SKIPPED & set(one.relative_to(self.root).parts)]
        yield from sorted(kept, key=lambda one: bool({"test", "tests"} & set(one.relative_to(self.root).parts)))

    def files_in(self, folder: Path) -> list[Path]:
        """Return the Python files directly in a directory that are worth reading, sorted."""
        return [one for one in sorted(folder.glob("*.py")) if self._is_readable(one)]

    def _is_readable(self, file: Path) -> bool:
        # A distribution may link single files to elsewhere, and those are not the library's.
        is_here = file.is_file() and file.resolve().is_relative_to(self.root)
        return is_here and 0 < file.stat().st_size <= _LARGEST_FILE_BYTES

    def _files(self, path: Path) -> list[Path]:
        return [path] if path.is_file() else self.files_in(path)

    def _inside(self, path: str) -> Path:
        found = (self.root / path).resolve()
        if not found.is_relative_to(self.root):
            raise ValueError(f"{path} is outside of the library")
        return found
