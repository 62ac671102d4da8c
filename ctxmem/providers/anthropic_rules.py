"""The rules of the Messages API, strictest reading: what a payload breaks. See `rules.validate`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ctxmem.models import lookup
from ctxmem.providers.anthropic_blocks import THINKING
from ctxmem.providers.anthropic_breakpoints import MAX_BREAKPOINTS
from ctxmem.providers.neutral import Violation

_MAX_MESSAGES = 100_000
_USE_ID = re.compile(r"[A-Za-z0-9_-]+")


def check(payload: Mapping[str, Any], messages: Sequence[Any]) -> Iterator[Violation]:
    """List what breaks the rules of the Messages API."""
    model = lookup(str(payload.get("model") or "unknown"))
    if not 0 < len(messages) <= _MAX_MESSAGES:
        yield Violation("empty" if not messages else "too-many", "messages", f"1 to {_MAX_MESSAGES:,} messages")
        return
    if messages[0].get("role") != "user":
        yield Violation("first-not-user", "messages[0].role", "the first message must be a user's")
    if messages[-1].get("role") == "assistant" and not model.prefill:
        path = f"messages[{len(messages) - 1}]"
        yield Violation("last-assistant", path, "this model takes no prefill: the last message must be a user's")
    ids: set[str] = set()
    waiting: list[str] = []
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        before = messages[index - 1].get("role") if index else None
        after = messages[index + 1].get("role") if index + 1 < len(messages) else None
        yield from _turn(message.get("role"), before, after, path, may_be_system=model.mid_conversation_system)
        blocks, found = _blocks(message, path, is_last=after is None)
        yield from found
        yield from _results(message.get("role"), blocks, waiting, path)
        waiting = []
        for place, block in enumerate(blocks):
            yield from _block(block, message.get("role"), f"{path}.content[{place}]", ids, waiting)
        if message.get("role") == "assistant" and blocks and blocks[-1].get("type") in THINKING:
            yield Violation("thinking-last", path, "an assistant message must not end in thinking")
    for call_id in waiting:
        yield Violation("unanswered-call", f"messages[{len(messages) - 1}]", f"tool_use {call_id!r} has no result")
    yield from _system(payload.get("system"))
    yield from _breakpoints(payload)


def _turn(role: Any, before: Any, after: Any, path: str, *, may_be_system: bool) -> Iterator[Violation]:
    if role not in {"user", "assistant", "system"}:
        yield Violation("role", f"{path}.role", f"{role!r} is not a role of the Messages API")
    elif role == before:
        yield Violation("same-role", f"{path}.role", f"two {role} messages in a row; merge them")
    if role == "system":
        if not may_be_system:
            yield Violation("system-role", f"{path}.role", "this model takes system text only in `system`")
        elif before != "user" or after not in {None, "assistant"}:
            yield Violation("system-place", path, "must follow a user's message, and be last or before an assistant's")


def _blocks(message: Mapping[str, Any], path: str, *, is_last: bool) -> tuple[list[Any], list[Violation]]:
    content = message.get("content")
    may_be_empty = is_last and message.get("role") == "assistant"
    if isinstance(content, str):
        empty = not content.strip() and not may_be_empty
        return [], [Violation("text-empty", f"{path}.content", "no text but white space")] if empty else []
    if not isinstance(content, list | tuple):
        return [], [Violation("content-type", f"{path}.content", "not a str or a list of blocks")]
    for place, block in enumerate(content):
        if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
            return [], [Violation("content-type", f"{path}.content[{place}]", "not a block with a type")]
    if not content and not may_be_empty:
        return [], [Violation("content-empty", f"{path}.content", "an empty list of blocks")]
    return list(content), []


def _results(role: Any, blocks: Sequence[Any], waiting: Sequence[str], path: str) -> Iterator[Violation]:
    """Check that the results of this message are those that the message before waits for, and come first."""
    open_ids, other = set(waiting), False
    for place, block in enumerate(blocks):
        if block.get("type") != "tool_result" or role != "user":
            other = True
            continue
        if other:
            yield Violation("result-late", f"{path}.content[{place}]", "results stand before anything else")
        call_id = block.get("tool_use_id")
        if call_id in open_ids:
            open_ids.discard(call_id)
        else:
            code = "repeated-result" if call_id in waiting else "orphan-result"
            yield Violation(code, f"{path}.content[{place}]", f"no tool_use {call_id!r} in the message before")
    for call_id in waiting:
        if call_id in open_ids:
            yield Violation("unanswered-call", path, f"tool_use {call_id!r} has no result in this message")


def _block(block: Any, role: Any, path: str, ids: set[str], waiting: list[str]) -> Iterator[Violation]:
    kind = block["type"]
    if kind == "text" and not str(block.get("text") or "").strip():
        yield Violation("text-empty", path, "no text but white space")
    elif kind == "tool_use":
        yield from _use(block, role, path, ids, waiting)
    elif kind == "tool_result":
        if role != "user":
            yield Violation("block-role", path, "a result stands only in a user's message")
        inner = block.get("content")
        for place, item in enumerate(inner if isinstance(inner, list) else ()):
            if item.get("type") == "text" and not str(item.get("text") or "").strip():
                yield Violation("text-empty", f"{path}.content[{place}]", "no text but white space")
    elif kind in THINKING:
        if role != "assistant":
            yield Violation("block-role", path, "thinking stands only in an assistant's message")
        if "cache_control" in block:
            yield Violation("breakpoint-on-thinking", path, "a cache breakpoint cannot stand on thinking")
        if kind == "thinking" and not block.get("signature"):
            yield Violation("signature", path, "thinking without its signature")
    elif role == "system" and kind != "text":
        yield Violation("block-role", path, "a system message holds text only")


def _use(block: Any, role: Any, path: str, ids: set[str], waiting: list[str]) -> Iterator[Violation]:
    call_id = block.get("id")
    if role != "assistant":
        yield Violation("block-role", path, "a tool_use stands only in an assistant's message")
    if not isinstance(call_id, str) or not _USE_ID.fullmatch(call_id):
        yield Violation("id-refused", f"{path}.id", f"{call_id!r}: a tool_use id is made of [A-Za-z0-9_-]")
    elif call_id in ids:
        yield Violation("id-repeated", f"{path}.id", f"{call_id!r} is taken; tool_use ids must be unique")
    if not isinstance(block.get("input"), Mapping):
        yield Violation("arguments", f"{path}.input", "not an object")
    if not isinstance(block.get("name"), str) or not block["name"]:
        yield Violation("call-shape", f"{path}.name", "missing")
    ids.add(str(call_id))
    waiting.append(str(call_id))


def _system(system: Any) -> Iterator[Violation]:
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system or ()
    for place, block in enumerate(blocks):
        if not isinstance(block, Mapping) or block.get("type") != "text" or not str(block.get("text") or "").strip():
            yield Violation("system-text", f"system[{place}]", "not a text block with text in it")


def _breakpoints(payload: Mapping[str, Any]) -> Iterator[Violation]:
    marked = [block for key in ("tools", "system") for block in _listed(payload.get(key)) if "cache_control" in block]
    for message in payload["messages"]:
        for block in _listed(message.get("content")):
            marked += [block] if "cache_control" in block else []
            marked += [inner for inner in _listed(block.get("content")) if "cache_control" in inner]
    if len(marked) > MAX_BREAKPOINTS:
        yield Violation(
            "too-many-breakpoints", "cache_control", f"{len(marked)} breakpoints; at most {MAX_BREAKPOINTS}"
        )


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []
