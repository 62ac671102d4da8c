"""What a call does to the world: it reads, it changes something, or it runs a program. From its name and arguments.

A tool's own hint (`readOnlyHint`, or what the caller says by `Options(nature_of_call=...)`) goes before all that is
read here. What is not known to read only counts as a change: a line too many is better than a change that is told
nowhere.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

Nature: TypeAlias = Literal["read", "change", "run"]

_READS_WORDS: Final = (
    "analyze ask browse calculate check compute count describe discover explain fetch find get glob goto grep head"
    " help inspect list load lookup look ls navigate open peek ping plan preview query read retrieve scan scroll"
    " search select show stat status summarize tail think view wait walk watch"
)
_READS: Final = frozenset(_READS_WORDS.split())
_CHANGES_WORDS: Final = (
    "add apply append archive assign book buy cancel change clear close commit configure copy create delete deploy"
    " drop edit enable disable execute exchange insert install invite kill launch link lock log make merge modify"
    " move mkdir open_pr order patch pay place post publish push put refund register reject remove rename replace"
    " reply reserve reset restore return revert rm run save schedule send set share sign split start stop submit"
    " subscribe sync transfer undo uninstall unlock update upload upsert write"
)
_CHANGES: Final = frozenset(_CHANGES_WORDS.split())
_READING_COMMANDS_WORDS: Final = (
    "awk basename cat cd cmp column cut date df diff dirname du echo egrep env fd fgrep file find grep head history"
    " id jq less locate ls lsof md5sum more nl od printenv printf ps pwd readlink realpath rg sed sha256sum sort"
    " stat strings tail test tr tree type uname uniq wc whereis which whoami xxd yq"
)
_READING_COMMANDS: Final = frozenset(_READING_COMMANDS_WORDS.split())
_READING_GIT_WORDS: Final = "blame branch describe diff grep log ls-files remote rev-parse shortlog show status tag"
_READING_GIT: Final = frozenset(_READING_GIT_WORDS.split())
_COMMANDS: Final = ("command", "cmd", "script", "code")
_VERBS: Final = ("command", "action", "operation", "method", "mode", "action_name", "type")
_SQL_READS = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(select|with|show|explain|describe|pragma table_info)\b",
    re.IGNORECASE | re.DOTALL,
)
_SQL_CHANGES = re.compile(
    r"\b(insert\s+into|update\s+\w|delete\s+from|create\s+|alter\s+|drop\s+|grant\s+|truncate\s+)", re.IGNORECASE
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PARTS = re.compile(r"[^A-Za-z0-9]+")


def nature_of_call(name: str, arguments: Mapping[str, Any]) -> Nature:
    """Say what a call does.

    >>> nature_of_call("get_user", {}), nature_of_call("bash", {"command": "git log | head -3"})
    ('read', 'read')
    >>> nature_of_call("bash", {"command": "npm test"}), nature_of_call("cancel_reservation", {"id": "A1"})
    ('run', 'change')
    >>> nature_of_call("editor", {"command": "view"}), nature_of_call("execute_sql", {"query": "DELETE FROM t"})
    ('read', 'change')
    """
    for key in ("query", "sql", "statement"):
        text = arguments.get(key)
        if isinstance(text, str) and (_SQL_READS.match(text) or _SQL_CHANGES.search(text)):
            return "change" if _SQL_CHANGES.search(text) else "read"
    words = _words(name)
    if words and (words[0] in _READS or words[-1] in {"query", "search"}):
        return "read"
    verbs = [arguments[key] for key in _VERBS if isinstance(arguments.get(key), str)]
    for verb in verbs:
        if len(verb) <= 60 and not re.search(r"\s", verb.strip()):
            found = _by_words(_words(verb))
            if found is not None:
                return found
    for key in _COMMANDS:
        command = arguments.get(key)
        if isinstance(command, str):
            return "read" if _only_reads(command) else "run"
    return _by_words(words) or "change"


def is_program(name: str, arguments: Mapping[str, Any]) -> bool:
    """Say whether a call runs a program, whose output may hold an exit code anywhere."""
    words = set(_words(name))
    runs = words & {
        "bash",
        "shell",
        "terminal",
        "exec",
        "run",
        "execute",
        "python",
        "command",
        "cmd",
        "test",
        "process",
    }
    return bool(runs) or any(isinstance(arguments.get(k), str) and " " in arguments[k] for k in ("command", "cmd"))


def _words(name: str) -> list[str]:
    return [word for word in _PARTS.split(_CAMEL.sub("_", name).lower()) if word]


def _by_words(words: list[str]) -> Nature | None:
    for word in words:
        if word in _CHANGES:
            return "change"
        if word in _READS:
            return "read"
    return None


def _only_reads(command: str) -> bool:
    if ">" in command.replace("2>&1", "").replace("2>/dev/null", "").replace(">/dev/null", "") or "$(" in command:
        return False
    return all(_reads(words) for words in _simple_commands(command))


def _simple_commands(command: str) -> Iterator[list[str]]:
    """Split a command line at its operators; a text that cannot be split yields what reads nothing."""
    for part in re.split(r"&&|\|\||[;|\n]", command[:4_000]):
        try:
            words = shlex.split(part)
        except ValueError:
            words = part.split()
        if words:
            yield words


def _reads(words: list[str]) -> bool:
    program = words[0].rsplit("/", 1)[-1]
    if program == "git":
        verbs = [word for word in words[1:] if not word.startswith("-")]
        return bool(verbs) and verbs[0] in _READING_GIT
    if program == "sed":
        return not any(word.startswith("-i") or word == "--in-place" for word in words[1:])
    if program == "find":
        return not {"-delete", "-exec", "-execdir"} & set(words)
    return program in _READING_COMMANDS
