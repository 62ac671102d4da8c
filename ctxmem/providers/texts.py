"""Texts made of neutral parts and of calls: what is searched, and what is written for what a shape cannot hold."""

from collections.abc import Iterable
from typing import Any

from ctxmem.providers.neutral import Image, Part, Text


def join_text(parts: Iterable[Part]) -> str:
    """Join the texts of parts, a line break between them."""
    return "\n".join([part.text for part in parts if isinstance(part, Text)])


def labelled(parts: Iterable[Part], suffix: str = "") -> list[Part]:
    """Put `[image 1024x768]` in the place of every image; `suffix` ("#12") goes inside the brackets."""
    tail = f", {suffix}]" if suffix else "]"
    return [Text(f"[{part.label}{tail}") if isinstance(part, Image) else part for part in parts]


def loose_text(value: Any) -> str:
    """Gather what can be read in a block of an unknown type: its texts, titles, queries and addresses."""
    if isinstance(value, list):
        return "\n".join([text for text in map(loose_text, value) if text])
    if not isinstance(value, dict):
        return ""
    own = [item for key, item in value.items() if key in _READABLE and isinstance(item, str) and item]
    nested = [loose_text(item) for item in value.values() if isinstance(item, dict | list)]
    return "\n".join([text for text in (*own, *nested) if text])


_READABLE = frozenset(
    {"text", "title", "query", "url", "name", "code", "command", "stdout", "stderr", "output", "input"}
)


def kind_of(value: Any) -> str:
    """Name a wrong value in an error."""
    return "nothing" if value is None else f"an empty {type(value).__name__}" if value == [] else type(value).__name__


def searched(parts: Iterable[Part], lines: Iterable[str] = ()) -> str:
    """Return the text of a message as it is searched: its content, then a line for each call (`call_line`)."""
    return "\n".join([text for text in (join_text(parts), *lines) if text])


def call_line(name: str, arguments: str, *, is_read: bool) -> str:
    """Write a call as it is searched, `read {"path":"a.py"}`; where its arguments are no object, as `unread_text`."""
    return f"{name} {arguments}" if is_read else unread_text(name, arguments)


def unread_text(name: str, arguments: str) -> str:
    """Write a call whose arguments are not an object, which no provider takes back."""
    return f"[call of {name} with arguments that are not a JSON object: {arguments}]"
