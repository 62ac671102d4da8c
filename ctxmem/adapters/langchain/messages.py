"""LangChain's messages: read as chat messages of OpenAI's shape, and written from them.

Reading serves to count, to search and to tell messages apart. What is sent are LangChain's own messages, so nothing of
them is lost by it: artifacts, signatures, ids, cache marks.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from ctxmem.providers.plain import Json, dumps

_CALLS = frozenset({"tool_use", "tool_call", "invalid_tool_call", "function_call"})  # they stand in `tool_calls` too
_REASONING = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})
_ROLES = frozenset({"user", "assistant", "system", "developer"})


def read(message: BaseMessage) -> tuple[Json, ...]:
    """Return a message of LangChain as a chat message; a failed result as Anthropic's, which can say that it failed."""
    if isinstance(message, ToolMessage):
        return (_result(message),)
    if isinstance(message, AIMessage):
        return (_assistant(message),)
    role = "system" if isinstance(message, SystemMessage) else "user"
    if isinstance(message, ChatMessage) and message.role in _ROLES:
        role = message.role
    return ({"role": role, "content": content_of(message) or ""},)


def content_of(message: BaseMessage) -> str | list[Json]:
    """Return the content of a message as text, or as parts of OpenAI's shape; calls and reasoning are left out."""
    if isinstance(message.content, str):
        return message.content
    return [_part(block) for block in message.content if _kind(block) not in _CALLS | _REASONING]


def _kind(block: Any) -> str:
    return str(block.get("type")) if isinstance(block, Mapping) else ""


def _part(block: Any) -> Json:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = _kind(block)
    if kind == "text":
        return {"type": "text", "text": str(block.get("text") or "")}
    url = _image_url(block) if kind in {"image", "image_url"} else None
    if url is not None:
        return {"type": "image_url", "image_url": {"url": url}}
    try:
        json.dumps(block, allow_nan=False)
    except (TypeError, ValueError):
        return {"type": "text", "text": str(block)}
    return {**block, "type": kind}


def _image_url(block: Mapping[str, Any]) -> str | None:
    """Return where an image is, in any of the forms that LangChain takes; None for one that is only referred to."""
    given = block.get("image_url")
    source = block.get("source")
    found = given if isinstance(given, Mapping) else source if isinstance(source, Mapping) else block
    if isinstance(given, str):
        return given
    if isinstance(found.get("url"), str):
        return str(found["url"])
    data = found.get("base64") or found.get("data")
    media_type = found.get("mime_type") or found.get("media_type")
    return f"data:{media_type};base64,{data}" if isinstance(data, str) and media_type else None


def _result(message: ToolMessage) -> Json:
    content = content_of(message)
    if message.status == "error":
        text = content if isinstance(content, str) else "\n".join(str(part.get("text") or part) for part in content)
        failed = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": text, "is_error": True}
        return {"role": "user", "content": [failed]}
    return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content or ""}


def _assistant(message: AIMessage) -> Json:
    found: Json = {"role": "assistant", "content": content_of(message) or ""}
    calls = [_call(call["id"], call["name"], dumps(call["args"])) for call in message.tool_calls if call["id"]]
    # LangChain answers a call that does not parse, so it is a call here too: its text stands for its arguments.
    unread = [each for each in message.invalid_tool_calls if each.get("id")]
    calls += [_call(each["id"], each.get("name") or "", dumps({"text": each.get("args") or ""})) for each in unread]
    if calls:
        found["tool_calls"] = calls
    thought = "\n".join(_thoughts(message))
    return {**found, "reasoning_content": thought} if thought else found


def _call(call_id: str | None, name: str, arguments: str) -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _thoughts(message: AIMessage) -> Iterator[str]:
    """Yield what an assistant thought, as far as it is sent back; a block that cannot be read as its JSON."""
    for block in () if isinstance(message.content, str) else message.content:
        if isinstance(block, Mapping) and _kind(block) in _REASONING:
            found = block.get("thinking") or block.get("reasoning") or block.get("text")
            yield found if isinstance(found, str) else json.dumps(block, default=str)


def make(messages: Sequence[Json], kind: str, own: Sequence[BaseMessage]) -> list[AnyMessage]:
    """Write chat messages as LangChain's; a result takes its name and status from the one that it stands for."""
    del kind
    results = {each.tool_call_id: each for each in own if isinstance(each, ToolMessage)}
    return [_made(message, results) for message in messages]


def _made(message: Json, results: Mapping[str, ToolMessage]) -> AnyMessage:
    beside: dict[str, Any] = {"id": f"ctxmem-{blake2b(dumps(message).encode(), digest_size=12).hexdigest()}"}
    role, content = message["role"], message.get("content") or ""
    if role == "tool":
        call_id = message["tool_call_id"]
        if call_id in results:
            beside |= {"name": results[call_id].name, "status": results[call_id].status}
        return ToolMessage(content, tool_call_id=call_id, **beside)
    if role == "assistant":
        calls = [
            {"id": c["id"], "name": c["function"]["name"], "args": json.loads(c["function"]["arguments"])}
            for c in message.get("tool_calls") or ()
        ]
        return AIMessage(content, tool_calls=calls, **beside)
    return SystemMessage(content, **beside) if role in {"system", "developer"} else HumanMessage(content, **beside)
