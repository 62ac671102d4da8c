"""How the arguments of a call are quoted on one line, and what they name as its target. No LLM.

Invariants:
    I1. All that is returned is one line, without control characters and without `[#`: it can forge no line and no id.
    I2. A name is quoted whole, or a path from a separator on; a name that has no room is left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ctxmem.ledger.gist import (
    MAX_CHARS,
    MAX_VALUE_CHARS,
    MAX_WORD_CHARS,
    end_of,
    escaped,
    head_of,
    is_quotable,
    value_text,
    width,
)

STATEMENTS_CHARS: Final = 100  # with less room, of long SQL its verbs and tables are shown, of a patch its files
_LEAST_VALUE_CHARS: Final = 12  # of an argument, cut; with less room it is left out
_LEAST_DETAIL_CHARS: Final = 48  # the same, of what only explains
_NAME_CHARS: Final = 48  # a name up to this is not cut
_TARGET_CHARS: Final = 80
_WORD_CHARS: Final = 24  # of a word that may stand for what a call is about
_FEW: Final = 3  # such words of one call
_FLAG_CHARS: Final = 2  # of a text that is no more than a yes or no
_ACTS: Final = frozenset({"command", "commands", "cmd", "commandline", "script", "query", "sql", "code"})
_NAME, _MAIN, _TEXT, _DETAIL = range(4)  # the order in which arguments get their room

# An argument that names one thing, by its key.
_NAMES_ONE = re.compile(r"(?:\A|[\W_])(?:id|ID|key)\Z|[a-z](?:I[dD]|Key)\Z|[nN]ame\Z")
_GO_THERE = re.compile(r"\s*cd [^\s&;|]+ && ")
_SEPARATOR = re.compile(r"/|\\\\")  # of a path, as JSON
# A text is SQL where it begins as a statement does, after comments: the same words stand in prose and in commands.
_SQL = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*(?:[^*]|\*(?!/))*\*/\s*)*"
    r"(?:alter|begin|create|delete|do|drop|explain|grant|insert|merge|select|set|truncate|update|with)\b",
    re.IGNORECASE,
)
_TABLE = r"((?:\"[^\"\n]{1,60}\"|[\w.`])+)"
_ALIAS = r"(?:\s+(?:as\s+)?\w+)?"
_STATEMENT = re.compile(
    r"(?:\A|(?<=[;()/\n]))[ \t]*(?:"
    rf"insert\s+into\s+{_TABLE}(?=\s*\(|\s+(?:as|default|overriding|select|values|with)\b)"
    rf"|update\s+(?:only\s+)?{_TABLE}(?={_ALIAS}\s+set\b)"
    rf"|delete\s+from\s+(?:only\s+)?{_TABLE}(?={_ALIAS}\s*(?:;|\Z|\b(?:where|using|returning)\b))"
    r"|(?:create|alter|drop)\s+(?:\w+\s+){0,3}?(?:table|function|view|policy|trigger|index|role|type|schema)"
    rf"(?:\s+if\s+(?:not\s+)?exists)?\s+{_TABLE}(?=\s*(?:[(;]|\Z)|\s+(?:add|after|alter|as|before|cascade|disable|drop"
    r"|enable|for|force|instead|on|owner|rename|set|with)\b))",
    re.IGNORECASE,
)
# The lines of a patch that name a file, in either way of writing one.
_PATCHED = re.compile(r"^(?:\*\*\* (?:Add|Update|Delete) File: *|--- [^\n]*\n\+\+\+ (?:b/)?)(\S[^\n\t]*)", re.MULTILINE)


def arguments_text(arguments: Mapping[str, Any], limit_chars: int) -> str:
    """Return a call's arguments as the JSON that was sent, cut to about `limit_chars`, each value for itself.

    The next call often repeats the shape, so its own spelling is worth more than a prettier one: `explained` 0.827
    against 0.816 with `key=value` (four sources, 16,000 tokens, 2026-11). Names and paths stay whole as long as they
    can, a long path keeps its end, and a name that has no room is left out: half of one is none. Texts share
    what is left, and those that get next to nothing are left out. What a call runs goes before what explains it, and
    numbers go last.

    >>> arguments_text({"path": "a.py", "limit": 20}, 200)
    '{"path": "a.py", "limit": 20}'
    >>> arguments_text({"path": "/home/me/app/src/main.py", "old": "x = 1 + 2 + 3 + 4 + 5 + 6 + 7", "new": "y"}, 60)
    '{"path": "/home/me/app/src/main.py", "old": "x = 1 + 2...", ...}'
    >>> arguments_text({"command": "mix test test/app_test.exs", "description": "Run a test", "timeout": 30000}, 50)
    '{"command": "mix test test/app_test.exs", ...}'
    """
    if not arguments:
        return ""
    if sum(width(value) if isinstance(value, str) else 8 for value in arguments.values()) <= limit_chars:
        text = escaped(_json(arguments))
        if width(text) <= limit_chars:
            return text
    values = {key: _value(value, limit_chars) for key, value in _by_shown_key(arguments)}
    parts = _parts(arguments, values)
    n_texts = sum(part == _TEXT for part in parts.values())
    of_main = sum(width(values[key]) + len(key) + 6 for key, part in parts.items() if part == _MAIN)
    left = limit_chars
    fields: dict[str, str] = {}
    for key, part in sorted(parts.items(), key=lambda item: (item[1], item[1] != _MAIN and width(values[item[0]]))):
        value = values[key]
        share = left - len(key) - 6
        if part == _NAME:
            share -= min(of_main, limit_chars // 2)
            if "/" in value:
                share = min(share, max(limit_chars * 5 // 6, _LEAST_VALUE_CHARS))
        elif part == _TEXT:
            share = left // n_texts - len(key) - 6
            n_texts -= 1
        least = _LEAST_DETAIL_CHARS if part == _DETAIL else _LEAST_VALUE_CHARS
        if share >= min(width(value), least) and (shown := _cut_value(value, share)):
            fields[key] = f'"{key}": {shown}'
            left -= width(fields[key]) + 2
    kept = [fields[key] for key in values if key in fields]
    return "{" + ", ".join(kept if len(kept) == len(values) else [*kept, "..."]) + "}"


def _parts(arguments: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, int]:
    """Sort arguments into names, what the call is about, texts and details.

    A call is about what it runs, or the objects that it lists. Details are numbers, flags, and texts beside what it
    runs: they explain it.
    """
    given = dict(_by_shown_key(arguments))
    texts = {key for key, value in values.items() if " " in value}
    acts = {key for key in texts if key.lower() in _ACTS}
    parts: dict[str, int] = {}
    for key, value in given.items():
        if value is None or isinstance(value, int | float) or (isinstance(value, str) and len(value) <= _FLAG_CHARS):
            parts[key] = _DETAIL
        elif key in acts or _are_objects(value):
            parts[key] = _MAIN
        elif key in texts:
            parts[key] = _DETAIL if acts else _TEXT
        else:
            parts[key] = _NAME
    return parts


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and one for one in value)


def _by_shown_key(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((escaped(str(key))[:MAX_VALUE_CHARS], value) for key, value in arguments.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _value(value: Any, limit_chars: int) -> str:
    """Return one argument as JSON on one line: of long SQL its verbs and tables, of a patch its files.

    Of objects whose values are all short these alone: keys would take the room.
    """
    most = 4 * limit_chars + MAX_WORD_CHARS
    if _are_objects(value):
        rows = [_short_values(one) for one in value[:limit_chars]]
        if all(rows):
            return f"[{', '.join(rows)}"[:most] + "]"
    if not isinstance(value, str):
        return escaped(_json(value)[:most])
    if len(value) > limit_chars and limit_chars <= STATEMENTS_CHARS:
        told = dict.fromkeys(" ".join(found.group().split()) for found in _changes(value[:MAX_CHARS]))
        if told:
            return escaped(_json("; ".join(told)))
    return escaped(_json(_GO_THERE.sub("", value[:most], count=1)))


def _short_values(value: Mapping[str, Any]) -> str:
    """Return the values of an object, "" where one of them is long."""
    shown = [value_text(one) for one in value.values() if one is not None and not isinstance(one, bool)]
    return " ".join(shown) if all(shown) else ""


def _changes(text: str) -> Iterator[re.Match[str]]:
    """Yield where a text of SQL, or a patch, says what it changes; of another text nothing."""
    if _SQL.match(text):
        yield from _STATEMENT.finditer(text)
    yield from _PATCHED.finditer(text)


def _cut_value(text: str, most: int) -> str:
    """Cut one JSON value: a path keeps its end, from a separator on, a text its head; "" where a name has no room."""
    if width(text) <= most:
        return text
    is_text = text.startswith('"')
    room = max(most - (5 if is_text else 3), 1)
    body = text[int(is_text) :]
    if not is_text or " " in text or not body.isascii():
        shown = head_of(body, room)
        if not is_text:
            return f"{shown.rstrip(',')}..." if shown else ""
        return f'"{shown or body[: end_of(body, room)]}..."'
    body = body.rstrip('"')
    if "://" not in body and _SEPARATOR.search(body):
        tail = body[-room:]
        found = _SEPARATOR.search(tail)
        if found or len(body) > _NAME_CHARS:
            return f'"...{tail[found.start() if found else 0 :]}"'
    return f'"{body[:room]}..."' if len(body) > _NAME_CHARS else ""


def target_of(arguments: Mapping[str, Any]) -> str:
    """Return the name of what a call changes: the table of an SQL statement, a file's name, the first id.

    Of a call whose texts are all single words, and name nothing, the first three; else "".

    >>> target_of({"path": "/a/b/main.py", "text": "x"}), target_of({"sql": "INSERT INTO users VALUES (1)"})
    ('main.py', 'users')
    >>> target_of({"reservation_id": "K1NW8N", "cabin": "economy"}), target_of({"command": "apt-get update the-list"})
    ('K1NW8N', '')
    >>> target_of({"origin": "MCO", "destination": "BOS", "date": "2024-05-21"})
    'MCO BOS 2024-05-21'
    """
    for key, value in arguments.items():
        for text in string_values(value, MAX_CHARS):
            if name := next((name for found in _changes(text[:MAX_CHARS]) for name in found.groups() if name), ""):
                return _short_name(_last_part(escaped(re.sub('["`]', "", name))))
        if isinstance(value, str):
            word = escaped(value[: 4 * MAX_WORD_CHARS])
            is_one = word and " " not in word and len(word) <= 2 * MAX_WORD_CHARS and not _is_pattern(word)
            if is_one and (_NAMES_ONE.search(str(key)) or is_quotable(word) or "/" in word):
                return _short_name(_last_part(word))
    return _few_words(arguments)


def _is_pattern(word: str) -> bool:
    """Say whether a word is a glob or a regular expression: its backslashes are no separators of a path."""
    return "*" in word or ("\\" in word and any(sign in "[](){}|+?^$" for sign in word))


def _few_words(arguments: Mapping[str, Any]) -> str:
    """Return the first texts of a call if all its texts are short words, else ""."""
    texts = [value for value in arguments.values() if isinstance(value, str) and value]
    words = [escaped(text[: 2 * _WORD_CHARS]) for text in texts]
    if not all(0 < width(word) <= _WORD_CHARS and " " not in word and "*" not in word for word in words):
        return ""
    return escaped(" ".join(words[:_FEW]))


def _short_name(name: str) -> str:
    return name if len(name) <= _TARGET_CHARS else "..." + name[3 - _TARGET_CHARS :]


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def string_values(value: Any, most_chars: int) -> Iterator[str]:
    """Yield the texts in a JSON value, in order, up to about `most_chars`."""
    waiting = [value]
    while waiting and most_chars > 0:
        one = waiting.pop()
        if isinstance(one, str):
            yield one[:most_chars]
            most_chars -= len(one)
        elif isinstance(one, Mapping):
            waiting += reversed(list(one.values()))
        elif isinstance(one, list):
            waiting += reversed(one)
