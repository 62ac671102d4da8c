"""Names that callers give: sessions, which get a number for ever, and idempotency keys, which lead to a segment.

I1. A session's number is never reused; both directions are written in one transaction.
I2. A key belongs to one session and names one segment and what it holds: the first commit of a key wins.
I3. Once its segment is forgotten a key is free, for every process: the next segment that is given it is a new one.
"""

import hashlib
from collections.abc import Container, Iterable
from struct import Struct

from ctxmem.errors import BadInput
from ctxmem.store import Batch, Snapshot
from ctxmem.tables import flags

# On disk: never renumber.
_BY_NAME = b"h"
_BY_NUMBER = b"n"
_NUMBER = Struct(">I")
_KEY_VALUE = Struct(">Q16s")
_HASH_BYTES = 16

LONGEST_NAME_BYTES = 65_536


def _hash(text: str, what: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    if not raw or len(raw) > LONGEST_NAME_BYTES:
        raise BadInput(f"a {what} has 1 to {LONGEST_NAME_BYTES} bytes, this one {len(raw)}")
    return hashlib.blake2b(raw, digest_size=_HASH_BYTES).digest()


def session_number(snapshot: Snapshot, name: str) -> int | None:
    """Return the number of a session, or None.

    Raises:
        BadInput: an empty or very long name.
    """
    value = snapshot.get("sessions", _BY_NAME + _hash(name, "session name"))
    return None if value is None else int(_NUMBER.unpack(value)[0])


def session_name(snapshot: Snapshot, number: int) -> str | None:
    """Return the name of a session, or None."""
    value = snapshot.get("sessions", _BY_NUMBER + _NUMBER.pack(number))
    return None if value is None else value.decode("utf-8", "surrogatepass")


def session_names(snapshot: Snapshot) -> list[tuple[int, str]]:
    """Return every session as (number, name), by number."""
    return [
        (_NUMBER.unpack(key[1:])[0], value.decode("utf-8", "surrogatepass"))
        for key, value in snapshot.scan("sessions", _BY_NUMBER, b"o")
    ]


def create_sessions(batch: Batch, names: Iterable[str]) -> list[int]:
    """Return the numbers of sessions, creating those that are new (I1)."""
    numbers = []
    for name in names:
        number = session_number(batch, name)
        if number is None:
            last = next(batch.scan("sessions", _BY_NUMBER, b"o", reverse=True, limit=1), None)
            number = 1 if last is None else _NUMBER.unpack(last[0][1:])[0] + 1
            batch.put("sessions", _BY_NAME + _hash(name, "session name"), _NUMBER.pack(number))
            batch.put("sessions", _BY_NUMBER + _NUMBER.pack(number), name.encode("utf-8", "surrogatepass"))
        numbers.append(number)
    return numbers


def key_name(session: int, key: str) -> bytes:
    """Return the stored form of an idempotency key of a session.

    Raises:
        BadInput: an empty or very long key.
    """
    return _NUMBER.pack(session) + _hash(key, "key")


def find_key(snapshot: Snapshot, name: bytes) -> tuple[int, bytes] | None:
    """Return the segment id and the content digest that a key (from `key_name`) stands for; None where it is free."""
    value = snapshot.get("keys", name)
    if value is None:
        return None
    segment_id, digest = _KEY_VALUE.unpack(value)
    return None if flags.is_set(snapshot, flags.FORGOTTEN, segment_id) else (segment_id, digest)


def put_key(batch: Batch, name: bytes, segment_id: int, digest: bytes) -> None:
    """Store what a key stands for, unless another process was first (I2)."""
    if find_key(batch, name) is None:
        batch.put("keys", name, _KEY_VALUE.pack(segment_id, digest))


def drop_keys(batch: Batch, forgotten: Container[int]) -> None:
    """Delete the keys of forgotten segments: they are free, and say something of the content."""
    entries = [(key, _KEY_VALUE.unpack(value)[0]) for key, value in batch.scan("keys")]
    for key, segment_id in entries:
        if segment_id in forgotten:
            batch.delete("keys", key)


def key_ids(snapshot: Snapshot) -> list[int]:
    """Return the segments that keys lead to."""
    return [_KEY_VALUE.unpack(value)[0] for _, value in snapshot.scan("keys")]


def check(snapshot: Snapshot) -> list[str]:
    """Return what is wrong with the names: sessions whose two entries disagree."""
    found = []
    by_number = session_names(snapshot)
    for number, name in by_number:
        if session_number(snapshot, name) != number:
            found.append(f"session {number} is named {name!r}, and that name leads elsewhere")
    hashes = sum(1 for _ in snapshot.keys("sessions", _BY_NAME, b"i"))
    if hashes != len(by_number):
        found.append(f"{hashes} session names and {len(by_number)} numbers")
    return found
