"""What callers may pass, made plain before anything is written: times, facets, keys, texts, ids.

I1. Whatever passes here can be stored, indexed and rendered; whatever does not raises `BadInput` that names the
    argument and the remedy.
I2. Nothing here reads or writes a store.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ctxmem.errors import BadInput
from ctxmem.segment import Facet, Facets

MAX_ID = 2**32 - 1
MAX_KEY_BYTES = 400
MAX_FACET_BYTES = 256  # of a name or a value: an index key holds both within LMDB's 511
MAX_FACETS = 64
MAX_TEXT_CHARS = 64_000_000
MAX_COUNT = 1_000_000_000
RESERVED = frozenset(
    {"at", "error", "explain", "facets", "key", "kind", "limit", "pinned", "query", "refs", "role", "session", "since"}
    | {"text", "until"}
)


def time_s(value: float | datetime | None, name: str = "at") -> float | None:
    """Return seconds since the epoch for a number or an aware datetime; None stays None.

    Raises:
        BadInput: a naive datetime, NaN, infinity, or another type.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise BadInput(f"{name}={value!r} has no time zone; pass an aware datetime or seconds since the epoch")
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"{name} must be seconds since the epoch or an aware datetime, not {type(value).__name__}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or abs(seconds) > 1e11:
        raise BadInput(f"{name}={shown(value)} is no time in seconds since the epoch (were those milliseconds?)")
    return seconds


def segment_id(value: object, name: str = "id") -> int:
    """Return a segment id as a plain int, or raise `BadInput`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise BadInput(f"{name} must be a segment id (an int), not {type(value).__name__}")
    number = int(value.__index__())
    if not 0 <= number <= MAX_ID:
        raise BadInput(f"{name}={shown(number)} is no segment id: ids are ints from 0 to {MAX_ID}")
    return number


def refs(values: Iterable[object]) -> tuple[int, ...]:
    """Return references as a tuple of ids without repeats, in the order given."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise BadInput("refs must be a sequence of segment ids")
    return tuple(dict.fromkeys(segment_id(v, "refs") for v in values))


def short(value: object, name: str, limit_bytes: int = MAX_KEY_BYTES) -> str:
    """Return a non-empty name (session, key, kind, facet) of at most `limit_bytes` in UTF-8, or raise `BadInput`."""
    if not isinstance(value, str) or not value:
        raise BadInput(f"{name} must be a non-empty str, not {shown(value)}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise BadInput(f"{name} holds a lone surrogate and cannot be stored: {shown(value)}") from error
    if size > limit_bytes:
        raise BadInput(f"{name} has {size} bytes; at most {limit_bytes} are allowed")
    if "\0" in value:
        raise BadInput(f"{name} holds a NUL character: {shown(value)}")
    return value


def text(value: object, name: str = "text") -> str:
    """Return a text to be stored, or raise `BadInput` for another type, an empty or an enormous one."""
    if not isinstance(value, str):
        raise BadInput(f"{name} must be a str, not {type(value).__name__}; decode bytes before adding them")
    if not value:
        raise BadInput(f"{name} is empty: there is nothing to keep")
    if len(value) > MAX_TEXT_CHARS:
        raise BadInput(f"{name} has {len(value):,} characters; cut it into chunks of at most {MAX_TEXT_CHARS:,}")
    return value


def _facet(name: str, value: object) -> Facet:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadInput(f"facet {name!r} must be a str, an int or a list of them, not {type(value).__name__}")
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise BadInput(f"facet {name}={shown(value)} does not fit 64 bits; pass it as a str")
        return int(value)
    return short(value, f"facet {name!r}", MAX_FACET_BYTES)


def facets(given: Mapping[str, Any]) -> Facets:
    """Return facets in their stored form; None values are left out, tuples and sets become lists.

    Raises:
        BadInput: a reserved or oversized name, or a value that is neither str, int nor a list of them.
    """
    if len(given) > MAX_FACETS:
        raise BadInput(f"{len(given)} facets; at most {MAX_FACETS} are allowed")
    out: Facets = {}
    for name, value in given.items():
        if value is None:
            continue
        short(name, "a facet's name", MAX_FACET_BYTES)
        if name in RESERVED:
            raise BadInput(f"{name!r} is a keyword of ctxmem and cannot name a facet")
        if isinstance(value, set | frozenset):
            value = sorted(value, key=lambda v: (str(type(v)), v))  # noqa: PLW2901 - one stored order for a set
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            if len(value) > 1024:
                raise BadInput(f"facet {name!r} has {len(value)} values; at most 1,024 are allowed")
            out[name] = [_facet(name, v) for v in value]
        else:
            out[name] = _facet(name, value)
    return out


def count(value: object, name: str, low: int, high: int = MAX_COUNT) -> int:
    """Return an int within [low, high], or raise `BadInput`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise BadInput(f"{name}={shown(value)} must be an int from {low:,} to {high:,}, not {type(value).__name__}")
    number = int(value.__index__())
    if not low <= number <= high:
        raise BadInput(f"{name}={shown(number)} must lie between {low:,} and {high:,}")
    return number


def number(value: object, name: str, most: float) -> None:
    """Raise `BadInput` for what is no number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise BadInput(f"{name}={shown(value)} must be a number from 0 to {most:g}")


def shown(value: object, most_chars: int = 80) -> str:
    """Return the beginning of a value's repr, for a message about it: a value that has none gives its type.

    >>> shown("x" * 100, 8), shown(10**5000)
    ("'xxxxxxx", '<int>')
    """
    try:
        return repr(value)[:most_chars]
    except Exception:  # noqa: BLE001 - any repr may raise, and so does that of an int of 4,301 digits
        return f"<{type(value).__name__}>"
