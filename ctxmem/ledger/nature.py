"""What a call does to the world: it reads, it changes something, or it runs a program.

The caller says (`Options(nature_of_call=...)`), else the hints of the tool's schema (`readOnlyHint`); both are kept
with the record of the call. Else it is read from its name and arguments. What is not known to read only counts as a
change: a line too many is better than a change that is told nowhere.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ctxmem.ledger.commands import command_line, nature_of_command
from ctxmem.segment import NATURES, NOT_SAID, Nature, Record

_READS_WORDS: Final = (
    "analyze ask blame browse calculate check compute count crawl describe diff discover explain fetch find get glob"
    " goto grep head help history inspect list load lookup look ls navigate open output peek ping plan poll preview"
    " query read retrieve scan scrape screenshot scroll search sequentialthinking show snapshot stat status summarize"
    " tail think thinking track tree view wait walk watch"
)
_READS: Final = frozenset(_READS_WORDS.split())
_CHANGES_WORDS: Final = (
    "add apply append archive assign book buy cancel change clear click close commit configure copy create delete"
    " deploy drag drop edit enable disable execute exchange fill insert install invite kill launch link lock log make"
    " mark merge modify move mkdir order patch pay place post press publish push put refund register reject remove"
    " rename replace reply reserve reset restore return revert rm run save schedule send set share sign split start"
    " stop submit subscribe sync transfer undo uninstall unlock update upload upsert write"
)
_CHANGES: Final = frozenset(_CHANGES_WORDS.split())
_CHANGING_PAIRS_WORDS: Final = "check-in check-out open-pr open-pull open-issue open-ticket open-account open-position"
_CHANGING_PAIRS: Final = frozenset(tuple(pair.split("-")) for pair in _CHANGING_PAIRS_WORDS.split())
_JOINING: Final = frozenset({"and", "or", "then"})  # `get_or_create`
_ASKING: Final = frozenset({"query", "search"})  # as the last word
_TRANSPORTS: Final = frozenset({"execute", "post", "run"})  # say nothing of what is asked: `API-post-search`
_PROGRAMS_WORDS: Final = "bash shell terminal exec run execute python command cmd test process powershell"
_PROGRAMS: Final = frozenset(_PROGRAMS_WORDS.split())
_CHECKS: Final = frozenset({"build", "check", "checks", "lint", "linter", "test", "tests", "typecheck"})
_VERBS: Final = ("command", "action", "operation", "method", "action_name")
_WEAK_VERBS: Final = ("mode", "type")  # say something only where the name does not
# Tools by which an agent writes its own plan down, and what they are given; a to-do app's are given more.
_PLANNERS_WORDS: Final = (
    "todo todos todowrite writetodo writetodos todoread updatetodos updatetodolist managetodolist updateplan"
)
_PLANNERS: Final = frozenset(_PLANNERS_WORDS.split())
_PLAN_KEYS: Final = frozenset({"todos", "todolist", "plan", "explanation", "merge", "operation"})
_SQL = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*"
    r"(?:select|with|show|explain|describe|pragma|begin|insert|update|delete|create|alter|drop|truncate|grant|merge)\b",
    re.IGNORECASE | re.DOTALL,
)
_SQL_CHANGES = re.compile(
    r"\b(insert\s+into|update\s+\w|delete\s+from|create\s+|alter\s+|drop\s+|grant\s+|truncate\s+|merge\s+into)",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PARTS = re.compile(r"[^A-Za-z0-9]+")
_SERVER = re.compile(r"__|[./:]")  # between a server's name and its tool's: `mcp__git__git_log`


def nature_of(asked: Record, index: int) -> Nature:
    """Say what one call of a record does: what was said of it when it was appended, else what can be read."""
    said = asked.facts.natures[index] if asked.facts.natures else NOT_SAID
    call = asked.calls[index]
    return nature_of_call(call.name, call.arguments) if said == NOT_SAID else NATURES[said]


def nature_of_call(name: str, arguments: Mapping[str, Any]) -> Nature:
    """Say what a call does, by its name and arguments.

    >>> nature_of_call("get_user", {}), nature_of_call("bash", {"command": "git log | head -3"})
    ('read', 'read')
    >>> nature_of_call("bash", {"command": "npm test"}), nature_of_call("cancel_reservation", {"id": "A1"})
    ('run', 'change')
    >>> nature_of_call("editor", {"command": "view"}), nature_of_call("execute_sql", {"query": "DELETE FROM t"})
    ('read', 'change')
    """
    words, own = _words(name), _own_words(name)
    if "".join(own) in _PLANNERS and {_joined(key) for key in arguments} <= _PLAN_KEYS:
        return "read"
    found = nature_by_arguments(name, arguments)
    if found is not None:
        return found
    if _asks(own):
        return "read"
    if _PROGRAMS & set(own) and _CHECKS & set(own):
        return "run"
    return _by_words(own) or _by_words(words) or _by_verbs(_WEAK_VERBS, arguments) or "change"


def nature_by_arguments(name: str, arguments: Mapping[str, Any]) -> Nature | None:
    """Say what the arguments of a call show by themselves: a statement of SQL, a verb, a command line; else None."""
    own = _own_words(name)
    if not {"search", "find", "grep"} & set(own):  # what is searched for may look like anything
        for key in ("query", "sql", "statement"):
            text = arguments.get(key)
            if isinstance(text, str) and _SQL.match(text):
                return "change" if _SQL_CHANGES.search(text) else "read"
    if own and own[0] in _READS:  # what is read may be told of an action: `get_action_details`
        return _by_verbs(("method",), arguments)
    is_program = bool(_PROGRAMS & set(own))
    found = _by_verbs(_VERBS[is_program:], arguments)  # the command of a shell is a line, however short
    if found is not None:
        return found
    command = command_line(arguments, of_program=is_program)
    return None if command is None else nature_of_command(command)


def is_program(name: str, arguments: Mapping[str, Any]) -> bool:
    """Say whether a call runs a program, whose output may hold an exit code anywhere."""
    given = [arguments.get(key) for key in ("command", "cmd")]
    return bool(_PROGRAMS & set(_words(name))) or any(
        isinstance(one, list) or (isinstance(one, str) and " " in one) for one in given
    )


def _words(name: str) -> list[str]:
    return [word for word in _PARTS.split(_CAMEL.sub("_", name).lower()) if word]


def _own_words(name: str) -> list[str]:
    """Return the words of a tool's own name, without its server's."""
    return _words(_SERVER.split(name)[-1])


def _joined(key: str) -> str:
    return "".join(_words(str(key)))


def _by_verbs(keys: tuple[str, ...], arguments: Mapping[str, Any]) -> Nature | None:
    """Read the first argument that is one word, of those that name what is to be done."""
    for key in keys:
        verb = arguments.get(key)
        if isinstance(verb, str) and len(verb) <= 60 and not re.search(r"\s", verb.strip()):
            found = _by_words(_words(verb))
            if found is not None:
                return found
    return None


def _asks(words: list[str]) -> bool:
    """Say whether a name ends in what is asked, and makes nothing before."""
    return bool(words) and words[-1] in _ASKING and not (_CHANGES - _TRANSPORTS) & set(words)


def _by_words(words: list[str]) -> Nature | None:
    """Read the first word that says something; after one that reads, only `and create` or `replace` changes."""
    if words[:2] == ["git", "log"]:
        return "read"
    for at, word in enumerate(words):
        if word in _CHANGES or (word, *words[at + 1 : at + 2]) in _CHANGING_PAIRS:
            return "change"
        if word in _READS:
            later = set(words[at + 1 :])
            changes = "replace" in later or (later & _JOINING and later & _CHANGES)
            return "change" if changes else "read"
    return None
