"""Requests and responses as ctxmem reads and writes them: each part of a request is a message, a response is one.

I1. No message and no part is changed: what differs is built anew.
I2. What the framework notes for itself in a request (`NOTES`) is sent on where the request is not.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from ctxmem.adapters.hook import Dialect
from ctxmem.providers.plain import Json, dumps, plain

# Parts of a request, by kind, to which later requests refer; a model is told of some of them.
NOTES = frozenset(
    {
        "capability-load-delta",
        "instruction-baseline",
        "instruction-delta",
        "model-settings-delta",
        "tool-availability-delta",
    }
)

_NAMELESS = "tool"  # of a result that ctxmem wrote, until its call is looked up


def read(message: ModelMessage) -> Sequence[Json]:
    """Return the messages, in the shape of OpenAI's chat, that a request or a response is."""
    if isinstance(message, ModelResponse):
        return (_said(message),)
    return tuple(each for part in message.parts if (each := _asked(part)) is not None)


def _asked(part: Any) -> Json | None:
    """Read one part of a request; None for a note, or what a newer version knows."""
    kind = part.part_kind
    if kind == "system-prompt":
        return {"role": "system", "content": part.content}
    if kind == "user-prompt":
        return {"role": "user", "content": _content(part.content)}
    if kind == "tool-return":
        return {"role": "tool", "tool_call_id": part.tool_call_id, "content": _returned(part)}
    if kind == "retry-prompt" and part.tool_name is not None:
        return {"role": "tool", "tool_call_id": part.tool_call_id, "content": part.model_response()}
    if kind in {"retry-prompt", "retry-feedback"}:
        return {"role": "user", "content": part.model_response()}
    if kind == "instruction-delta":
        return {"role": "system", "content": part.render()}
    return None


def _returned(part: Any) -> str | list[Json]:
    text = part.model_response_str()
    return [{"type": "text", "text": text}, *map(_block, part.files)] if part.files else text


def _content(content: Any) -> str | list[Json]:
    return content if isinstance(content, str) else [_block(each) for each in content if _is_sent(each)]


def _is_sent(content: Any) -> bool:
    return getattr(content, "kind", "") != "cache-point"


def _block(content: Any) -> Json:
    """Read a piece of what a user or a tool gave: text, an image, or the name of what no chat has."""
    if isinstance(content, str):
        return {"type": "text", "text": content}
    if isinstance(content, ImageUrl):
        return {"type": "image_url", "image_url": {"url": content.url}}
    if isinstance(content, BinaryContent) and content.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": content.data_uri}}
    text = getattr(content, "content", None)
    return {"type": "text", "text": text if isinstance(text, str) else f"[{getattr(content, 'kind', 'file')}]"}


def _said(response: ModelResponse) -> Json:
    """Read a response; what ran at the provider is told as text, with its result."""
    text, thinking, calls = list[str](), list[str](), list[Json]()
    for part in response.parts:
        kind = part.part_kind
        if isinstance(part, ThinkingPart):
            thinking.append(part.content or part.signature or "")
        elif isinstance(part, ToolCallPart):
            function = {"name": part.tool_name, "arguments": part.args_as_json_str()}
            calls.append({"id": part.tool_call_id, "type": "function", "function": function})
        elif isinstance(content := getattr(part, "content", None), str):
            text.append(content)
        else:
            beside = content if content is not None else getattr(part, "args", None)
            text.append(f"[{kind}] {getattr(part, 'tool_name', '')} {_written(beside)}".rstrip())
    message: Json = {"role": "assistant", "content": "\n".join(filter(None, text))}
    if calls:
        message["tool_calls"] = calls
    if any(thinking):
        message["reasoning_content"] = "\n".join(thinking)
    return message


def _written(value: Any) -> str:
    try:
        return value if isinstance(value, str) else dumps(plain(value, "content"))
    except ValueError:  # bytes, such as a file that a model made
        return ""


# -- back ---------------------------------------------------------------------------------------------------------


