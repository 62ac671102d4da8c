"""Which reader fits a path: by what the file begins with, never by its name alone.

I1. Only regular files and directories are opened: reading a pipe or a device could wait for ever, and works only once.
I2. A file that is not UTF-8 from beginning to end is refused before any of it is yielded; in a tree it is passed over.
    Of a format of lines (`BY_LINE`) only the damaged lines are left out: its writer may still be at work.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ctxmem.errors import BadInput
from ctxmem.transcripts import (
    atif,
    chat,
    chatgpt,
    claude_code,
    codex,
    gemini_cli,
    langchain,
    logfiles,
    pydantic_ai,
    sharegpt,
    stash,
    text,
)
from ctxmem.transcripts.chat import Conversation
from ctxmem.transcripts.entry import Entry
from ctxmem.transcripts.pull import Pull


class Reader(NamedTuple):
    """A format of conversations: how an object at a file's beginning tells it, and how the file is read."""

    fits: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Path, Counter[str]], Iterator[Entry]]


# One row a format, asked in this order.
READERS: dict[str, Reader] = {
    "claude-code": Reader(claude_code.fits, claude_code.read),
    "codex": Reader(codex.fits, codex.read),
    "atif": Reader(atif.fits, atif.read),
    "chatgpt": Reader(chatgpt.fits, chatgpt.read),
    "langchain": Reader(langchain.fits, langchain.read),
    "pydantic-ai": Reader(pydantic_ai.fits, pydantic_ai.read),
    "gemini-cli": Reader(gemini_cli.fits, gemini_cli.read),
    "sharegpt": Reader(sharegpt.fits, sharegpt.read),
    "openai": Reader(chat.fits, chat.read),
}
ITEMS: dict[str, Callable[[Path, Callable[[str], None]], Iterator[dict[str, Any]]]] = {
    "stash": stash.read,
    "log": logfiles.read,
    "text": text.read,
}
FORMATS = (*READERS, *ITEMS)
BY_LINE = frozenset({"claude-code", "codex", "gemini-cli", "log"})
TREE = "transcripts"  # of a directory, each of whose files has a format of its own

_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
_LOOKED_AT = 50  # values at a file's beginning that are asked for their format
_FILES_LOOKED_AT = 200


def _unheard(_what: str) -> None:
    """Ignore what is left out: the `passed_over` of callers that give none."""


def detect(path: Path) -> str:
    """Name the format of a file or directory, from its beginning: `TREE` where most files are transcripts.

    Raises:
        BadInput: there is no such path, or it is neither a file nor a directory.
    """
    _check_kind(path)
    if path.is_dir():
        if logfiles.is_export(path):
            return "log"
        return TREE if _holds_transcripts(path) else "text"
    if path.suffix.lower() not in {*_SUFFIXES, ""}:
        return "text"
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:  # its end may be cut within a character
            return _of_json(Pull(stream, path.name))
    except BadInput:
        return "text"


def _check_kind(path: Path) -> None:
    """Raise `BadInput` for what is neither a regular file nor a directory (I1)."""
    if not path.exists():
        raise BadInput(f"There is no {path}: check the path.")
    if not path.is_file() and not path.is_dir():
        raise BadInput(f"{path} is a pipe, a socket or a device: write what it gives into a file and name that.")


def _check(path: Path, form: str) -> None:
    """Raise `BadInput` for what no reader can read: see I1 and I2."""
    _check_kind(path)
    found = "" if path.is_dir() or form in BY_LINE else text.trouble(path)
    if found:
        raise BadInput(f"{path} is not UTF-8 text ({found}): convert it first, for example with iconv.")


def _of_json(pull: Pull) -> str:
    """Return the format of JSON text by its first values: O(1) in the file, unless one of them is large."""
    if pull.peek() == "[":
        pull.take("[")
        if pull.peek() == "]":
            return "openai"
        first = pull.value() if pull.peek() == "{" else {}
        return _form(first) or "text"
    for _ in range(_LOOKED_AT):
        if pull.peek() != "{":
            break
        for head in _heads(pull):
            if found := _form(head):
                return found
    return "text"


