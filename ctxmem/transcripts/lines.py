"""JSONL as programs leave it: a line that cannot be read is counted, and the lines around it are read.

I1. What is held is one line.
I2. A last line without its line end may still be written: where it is no JSON it counts as torn, not as damage.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def rows(path: Path, skipped: Counter[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of every line that holds one; empty lines are no lines."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip(b" \t\r\n\xef\xbb\xbf"):
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                is_torn = not line.endswith(b"\n")
                skipped["torn last line" if is_torn else "line that is no JSON"] += 1
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                skipped["line that is no object"] += 1
