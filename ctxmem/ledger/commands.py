"""What a command line does: it only reads, it changes something that stays, or it runs a program."""

import re
import shlex
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

from ctxmem.segment import Nature

MOST_CHARS: Final = 1_000  # of a command line that is looked at; a longer one may do anything
_KEYS: Final = ("command", "cmd", "commands", "CommandLine")
_PROGRAM_KEYS: Final = ("script", "code")  # may also hold a name or a number: of a file, of a coupon
_OPERATORS: Final = ";&|\n"
_PATCHES = re.compile(r"\bapply_?patch\b")
_SHELLS: Final = frozenset({"ash", "bash", "dash", "fish", "ksh", "powershell", "pwsh", "sh", "zsh", "cmd"})
_LINE_FOLLOWS = re.compile(r"-\w*c|-command|/c", re.IGNORECASE)
_READING_WORDS: Final = (
    "[ basename cat cd cmp column cut date df diff dirname du echo egrep false fd fgrep file find grep head history"
    " id jq less locate ls lsof md5sum more nl od printenv printf ps pwd readlink realpath rg sed sha256sum sort"
    " stat strings tail test tr tree true type uname uniq wc whereis which whoami xxd yq awk"
)
_READING: Final = frozenset(_READING_WORDS.split())
_READING_GIT_WORDS: Final = "blame branch describe diff grep log ls-files remote rev-parse shortlog show status tag"
_READING_GIT: Final = frozenset(_READING_GIT_WORDS.split())
_GIT_VALUES: Final = frozenset({"-C", "-c", "--git-dir", "--work-tree"})  # options of git itself that take a value
_GIT_MAKERS: Final = frozenset({"branch", "remote", "tag"})  # list without a name, make or delete with one
_GIT_LISTS = re.compile(r"-a|-r|-v+|-l|-n\d*|--(?:list|all|remotes|verbose|show-current|sort|format|contains|merged).*")
_IN_PLACE: Final = {"sed": "i", "yq": "i", "awk": "i", "sort": "o"}  # the short option that writes a file
_WRITING_OPTIONS: Final = frozenset(
    {"-delete", "-exec", "-execdir", "-ok", "-okdir", "-fprint", "-fprintf", "-fls"}  # of find
    | {"-x", "-X", "--exec", "--exec-batch"}  # of fd
)
_CHANGING_WORDS: Final = "chmod chown cp dd ln mkdir mv patch rename rm rmdir rsync tee touch truncate unlink unzip"
_CHANGING: Final = frozenset(_CHANGING_WORDS.split())
_CHANGING_VERBS_WORDS: Final = (  # the first word after a program's name, as in `npm install`, `kubectl apply`
    "add apply commit create delete deploy destroy install merge publish push remove rm uninstall update upgrade upload"
)
_CHANGING_VERBS: Final = frozenset(_CHANGING_VERBS_WORDS.split())
_GIT_STEPS: Final = frozenset(
    {"bisect", "clean", "fetch", "gc", "help", "ls-tree", "rev-list"}
)  # neither reads nor changes
_INTO_A_FILE = re.compile(r"[1&]?>>?[^&]?")
_HEREDOC = re.compile(r"<<-?\s*['\"]?\w+.*", re.DOTALL)
_HARMLESS = re.compile(r"2>&1|(?:[12&]?>>?\s*/dev/null)(?=[\s;&|)]|$)")


def command_line(arguments: Mapping[str, Any], *, of_program: bool) -> str | None:
    """Return the command line that a call runs, None where it runs none; of one that starts a shell, what that gets.

    `of_program`: the tool's name says that it runs programs, so its code is code however short.

    >>> command_line({"command": ["bash", "-lc", "ls -l"]}, of_program=True)
    'ls -l'
    """
    for key in _KEYS:
        value = arguments.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            return "\n".join(value) if key == "commands" else _unwrapped(value) or shlex.join(value)
    for key in _PROGRAM_KEYS:
        value = arguments.get(key)
        if isinstance(value, str) and (of_program or re.search(r"[\s(]", value)):
            return value
    return None


