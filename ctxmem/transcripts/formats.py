"""Which reader fits a path: by what the file begins with, never by its name alone.

I1. Only regular files and directories are opened: reading a pipe or a device could wait for ever, and works only once.
I2. A file that is not UTF-8 from beginning to end is refused before any of it is yielded; in a tree it is passed over.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ctxmem.errors import BadInput
from ctxmem.transcripts import chat, stash, text
from ctxmem.transcripts.chat import Conversation
from ctxmem.transcripts.pull import Pull

FORMATS = ("openai", "stash", "text")
# One row a format of items; conversations have one of their own, since they keep calls and results together.
READERS: dict[str, Callable[[Path, Callable[[str], None]], Iterator[dict[str, Any]]]] = {
    "stash": stash.read,
    "text": text.read,
}
_CONVERSATIONS: dict[str, Callable[[Path], Iterator[Conversation]]] = {"openai": chat.read}


def _unheard(_what: str) -> None:
    """Ignore what is left out: the `passed_over` of callers that give none."""


def detect(path: Path) -> str:
    """Name the format of a file or directory, from its first 64 KB.

    Raises:
        BadInput: there is no such path, or it is neither a file nor a directory.
    """
    _check_kind(path)
    if path.is_dir():
        return "text"
    if path.suffix.lower() not in {".json", ".jsonl", ".ndjson", ""}:
        return "text"
    try:
        with path.open(encoding="utf-8") as stream:
            return _of_json(Pull(stream, path.name))
    except BadInput:
        return "text"


def _check_kind(path: Path) -> None:
    """Raise `BadInput` for what is neither a regular file nor a directory (I1)."""
    if not path.exists():
        raise BadInput(f"There is no {path}: check the path.")
    if not path.is_file() and not path.is_dir():
        raise BadInput(f"{path} is a pipe, a socket or a device: write what it gives into a file and name that.")


def _check(path: Path) -> None:
    """Raise `BadInput` for what no reader can read: see I1 and I2."""
    _check_kind(path)
    found = "" if path.is_dir() else text.trouble(path)
    if found:
        raise BadInput(f"{path} is not UTF-8 text ({found}): convert it first, for example with iconv.")


def _of_json(pull: Pull) -> str:
    """Return the format of JSON text by its first keys: O(1) in the file, unless its first value is large."""
    if pull.peek() == "[":
        pull.take("[")
        if pull.peek() != "{":
            return "openai" if pull.peek() == "]" else "text"
        first = pull.value()
        return "openai" if "role" in first else "stash" if "segment_id" in first else "text"
    if pull.peek() != "{":
        return "text"
    for key in pull.members():
        if key == "segments":
            return "stash"
        if key in {"messages", "role"}:
            return "openai"
        pull.value()
    return "text"


def conversations(path: Path, form: str | None = None) -> Iterator[Conversation]:
    """Read the conversations of a file.

    Raises:
        BadInput: its format holds none; or as `detect`.
    """
    form = form or detect(path)
    _check(path)
    if form not in _CONVERSATIONS:
        raise BadInput(
            f"{path.name} holds no conversation (it reads as {form}): give OpenAI messages as JSON or JSONL."
        )
    return _CONVERSATIONS[form](path)


def items(
    path: Path, form: str | None = None, passed_over: Callable[[str], None] = _unheard
) -> Iterator[dict[str, Any]]:
    """Read the items of a file or tree, each the fields of `Memory.add`; `passed_over` is told what is left out.

    Raises:
        BadInput: its format holds conversations, or is unknown; or as `detect`.
    """
    form = form or detect(path)
    _check(path)
    if form not in READERS:
        raise BadInput(f"{path.name} does not read as items but as {form}: known are {', '.join(sorted(READERS))}.")
    return READERS[form](path, passed_over)
