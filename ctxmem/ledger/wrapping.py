"""What tools put around what they have to say: content parts, a tag, a heading, a header of labels, an exit code's row.

It is the same around a success and a failure, so it says nothing; it is taken off before a result is read or quoted.
The work is bounded by `_JSON_CHARS`, `_HEAD_CHARS` and `_TAIL_CHARS`, whatever the text.
"""

import json
import re
from typing import Any, Final

_JSON_CHARS: Final = 200_000  # of a text that is parsed
_HEAD_CHARS: Final = 1_000
_TAIL_CHARS: Final = 400
_MOST_LAYERS: Final = 3
_LABEL_ROWS: Final = 8  # of a header before the output

_LABEL = re.compile(r"(?:\[[^\]\n]{1,80}\] )?\w[\w ]{0,30}[:：][ \t]*\n\s*(?=\S)|\w{2,20}[:：] (?=[{\[])")  # noqa: RUF001 - a sign of other scripts
_HEADING = re.compile(r"\s*#{2,4} [^\n]{1,40}\n+(?!```)")
_TAG = re.compile(r"\s*<([a-z][\w-]{2,30})>\s*", re.IGNORECASE)
_ELEMENTS = re.compile(r"\s*(?:<([\w-]+)>[^<\n]{0,60}</\1>\s*)+(?=<)")
_OUTPUT = re.compile(r"^(?:\w+ )?output:[ \t]*\n?", re.IGNORECASE | re.MULTILINE)
_EXITED = re.compile(
    r"(?:^\[[^\n]*\]\s*)*^\W*\w[^\n]{0,40}\b(?:exit|return) ?code\b[^\n]*\Z", re.IGNORECASE | re.MULTILINE
)
_LABELLED = re.compile(r"(?:\n\w[\w ]{1,30}: \S[^\n]{0,40})*?\nExit Code: \d+(?:\n\w[\w ]{1,30}: \S[^\n]{0,40})*\s*\Z")
_PRINTED: Final = ("output", "stdout")
_BESIDE: Final = frozenset(
    {"metadata", "exit_code", "exitcode", "returncode", "stderr", "duration", "status", "success"}
)


def parsed(text: str) -> Any:
    """Return the JSON object or list that a text is; None where it is no such thing, or longer than is looked at."""
    stripped = text.strip()
    if stripped[:1] not in {"{", "["} or stripped[-1:] not in {"}", "]"} or len(stripped) > _JSON_CHARS:
        return None
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        return None


def parts_text(value: Any) -> str | None:  # any JSON value
    """Return the text of content parts, as MCP sends them, alone or as the `content` of an object; None: it is none."""
    parts = value.get("content") if isinstance(value, dict) else value
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        return None
    texts = [part["text"] for part in parts if part.get("type") == "text" and isinstance(part.get("text"), str)]
    return "\n".join(texts) if texts else None


def unwrapped(text: str) -> str:
    r"""Return what a result says, without what stands around it.

    >>> unwrapped('[{"type": "text", "text": "UPDATE 4127"}]'), unwrapped("### Result\nsaved as a.png")
    ('UPDATE 4127', 'saved as a.png')
    >>> unwrapped("Chunk ID: 1\nWall time: 2 s\nOutput:\nran\n"), unwrapped("<output>\nran\n</output>")
    ('ran', 'ran')
    >>> unwrapped("Process exited with code 1\nOutput:\n"), unwrapped('{"output": "", "metadata": {"exit_code": 0}}')
    ('', '')
    """
    made = text.strip()
    for _ in range(_MOST_LAYERS):
        inner = _inner(made).strip()
        if inner == made:
            break
        made = inner
    return made


def _inner(text: str) -> str:
    value = parsed(text)
    if value is not None:
        said = parts_text(value)
        return said if said is not None else _printed(value, text)
    for opening in (_HEADING, _LABEL):
        if found := opening.match(text):
            return text[found.end() :]
    if found := _ELEMENTS.match(text[:_HEAD_CHARS]):
        text = text[found.end() :]
    found = _TAG.match(text[:_HEAD_CHARS])
    if found and text.endswith(end := f"</{found[1]}>"):
        return text[found.end() : -len(end)]
    return _without_exit(_after_header(text))


def _printed(value: Any, text: str) -> str:
    """Return what a program printed, of an object that holds nothing else but how it ended."""
    if isinstance(value, dict):
        texts = [said for key in (*_PRINTED, "stderr") if isinstance(said := value.get(key), str)]
        if any(key in value for key in _PRINTED) and texts and set(value) <= _BESIDE | {*_PRINTED}:
            return next((said for said in texts if said.strip()), "")
    return text


def _after_header(text: str) -> str:
    """Leave out short rows before a row that says `Output:`, which is where what was printed begins."""
    found = _OUTPUT.search(text[:_HEAD_CHARS])
    if found is None:
        return text
    rows = text[: found.start()].splitlines()
    return text[found.end() :] if len(rows) <= _LABEL_ROWS and all(len(row) <= 200 for row in rows) else text


def _without_exit(text: str) -> str:
    """Leave out the rows after what was printed that say how the program ended."""
    head, tail = text[:-_TAIL_CHARS], text[-_TAIL_CHARS:]
    for rows in (_LABELLED, _EXITED):
        left = head + rows.sub("", tail)
        if left.strip():
            text, head, tail = left, left[:-_TAIL_CHARS], left[-_TAIL_CHARS:]
    return text