def _heads(pull: Pull) -> Iterator[dict[str, Any]]:
    """Yield an object after each of its members; of an array that it holds, only the first value is kept."""
    head: dict[str, Any] = {}
    for key in pull.members():
        if pull.peek() != "[":
            head[key] = pull.value()
            yield head
            continue
        head[key] = []
        for value in pull.elements():
            if not head[key]:
                head[key].append(value)
                yield head
        if not head[key]:
            yield head


def _form(head: Mapping[str, Any]) -> str | None:
    found = next((name for name, reader in READERS.items() if reader.fits(head)), None)
    if found is None and logfiles.fits(head):
        return "log"
    return found or ("stash" if "segments" in head or "segment_id" in head else None)


def _holds_transcripts(root: Path) -> bool:
    """Say whether most files of a tree are transcripts, by the first of them."""
    n_transcripts = n_others = 0
    for path in _files(root):
        if path.parent.name == "tool-results" or path.name.endswith(".meta.json"):
            continue  # what Claude Code keeps beside its transcripts
        is_transcript = path.suffix.lower() in _SUFFIXES and detect(path) in READERS
        n_transcripts += is_transcript
        n_others += not is_transcript
        if n_transcripts + n_others == _FILES_LOOKED_AT:
            break
    return n_transcripts > n_others


def _files(root: Path) -> Iterator[Path]:
    """Yield every regular file of a tree but hidden ones; links are not followed."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(folder, name) for name in sorted(names) if not name.startswith("."))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def each_file(path: Path, form: str, is_wanted: Callable[[Path], bool] = lambda _: True) -> list[tuple[Path, str]]:
    """Return each transcript of a file or tree with its format, the oldest first: what continues one comes after it.

    With a format given for a tree, all its JSON is read as that; of a format of lines, all its JSONL. Only files that
    `is_wanted` are looked at.
    """
    if not path.is_dir():
        return [(path, form)] if is_wanted(path) else []
    looked_at = [file for file in _files(path) if file.suffix.lower() in _SUFFIXES and is_wanted(file)]
    found = [(file, _form_in_tree(file, form)) for file in looked_at]
    return sorted((pair for pair in found if pair[1] in READERS), key=lambda pair: (_written_at(pair[0]), pair[0]))


def _form_in_tree(file: Path, form: str) -> str:
    """Return the format that a file of a tree is read as; "text", which is passed over, for what is none of it."""
    if form != TREE and (form not in BY_LINE or file.suffix.lower() == ".jsonl"):
        return form
    found = detect(file)
    return found if form in {TREE, found} else "text"


def _written_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # gone since it was listed
        return 0


def conversations(path: Path, form: str | None = None) -> Iterator[Conversation]:
    """Read the conversations of a file of OpenAI messages.

    Raises:
        BadInput: its format holds none; or as `detect`.
    """
    form = form or detect(path)
    _check(path, form)
    if form != "openai":
        raise BadInput(
            f"{path.name} holds no conversation of OpenAI messages (it reads as {form}): give those as JSON or JSONL."
        )
    return chat.conversations(path)


def entries(path: Path, form: str, skipped: Counter[str]) -> Iterator[Entry]:
    """Read the messages of a transcript; `skipped` counts what is left out, by what it is.

    Raises:
        BadInput: its format holds items; or as `detect`.
    """
    _check(path, form)
    if form not in READERS:
        raise BadInput(f"{path.name} holds no conversation (it reads as {form}): known are {', '.join(READERS)}.")
    return READERS[form].read(path, skipped)


def items(
    path: Path, form: str | None = None, passed_over: Callable[[str], None] = _unheard
) -> Iterator[dict[str, Any]]:
    """Read the items of a file or tree, each the fields of `Memory.add`; `passed_over` is told what is left out.

    Raises:
        BadInput: its format holds conversations, or is unknown; or as `detect`.
    """
    form = form or detect(path)
    _check(path, form)
    if form not in ITEMS:
        raise BadInput(f"{path.name} does not read as items but as {form}: known are {', '.join(sorted(ITEMS))}.")
    return ITEMS[form](path, passed_over)
