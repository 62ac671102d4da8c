"""The keyword arguments of the SDK call: what `Prompt.kwargs` returns. Pure; the prompt itself is never changed."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from ctxmem.errors import ToolsChanged
from ctxmem.providers import registry
from ctxmem.providers.hints import take_hints
from ctxmem.providers.neutral import Request
from ctxmem.providers.plain import plain


def kwargs(request: Request, over: Mapping[str, Any]) -> dict[str, Any]:
    """Build the SDK call's arguments, `over` laid on top.

    Dicts are merged key by key, at every level; headers that are lists (`anthropic-beta`) are joined; anything else in
    `over` replaces.

    Raises:
        ToolsChanged: `over` has other tools than those that were counted.
    """
    shape = registry.named(request.provider)
    if "tools" in over:
        tools = plain(list(over["tools"] or ()), "tools")
        take_hints(tools, shape)
        if tools != plain(list(request.tools), "tools"):
            raise ToolsChanged(
                "tools: not those that were counted; pass them to Memory.context or Context.switch instead"
            )
        over = {**over, "tools": tools} if tools else over
    base = shape.kwargs(request, over)
    # Of every provider, since a gateway also accepts the headers of others.
    lists = frozenset(name for shape in registry.SHAPES.values() for name in shape.list_headers)
    return merge(base, over, lists)


def merge(base: dict[str, Any], over: Mapping[str, Any], lists: AbstractSet[str]) -> dict[str, Any]:
    """Lay one mapping over another, key by key where both hold mappings; values under a name in `lists` are joined.

    >>> merge({"a": {"x": 1}, "beta": "p,q"}, {"a": {"y": 2}, "Beta": "q,r"}, {"beta"})
    {'a': {'x': 1, 'y': 2}, 'beta': 'p,q,r'}
    """
    merged = dict(base)
    for given, value in over.items():
        key = given.lower() if given.lower() in lists else given  # header names are case-insensitive
        mine = base.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(dict(mine), value, lists)
        elif key in lists and isinstance(mine, str) and isinstance(value, str):
            merged[key] = _joined(mine, value)
        else:
            merged[key] = value
    return merged


def _joined(mine: str, given: str) -> str:
    names = [name.strip() for name in f"{mine},{given}".split(",")]
    return ",".join(dict.fromkeys(name for name in names if name))
