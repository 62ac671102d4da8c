"""What a tool call says about files: the built-in reading of the argument names that coding agents use.

Conservative: where a call could mean several things, or several files, it says nothing, because a wrong range would let
the collector take one read for a repetition of another. `Options.facets_of_call` replaces this reading.
"""

import posixpath
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_PATHS = (
    "path",
    "file_path",
    "filepath",
    "filename",
    "file_name",
    "file",
    "absolute_path",
    "target_file",
    "notebook_path",
)
_ELSEWHERE = frozenset({"owner", "repo", "branch", "ref", "line_number"})  # one path, many files; a window around it
_COMMANDS = ("command", "cmd")
_READ = re.compile(r"(^|[_.-])(read|view|cat|show|get_file_contents|get_file_content|fetch_file)([_.-]|$)")
_WRITE = re.compile(r"(^|[_.-])(write|create|save|overwrite|put)([_.-]|$)")
_EDIT = re.compile(
    r"(^|[_.-])(edit|str_replace|replace|insert|patch|update|append|apply|undo_edit|multi_?edit)([_.-]|$)"
)
_NOT_FILES = re.compile(
    r"(^|[_.-])(list|find|search|grep|glob|delete|remove|rename|move|copy|dir|directory|tree|stat)([_.-]|s?$)"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_UNSAFE = re.compile(r"[|;&<>`$*?{}()\[\]\n~!]")
_CD = re.compile(r"\s*cd\s+([\w./-]+)\s*&&\s*")
_SED_RANGE = re.compile(r"(\d+)(?:,(\d+))?p")
_MAX_COMMAND_CHARS = 1_000
TO_THE_END = 2**31 - 1  # the last line of a range that has no end


def facets_of_call(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Read file, line range and operation from a call; empty where it is not plainly about one file.

    `lines` is [first, last], 1-based and inclusive; absent: the whole file; see `narrowed` for a range without an end.
    `op` is "read", "write" or "edit".

    >>> facets_of_call("read_file", {"path": "a.py", "start_line": 1, "end_line": 40})
    {'file': 'a.py', 'op': 'read', 'lines': [1, 40]}
    >>> facets_of_call("bash", {"command": "sed -n 5,9p src/a.py"})
    {'file': 'src/a.py', 'op': 'read', 'lines': [5, 9]}
    >>> facets_of_call("bash", {"command": "cat a.py b.py"})
    {}
    """
    if _ELSEWHERE & arguments.keys():
        return {}
    file = _only(arguments, _PATHS)
    if file is None:
        command = _only(arguments, _COMMANDS)
        return _of_command(command) if command is not None and len(command) <= _MAX_COMMAND_CHARS else {}
    verb = arguments.get("command")
    op = _operation(verb if isinstance(verb, str) and " " not in verb else name, arguments)
    if op is None:
        return {}
    lines = _lines(arguments) if op == "read" else []
    if lines is None:
        return {}
    return {"file": file, "op": op, "lines": lines} if lines else {"file": file, "op": op}


def narrowed(facets: Mapping[str, Any], text: str) -> dict[str, Any]:
    r"""Close an open range ("from line 200 on") by the number of lines that the result really has.

    >>> narrowed({"file": "a.py", "op": "read", "lines": [200, TO_THE_END]}, "x\ny\nz")["lines"]
    [200, 202]
    """
    lines = facets.get("lines")
    if not isinstance(lines, list) or len(lines) != 2 or lines[1] != TO_THE_END:
        return dict(facets)
    return {**facets, "lines": [lines[0], lines[0] + max(len(text.splitlines()), 1) - 1]}


def _only(arguments: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the one str among arguments of those names; None where there is none, or several that differ."""
    found = {arguments[name] for name in names if isinstance(arguments.get(name), str) and arguments[name].strip()}
    return next(iter(found)) if len(found) == 1 else None


def _operation(name: str, arguments: Mapping[str, Any]) -> str | None:
    word = _CAMEL.sub("_", name).lower()
    if _NOT_FILES.search(word):
        return None
    if {"old_str", "old_string", "oldText"} & arguments.keys():
        return "edit"
    if _EDIT.search(word) and not {"content", "file_text"} & arguments.keys():
        return "edit"
    if _WRITE.search(word):
        return "write"
    return "read" if _READ.search(word) else None


def _lines(arguments: Mapping[str, Any]) -> list[int] | None:
    """Return [first, last], [] for the whole file, or None where the arguments do not say for sure."""
    for key in ("view_range", "line_range", "lines", "range"):
        if arguments.get(key) is not None:
            return _pair(arguments[key])
    first = _first(arguments, ("start_line", "line_start", "startLine", "from_line"))
    last = _first(arguments, ("end_line", "line_end", "endLine", "to_line"))
    if first is not None or last is not None:
        return _range(first or 1, last)
    offset, limit = _first(arguments, ("offset",)), _first(arguments, ("limit", "max_lines", "num_lines"))
    if offset is None and limit is None:
        return []
    start = max(offset or 1, 1)  # both conventions, 0- and 1-based, differ by a line; the later start claims less
    return _range(start, start + limit - 1 if limit is not None else None)


def _first(arguments: Mapping[str, Any], names: Sequence[str]) -> int | None:
    return next((n for name in names if (n := _number(arguments.get(name))) is not None), None)


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if isinstance(value, int) else None


def _pair(value: Any) -> list[int] | None:
    if isinstance(value, str):
        value = re.split(r"\s*[-:,]\s*", value.strip())
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    first = _number(value[0])
    last = -1 if str(value[1]) == "-1" else _number(value[1])
    return None if first is None or last is None else _range(first, None if last == -1 else last)


def _range(first: int, last: int | None) -> list[int] | None:
    if last is None:
        return [] if first <= 1 else [first, TO_THE_END]
    return [max(first, 1), min(last, TO_THE_END)] if 0 <= first <= last else None


# ---- shell commands that only read one file


def _of_command(command: str) -> dict[str, Any]:
    found = _CD.match(command)
    directory, rest = (found[1], command[found.end() :]) if found else ("", command)
    if _UNSAFE.search(rest.strip()):
        return {}
    try:
        words = shlex.split(rest)
    except ValueError:
        return {}
    read = _COMMANDS_READING.get(words[0]) if words else None
    facets = read(words[1:]) if read else {}
    return {**facets, "file": posixpath.join(directory, facets["file"])} if facets and directory else facets


def _read(file: str, lines: list[int] | None) -> dict[str, Any]:
    if not file or file.startswith("-") or lines is None:
        return {}
    return {"file": file, "op": "read", "lines": lines} if lines else {"file": file, "op": "read"}


def _cat(words: Sequence[str]) -> dict[str, Any]:
    files = [word for word in words if word not in {"-n", "-A", "--number"}]
    return _read(files[0], []) if len(files) == 1 else {}


def _head(words: Sequence[str]) -> dict[str, Any]:
    if len(words) == 1:
        return _read(words[0], [1, 10])
    flags, file = "".join(words[:-1]), words[-1] if words else ""
    found = re.fullmatch(r"-(?:n|-lines=)?(\d+)", flags)
    return _read(file, _range(1, int(found[1]))) if found else {}


def _sed(words: Sequence[str]) -> dict[str, Any]:
    if len(words) != 3 or words[0] != "-n":
        return {}
    found = _SED_RANGE.fullmatch(words[1])
    return _read(words[2], _range(int(found[1]), int(found[2] or found[1]))) if found else {}


_COMMANDS_READING: Mapping[str, Callable[[Sequence[str]], dict[str, Any]]] = {
    "cat": _cat,
    "nl": _cat,
    "head": _head,
    "sed": _sed,
}
