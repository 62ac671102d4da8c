"""The names of the tables, and the checksum that every value carries.

I1. Every stored value ends with four bytes, little endian: crc32 over the table's name, a NUL, the key and the value.
    A value that ends up under another key, or in another table, does not pass.
I2. Tables are never renamed or reused; a new one is added at the end.
"""

from zlib import crc32

# On disk: never rename. Read `docs/format.md` beside this list.
TABLES = (
    "meta",  # name -> value: format, store id, counters, dictionaries
    "claims",  # slot -> epoch, chunks of ids, next id, pid, host
    "leases",  # session number -> slot, epoch, pid, host
    "sessions",  # both ways: hash of name -> number, number -> name
    "keys",  # session + hash of idempotency key -> id, digest
    "flags",  # kind + id / 65,536 -> which of these ids are forgotten, or pinned
    "changes",  # slot + number -> change
    "log",  # id -> unsealed record
    "forward",  # id -> forward record of an unsealed segment
    "frames",  # first id -> sealed records
    "runs",  # serial -> manifest
    "postings",  # serial + term -> posting list, or page of rare terms
    "facets",  # serial + facet key -> set of offsets, or page of rare keys
    "columns",  # serial + name -> array
    "contexts",  # session number -> row; with a digest -> tools
    "epochs",  # session number + epoch -> state
    "turns",  # session number + turn -> row
    "journal",  # session number + collection -> plan
    "spending",  # "t" + session + turn -> what a call cost; "s" + session + day + model, "d" + day -> sums
)
# The values of runs are large and are read in part: they are checked by `check` and at merges, not at each read.
UNCHECKED = frozenset({"postings", "facets", "columns"})

CRC_BYTES = 4
_SEEDS = {table: crc32(table.encode() + b"\0") for table in TABLES}


def seal(table: str, key: bytes, value: bytes) -> bytes:
    """Append the checksum to a value."""
    return b"".join((value, crc32(value, crc32(key, _SEEDS[table])).to_bytes(CRC_BYTES, "little")))


def is_sound(table: str, key: bytes, stored: bytes | memoryview) -> bool:
    """Say whether a stored value is what was written under this key of this table."""
    view = memoryview(stored)
    expected = crc32(view[:-CRC_BYTES], crc32(key, _SEEDS[table]))
    return len(view) >= CRC_BYTES and int.from_bytes(view[-CRC_BYTES:], "little") == expected
