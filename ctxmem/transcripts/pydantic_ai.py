"""Pydantic AI message history: what `ModelMessagesTypeAdapter.dump_json` writes.

A request may hold results and a prompt together: each of its parts is a message. A response is one message.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctxmem.segment import Facets
from ctxmem.transcripts import chat
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

SOURCE = "pydantic-ai"


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether an object is a request or a response, or holds a list of them."""
    return is_message(head) or is_message(next(iter(values(head.get("messages"))), None))


def is_message(value: Any) -> bool:
    """Say whether a value is a request or a response."""
    head = fields(value)
    return name_of(head.get("kind")) in {"request", "response"} and isinstance(head.get("parts"), list)


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:
    """Yield the messages of every history in the file.

    Raises:
        BadInput: the file is not JSON, or holds something that is no request or response.
    """
    for conversation in chat.conversations(path, is_message):
        instructions = ""
        for key, value in chat.keyed("", conversation.messages):  # each has a time, and most a conversation's id
            session = name_of(value.get("conversation_id")) or conversation.name
            given, facets = value.get("instructions"), _facets(value)
            messages = list(_messages(value))
            if isinstance(given, str) and given not in {"", instructions}:
                instructions = given
                messages.insert(0, {"role": "system", "content": given})
            for place, message in enumerate(messages):
                if message["content"] or "tool_calls" in message:
                    yield Entry(session, f"{session}{key}/{place}", message, when(value.get("timestamp")), facets)
                else:
                    skipped["message without content"] += 1


def _facets(value: Json) -> Facets:
    usage = fields(value.get("usage"))
    return about(
        SOURCE,
        model=value.get("model_name"),
        input_tokens=usage.get("input_tokens"),
        cached_tokens=usage.get("cache_read_tokens"),
        output_tokens=usage.get("output_tokens"),
    )


def _messages(value: Json) -> Iterator[Json]:
    parts = [fields(part) for part in values(value.get("parts"))]
    if value["kind"] == "request":
        yield from (_asked(part) for part in parts)
        return
    text = "\n".join([text for part in parts if (text := _said(part))])
    calls = [part for part in parts if part.get("part_kind") == "tool-call"]
    made = [call(name_of(c.get("tool_call_id")), name_of(c.get("tool_name")), c.get("args") or {}) for c in calls]
    yield assistant(text, made)


def _asked(part: Json) -> Json:
    kind, content = name_of(part.get("part_kind")), part.get("content")
    text = words(content) if isinstance(content, str | list) else _written(content)
    if kind == "system-prompt":
        return {"role": "system", "content": text}
    if kind == "tool-return" or (kind == "retry-prompt" and part.get("tool_name")):
        is_error = kind == "retry-prompt" or name_of(part.get("outcome")) in {"failed", "denied"}
        is_text = isinstance(content, str)
        return result(name_of(part.get("tool_call_id")), text if is_text else _written(content), is_error=is_error)
    return user(text)


def _said(part: Json) -> str:
    """Return what a part of a response says; calls and thinking apart."""
    kind, content = name_of(part.get("part_kind")), part.get("content")
    if kind in {"text", "compaction"}:
        return words(content)
    if kind in {"thinking", "tool-call"}:
        return ""
    return f"[{kind}] {part.get('tool_name', '')} {_written(part.get('args') or content)}".rstrip()


def _written(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
