"""Whether a call failed, read from the shape of its result; and the line of the result that says so.

Programs and tools report failures in a few forms, whatever language the conversation is in: a JSON object with an error
in it, a text that begins with an error, an exit code that is not 0, a program's own name before a complaint, a
compiler's or a test runner's own lines. A word somewhere inside a result says nothing: a file that is read may be
about errors. Of a call that only reads, what is printed is what was read, so the forms of a compiler say nothing there.

Invariants:
    I1. The work is bounded by what `wrapping` and `reason` look at, whatever the text.
    I2. What is returned is one line that can forge nothing (`gist.escaped`).
"""

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from ctxmem.ledger.commands import programs_of
from ctxmem.ledger.nature import is_program
from ctxmem.ledger.reason import CONFLICT, EXIT, HEAD_CHARS, LABEL, complains, reason, tail_of
from ctxmem.ledger.replies import complaint
from ctxmem.ledger.wrapping import parsed, parts_text, unwrapped
from ctxmem.segment import Call, Nature

_BEGINS_CHARS: Final = 240
_FEW_CHARS: Final = 500  # a result that is longer, of a call that reads, is what was read

_PHRASES: Final = (
    "Bad Request|Unauthorized|Forbidden|Not Found|Method Not Allowed|Conflict|Gone|Unprocessable|Too Many Requests"
    "|Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out"
)
# At the very start of a result, after signs and a short label. No `#` or `/`: those begin headings and comments.
_START = re.compile(
    r"[^\w#/]{0,4}(?:\w{1,20}: )?(?:"
    r"errors?(?:\s*[:!](?!\w+:)|\[\w+\]|\s+\(|\s+-?\d{1,6}\b(?![-/:.]\d)|\s*(?:\n|$)|\s+(?:while|when|during|occurred)\b"
    r"|\s+(?!handling|reporting|logging|checking|messaging|tracking)[a-z]+ing\b)"
    r"|fatal(?: error)?:|traceback \(|panic: |failed to\b|(?:failed|failure|exception)[:!]|unhandled \w"
    r"|[a-z_.]*(?:error|exception)(?=[:!](?!\w+:)|\s*$)"
    r"|[\w-]+(?: [\w-]+){0,3} (?:error|failed)\b(?: -?\d+| occurred)?[:!]"
    r"|(?:the )?tool (?:call |execution )?(?:error|failed)"
    r"|your proposed edit has introduced|[✖✘❌]|http/\d\S* [45]\d\d|<\w*error>"
    rf"|(?:<[^>]{{1,60}}>\s*){{0,4}}<title>\s*(?:error |http )?[45]\d\d(?:\s*<| error| (?:{_PHRASES})))",
    re.IGNORECASE,
)
# The same, of what changes something or runs, and of what reads where it is short: said in a few words.
_START_IF_SHORT = re.compile(
    r"[^\w#/]{0,4}(?:[\w.-]{1,20}: )?(?:"
    rf"(?:{LABEL})(?: \d+| ?\([^)\n]*\))? ?[:：](?!\w+:)"  # noqa: RUF001 - a sign of other scripts is meant
    r"|error\b(?!:\w+:|[- ]?(?:handl|log|page|report|check))|failed\b|no result: |[45]\d\d[ -][45]\.\d{1,3}\.\d{1,3} "
    r"|(?:could not|couldn't|cannot|can't|unable to|no such)\b"
    r"|the user (?:doesn't|does not|did not|declined|rejected|denied)\b"
    r"|(?:access|permission|request|operation|tool call|action) (?:was )?"
    r"(?:denied|rejected|refused|forbidden|cancell?ed|aborted)\b"
    rf"|[^\n:：]{{0,30}}[:：]?\s*(?:http )?[45]\d\d:? (?:{_PHRASES}))",  # noqa: RUF001 - signs of other scripts are meant
    re.IGNORECASE,
)
_NONE = re.compile(  # `Errors: 0` is none
    r"\W{0,4}[^\W\d]{2,20} ?[:=：] ?\(?(?:0|none|null|-)(?!\w)",  # noqa: RUF001 - a sign of other scripts is meant
    re.IGNORECASE,
)
# The same, of how a program ended.
_ENDED = re.compile(
    r"[^\w#/]{0,4}(?:\w{1,20}: )?(?:(?:command|process|script|program)\b.{0,20}\b"
    r"(?:exited(?! (?:with )?(?:code|status)?[ :=]*0\b)|failed|timed out)|exit ?code:? [1-9]\d{0,2}\b)",
    re.IGNORECASE,
)
# Anywhere in the head or the tail of what a program printed.
_PRINTED = re.compile(
    r"\bTraceback \(most recent call last\)|^(?:npm ERR!|npm error)|error TS\d+:|^error\[E\d+\]"
    r"|^(?:error|denied|fatal): |: command not found\b|: No such file or directory\b|: Permission denied\b"
    r"|^Error executing|^not ok \d|^[ \t]*[✖✘] \d+ (?:fail|problem)|^(?:FAILED|ERROR) \S|^(?:FAILURES|ERRORS)!"
    r"|^--- FAIL: |^ ?FAIL[ \t]+\S|\b[1-9]\d* (?:failed|failing)\b(?!=)|, [1-9]\d* failures?\b"
    r"|\b(?:Failures|Errors): [1-9]|^\[ERROR\] .*(?:FAILURE|ERROR)|\bBUILD FAIL(?:URE|ED)\b"
    r"|^ ?! \[(?:remote )?rejected\]|^make: \*\*\*|^Segmentation fault",
    re.MULTILINE,
)
_EXIT_0 = re.compile(r"\bexit(?:ed)?(?: with)?(?: (?:code|status))?[ :=]+(?:code |status )?0\b", re.IGNORECASE)


