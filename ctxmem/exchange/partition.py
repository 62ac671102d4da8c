"""Lines, kept in many files at once: appended in turn, rotated by size, in bounded memory, and gone on with later.

I1. What is held is at most `_HELD_BYTES` of lines, and a few words for each file.
I2. `save` names how long each file is. What `resume` finds beyond that was written by a run that was cut short, and is
    taken away; nothing else in the directory is touched.
I3. A file that was compressed is never appended to.
Does not know what a line says.
"""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctxmem.errors import BadInput

ROTATE_BYTES = 50_000_000
STATE = "index/files.json"
FORMAT, VERSION = "ctxmem log", 1
FOLDERS = ("by-entity", "by-space", "by-date", "ticks")
_HELD_BYTES = 16 << 20
_COPY_BYTES = 1 << 20


class Partition:
    """The files of one directory. `state` is the caller's, kept beside what is known of the files."""

    def __init__(self, root: Path, rotate_bytes: int = ROTATE_BYTES) -> None:
        self.root = root
        self.state: dict[str, Any] = {}
        self._rotate_bytes = rotate_bytes
        self._files: dict[str, list[Any]] = {}  # path -> bytes, lines, time of the newest, compressed
        self._newest: dict[str, int] = {}  # stem -> the number of its newest file
        self._held: dict[str, list[bytes]] = {}
        self._n_held = 0

    def resume(self) -> None:
        """Go on with what is in the directory, or begin in one that is new.

        Raises:
            BadInput: it holds something else, or what a newer ctxmem wrote.
        """
        path = self.root / STATE
        if not path.exists():
            if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
                raise BadInput(f"{self.root} holds something that is no export of a log: name a new directory.")
            return
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("format") != FORMAT or found.get("version") != VERSION:
            raise BadInput(f"{self.root} was exported by another version of ctxmem: name a new directory.")
        self.state, self._files = found["state"], found["files"]
        for name in self._files:
            stem, _, number = name.removesuffix(".jsonl").rpartition("_")
            self._newest[stem] = max(self._newest.get(stem, 0), int(number))
        self._take_away_what_is_beyond()

    def _take_away_what_is_beyond(self) -> None:
        for folder in FOLDERS:
            for path in sorted((self.root / folder).rglob("*.jsonl*")):
                name = path.relative_to(self.root).as_posix().removesuffix(".gz").removesuffix(".part")
                known = self._files.get(name.removesuffix(".gz"))
                if known is None or path.suffix == ".part":
                    path.unlink()
                elif path.suffix == ".gz":
                    known[3] = True  # the run ended before it was noted
                elif Path(f"{path}.gz").exists():  # it was compressed, and not removed yet
                    path.unlink()
                elif path.stat().st_size > known[0]:
                    os.truncate(path, known[0])

    def add(self, stem: str, line: bytes, at: float) -> None:
        """Append a line to the newest file of a stem, or to the next one where that is full or compressed."""
        number = self._newest.get(stem, 0)
        name = f"{stem}_{number:04d}.jsonl"
        known = self._files.get(name)
        if known is None or known[0] + len(line) > self._rotate_bytes or known[3]:
            self._newest[stem] = number = number + 1
            name = f"{stem}_{number:04d}.jsonl"
            known = self._files[name] = [0, 0, at, False]
        known[0] += len(line)
        known[1] += 1
        known[2] = max(known[2], at)
        self._held.setdefault(name, []).append(line)
        self._n_held += len(line)

    @property
    def is_full(self) -> bool:
        """Whether it is time to `save`."""
        return self._n_held > _HELD_BYTES

    def save(self) -> None:
        """Write what is held, and how long every file is now: what is added up to here is kept."""
        for name, lines in self._held.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                stream.write(b"".join(lines))
        self._held, self._n_held = {}, 0
        written = {"format": FORMAT, "version": VERSION, "state": self.state, "files": self._files}
        write_json(self.root / STATE, written)

    def compress(self, before: float, progress: Callable[[float], None]) -> None:
        """Compress every file whose newest line is older than a moment."""
        for done, (name, known) in enumerate(self._files.items()):
            path = self.root / name
            if known[2] < before and not known[3]:
                if path.exists():
                    part = Path(f"{path}.gz.part")
                    with path.open("rb") as plain, gzip.GzipFile(part, "wb", mtime=0) as packed:
                        shutil.copyfileobj(plain, packed, _COPY_BYTES)
                    part.replace(f"{path}.gz")
                    path.unlink()
                known[3] = True
            progress(done)
        self.save()

    def files(self, folder: str) -> dict[str, dict[str, Any]]:
        """Return what is known of the files below a folder: bytes before compression, lines, time of the newest."""
        return {
            name: {"bytes": size, "lines": n, "newest_at": at}
            for name, (size, n, at, _) in self._files.items()
            if name.startswith(folder)
        }

    def n_files(self) -> int:
        """Return how many files there are."""
        return len(self._files)


def write_json(path: Path, value: Any) -> None:
    """Write a file whole, or leave the one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(f"{path}.part")
    part.write_text(json.dumps(value, indent=1), encoding="utf-8")
    part.replace(path)
