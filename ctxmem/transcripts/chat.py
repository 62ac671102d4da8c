"""OpenAI messages as files: a bare list, {"messages": [...]}, JSONL of either, or JSONL with one message a line.

It checks only that a message is an object with a role; what a provider makes of it is for `ctxmem.providers`.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ctxmem.errors import BadInput
from ctxmem.transcripts.entry import Entry
from ctxmem.transcripts.pull import Pull

_NAMED_BY = ("id", "session", "session_id", "thread_id", "conversation_id", "name")


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation: a name to give its session, and its messages in order.

    `about` holds whatever else the file says of it (source, model, ...).
    """

    name: str
    messages: list[dict[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)


def keyed(prefix: str, messages: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield messages without ids of their own with keys: what it says, and how many before it say the same.

    So a list that has lost its beginning has the keys it had, and a message that was changed has another.
    """
    said: Counter[bytes] = Counter()
    for message in messages:
        raw = json.dumps(message, sort_keys=True).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(raw, digest_size=8).digest()
        said[digest] += 1
        yield f"{prefix}#{digest.hex()}#{said[digest]}", message


def named(path: Path, conversation: "Conversation") -> str:
    """Return the prefix of the keys of a conversation: its file and its name."""
    return f"{path.name[-80:]}#{conversation.name[-200:]}"


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether an object is a message, or holds a list of messages."""
    messages = head.get("messages")
    is_list = isinstance(messages, list) and (not messages or is_message(messages[0]))
    return isinstance(head.get("role"), str) or is_list


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:  # noqa: ARG001 - a damaged file is refused
    """Yield the messages of every conversation.

    Raises:
        BadInput: as `conversations`; the conversations before were already given.
    """
    for conversation in conversations(path):
        for key, message in keyed(named(path, conversation), conversation.messages):
            yield Entry(conversation.name, key, message)


def is_message(value: Any) -> bool:
    """Say whether a value is one message."""
    return isinstance(value, dict) and isinstance(value.get("role"), str) and "messages" not in value


def conversations(
    path: Path, is_message: Callable[[Any], bool] = is_message, field: str = "messages"
) -> Iterator[Conversation]:
    """Read every conversation of the file, one in memory at a time; `field` holds the messages of an object.

    Raises:
        BadInput: the file is not JSON, or holds something that is no message.
    """
    with path.open(encoding="utf-8") as stream:
        yield from _grouped(_values(stream, path.name), path, is_message, field)


def _values(stream: IO[str], name: str) -> Iterator[Any]:
    """Yield every top-level value: a JSON file has one, JSONL one a line."""
    pull = Pull(stream, name)
    while pull.peek():
        yield pull.value()


def _grouped(
    values: Iterable[Any], path: Path, is_message: Callable[[Any], bool], field: str
) -> Iterator[Conversation]:
    """Turn top-level values into conversations: neighbouring single messages make one."""
    number = 0
    for is_single, group in itertools.groupby(values, key=is_message):
        if is_single:
            yield Conversation(_name(path, None, number), list(group))
            number += 1
            continue
        for value in group:
            for one in value if _is_list_of(value, field) else [value]:
                yield _conversation(one, path, number, is_message, field)
                number += 1


def _is_list_of(value: Any, field: str) -> bool:
    """Say whether a value is a list of conversations, each with the field that holds its messages."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and field in one for one in value)


def _conversation(value: Any, path: Path, number: int, is_message: Callable[[Any], bool], field: str) -> Conversation:
    about = value if isinstance(value, dict) else {}
    messages = value if isinstance(value, list) else about.get(field)
    if not isinstance(messages, list):
        raise BadInput(f'{path.name}: entry {number + 1} is neither a list of messages nor {{"{field}": [...]}}.')
    for position, message in enumerate(messages):
        if not is_message(message):
            raise BadInput(f"{path.name}: message {position + 1} of entry {number + 1} is none of this format.")
    name = next((str(about[key]) for key in _NAMED_BY if about.get(key)), None)
    rest = {key: item for key, item in about.items() if key != field}
    return Conversation(_name(path, name, number), messages, rest)


def _name(path: Path, given: str | None, number: int) -> str:
    """Return the name the file gives, else the file's own, with a number from the second conversation on."""
    if given:
        return given
    return path.stem if number == 0 else f"{path.stem}-{number + 1}"
