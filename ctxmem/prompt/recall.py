"""Choose what comes back of what is hidden, and quote it: for `assemble(recall=...)`, `restore` and the model's tools.

I1. A recall names stretches of segments and is rendered from them each time: it holds no copy, so a forgotten original
    leaves nothing behind.
I2. Quoted text can forge no heading of ours: `[#` and control characters are escaped, line breaks stay.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ctxmem import tokens
from ctxmem.errors import BadQuery
from ctxmem.ledger.ledger import HEADING
from ctxmem.prompt.quotes import stretch, words_of
from ctxmem.search.query import MAX_CHARS, Query, parse
from ctxmem.segment import FORGOTTEN_TEXT, Quote, Record

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_OPERATORS = re.compile(r'["*+\-]+')
_FRAME_TOKENS = 24  # the quote's own heading, at most
_CHARS_PER_TOKEN = 3  # to start from; the count decides
EXCERPT_CHARS = 1_200


@dataclass(frozen=True, slots=True)
class Recall:
    """Quotes, their rendering, and its o200k tokens."""

    quotes: tuple[Quote, ...]
    text: str
    tokens: int


def plain_query(text: str) -> Query | None:
    """Read free text as a query of its words alone: no operators; None where it holds nothing to look for.

    >>> plain_query("-login +failed *").required
    ()
    >>> plain_query("the") is None
    True
    """
    words = _OPERATORS.sub(" ", text[-MAX_CHARS:])
    try:
        query = parse(words)
    except BadQuery:
        return None
    return None if query.is_empty else query


def escaped(text: str) -> str:
    """Make a text safe to quote over several lines."""
    return _CONTROL.sub(" ", text).replace("[#", "[ #")


def heading(segment_id: int, record: Record) -> str:
    """Say in a few words what a segment is: `[#12] result of read_file (app/login.py)`."""
    facets: dict[str, Any] = record.facets
    file = facets.get("file")
    about = f" ({str(file)[:200]})" if isinstance(file, str) else ""
    if record.call_id is not None:
        tool = str(facets.get("tool", "a call"))[:80]
        return f"[#{segment_id}] {'failed ' if record.facts.is_error else ''}result of {escaped(tool + about)}"
    return f"[#{segment_id}] {escaped((record.role or record.kind)[:40] + about)}"


def quoted(segment_id: int, record: Record, start: int, stop: int, *, is_verbatim: bool = False) -> str:
    """Quote a stretch of a segment under its heading; verbatim where it was asked for by its id."""
    if record.facts.is_forgotten:
        return f"[#{segment_id}] {FORGOTTEN_TEXT}"
    text = record.text[start:stop]
    part = "" if (start, stop) == (0, len(record.text)) else f", characters {start}-{stop} of {len(record.text)}"
    return f"{heading(segment_id, record)}{part}:\n{text if is_verbatim else escaped(text)}"


def compose(quotes: Iterable[Quote], read: Callable[[int], Record], *, is_verbatim: bool = False) -> str:
    """Render a recall from its quotes; the same bytes for ever, but for what was forgotten."""
    shown = (quoted(i, read(i), start, stop, is_verbatim=is_verbatim) for i, start, stop in quotes)
    return "\n\n".join([HEADING, *shown])


def choose(ids: Sequence[int], query: str, read: Callable[[int], Record], limit_tokens: int) -> Recall | None:
    """Quote the best of these segments, best first, within `limit_tokens`; None where not one fits."""
    words = words_of(query)
    left = limit_tokens - tokens.count(HEADING) - 8
    quotes: list[Quote] = []
    for segment_id in ids:
        if left < 2 * _FRAME_TOKENS:
            break
        record = read(segment_id)
        share = left if len(ids) == 1 else max(left // 2, min(left, 400))
        found = _fitting(segment_id, record, words, share)
        if found is not None:
            quote, taken = found
            quotes.append(quote)
            left -= taken
    if not quotes:
        return None
    text = compose(quotes, read)
    return Recall(tuple(quotes), text, tokens.count(text))


def _fitting(segment_id: int, record: Record, words: frozenset[str], limit_tokens: int) -> tuple[Quote, int] | None:
    """Find a stretch whose quotation takes at most `limit_tokens`; a few counts."""
    limit_chars = limit_tokens * _CHARS_PER_TOKEN
    for _ in range(6):
        start, stop = stretch(record.text, words, limit_chars)
        taken = tokens.count(quoted(segment_id, record, start, stop)) + 2
        if taken <= limit_tokens:
            return Quote(segment_id, start, stop), taken
        limit_chars = int(limit_chars * 0.9 * limit_tokens / taken)
    return None