def failure_of(text: str, call: Call | None, nature: Nature | None, *, is_error: bool) -> str:
    """Return what `failure` says of the result of a call, whose nature is known; None: of no call that is known."""
    if call is None:
        return failure(text, is_error=is_error)
    runs = nature == "run" or is_program(call.name, call.arguments)
    return failure(
        text,
        is_error=is_error,
        is_program=runs,
        only_reads=nature == "read",
        programs=programs_of(call.arguments) if runs else (),
    )


def failure(
    text: str,
    *,
    is_error: bool = False,
    is_program: bool = False,
    only_reads: bool = False,
    programs: Collection[str] = (),
) -> str:
    r"""Return the line that says what failed, "" where the result is none of a failure.

    `is_error`: the caller said that the tool failed. `is_program`: the text is what a program printed, so that exit
    codes and a compiler's lines count wherever they stand; of anything else only its beginning does. `only_reads`: so
    that what was read says nothing of the call. `programs`: those that were run, by name.

    >>> failure("Error: payment amount does not add up"), failure("class ParseError: a type", is_program=True)
    ('Error: payment amount does not add up', '')
    >>> failure('{"status": 400, "message": "no such page"}'), failure("running\nexit code: 2", is_program=True)
    ('no such page', 'exit code: 2 / running')
    """
    said = _failure(text, is_program=is_program, only_reads=only_reads, programs=programs)
    if said or not is_error:
        return said
    return reason(unwrapped(text) or text, programs=programs) or "failed"


def _failure(text: str, *, is_program: bool, only_reads: bool, programs: Collection[str]) -> str:
    value = parsed(text)
    inner = parts_text(value)
    if inner is not None:
        said = _failure(inner[: len(text)], is_program=is_program, only_reads=only_reads, programs=programs)
        return said or (_marked(value, inner) if isinstance(value, dict) else "")
    if isinstance(value, dict):
        return complaint(value, only_reads=only_reads)
    if value is not None:
        return ""
    content = unwrapped(text)
    if len(content) < len(text) and parsed(content) is not None:
        return _failure(content, is_program=is_program, only_reads=only_reads, programs=programs)
    for one in (text, content):
        if _begins(one, only_reads=only_reads):
            return reason(one, begins=True, programs=programs) or "failed"
    if is_program and _prints(text, content, only_reads=only_reads, programs=programs):
        return reason(text, programs=programs) or "failed"
    return ""


def _marked(value: dict[str, Any], inner: str) -> str:
    """Return why a call failed whose answer is marked as a failure, beside its content; "" where it is not."""
    said = complaint({key: field for key, field in value.items() if key != "content"})
    return reason(inner) or said if said.startswith("isError=") else said


def _begins(text: str, *, only_reads: bool) -> bool:
    head = text[:HEAD_CHARS].lstrip()[:_BEGINS_CHARS]
    if _NONE.match(head):
        return False
    if _ENDED.match(head):
        return not only_reads or _ends_badly([head.partition("\n")[0]], only_reads=True)
    may_be_brief = not only_reads or len(text) <= _FEW_CHARS
    return bool(_START.match(head) or (may_be_brief and _START_IF_SHORT.match(head)))


def _ends_badly(parts: Iterable[str], *, only_reads: bool) -> bool:
    """Say whether an exit code is that of a failure; a search that finds nothing exits with 1."""
    codes = [int(found[1]) for part in parts for found in EXIT.finditer(part)]
    return any(code > 1 or not only_reads for code in codes)


def _prints(text: str, content: str, *, only_reads: bool, programs: Collection[str]) -> bool:
    """Say whether a program's output holds a failure: its exit code, its own complaint, a compiler's lines."""
    parts = (text[:HEAD_CHARS], tail_of(text))
    if _ends_badly(parts, only_reads=only_reads):
        return True
    rows = [row for row in (content[:HEAD_CHARS] + tail_of(content)).splitlines() if row.strip()]
    if rows and not any(map(_EXIT_0.search, parts)) and any(complains(row, programs) for row in (rows[0], rows[-1])):
        return True
    if only_reads:
        return False
    return any(_PRINTED.search(part) or ("git" in programs and CONFLICT.search(part)) for part in parts)
