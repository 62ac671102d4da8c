"""The forward record of a segment: what the index needs of it, so that a text is analysed once.

It is committed beside an unsealed segment, read again to rebuild a tail, and goes into the run when the tail is sealed.
Does not know: the store, runs.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ctxmem.search import facets, terms
from ctxmem.segment import Record

_VERSION = 1  # On disk: never renumber.
_HEADER = struct.Struct("<BIIdHHHI")  # version, session, tokens, at, length, terms, keys, bytes of terms
_MOST_COUNTED = 255


@dataclass(frozen=True, slots=True)
class Forward:
    """What is indexed of one segment.

    `counts[i]` (at most 255) is how often `terms[i]` occurs; `length` is in words; `keys` are `facets` keys, the kind's
    among them.
    """

    session: int
    tokens: int
    at: float
    length: int
    terms: list[bytes]
    counts: bytes
    keys: list[bytes]


class Words(NamedTuple):
    """What analysis finds in a text: terms joined by NUL, how often each, and the length in words."""

    terms: bytes
    counts: bytes
    length: int


def words_of(text: str, speakers: Sequence[str], at: float) -> Words:
    """Analyse a text: 15 us for 36 words."""
    found, length = terms.document(text, speakers, at)
    counts = bytes([min(_MOST_COUNTED, count) for _, count in found])
    return Words("\0".join([term for term, _ in found]).encode(), counts, length)


def speakers_of(record: Record) -> list[str]:
    """Return the names that the facet `entity` gives."""
    given = record.facets.get("entity")
    return [name for name in (given if isinstance(given, list | tuple) else [given]) if isinstance(name, str)]


def of_record(record: Record, words: Words | None = None) -> Forward:
    """Return a record's forward record; its text is analysed unless `words` are given.

    An unsearched one has no words: it counts for its session, and is never a hit.
    """
    if record.facts.is_unsearched:
        return Forward(record.session, record.tokens, record.at, 0, [], b"", [facets.UNSEARCHED])
    found = words_of(record.text, speakers_of(record), record.at) if words is None else words
    referring = [facets.REFERRING] if record.refs else []
    keys = list(dict.fromkeys([facets.kind_key(record.kind), *referring, *facets.facet_keys(record.facets)]))
    listed = found.terms.split(b"\0") if found.counts else []
    return Forward(record.session, record.tokens, record.at, found.length, listed, found.counts, keys)


def encode(forward: Forward) -> bytes:
    """Return a forward record as bytes.

    >>> record = Record(session=1, kind="note", role=None, text="a red cat", tokens=4, at=0.0)
    >>> decode(encode(of_record(record))) == of_record(record)
    True
    """
    words = b"\0".join(forward.terms)
    n_terms, n_keys = len(forward.terms), len(forward.keys)
    header = _HEADER.pack(
        _VERSION, forward.session, forward.tokens, forward.at, forward.length, n_terms, n_keys, len(words)
    )
    return b"".join((header, forward.counts, words, b"\0".join(forward.keys)))


def decode(data: bytes) -> Forward:
    """Read what `encode` wrote: 2 us."""
    _, session, tokens, at, length, n_terms, n_keys, n_bytes = _HEADER.unpack_from(data)
    start = _HEADER.size + n_terms
    words = data[start : start + n_bytes].split(b"\0") if n_terms else []
    keys = data[start + n_bytes :].split(b"\0") if n_keys else []
    return Forward(session, tokens, at, length, words, data[_HEADER.size : start], keys)
