"""Anthropic's cache breakpoints: where they stand in a prompt, and that they are at most four."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ctxmem.providers.anthropic_blocks import THINKING
from ctxmem.providers.neutral import Request
from ctxmem.providers.plain import Json

MAX_BREAKPOINTS = 4
_MARK = {"type": "ephemeral"}


def marked(request: Request) -> tuple[list[Json], list[Json], list[Any]]:
    """Place breakpoints: the last system block (or tool), `request.breakpoints`, the end; at most four, on copies.

    Breakpoints that the caller's tools carry count as well; of what remains the later places go first, since one covers
    all that stands before it.
    """
    messages, system, tools = list(request.messages), list(request.system or ()), list(request.tools)
    left = MAX_BREAKPOINTS - sum(isinstance(tool, Mapping) and "cache_control" in tool for tool in tools)
    if left > 0 and system:
        system[-1] = {**system[-1], "cache_control": dict(_MARK)}
        left -= 1
    elif left > 0 and tools and isinstance(tools[-1], Mapping) and "cache_control" not in tools[-1]:
        tools[-1] = {**tools[-1], "cache_control": dict(_MARK)}
        left -= 1
    if not messages:
        return messages, system, tools
    end = (len(messages) - 1, len(messages[-1]["content"]) - 1)
    places = sorted({place for place in map(_markable(messages), [*request.breakpoints, end]) if place is not None})
    for index, place in reversed(places[-left:] if left > 0 else []):
        message = messages[index]
        blocks = list(message["content"])
        blocks[place] = {**blocks[place], "cache_control": dict(_MARK)}
        messages[index] = {**message, "content": blocks}
    return messages, system, tools


def _markable(messages: Sequence[Json]) -> Callable[[tuple[int, int]], tuple[int, int] | None]:
    """Make the function that moves a place back, within its message, to a block that may carry a breakpoint."""

    def nearest(place: tuple[int, int]) -> tuple[int, int] | None:
        index, at = place
        content = messages[index].get("content") if 0 <= index < len(messages) else None
        if not isinstance(content, list):
            return None
        found = [i for i in range(min(at + 1, len(content))) if content[i].get("type") not in THINKING]
        return (index, found[-1]) if found else None

    return nearest
