"""The old JSON stash, {"segments": [{"segment_id", "text", "metadata", "timestamp"}, ...]}, streamed.

I1. Memory does not grow with the file: one segment and one read are held.
I2. `segment_id` becomes the key, so an import that was cut short can be run again and doubles nothing.
Metadata becomes facets; the names that the old pruner used for the same thing are folded into ctxmem's.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ctxmem import inputs
from ctxmem.errors import BadInput
from ctxmem.segment import Facets
from ctxmem.transcripts.fitting import fitting
from ctxmem.transcripts.pull import Pull

_FACET_OF = {"file_path": "file", "path": "file", "filename": "file", "task_id": "task", "tag": "tags"}
_KIND = ("segment_type", "type", "kind")
_INT64 = 1 << 63
_MOST_VALUES = 1_024


def read(path: Path, passed_over: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yield every segment of the stash as the fields of `Memory.add`, in the file's order.

    Raises:
        BadInput: the file is not such a stash, or ends early; what came before was already given.
    """
    with path.open(encoding="utf-8") as stream:
        pull = Pull(stream, path.name)
        for number, entry in enumerate(_entries(pull), start=1):
            item = _item(entry, pull, number)
            if item["text"]:
                yield item
            else:  # it holds nothing that could be found again
                passed_over(f"segment {number} of {path.name} (empty)")


def _entries(pull: Pull) -> Iterator[Any]:
    """Yield the raw entries, of the object form or of a bare list."""
    if pull.peek() == "[":
        yield from pull.elements()
        return
    has_segments = False
    for key in pull.members():
        if key == "segments":
            has_segments = True
            yield from pull.elements()
        else:
            pull.value()
    if not has_segments:
        raise pull.problem('no "segments" in it')


def _item(entry: Any, pull: Pull, number: int) -> dict[str, Any]:
    if not isinstance(entry, dict) or not isinstance(entry.get("text"), str):
        raise pull.problem(f"segment {number} has no text")
    metadata = entry.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise pull.problem(f"the metadata of segment {number} is no object")
    kind = next((metadata[name] for name in _KIND if isinstance(metadata.get(name), str) and metadata[name]), "note")
    item: dict[str, Any] = {"text": entry["text"], "kind": fitting(kind, inputs.MAX_FACET_BYTES), **facets(metadata)}
    if entry.get("segment_id") not in (None, ""):
        item["key"] = fitting(str(entry["segment_id"]), inputs.MAX_KEY_BYTES)  # I2
    at = seconds(entry.get("timestamp"))
    if at is not None:
        item["at"] = at
    return item


def facets(metadata: Mapping[str, Any]) -> Facets:
    """Turn free metadata into facets: str, int, or lists of them; nested values as JSON text, None and "" left out.

    >>> facets({"file_path": "a.py", "tags": ["x", 3, None], "done": True, "score": 0.5, "kind": "chat"})
    {'file': 'a.py', 'tags': ['x', 3], 'done': 'true', 'score': '0.5'}
    """
    found: Facets = {}
    for theirs, value in metadata.items():
        if theirs in _KIND:
            continue
        name = _FACET_OF.get(theirs, theirs)
        name = fitting(f"{name}_" if name in inputs.RESERVED else name, inputs.MAX_FACET_BYTES)
        values = [_facet(one) for one in (value[:_MOST_VALUES] if isinstance(value, list) else [value])]
        kept = [one for one in values if one is not None]
        if kept and name and len(found) < inputs.MAX_FACETS:
            found[name] = kept if isinstance(value, list) else kept[0]
    return found


def _facet(value: Any) -> str | int | None:
    """Return one value as a facet; None where there is nothing in it."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return fitting(text, inputs.MAX_FACET_BYTES) or None


def seconds(timestamp: Any) -> float | None:
    """Read a time as seconds since the epoch: a number (milliseconds from 1e11 on) or ISO 8601; without a zone, UTC.

    >>> seconds("2025-12-06T16:45:23Z")
    1765039523.0
    >>> seconds(1765039523000)
    1765039523.0

    Raises:
        BadInput: it is neither.
    """
    if timestamp is None or timestamp == "":
        return None
    try:
        number = float(timestamp)
    except (TypeError, ValueError):
        return _from_iso(timestamp)
    if not math.isfinite(number) or isinstance(timestamp, bool):
        raise BadInput(f"the time {timestamp!r} is no time: give seconds since the epoch or ISO 8601.")
    return number / 1000 if abs(number) >= 1e11 else number


def _from_iso(timestamp: Any) -> float:
    try:
        # Python 3.10 knows no "Z".
        moment = datetime.fromisoformat(str(timestamp).strip().replace("Z", "+00:00"))
    except ValueError as exc:
        raise BadInput(f"the time {timestamp!r} is no time: give seconds since the epoch or ISO 8601.") from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
