"""Which fields of a JSON result tell what came of a call, or what it found; on one short line.

A field tells little where the call says its value already, where it is a date, and where it is empty or false. What a
change answers with says more of the change in some fields than in others: its status, a total.

Invariants:
    I1. All that is returned is one line that can forge nothing (`gist.escaped`), each value whole.
    I2. The work is bounded by `_MOST_FIELDS` and `_MOST_ROWS`, whatever the value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from ctxmem.ledger.gist import MAX_VALUE_CHARS, escaped, value_text, width

CAME_CHARS: Final = 60  # of what came of a change
FOUND_CHARS: Final = 80  # of what was read
_MOST_FIELDS: Final = 60
_MOST_ROWS: Final = 40
_MOST_DEPTH: Final = 3
_OWN_FIELDS: Final = 3  # an object with as many fields is a record; with fewer it is put around one
_VALUE_CHARS: Final = 40

_DATE = re.compile(r"\d{4}[-/.]\d\d?[-/.]\d\d?(?:[T ].*)?|\d\d?:\d\d(?::\d\d)?\S{0,6}")
_LAST_WORD = re.compile(r"(?:[A-Z]?[a-z]+|[^\W_a-z]+)?\Z")
_SAYS: Final = frozenset(
    ("status", "state", "result", "outcome", "message", "msg", "total", "amount", "balance", "refund", "price")
)


def telling_fields(value: Any, arguments: Mapping[str, Any], *, is_change: bool) -> str:  # any JSON value
    """Return the fields of a JSON result that tell most; "" where none does. `arguments` are the call's.

    Of a change those that say what came of it; of what was read the first, or one field of several records.

    >>> cancelled = {"id": "NQ5R", "user": "li_36", "cabin": "economy", "legs": [{"n": 1}], "status": "cancelled"}
    >>> telling_fields(cancelled, {"id": "NQ5R"}, is_change=True)
    'status=cancelled'
    >>> telling_fields(cancelled, {"id": "NQ5R"}, is_change=False)
    'status=cancelled user=li_36 cabin=economy'
    >>> telling_fields([{"from": "JFK", "flight": "HAT069"}, {"from": "JFK", "flight": "HAT083"}], {}, is_change=False)
    'flight=HAT069,HAT083'
    """
    known = {escaped(str(leaf)) for leaf in islice(_leaves(arguments), _MOST_FIELDS)}
    for _ in range(_MOST_DEPTH):
        rows = _rows(value)
        if len(rows) > 1:
            return "" if is_change else _column(rows, known)
        value = rows[0] if rows else value
        if not isinstance(value, dict):
            return ""
        fields = _fields(value, known)
        inner = [field for field in value.values() if _holds_records(field)]
        n_own = sum(value_text(field) not in {"", "false"} for field in value.values())
        if n_own >= _OWN_FIELDS or len(inner) != 1:
            return _told(fields, is_change=is_change)
        value = inner[0]
    return ""


def _told(fields: Mapping[str, str], *, is_change: bool) -> str:
    says = {
        key: shown for key, shown in fields.items() if (word := _LAST_WORD.search(key)) and word[0].lower() in _SAYS
    }
    if is_change:
        return _within([f"{key}={shown}" for key, shown in (says or fields).items()], CAME_CHARS, " ")
    return _within([f"{key}={shown}" for key, shown in {**says, **fields}.items()], FOUND_CHARS, " ")


def _column(rows: Sequence[Mapping[str, Any]], known: set[str]) -> str:
    """Return the values of the first field that tells one record from another."""
    of_rows = [_fields(row, known) for row in rows]
    for key in of_rows[0]:
        shown = list(dict.fromkeys(fields[key] for fields in of_rows if key in fields))
        if len(shown) > 1:
            told = _within(shown, FOUND_CHARS - len(key), ",")
            return f"{key}={told}" + (",..." if len(told) < len(",".join(shown)) else "")
    return ""


def _within(texts: Sequence[str], most_chars: int, between: str) -> str:
    """Return as many of the texts as there is room for."""
    told: list[str] = []
    left = most_chars
    for text in texts:
        if width(text) <= left:
            told.append(text)
            left -= width(text) + 1
    return between.join(told)


def _rows(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, or of the lists that are in it."""
    if not isinstance(value, list):
        return []
    inner = [one for row in value[:_MOST_ROWS] for one in (row if isinstance(row, list) else [row])]
    return [row for row in inner[:_MOST_ROWS] if isinstance(row, dict)]


def _holds_records(value: Any) -> bool:
    return bool(_rows(value)) or (isinstance(value, dict) and bool(value))


def _fields(value: Mapping[str, Any], known: set[str]) -> dict[str, str]:
    found = ((escaped(str(key))[:MAX_VALUE_CHARS], _shown(field)) for key, field in islice(value.items(), _MOST_FIELDS))
    return {key: shown for key, shown in found if shown and shown not in known}


def _shown(field: Any) -> str:
    shown = "" if field is False else value_text(field)
    return "" if width(shown) > _VALUE_CHARS or _DATE.fullmatch(shown) else shown


def _leaves(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping | list):
            waiting += one.values() if isinstance(one, Mapping) else one
        elif one is not None:
            yield one
