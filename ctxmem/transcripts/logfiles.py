"""Logs that `ctxmem export` wrote: the directory, read by date, or one of its files of whole lines.

I1. What is held is one line. A line that cannot be read is passed over and told.
"""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

STATE = "index/files.json"
_FORMAT = "ctxmem log"


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether an object is a line of a log."""
    return "entity" in head and "command" in head


def is_export(path: Path) -> bool:
    """Say whether a directory is an export of a log."""
    state = path / STATE
    if not state.is_file():
        return False
    with state.open(encoding="utf-8", errors="replace") as stream:
        return _FORMAT in stream.read(200)


def read(path: Path, passed_over: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yield the lines of an export in order of time, or those of one file."""
    for file in _files(path):
        for line in lines_of(file, passed_over):
            if fits(line):
                yield line
            else:
                passed_over(f"a line of {file.name} that is no entry")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [file for file in (path / "by-date").glob("*.jsonl*") if file.suffix != ".part"]
    found = {file.name.partition(".")[0]: file for file in sorted(files)}
    return [found[name] for name in sorted(found, key=lambda name: (name.split("_")[0], int(name.split("_")[1])))]


def lines_of(path: Path, passed_over: Callable[[str], None] = lambda _: None) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of lines; `.gz` is read as such, also where only the name lacks it."""
    packed = path if path.suffix == ".gz" else Path(f"{path}.gz")
    is_packed = packed.exists() and (packed == path or not path.exists())
    with cast("BinaryIO", gzip.open(packed)) if is_packed else path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                passed_over(f"line {number} of {path.name} (no JSON)")
                continue
            if isinstance(row, dict):
                yield row
            else:
                passed_over(f"line {number} of {path.name} (no object)")
