"""LangChain messages: what `messages_to_dict` writes (`type`, `data`), or `dumpd` (`lc`, `id`, `kwargs`)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctxmem.segment import Facets
from ctxmem.transcripts import chat
from ctxmem.transcripts.entry import Entry, Json, about, assistant, call, fields, name_of, result, values, words

SOURCE = "langchain"
_ROLES = {"human": "user", "system": "system", "developer": "system"}
_NOT_TEXT = frozenset({"function_call", "reasoning", "thinking", "tool_call", "tool_use"})  # they stand beside it too


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether an object is a message, or holds a list of messages."""
    return is_message(head) or is_message(next(iter(values(head.get("messages"))), None))


def is_message(value: Any) -> bool:
    """Say whether a value is one message, of either form."""
    head = fields(value)
    names = values(head.get("id"))
    is_dumped = "lc" in head and bool(names) and str(names[-1]).removesuffix("Chunk").endswith("Message")
    return is_dumped or (isinstance(head.get("type"), str) and isinstance(head.get("data"), dict))


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:
    """Yield the messages of every list in the file.

    Raises:
        BadInput: the file is not JSON, or holds something that is no message.
    """
    for conversation in chat.conversations(path, is_message):
        for key, value in chat.keyed(chat.named(path, conversation), conversation.messages):
            data = fields(value.get("data")) or fields(value.get("kwargs"))
            message = _message(_kind(value, data), data)
            if message is None or not (message["content"] or "tool_calls" in message):
                skipped["message without content"] += 1
                continue
            yield Entry(conversation.name, name_of(data.get("id")) or key, message, None, _facets(data))


def _kind(value: Json, data: Json) -> str:
    """Return the type of a message: human, ai, tool, system; of a part of a stream, that of the whole."""
    kind = name_of(data.get("type")) or name_of(value.get("type"))
    if kind in {"", "constructor"}:
        kind = str(values(value.get("id"))[-1]).removesuffix("Chunk").removesuffix("Message").lower()
    return kind.removesuffix("MessageChunk").lower()


def _message(kind: str, data: Json) -> Json | None:
    content = data.get("content")
    if kind == "ai":
        calls = [fields(one) for field in ("tool_calls", "invalid_tool_calls") for one in values(data.get(field))]
        made = [call(name_of(c.get("id")), name_of(c.get("name")), c.get("args")) for c in calls]
        return assistant(words(content, _NOT_TEXT), made)
    if kind in {"tool", "function"}:
        call_id = name_of(data.get("tool_call_id")) or name_of(data.get("name"))
        return result(call_id, words(content) or "[nothing]", is_error=data.get("status") == "error")
    role = _ROLES.get(kind) or ("user" if kind == "chat" else "")
    return {"role": role, "content": words(content)} if role else None


def _facets(data: Json) -> Facets:
    usage, response = fields(data.get("usage_metadata")), fields(data.get("response_metadata"))
    return about(
        SOURCE,
        model=response.get("model_name") or response.get("model"),
        input_tokens=usage.get("input_tokens"),
        cached_tokens=fields(usage.get("input_token_details")).get("cache_read"),
        output_tokens=usage.get("output_tokens"),
    )
