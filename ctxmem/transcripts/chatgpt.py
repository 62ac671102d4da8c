"""ChatGPT's export, `conversations.json`: a list of conversations, each a tree of messages, streamed.

I1. What a conversation says is the path from its root to `current_node`; other branches are answers that were made
    again, and are counted and left out. Where the path has changed since, what it left is undone.
I2. Calls have no ids: a message to a tool is a call, and the next message of a tool its result.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctxmem.transcripts.entry import (
    Entry,
    Json,
    about,
    assistant,
    call,
    fields,
    name_of,
    result,
    user,
    values,
    when,
    words,
)
from ctxmem.transcripts.pull import Pull

SOURCE = "chatgpt"
_THOUGHTS = frozenset({"thoughts", "reasoning_recap", "model_editable_context", "user_editable_context"})


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether an object is a conversation of an export."""
    return isinstance(head.get("mapping"), dict)


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:
    """Yield the messages of every conversation, one conversation in memory at a time.

    Raises:
        BadInput: the file is not JSON; the conversations before were already given.
    """
    with path.open(encoding="utf-8") as stream:
        pull = Pull(stream, path.name)
        for number, whole in enumerate(pull.elements() if pull.peek() == "[" else [pull.value()], start=1):
            yield from _conversation(fields(whole), f"{path.stem}-{number}", skipped)


def _conversation(whole: Json, other_name: str, skipped: Counter[str]) -> Iterator[Entry]:
    session = name_of(whole.get("conversation_id")) or name_of(whole.get("id")) or other_name
    nodes = fields(whole.get("mapping"))
    path = _path(nodes, name_of(whole.get("current_node")))
    skipped["message of another branch"] += sum(1 for key in nodes.keys() - path if fields(nodes[key]).get("message"))
    calls: list[str] = []
    for key in path:
        said = fields(fields(nodes[key]).get("message"))
        message = _message(said, key, calls)
        if message is None:
            skipped["line without a message"] += 1
            continue
        details = fields(said.get("metadata"))
        model = details.get("model_slug") if message["role"] == "assistant" else None
        facets = about(SOURCE, title=whole.get("title"), model=model)
        undoes = _before(nodes, key)
        yield Entry(session, key, message, when(said.get("create_time")), facets, undoes=undoes)


def _path(nodes: Json, current: str) -> dict[str, None]:
    """Return the keys from the root to the current node; without one that is there, to the last (I1)."""
    key = current if current in nodes else next(reversed(nodes), "")
    found: dict[str, None] = {}
    while key in nodes and key not in found:
        found[key] = None
        key = name_of(fields(nodes[key]).get("parent"))
    return dict.fromkeys(reversed(found))


def _before(nodes: Json, key: str) -> str | None:
    """Return the branch before this one, where there is one: it stands in the log if it was current once."""
    siblings = values(fields(nodes.get(name_of(fields(nodes[key]).get("parent")))).get("children"))
    at = siblings.index(key) if key in siblings else 0
    return name_of(siblings[at - 1]) or None if at else None


def _message(said: Json, key: str, calls: list[str]) -> Json | None:
    """Return the message of a node; None for one that says nothing, or was hidden from the user."""
    author, content = fields(said.get("author")), fields(said.get("content"))
    kind, role = name_of(content.get("content_type")), name_of(author.get("role"))
    if not said or fields(said.get("metadata")).get("is_visually_hidden_from_conversation") or kind in _THOUGHTS:
        return None
    text = words(content.get("parts")) or next((c for c in map(content.get, _TEXTS) if isinstance(c, str)), "")
    if not text.strip():
        return None
    if role == "assistant" and name_of(said.get("recipient")) not in {"all", ""}:
        calls.append(key)
        return assistant("", [call(key, name_of(said["recipient"]), {"input": text})])
    if role == "tool":
        return result(calls.pop(), text) if calls else user(f"[{name_of(author.get('name')) or 'tool'}] {text}")
    return {"role": role, "content": text} if role in {"user", "assistant", "system"} else None


_TEXTS = ("text", "result", "content")
