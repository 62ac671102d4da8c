"""Export a store as the old JSON stash, `{"segments": [{"segment_id", "text", "metadata", "timestamp"}]}`, streamed.

I1. `ctxmem import` reads it again; kind and facets stand in the metadata under the names that it looks for.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctxmem.exchange.export import as_bytes
from ctxmem.library import Library
from ctxmem.log import Log
from ctxmem.search.parts import Filter
from ctxmem.segment import Segment


def export_stash(log: Log, target: Path, progress: Callable[[float], None]) -> dict[str, Any]:
    """Write every segment, in order of time, into a new file; return counts."""
    ids = log.index.timeline([Filter()]).ids.tolist()
    part = Path(f"{target}.part")
    n = 0
    with part.open("wb") as stream:
        stream.write(b'{"segments":[\n')
        for segment in Library(log).segments(ids):
            stream.write((b"," if n else b"") + as_bytes(_plain(segment)))
            n += 1
            progress(n)
        stream.write(b"]}\n")
    part.replace(target)
    return {"target": str(target), "segments": n}


def _plain(segment: Segment) -> dict[str, Any]:
    named = {} if segment.session is None else {"session": segment.session}
    metadata = {"segment_type": segment.kind, **named, **segment.facets}
    return {"segment_id": str(segment.id), "text": segment.text, "metadata": metadata, "timestamp": segment.at}
