"""The keyword arguments of the SDK call: what `Prompt.kwargs` returns. Pure; the prompt itself is never changed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctxmem.errors import ToolsChanged
from ctxmem.models import Model
from ctxmem.providers.plain import Json, plain

BINDING_BETA = "thinking-binding-controls-2026-08-01"
_BETA = "anthropic-beta"
_MARK = {"type": "ephemeral"}
_UNMARKED = frozenset({"thinking", "redacted_thinking"})
_MAX_MARKS = 4


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt as it is to be sent.

    `marks` are places for Anthropic's cache marks, as (message index, block index): the end of the ledger and the end
    of the previous prompt, from `Wire.marks`; the last system block and the end are marked besides. `drop_block` asks
    Anthropic to drop thinking whose prefix was edited, instead of refusing: to be set from the first edit on.
    """

    provider: str
    model: Model
    messages: Sequence[Json]
    system: Sequence[Json] | None
    tools: Sequence[Any]
    reserve: int
    marks: Sequence[tuple[int, int]] = ()
    drop_block: bool = False


def kwargs(request: Request, over: Mapping[str, Any]) -> dict[str, Any]:
    """Build the SDK call's arguments, `over` laid on top.

    Dicts are merged key by key, at every level; `anthropic-beta` headers are joined; anything else in `over` replaces.

    Raises:
        ToolsChanged: `over` has other tools than those that were counted.
    """
    base = _BUILD[request.provider](request)
    if "tools" in over and plain(list(over["tools"] or ()), "tools") != plain(list(request.tools), "tools"):
        raise ToolsChanged("tools: not those that were counted; pass them to Memory.context or Context.switch instead")
    thinking = over.get("thinking")
    if isinstance(thinking, Mapping) and thinking.get("type") == "disabled":
        base.pop("thinking", None)  # nothing to bind; the setting is not known to a disabled configuration
    return merge(base, over)


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, key by key where both hold mappings; `anthropic-beta` values are joined.

    >>> merge({"a": {"x": 1}, "anthropic-beta": "p,q"}, {"a": {"y": 2}, "anthropic-beta": "q,r"})
    {'a': {'x': 1, 'y': 2}, 'anthropic-beta': 'p,q,r'}
    """
    merged = dict(base)
    for given, value in over.items():
        key = _BETA if given.lower() == _BETA else given  # header names know no case
        mine = base.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(dict(mine), value)
        elif key == _BETA and isinstance(mine, str) and isinstance(value, str):
            merged[key] = _joined(mine, value)
        else:
            merged[key] = value
    return merged


def _joined(mine: str, given: str) -> str:
    names = [name.strip() for name in f"{mine},{given}".split(",")]
    return ",".join(dict.fromkeys(name for name in names if name))


def _openai(request: Request) -> dict[str, Any]:
    return {"model": request.model.name, "messages": list(request.messages), **_tools(request)}


def _responses(request: Request) -> dict[str, Any]:
    return {"model": request.model.name, "input": list(request.messages), **_tools(request)}


def _gemini(request: Request) -> dict[str, Any]:
    config: dict[str, Any] = {"max_output_tokens": request.reserve} if request.reserve else {}
    if request.system:
        config["system_instruction"] = {"parts": list(request.system)}
    if request.tools:
        config["tools"] = list(request.tools)
    return {"model": request.model.name, "contents": list(request.messages), **({"config": config} if config else {})}


def _tools(request: Request) -> dict[str, Any]:
    return {"tools": list(request.tools)} if request.tools else {}


def _anthropic(request: Request) -> dict[str, Any]:
    messages, system, tools = _marked(request)
    made: dict[str, Any] = {"model": request.model.name, "max_tokens": max(request.reserve, 1), "messages": messages}
    if system:
        made["system"] = system
    if tools:
        made["tools"] = tools
    if request.drop_block and request.model.thinking_bound:
        binding = {"prefix_mismatch_behavior": "drop_block"}
        made["thinking"] = {"type": "adaptive", "block_binding": binding}
        made["extra_headers"] = {_BETA: BINDING_BETA}
    return made


def _marked(request: Request) -> tuple[list[Json], list[Json], list[Any]]:
    """Place cache marks: the last system block (or tool), `request.marks`, the end; at most four, on copies.

    Marks that the caller's tools carry count as well; of what remains the later places go first, since a mark covers
    all that stands before it.
    """
    messages, system, tools = list(request.messages), list(request.system or ()), list(request.tools)
    left = _MAX_MARKS - sum(isinstance(tool, Mapping) and "cache_control" in tool for tool in tools)
    if left > 0 and system:
        system[-1] = {**system[-1], "cache_control": dict(_MARK)}
        left -= 1
    elif left > 0 and tools and isinstance(tools[-1], Mapping) and "cache_control" not in tools[-1]:
        tools[-1] = {**tools[-1], "cache_control": dict(_MARK)}
        left -= 1
    if not messages:
        return messages, system, tools
    end = (len(messages) - 1, len(messages[-1]["content"]) - 1)
    places = sorted({place for place in map(_markable(messages), [*request.marks, end]) if place is not None})
    for index, place in reversed(places[-left:] if left > 0 else []):
        message = messages[index]
        blocks = list(message["content"])
        blocks[place] = {**blocks[place], "cache_control": dict(_MARK)}
        messages[index] = {**message, "content": blocks}
    return messages, system, tools


def _markable(messages: Sequence[Json]) -> Callable[[tuple[int, int]], tuple[int, int] | None]:
    """Make the function that moves a place back, within its message, to a block that may carry a mark."""

    def nearest(place: tuple[int, int]) -> tuple[int, int] | None:
        index, at = place
        content = messages[index].get("content") if 0 <= index < len(messages) else None
        if not isinstance(content, list):
            return None
        found = [i for i in range(min(at + 1, len(content))) if content[i].get("type") not in _UNMARKED]
        return (index, found[-1]) if found else None

    return nearest


_BUILD: Mapping[str, Callable[[Request], dict[str, Any]]] = {
    "openai": _openai,
    "openai-responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
}
