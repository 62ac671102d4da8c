"""ShareGPT: {"conversations": [{"from", "value"}], "system"}, a list or lines of them, as training sets have it.

There are no ids: a call is paired with the observation that follows it.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctxmem.transcripts import chat
from ctxmem.transcripts.entry import Entry, Json, about, assistant, call, fields, name_of, result, user, values, words

SOURCE = "sharegpt"
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_FIELD = "conversations"


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether an object holds a list of messages with `from` and `value`."""
    return is_message(next(iter(values(head.get(_FIELD))), None))


def is_message(value: Any) -> bool:
    """Say whether a value is one message."""
    return "from" in fields(value) and "value" in fields(value)


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:
    """Yield the messages of every conversation of the file.

    Raises:
        BadInput: the file is not JSON, or holds something that is no message.
    """
    for conversation in chat.conversations(path, is_message, _FIELD):
        waiting: list[str] = []
        system = words(conversation.about.get("system"))
        said = [*([{"from": "system", "value": system}] if system else []), *conversation.messages]
        facets = about(SOURCE, model=conversation.about.get("model"))
        for number, (key, one) in enumerate(chat.keyed(chat.named(path, conversation), said)):
            message = _message(name_of(one["from"]).lower(), words(one["value"]), number, waiting)
            if message["content"] or "tool_calls" in message:
                yield Entry(conversation.name, key, message, None, facets)
            else:
                skipped["message without content"] += 1


def _message(kind: str, text: str, number: int, waiting: list[str]) -> Json:
    if kind == "function_call":
        found = _calls(text)
        if found is None:
            return assistant(text)
        waiting[:] = [f"call_{number}_{n}" for n in range(len(found))]
        made = zip(waiting, found, strict=True)
        return assistant("", [call(i, name_of(one.get("name")), one.get("arguments")) for i, one in made])
    if kind in {"observation", "tool", "function"}:
        return result(waiting.pop(0), text or "[nothing]") if waiting else user(text)
    role = _ROLES.get(kind, "user")
    return assistant(text) if role == "assistant" else {"role": role, "content": text}


def _calls(text: str) -> list[Json] | None:
    """Read the calls of a message: an object with a name, or a list of them; None for any other text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = [fields(one) for one in (value if isinstance(value, list) else [value])]
    return found if found and all(isinstance(one.get("name"), str) and one["name"] for one in found) else None
