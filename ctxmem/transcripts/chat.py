"""OpenAI messages as files: a bare list, {"messages": [...]}, JSONL of either, or JSONL with one message a line.

It checks only that a message is an object with a role; what a provider makes of it is for `ctxmem.providers`.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ctxmem.errors import BadInput
from ctxmem.transcripts.entry import Entry
from ctxmem.transcripts.pull import Pull


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation: a name to give its session, and its messages in order.

    `about` holds whatever else the file says of it (source, model, ...).
    """

    name: str
    messages: list[dict[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether an object is a message, or holds a list of messages."""
    messages = head.get("messages")
    is_list = isinstance(messages, list) and (not messages or _is_message(messages[0]))
    return isinstance(head.get("role"), str) or is_list


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:  # noqa: ARG001 - a damaged file is refused
    """Yield the messages of every conversation; without ids of their own, they are named by their places.

    Raises:
        BadInput: as `conversations`; the conversations before were already given.
    """
    for conversation in conversations(path):
        for number, message in enumerate(conversation.messages):
            key = f"{path.name[-80:]}#{conversation.name[-200:]}#{number}"
            yield Entry(conversation.name, key, message)


def conversations(path: Path) -> Iterator[Conversation]:
    """Read every conversation of the file, one in memory at a time.

    Raises:
        BadInput: the file is not JSON, or holds something that is no message.
    """
    with path.open(encoding="utf-8") as stream:
        yield from _grouped(_values(stream, path.name), path)


def _values(stream: IO[str], name: str) -> Iterator[Any]:
    """Yield every top-level value: a JSON file has one, JSONL one a line."""
    pull = Pull(stream, name)
    while pull.peek():
        yield pull.value()


def _grouped(values: Iterable[Any], path: Path) -> Iterator[Conversation]:
    """Turn top-level values into conversations: neighbouring single messages make one."""
    number = 0
    for is_message, group in itertools.groupby(values, key=_is_message):
        if is_message:
            yield Conversation(_name(path, None, number), list(group))
            number += 1
            continue
        for value in group:
            yield _conversation(value, path, number)
            number += 1


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and "messages" not in value


def _conversation(value: Any, path: Path, number: int) -> Conversation:
    about = value if isinstance(value, dict) else {}
    messages = value if isinstance(value, list) else about.get("messages")
    if not isinstance(messages, list):
        raise BadInput(f'{path.name}: entry {number + 1} is neither a list of messages nor {{"messages": [...]}}.')
    for position, message in enumerate(messages):
        if not _is_message(message):
            raise BadInput(f"{path.name}: message {position + 1} of entry {number + 1} is no object with a role.")
    name = next((str(about[key]) for key in ("id", "session", "session_id", "name") if about.get(key)), None)
    rest = {key: item for key, item in about.items() if key != "messages"}
    return Conversation(_name(path, name, number), messages, rest)


def _name(path: Path, given: str | None, number: int) -> str:
    """Return the name the file gives, else the file's own, with a number from the second conversation on."""
    if given:
        return given
    return path.stem if number == 0 else f"{path.stem}-{number + 1}"