def make(messages: list[Json], kind: str, own: list[Any]) -> Iterator[ModelMessage]:
    """Make requests and responses of what ctxmem wrote or shortened; runs of a user's and tools' are one request."""
    del kind
    names = {part.tool_call_id: part.tool_name for each in own for part in each.parts if hasattr(part, "tool_call_id")}
    notes = {part.render() for each in own for part in each.parts if part.part_kind == "instruction-delta"}
    for message in messages:
        if message["role"] == "assistant":
            yield _response(message, own)
        elif message["role"] != "system" or message["content"] not in notes:
            yield ModelRequest(parts=[_part(message, names)])


def _part(message: Json, names: Mapping[str, str]) -> Any:
    if message["role"] == "tool":
        call_id = message["tool_call_id"]
        return ToolReturnPart(names.get(call_id, _NAMELESS), _given(message["content"]), call_id)
    if message["role"] == "system":
        return SystemPromptPart(message["content"])
    return UserPromptPart(_given(message["content"]))


def _given(content: str | list[Json]) -> Any:
    """Write content as the framework has it."""
    return content if isinstance(content, str) else [_piece(part) for part in content]


def _piece(part: Json) -> Any:
    if part["type"] != "image_url":
        return part["text"]
    url = part["image_url"]["url"]
    return BinaryContent.from_data_uri(url) if url.startswith("data:") else ImageUrl(url)


def _response(message: Json, own: list[Any]) -> ModelResponse:
    """Write a response; where only its thinking went, the one there was without it."""
    if len(own) == 1 and isinstance(own[0], ModelResponse):
        rest = replace(own[0], parts=[part for part in own[0].parts if not isinstance(part, ThinkingPart)])
        if rest.parts and _is_same(_said(rest), message):
            return rest
    parts: list[Any] = [TextPart(message["content"])] if message.get("content") else []
    called = [(call["function"], call["id"]) for call in message.get("tool_calls", ())]
    parts += [ToolCallPart(function["name"], function["arguments"], call_id) for function, call_id in called]
    return ModelResponse(parts=parts)


def _is_same(one: Json, other: Json) -> bool:
    return all((one.get(key) or None) == (other.get(key) or None) for key in ("content", "tool_calls"))


DIALECT = Dialect(provider="openai", read=read, make=make)


def finished(sent: Iterable[ModelMessage], given: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Return what is sent as a list that the framework takes: new requests joined, notes kept, a request at its end."""
    own, waiting, found = {id(each): at for at, each in enumerate(given)}, 0, list[ModelMessage]()
    for message in sent:
        at = own.get(id(message))
        if at is not None:
            _note(found, given[waiting:at])
            waiting = at + 1
        if at is None and isinstance(message, ModelRequest):
            found.append(_joined(message, found, own))
        else:
            found.append(message)
    _note(found, given[waiting:])
    if not found or not isinstance(found[-1], ModelRequest):
        found.append(given[-1])
    return found


def _joined(request: ModelRequest, found: list[ModelMessage], own: Container[int]) -> ModelRequest:
    """Join a new request to the new one before it; name the tools of results that nobody gave."""
    calls = [part for each in found[-1:] for part in each.parts if isinstance(part, ToolCallPart)]
    names = {part.tool_call_id: part.tool_name for part in calls}
    parts = list(request.parts)
    for at, part in enumerate(parts):
        if isinstance(part, ToolReturnPart) and part.tool_name == _NAMELESS:
            parts[at] = ToolReturnPart(names.get(part.tool_call_id, _NAMELESS), part.content, part.tool_call_id)
    if found and isinstance(found[-1], ModelRequest) and id(found[-1]) not in own:
        return ModelRequest(parts=[*found.pop().parts, *parts])
    return ModelRequest(parts=parts)


def _note(found: list[ModelMessage], left_out: Sequence[ModelMessage]) -> None:
    """Put the notes of what is left out where it stood; never between calls and their results."""
    asked = [each for each in left_out if isinstance(each, ModelRequest)]
    notes = [part for each in asked for part in each.parts if part.part_kind in NOTES]
    if notes:
        at = len(found) - 1 if found and isinstance(found[-1], ModelResponse) else len(found)
        found.insert(at, ModelRequest(parts=notes))
