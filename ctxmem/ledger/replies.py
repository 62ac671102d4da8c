"""What a JSON object says of the call that it answers: that it failed and why, or that it went well."""

from collections.abc import Mapping
from typing import Any, Final

from ctxmem.ledger.gist import escaped
from ctxmem.ledger.reason import KEY_CHARS, LABEL, reason

_MOST_DEPTH: Final = 2
_FEW_FIELDS: Final = 6
_ERROR_KEYS: Final = ("error", "errors", "err", "exception", "errormessage")
_FLAGS: Final = ("success", "ok", "succeeded")
_STATUSES: Final = ("status", "statuscode")
_EXITS: Final = ("exitcode", "returncode")
_NUMBERS: Final = ("errcode", "errno", "errorcode")  # 0 where all is well
_DETAILS: Final = ("details", "detail", "message", "reason")
_MESSAGES: Final = (
    "message", "error", "detail", "details", "reason", "msg", "errmsg", "description", "name", "code", "title"
)  # fmt: skip
_TEXTS: Final = ("stderr", "output", "stdout", "text")
_BAD: Final = frozenset(LABEL.split("|"))
_GOOD: Final = frozenset({"ok", "success", "succeeded", "successful"})
_NONE: Final = frozenset({"none", "null", "no", "ok", "false", "0"})
# What an answer holds that is about the call alone; with anything else in it, it is data.
_ENVELOPE_WORDS: Final = "code msg object iserror requestid timestamp documentationurl type title url"
_ENVELOPE: Final = frozenset(
    (*_FLAGS, *_STATUSES, *_EXITS, *_NUMBERS, *_DETAILS, *_ERROR_KEYS, "errmsg", *_ENVELOPE_WORDS.split())
)


def complaint(value: Mapping[str, Any], *, only_reads: bool = False, depth: int = 0) -> str:
    """Return what an object says of a failure of the call, "" where it says none.

    What a call reads may be about failures, so there a status counts only where the object holds nothing else.

    >>> complaint({"status": 400, "message": "no such page"}), complaint({"code": 500, "msg": "超时", "data": None})
    ('no such page', '超时')
    >>> complaint({"id": 7, "status": "failed"}), complaint({"id": 7, "status": "failed"}, only_reads=True)
    ('status=failed', '')
    """
    folded = {_folded(key): field for key, field in value.items()}
    for key in _ERROR_KEYS:
        field = folded.get(key)
        if field and not isinstance(field, bool | int | float):
            said = _message(field)
            more = next((_message(folded[name]) for name in _DETAILS if folded.get(name)), "")
            if said and said.lower() not in _NONE:
                return said if not more or more in said else f"{said}: {more}"[:KEY_CHARS]
    found = _deciding(folded, only_reads=only_reads)
    if found:
        name = next(str(key) for key in value if _folded(key) == found)
        return _message(value) or _printed(folded) or _fields(value) or f"{escaped(name)}={_shown(value[name])}"
    for field in value.values():
        if isinstance(field, dict) and depth < _MOST_DEPTH and (not only_reads or _is_bare(field)):
            said = complaint(field, only_reads=only_reads, depth=depth + 1)
            if said:
                return _printed(folded) or said
    return ""


def says_ok(value: Mapping[str, Any]) -> bool:
    """Say whether an object says itself that the call went well.

    >>> says_ok({"ok": True, "ts": "176"}), says_ok({"id": 7})
    (True, False)
    """
    folded = {_folded(key): field for key, field in value.items()}
    return any(folded.get(flag) is True for flag in _FLAGS) or str(folded.get("status")).lower() in _GOOD


def _folded(key: Any) -> str:
    return str(key).lower().replace("_", "")


def _deciding(folded: Mapping[str, Any], *, only_reads: bool) -> str:
    """Return the key, folded, of the field that says that the call failed; "" where there is none."""
    is_bare = _is_bare(folded)
    of_call = is_bare or not only_reads
    first = next(iter(folded), "")
    for key in _FLAGS:
        if (folded.get(key) is False or folded.get(key) == "false") and (of_call or key == first):
            return key
    if folded.get("iserror") is True:
        return "iserror"
    for key in _STATUSES:
        field = folded.get(key)
        if _is_http_error(field) and (isinstance(field, int) or of_call):
            return key
        if isinstance(field, str) and field.lower() in _BAD and of_call:
            return key
    if _is_http_error(folded.get("code")) and is_bare and any(folded.get(key) for key in ("message", "msg")):
        return "code"
    for key in (*_EXITS, *_NUMBERS):
        field = folded.get(key)
        least = 2 if only_reads and key in _EXITS else 1  # a search that finds nothing exits with 1
        if isinstance(field, int) and not isinstance(field, bool) and (field >= least or field < 0):
            return key
    said = folded.get(first)
    if isinstance(said, str) and said.lower() in _BAD and of_call:
        return first
    return "object" if folded.get("object") == "error" else ""


def _is_bare(value: Mapping[str, Any]) -> bool:
    """Say whether an object is about the call alone: all else in it is empty."""
    return all(_folded(key) in _ENVELOPE or field in (None, "", [], {}) for key, field in value.items())


def _shown(field: Any) -> str:
    return escaped(field if isinstance(field, str) else str(field).lower())[:KEY_CHARS]


def _fields(value: Mapping[str, Any]) -> str:
    """Return the fields of a small object, whose keys are of another language; "" of one that is no answer."""
    if len(value) > _FEW_FIELDS or all(key.isascii() for key in value):
        return ""
    return " ".join(f"{escaped(key)}={escaped(field)}" for key, field in value.items() if isinstance(field, str))[
        :KEY_CHARS
    ]


def _is_http_error(field: Any) -> bool:
    if isinstance(field, str) and len(field) == 3 and field.isascii() and field.isdigit():
        field = int(field)
    return isinstance(field, int) and not isinstance(field, bool) and 400 <= field < 600


def _printed(folded: Mapping[str, Any]) -> str:
    texts = (folded.get(key) for key in _TEXTS)
    return next((said for text in texts if isinstance(text, str) and (said := reason(text))), "")


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
