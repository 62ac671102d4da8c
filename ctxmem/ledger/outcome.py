"""Whether a call failed, read from the shape of its result; and the line of the result that says so.

Programs and tools report failures in a few forms, whatever language the conversation is in: a JSON object with an error
in it, a text that begins with an error, an exit code that is not 0, a compiler's or a test runner's own lines. A word
somewhere inside a result says nothing: a file that is read may be about errors.

Invariants:
    I1. The work is bounded by `_HEAD_CHARS`, `_TAIL_CHARS` and `_JSON_CHARS`, whatever the text.
    I2. What is returned is one line that can forge nothing (`gist.escaped`).
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from ctxmem.ledger.gist import escaped

KEY_CHARS: Final = 160  # of the line that says what failed
_HEAD_CHARS: Final = 3_000
_TAIL_CHARS: Final = 1_500
_JSON_CHARS: Final = 200_000  # of a text that is parsed

# At the very start of a result, after signs and a short label.
_START = re.compile(
    r"\W{0,4}(?:\w{1,20}: )?(?:"
    r"error\b|fatal\b|traceback\b|panic\b|failed\b|failure\b|exception\b|unhandled\b|[a-z_.]*(?:error|exception)(?=[:!]|\s*$)"
    r"|(?:command|process|script|program)\b.{0,20}\b(?:exited(?! (?:with )?(?:code|status)?[ :=]*0\b)|failed|timed out)"
    r"|\w+(?: \w+){0,3} (?:error|failed)\b[:!]|tool (?:call |execution )?(?:error|failed)"
    r"|your proposed edit has introduced|[✖✘❌]|http/\d\S* [45]\d\d|[45]\d\d [a-z]+ ?[a-z]*$)",
    re.IGNORECASE,
)
# Anywhere in the head or the tail of what a program printed.
_EXIT = re.compile(
    r"\bexit(?:ed)?(?: with)?(?: (?:code|status))?[ :=]+(?:code |status )?([1-9]\d{0,2})\b", re.IGNORECASE
)
_PRINTED = re.compile(
    r"^Traceback \(most recent call last\)|^(?:npm ERR!|npm error)|error TS\d+:|^error\[E\d+\]|: command not found\b"
    r"|: No such file or directory\b|: Permission denied\b|^Error executing|^not ok \d|^\s*[✖✘] \d+ (?:fail|problem)"
    r"|^(?:FAILED|ERROR) \S|\b[1-9]\d* (?:failed|failing)\b|^fatal: |^make: \*\*\*|^Segmentation fault",
    re.MULTILINE,
)
# A line that says what went wrong, among those of a failed result.
_SAYS = re.compile(
    r"^\W*(?:[A-Za-z_.]*(?:Error|Exception|Warning))\b|error(?: TS\d+|\[E\d+\])?:|^\W*(?:error|fatal|failed|panic)\b"
    r"|not found|No such file|Permission denied|^not ok |^E  +\S|^FAILED |\b[1-9]\d* (?:failed|failing)\b|❌",
    re.IGNORECASE | re.MULTILINE,
)
_WRAPPER = re.compile(r"^\W*(?:traceback|(?:command|process)\b.{0,20}\bexited|exit code|error:?\W*$)", re.IGNORECASE)
_ERROR_KEYS: Final = ("error", "errors", "err", "exception", "error_message")
_FLAGS: Final = ("success", "ok", "succeeded")
_DETAILS: Final = ("details", "detail", "message", "reason")
_MESSAGES: Final = ("message", "error", "detail", "details", "reason", "msg", "description", "name", "code", "title")


def failure(text: str, *, is_error: bool = False, is_program: bool = False) -> str:
    r"""Return the line that says what failed, "" where the result is none of a failure.

    `is_error`: the caller said that the tool failed. `is_program`: the text is what a program printed, so that exit
    codes and a compiler's lines count wherever they stand; of anything else only its beginning does.

    >>> failure("Error: payment amount does not add up"), failure("class ParseError: a type", is_program=True)
    ('Error: payment amount does not add up', '')
    >>> failure('{"status": 400, "message": "no such page"}'), failure("running\nexit code: 2", is_program=True)
    ('no such page', 'exit code: 2')
    """
    head, tail = text[:_HEAD_CHARS], text[-_TAIL_CHARS:] if len(text) > _HEAD_CHARS else ""
    said = _of_json(text)
    if said is not None:
        if said or is_error:
            return said or "failed"
        return ""
    stripped = head.lstrip()
    starts = _START.match(stripped[:200]) is not None
    prints = is_program and bool(
        _EXIT.search(head) or _EXIT.search(tail) or _PRINTED.search(head) or _PRINTED.search(tail)
    )
    if not (starts or prints or is_error):
        return ""
    return _key_line(head, tail) or "failed"


def key_line(text: str) -> str:
    """Return the line of a failed result that says what failed."""
    return _of_json(text) or _key_line(text[:_HEAD_CHARS], text[-_TAIL_CHARS:] if len(text) > _HEAD_CHARS else "")


def _key_line(head: str, tail: str) -> str:
    rows = [row.strip() for row in (*head.splitlines(), *tail.splitlines()) if row.strip()]
    if not rows:
        return ""
    telling = [row for row in rows if _SAYS.search(row) and not _WRAPPER.match(row)]
    is_traceback = any(row.startswith("Traceback") for row in rows)
    if telling:
        best = telling[-1] if is_traceback else telling[0]
    else:
        best = next((row for row in rows if _EXIT.search(row)), rows[0])
        if len(best) < 12 and best is rows[0] and len(rows) > 1:
            best += " " + rows[1]
    return escaped(best)[:KEY_CHARS]


def _of_json(text: str) -> str | None:
    """Return what a JSON value says of its failure, "" where it says none; None where the text is no such value.

    A list is data, whatever the rows say, unless it is one of content parts, as MCP sends them.
    """
    stripped = text.lstrip()
    if not stripped.startswith(("{", '[{"')) or len(text) > _JSON_CHARS:
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        first = value[0] if value and isinstance(value[0], dict) else {}
        part = first.get("text")
        return failure(part) if first.get("type") == "text" and isinstance(part, str) else ""
    return _of_object(value, 0)


def _of_object(value: Mapping[str, Any], depth: int) -> str:
    folded = {str(key).lower().replace("_", ""): field for key, field in value.items()}
    failed = any(folded.get(flag) is False for flag in _FLAGS) or folded.get("iserror") is True
    status = folded.get("status", folded.get("statuscode"))
    failed = failed or (isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600)
    failed = failed or str(status).lower() in {"error", "failed", "failure"} or folded.get("object") == "error"
    exit_code = folded.get("exitcode", folded.get("returncode"))
    failed = failed or (isinstance(exit_code, int) and not isinstance(exit_code, bool) and exit_code != 0)
    for key in _ERROR_KEYS:
        field = folded.get(key.replace("_", ""))
        if field and not isinstance(field, bool | int | float):
            said = _message(field)
            more = next((_message(folded[name]) for name in _DETAILS if folded.get(name)), "")
            if said:
                return said if not more or more in said else f"{said}: {more}"[:KEY_CHARS]
    if failed:
        return _message(value) or "failed"
    for field in value.values():
        if isinstance(field, dict) and depth < 2 and (said := _of_object(field, depth + 1)):
            return said
    return ""


def _message(field: Any) -> str:
    if isinstance(field, str):
        first = next((row.strip() for row in field.splitlines() if row.strip()), "")
        return escaped(first)[:KEY_CHARS]
    if isinstance(field, list):
        return next((said for one in field if (said := _message(one))), "")
    if isinstance(field, dict):
        found = (_message(field[key]) for key in _MESSAGES if isinstance(field.get(key), str | dict | list))
        return next((said for said in found if said), "")
    return ""
