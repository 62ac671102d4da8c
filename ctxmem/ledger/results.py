"""What may be quoted of the result of a call that did not fail: what came of it, its size, its records and names.

Nothing is called well that does not say so itself. Prose of what was read is not quoted: it is another's.

Invariants:
    I1. All that is quoted is one line that can forge nothing (`gist.escaped`).
    I2. The work is bounded, whatever the text.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ctxmem.ledger.arguments import string_values
from ctxmem.ledger.fields import telling_fields
from ctxmem.ledger.gist import cut_words, escaped, excerpts, words_of
from ctxmem.ledger.line import NAMES, OUTCOME, RECORD, SIZE, Note
from ctxmem.ledger.replies import says_ok
from ctxmem.ledger.wrapping import parsed, unwrapped
from ctxmem.segment import Nature

SHORT_BYTES: Final = 80  # a result up to this is quoted whole; of UTF-8, so that other scripts get fewer signs
ROW_BYTES: Final = 160  # the same, of one line
ROW_CHARS: Final = 80  # quoted of the first line of a longer one, or of the last
LONG_CHARS: Final = 3_000  # of a text longer than this, a name says little until another step has it too
_LOOKED_AT_CHARS: Final = 2_000
_LEAST_NAME_CHARS: Final = 8  # of an argument that a result repeats: the call shows it already
_MOST_NAME_CHARS: Final = 200
_LEAST_SENTENCE_CHARS: Final = 24
_CODE = re.compile(r"^#{2,4} [^\n]*\n|```.*?```", re.DOTALL | re.MULTILINE)  # a heading; what a tool ran
_END = re.compile(r"[.!?](?=\s)|[。！？]")  # noqa: RUF001 - signs of other scripts are meant


def notes_of(segment_id: int, text: str, arguments: Mapping[str, Any], *, nature: Nature, in_full: bool) -> list[Note]:
    """Note what may be quoted of a result; `arguments` are the call's. `in_full`: with records and names.

    >>> [note.text for note in notes_of(4, "Saved.", {}, nature="change", in_full=True)]
    ['Saved.']
    """
    said = unwrapped(text)
    if not said:
        return [Note(segment_id, OUTCOME, "(empty)")]
    value = parsed(said)
    if isinstance(value, dict) and _fits(said, ROW_BYTES) and len(records := excerpts(said)) == 1:
        said, value = records[0].text, None
    if _is_short(said):
        whole = escaped(_without_names(said, arguments) if nature == "change" else said)
        return [Note(segment_id, OUTCOME, whole, tuple(words_of(whole)))]
    notes = [Note(segment_id, SIZE, _size(said))]
    if told := telling_fields(value, arguments, is_change=nature == "change"):
        notes = notes[: nature != "change"]  # what came of a change is always told
        notes.append(Note(segment_id, OUTCOME, told))
    elif isinstance(value, dict) and nature != "read" and says_ok(value):
        notes = [Note(segment_id, SIZE, "ok")]
    elif value is None and nature == "change":
        notes = [Note(segment_id, OUTCOME, _opening(said, arguments))]
    elif value is None and nature == "run" and "\n" in said:  # programs say last what came of it
        notes.append(Note(segment_id, OUTCOME, f"{_size(said)}, the last: {_ending(said)}"))
    for one in excerpts(said) if in_full else ():
        is_record = "=" in one.text
        weight = 1 if is_record or len(said) <= LONG_CHARS else 0
        notes.append(Note(segment_id, RECORD if is_record else NAMES, one.text, one.words, weight))
    return notes


def _is_short(said: str) -> bool:
    is_row = "\n" not in said and said[:1] not in {"{", "["}  # of JSON the records are told
    return _fits(said, ROW_BYTES if is_row else SHORT_BYTES)


def _fits(said: str, most_bytes: int) -> bool:
    return len(said) <= most_bytes and len(said.encode("utf-8", "surrogatepass")) <= most_bytes


def _size(said: str) -> str:
    n_lines = said.count("\n") + 1
    return f"{n_lines} lines" if n_lines > 1 else f"{len(said):,} characters"


def _without_names(said: str, arguments: Mapping[str, Any]) -> str:
    """Leave out of what came of a call the names that the call itself shows."""
    for name in string_values(dict(arguments), _LOOKED_AT_CHARS):
        if _LEAST_NAME_CHARS <= len(name) <= _MOST_NAME_CHARS and not any(map(str.isspace, name)) and name != said:
            said = said.replace(name, "...")
    return said


def _opening(said: str, arguments: Mapping[str, Any]) -> str:
    """Return the first sentence of a text."""
    rows = _CODE.sub("", said[:_LOOKED_AT_CHARS]).splitlines()
    row = next((row for row in rows if any(map(str.isalnum, row))), said[:ROW_CHARS])
    row = escaped(_without_names(row, arguments))
    ends = [found.end() for found in _END.finditer(row) if _LEAST_SENTENCE_CHARS <= found.end() <= ROW_CHARS]
    return row[: ends[0]] if ends else cut_words(row, ROW_CHARS)[: ROW_CHARS + 3]


def _ending(said: str) -> str:
    """Return the last line of a text that has a letter or a digit."""
    rows = said[-_LOOKED_AT_CHARS:].splitlines()
    row = next((row for row in reversed(rows) if any(map(str.isalnum, row))), rows[-1])
    return cut_words(escaped(row), ROW_CHARS)[: ROW_CHARS + 3]
