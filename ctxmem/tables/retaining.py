"""The standing rules of what is kept how long, as plain rows under one name. In the table meta.

It does not know what a rule means.
"""

from typing import Any

from ctxmem import codec
from ctxmem.store import Batch, Snapshot

_RULES = b"retention"  # On disk: never rename.


def rules(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the rows of all rules."""
    value = snapshot.get("meta", _RULES)
    found: list[dict[str, Any]] = [] if value is None else codec.unpack(value)
    return found


def put_rules(batch: Batch, rows: list[dict[str, Any]]) -> None:
    """Store the rows in place of those before."""
    if rows:
        batch.put("meta", _RULES, codec.pack(rows))
    else:
        batch.delete("meta", _RULES)
