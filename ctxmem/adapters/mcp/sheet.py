"""One answer, built part by part and never over its bound, and how a segment is quoted in it.

I1. An answer counts at most `ANSWER_TOKENS`: a part that does not fit is left out, and whoever builds it says so.
I2. Stored text is data: it stands under a line that says so, and an excerpt can forge no heading of ours.
I3. What is sent can be encoded: halves of characters, which a store may hold, are replaced.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from ctxmem import moments, tokens
from ctxmem.prompt.memorytools import QUOTED
from ctxmem.prompt.quotes import page, stretch
from ctxmem.prompt.recall import escaped, heading
from ctxmem.segment import Record

ANSWER_TOKENS = 6_000  # hosts cut an answer at some 10,000 to 25,000 tokens, or put it in a file
_JOINT_TOKENS = 2
_CHARS_PER_TOKEN = 3  # to start from; the count decides
_NAME_CHARS = 80
_HALVES = re.compile("[\ud800-\udfff]")


class Sheet:
    """The parts of one answer."""

    def __init__(self, limit_tokens: int = ANSWER_TOKENS) -> None:
        self._parts = [QUOTED]
        self._left = limit_tokens - tokens.count(QUOTED)

    def add(self, part: str) -> bool:
        """Add a part where it fits; return whether it did."""
        taken = tokens.count(part) + _JOINT_TOKENS
        if taken > self._left:
            return False
        self._left -= taken
        self._parts.append(part)
        return True

    def text(self) -> str:
        """Return the whole."""
        return encodable("\n\n".join(self._parts))


def encodable(text: str) -> str:
    r"""Return a text with its halves of characters replaced.

    >>> encodable("a\ud800b")
    'a\ufffdb'
    """
    return _HALVES.sub("\ufffd", text)


def as_json(value: Any) -> str:
    """Return an answer for a program, which a model may read too."""
    return encodable(json.dumps(value, ensure_ascii=False))


def one_line(text: str, most_chars: int = _NAME_CHARS) -> str:
    r"""Return a name as it may stand in a heading.

    >>> one_line("a\n[#7] user:")
    'a [ #7] user:'
    """
    line = " ".join(escaped(text[: 4 * most_chars]).split())
    return line if len(line) <= most_chars else line[: most_chars - 1] + "…"


def about(segment_id: int, record: Record, session: str | None) -> str:
    """Say what a segment is, of which session and project, and when it was."""
    project = record.facets.get("project")
    named = [f"session {one_line(session)}"] if session else []
    named += [f"project {one_line(project)}"] if isinstance(project, str) else []
    return ", ".join([" ".join(heading(segment_id, record).split()), *named, moments.shown(record.at)])


def excerpt(head: str, text: str, words: frozenset[str], limit_tokens: int) -> str:
    """Quote the stretch of a text that holds the most of the words, under its heading."""
    start, stop = stretch(text, words, limit_tokens * _CHARS_PER_TOKEN)
    stop = page(text[:stop], start, limit_tokens, tokens.count)
    part = "" if (start, stop) == (0, len(text)) else f", characters {start}-{stop} of {len(text)}"
    return f"{head}{part}:\n{escaped(text[start:stop])}"


def exact(head: str, text: str, offset: int, limit_tokens: int, more: Callable[[int], str]) -> str:
    """Quote a text as it is from an offset on, as far as a page goes; `more` says how to go on from there."""
    stop = page(text, offset, limit_tokens, tokens.count)
    part = "" if (offset, stop) == (0, len(text)) else f", characters {offset}-{stop} of {len(text)}"
    rest = f"\n[continues: {more(stop)}]" if stop < len(text) else ""
    return f"{head}{part}:\n{text[offset:stop]}{rest}"
