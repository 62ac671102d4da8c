"""Export the log, partitioned: by entity and by date in whole lines, by space and tick in lines that point to those.

I1. An export that was cut short is gone on with by the same call, and one that is complete is added to.
I2. The lines of `by-date` are the whole log in order of time, as it was when each export began.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from ctxmem.entries import entry
from ctxmem.errors import BadInput
from ctxmem.exchange.filenames import encoded
from ctxmem.exchange.partition import ROTATE_BYTES, Partition, write_json
from ctxmem.library import Library
from ctxmem.log import Log
from ctxmem.search.facets import kind_key
from ctxmem.search.parts import Filter
from ctxmem.segment import Segment
from ctxmem.transcripts.logfiles import lines_of

COMPRESSED_AFTER_S = 7 * 86_400.0
_TICKS = 1_000  # of one file
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def export_log(
    log: Log, target: Path, progress: Callable[[float], None], rotate_bytes: int = ROTATE_BYTES
) -> dict[str, Any]:
    """Write the log's entries into a directory, or what it lacks of them; return counts.

    Raises:
        BadInput: the directory holds something else.
    """
    partition = Partition(target, rotate_bytes)
    partition.resume()
    state = partition.state
    ids = _left(log, state)
    n_before = state.get("entries", 0)
    _write(log, ids, partition, progress)
    partition.compress(log.options.now() - COMPRESSED_AFTER_S, progress)
    _indexes(partition)
    state.pop("after", None)
    partition.save()
    return {
        "target": str(target),
        "entries": state.get("entries", 0),
        "new": state.get("entries", 0) - n_before,
        "left_out": state.get("left_out", 0),
        "files": partition.n_files(),
    }


def _left(log: Log, state: dict[str, Any]) -> list[int]:
    """Return what is to be written, in order of time; where an export was cut short, of the log as it was then."""
    listed = log.index.timeline([Filter((kind_key(entry.KIND),))])
    if "after" not in state:
        state["before"] = state.get("newest", -1)
        state["newest"] = max(state["before"], int(listed.ids.max(initial=-1)))
    at, last = state.get("after", [-np.inf, -1])
    is_later = (listed.at > at) | ((listed.at == at) & (listed.ids > last))
    chosen = is_later & (listed.ids > state["before"]) & (listed.ids <= state["newest"])
    found: list[int] = listed.ids[chosen].tolist()
    return found


def _write(log: Log, ids: list[int], partition: Partition, progress: Callable[[float], None]) -> None:
    state = partition.state
    for done, segment in enumerate(Library(log).segments(ids), start=1):
        if _add(partition, segment):
            state["entries"] = state.get("entries", 0) + 1
        else:
            state["left_out"] = state.get("left_out", 0) + 1
        state["after"] = [segment.at, segment.id]
        if partition.is_full:
            partition.save()
        progress(done)
    partition.save()


def _add(partition: Partition, segment: Segment) -> bool:
    """Add one entry to every file that it belongs to; say whether it is an entry at all."""
    said = entry.plain(segment)
    try:
        name = "@" + entry.name(said["entity"], "@", "entity")
    except BadInput:  # a segment of that kind which `Memory.add` made, without an entity
        return False
    day = _day(segment.at)
    line = as_bytes(said)
    partition.add(f"by-entity/{encoded(name)}/session_{day}", line, segment.at)
    partition.add(f"by-date/{day}", line, segment.at)
    pointer = as_bytes({"id": segment.id, "at": segment.at, "entity": said["entity"], "date": day})
    if said["space"] is not None:
        partition.add(f"by-space/{encoded('#' + said['space'])}/{day}", pointer, segment.at)
    if said["tick"] is not None:
        first = said["tick"] // _TICKS * _TICKS
        pointer = as_bytes({"tick": said["tick"], "id": segment.id, "entity": said["entity"], "date": day})
        partition.add(f"ticks/{first:012d}", pointer, segment.at)
    return True


def as_bytes(value: dict[str, Any]) -> bytes:
    """Return a line of JSON; characters that UTF-8 lacks are escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _day(at: float) -> str:
    """Return the day of a moment in UTC, as it stands in the names of files."""
    try:
        return (_EPOCH + timedelta(seconds=at)).strftime("%Y%m%d").rjust(8, "0")
    except OverflowError:
        return "00000000"


def _indexes(partition: Partition) -> None:
    """Write `index.json` into each folder of an entity, and lists of what there is into `index/`."""
    folders: dict[str, dict[str, Any]] = {}
    for path, known in partition.files("by-entity/").items():
        folders.setdefault(path.rpartition("/")[0], {})[path.rpartition("/")[2]] = known
    entities = []
    for folder, files in folders.items():
        name = _entity_of(partition.root, folder, next(iter(files)))
        lines = sum(known["lines"] for known in files.values())
        write_json(partition.root / folder / "index.json", {"entity": name, "entries": lines, "files": files})
        entities.append({"entity": name, "folder": folder, "entries": lines})
    write_json(partition.root / "index" / "entities.json", entities)
    for folder in ("by-space", "by-date", "ticks"):
        write_json(partition.root / "index" / f"{folder}.json", partition.files(f"{folder}/"))


def _entity_of(root: Path, folder: str, file: str) -> str:

    return str(next(lines_of(root / folder / file))["entity"])
