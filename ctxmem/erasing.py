"""Take what was forgotten out of the states that contexts left on disk: what ledgers quote, which files are named.

I1. A state that was erased renders to the same bytes as before: what was forgotten shows `[forgotten]` already.
"""

from ctxmem.codec import pack_large, unpack_large
from ctxmem.log import Log
from ctxmem.prompt.state import State
from ctxmem.store import Batch

_AT_ONCE = 64  # states read and written in one transaction


def erase(log: Log) -> None:
    """Rewrite every epoch's state that quotes something forgotten; on disk when this returns."""
    after: bytes | None = b""
    while after is not None:
        with log.snapshot() as snapshot:
            rows = list(snapshot.scan("epochs", after, limit=_AT_ONCE))
        after = rows[-1][0] + b"\0" if len(rows) == _AT_ONCE else None
        changed = [(key, data) for key, value in rows if (data := _erased(log, value)) is not None]
        if changed:
            log.commit(lambda batch, rows=changed: _put(batch, rows))  # type: ignore[misc]


def _erased(log: Log, value: bytes) -> bytes | None:
    version, packed = unpack_large(value)
    state = State.unpack(packed, 0)
    if not any(map(log.is_forgotten, state.sources())):
        return None
    state.erase(log.is_forgotten)
    return pack_large((version, state.pack()))


def _put(batch: Batch, rows: list[tuple[bytes, bytes]]) -> None:
    for key, data in rows:
        batch.put("epochs", key, data)
