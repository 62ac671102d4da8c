"""What callers may pass, made plain before anything is written: times, facets, keys, texts, ids.

I1. Whatever passes here can be stored, indexed and rendered; whatever does not raises `BadInput` that names the
    argument and the remedy.
I2. Nothing here reads or writes a store.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from numbers import Real
from typing import Any

import numpy as np

from ctxmem.errors import BadInput
from ctxmem.segment import MAX_ID, Facet, Facets

MAX_KEY_BYTES = 400
MAX_FACET_BYTES = 256  # of a name or a value: an index key holds both within LMDB's 511
MAX_FACETS = 64
MAX_TEXT_CHARS = 64_000_000
MAX_COUNT = 1_000_000_000
MAX_TIME_S = 1e11  # of seconds since the epoch: the year 5138; milliseconds are above it
RESERVED = frozenset(
    {"at", "error", "explain", "facets", "key", "kind", "limit", "pinned", "query", "refs", "role", "session", "since"}
    | {"text", "until"}
)


def path(value: object, name: str = "path") -> str:
    """Return a path as the file system takes it, or raise `BadInput`."""
    given = value.__fspath__() if isinstance(value, os.PathLike) else value
    if not isinstance(given, str):
        raise BadInput(f"{name} must be a str or an os.PathLike of one, not {shown(value)}")
    if not given or "\0" in given:
        raise BadInput(f"{name}={shown(given)} names no directory: it is empty, or holds a NUL")
    try:
        os.fsencode(given)
    except UnicodeEncodeError as error:
        raise BadInput(f"{name}={shown(given)} cannot be a path: the file system cannot encode it") from error
    return given


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
    if isinstance(value, bool) or not isinstance(value, int | float | Real):
        raise BadInput(f"{name} must be seconds since the epoch or an aware datetime, not {shown(value)}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or abs(seconds) > MAX_TIME_S:
        raise BadInput(f"{name}={shown(value)} is no time in seconds since the epoch (were those milliseconds?)")
    return seconds


def segment_id(value: object, name: str = "id") -> int:
    """Return a segment id as a plain int, or raise `BadInput`."""
    number = _index(value)
    if number is None:
        raise BadInput(f"{name} must be a segment id (an int), not {shown(value)}")
    if not 0 <= number <= MAX_ID:
        raise BadInput(f"{name}={shown(number)} is no segment id: ids are ints from 0 to {MAX_ID}")
    return number


def refs(values: Iterable[object]) -> tuple[int, ...]:
    """Return references as a tuple of ids without repeats, in the order given."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise BadInput(f"refs must be a sequence of segment ids, not {shown(values)}")
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
    return str.__str__(value)  # the plain text of a subclass such as an Enum


def text(value: object, name: str = "text") -> str:
    """Return a text to be stored, or raise `BadInput` for another type, an empty or an enormous one."""
    if not isinstance(value, str):
        raise BadInput(f"{name} must be a str, not {type(value).__name__}; decode bytes before adding them")
    if not value:
        raise BadInput(f"{name} is empty: there is nothing to keep")
    if len(value) > MAX_TEXT_CHARS:
        raise BadInput(f"{name} has {len(value):,} characters; cut it into chunks of at most {MAX_TEXT_CHARS:,}")
    return str.__str__(value)


def _facet(name: str, value: object) -> Facet:
    if isinstance(value, str):
        return short(value, f"facet {name!r}", MAX_FACET_BYTES)
    number = _index(value)
    if number is None:
        raise BadInput(f"facet {name!r} must be a str, an int or a list of them, not {shown(value)}")
    if not -(2**63) <= number < 2**63:
        raise BadInput(f"facet {name}={shown(number)} does not fit 64 bits; pass it as a str")
    return number


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
        if isinstance(value, (str, int)):  # first: asking for a Sequence is dear
            out[name] = _facet(name, value)
        elif isinstance(value, set | frozenset):
            values = [_facet(name, v) for v in value]
            out[name] = sorted(values, key=lambda v: (isinstance(v, str), v))  # a set is stored in one order
        elif isinstance(value, Sequence) and not isinstance(value, bytes):
            if len(value) > 1024:
                raise BadInput(f"facet {name!r} has {len(value)} values; at most 1,024 are allowed")
            out[name] = [_facet(name, v) for v in value]
        else:
            out[name] = _facet(name, value)
    return out


def filters(given: Mapping[str, Any]) -> Facets:
    """Return the facets that a search filters by.

    Raises:
        BadInput: as `facets`; and an empty list, which would ask for nothing and so let everything through.
    """
    wanted = facets(given)
    for name, value in wanted.items():
        if value == []:
            raise BadInput(f"the filter {name}=[] holds no value; leave it out to filter nothing, or give a value")
    return wanted


def count(value: object, name: str, low: int, high: int = MAX_COUNT) -> int:
    """Return an int within [low, high], or raise `BadInput`."""
    number = _index(value)
    if number is None:
        raise BadInput(f"{name}={shown(value)} must be an int from {low:,} to {high:,}, not {type(value).__name__}")
    if not low <= number <= high:
        raise BadInput(f"{name}={shown(number)} must lie between {low:,} and {high:,}")
    return number


def _index(value: object) -> int | None:
    """Return an int, or what counts as one (numpy's ints), as a plain int; None for a bool, an array or the like."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    try:
        return int(value.__index__())
    except TypeError:  # an array has `__index__`, and it raises
        return None


def flag(value: object, name: str) -> bool:
    """Return a plain bool, or raise `BadInput`: to Python "no" and 0.5 are true, which no caller means."""
    if not isinstance(value, bool | np.bool_):
        raise BadInput(f"{name}={shown(value)} must be True or False")
    return bool(value)


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