def programs_of(arguments: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the programs that a call's command line runs.

    >>> sorted(programs_of({"command": "cd app && /usr/bin/psql -f a.sql | sort"}))
    ['cd', 'psql', 'sort']
    """
    line = command_line(arguments, of_program=True) or ""
    return frozenset(_program(words) for words in _simple_commands(line[:MOST_CHARS]))


def nature_of_command(command: str) -> Nature:
    """Say what a command line does; what is not known to read or to change something runs a program.

    >>> nature_of_command("git log | head -3"), nature_of_command("npm test"), nature_of_command("cat <<E > a.py")
    ('read', 'run', 'change')
    >>> nature_of_command("npm test && git commit -qm 'Mend it'"), nature_of_command("sed -i s/a/b/ x.py")
    ('change', 'change')
    """
    line = _HARMLESS.sub("", command[:MOST_CHARS])
    is_plain = len(command) <= MOST_CHARS and not any(sign in line for sign in (">", "$(", "`", "<("))
    simple = _simple_commands(line)
    inner = _unwrapped(simple[0]) if len(simple) == 1 else None
    if inner is not None and len(inner) < len(command):
        return nature_of_command(inner)
    if is_plain and all(map(_reads, simple)):
        return "read"
    told = _HEREDOC.sub(lambda found: found.group().partition("\n")[0], line)
    is_patch = any(_PATCHES.fullmatch(_program(words)) for words in simple)
    return "change" if is_patch or any(map(_changes, _simple_commands(told))) else "run"


def _unwrapped(words: list[str]) -> str | None:
    """Return the line that a shell is given, None where no shell is."""
    if len(words) < 3 or _program(words).removesuffix(".exe") not in _SHELLS or not _LINE_FOLLOWS.fullmatch(words[-2]):
        return None
    return words[-1]


def _simple_commands(line: str) -> list[list[str]]:
    """Split a command line at its operators; one whose quotes do not close, as if it had none."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        parts = [list(words) for is_end, words in groupby(lexer, _is_operator) if not is_end]
    except ValueError:
        parts = [part.split() for part in re.split(f"[{_OPERATORS}]", line)]
    return [words for words in parts if words and not words[0].startswith("#")]


def _is_operator(word: str) -> bool:
    return word != "" and not word.strip(_OPERATORS)


def _program(words: list[str]) -> str:
    return re.split(r"[/\\]", words[0])[-1].lower()


def _reads(words: list[str]) -> bool:
    program, rest = _program(words), words[1:]
    if program == "git":
        return _git_reads(rest)
    writes = _IN_PLACE.get(program)
    if writes and any(re.match(rf"-[a-zA-Z]*{writes}|--in-place|--inplace|--output", word) for word in rest):
        return False
    if program in {"find", "fd"} and _WRITING_OPTIONS & set(rest):
        return False
    return program in _READING


def _changes(words: list[str]) -> bool:
    """Say whether a command is known to change something that stays: files, a repository, what is installed."""
    program, rest = _program(words), words[1:]
    if program == "sudo" and rest:
        return _changes(rest)
    if any(map(_INTO_A_FILE.match, rest)):
        return True
    names = [word for word in rest if not word.startswith("-")]
    if program == "git":
        return bool(names) and not _git_reads(rest) and names[0] not in _GIT_STEPS
    if program in _IN_PLACE or program in {"find", "fd"}:
        return not _reads(words)
    return program in _CHANGING or any(name in _CHANGING_VERBS for name in names[:1])


def _git_reads(words: list[str]) -> bool:
    rest = list(words)
    while rest and rest[0].startswith("-"):
        del rest[: 2 if rest[0] in _GIT_VALUES else 1]
    if not rest or rest[0] not in _READING_GIT:
        return False
    verb, names = rest[0], rest[1:]
    if verb == "remote" and names[:1] in (["show"], ["get-url"]):
        return True
    return verb not in _GIT_MAKERS or all(map(_GIT_LISTS.fullmatch, names[:1]))
