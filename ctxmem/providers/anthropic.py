"""Anthropic Messages: read into drafts, and written from the neutral form as content blocks.

A message with n tool results makes n drafts, then one of what else it holds. Everything is written as blocks, never as
a str, so that a message merged with its successor has the earlier one's blocks as a prefix. The caller's own
`cache_control` is left out: `kwargs` places the breakpoints, of which there are at most four.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from ctxmem.errors import BadMessage
from ctxmem.models import Model
from ctxmem.providers import anthropic_blocks, anthropic_join, anthropic_rules, framing
from ctxmem.providers.anthropic_blocks import (
    THINKING,
    call_of,
    clean,
    content_of,
    count_block,
    is_sent,
    text_block,
    wire_block,
    without_empty,
)
from ctxmem.providers.anthropic_breakpoints import marked
from ctxmem.providers.neutral import Draft, Image, Part, Request, Said, Tally, Text, Unit, Variant, Violation, Wire
from ctxmem.providers.plain import Json, dumps, number
from ctxmem.providers.shape import Fit, Shape, is_blocks
from ctxmem.providers.texts import call_line, join_text, kind_of, labelled, searched, unread_text
from ctxmem.tokens import count

_NAME = "anthropic"
_BETA = "anthropic-beta"
BINDING_BETA = "thinking-binding-controls-2026-08-01"
_FIELDS = frozenset({"stop_reason", "stop_sequence"})
_BLOCKS = frozenset({"image", "document", "search_result", "compaction", *THINKING})
_PREAMBLE_TOKENS = 290  # that comes with tools: 346 of Anthropic's own, by its page, on models at 1.20 times o200k


class Anthropic(Shape):
    """The Messages API. A part is a block of a message."""

    __slots__ = ()

    name = _NAME
    payload_key = "messages"
    tool_example = '{"name": ..., "input_schema": ...}'
    framing_tokens = framing.PRIMING_TOKENS + framing.FILLERS_TOKENS
    cache_ttl_s = 300.0
    list_headers = frozenset({_BETA})

    def fit(self, message: Json, role: str, types: AbstractSet[str]) -> Fit:
        """Recognise replies by their stop reason or usage, other messages by a field or a block."""
        if message.get("type") == "message" and ("stop_reason" in message or isinstance(message.get("usage"), dict)):
            return Fit.WHOLE
        if role not in {"user", "assistant"}:
            return Fit.NONE
        if not _FIELDS.isdisjoint(message):
            return Fit.FIELD
        if types and (types & _BLOCKS or any(kind.endswith(("tool_use", "tool_result")) for kind in types)):
            return Fit.PART
        return Fit.SHARED if isinstance(message.get("content"), str | list) else Fit.NONE

    def parse(self, message: Json) -> list[Draft]:
        """Read one message, or a whole Message reply as a dict: a draft for each result, one for what else it holds."""
        if "stop_reason" not in message and message.get("type") != "message":
            return _drafts(message)
        sent = {"role": message.get("role", "assistant"), "content": message.get("content")}
        usage = message.get("usage")
        return [draft._replace(usage=usage) if usage else draft for draft in self.parse(sent)]

    def content(self, message: Json) -> list[Part]:
        """Read the content of a message; of a result, what it holds."""
        return content_of(message)

    def own(self, kind: str, message: Json, variant: Variant) -> tuple[Json, ...]:
        """Return the blocks of a message as they came.

        Left out are empty texts, the caller's breakpoints, thinking at the end (and all, unless `variant.reasoning`),
        and calls whose input is not an object, which become text.
        """
        value = message["content"]
        blocks = [text_block(value)] if isinstance(value, str) else value
        if kind == "tool":
            block = clean(blocks[0])
            if variant.call_id is not None:
                block["tool_use_id"] = variant.call_id
            return (without_empty(block),)
        sent: list[Json] = []
        n_calls = 0
        for block in blocks:
            if block["type"] == "tool_use":
                if call_of(block) is None:
                    sent.append(text_block(unread_text(block["name"], dumps(block.get("input")))))
                    continue
                sent.append({**clean(block), "id": variant.ids.get(n_calls, block["id"])})
                n_calls += 1
            elif is_sent(block, reasoning=variant.reasoning):
                sent.append(clean(block))
        while sent and sent[-1]["type"] in THINKING:
            sent.pop()  # the API refuses a message that ends in thinking
        return tuple(sent)

    def write(self, said: Said) -> tuple[Json, ...]:
        """Write the blocks of a message, a tool use for each call."""
        if said.kind == "tool":
            texts_only = all(isinstance(part, Text) for part in said.parts)
            inner: Any = join_text(said.parts) if texts_only else _blocks(said.parts)
            result = {"type": "tool_result", "tool_use_id": said.call_id, "content": inner}
            return (without_empty({**result, "is_error": True} if said.is_error else result),)
        blocks = _blocks(said.parts if said.kind == "user" else labelled(said.parts))
        uses = [{"type": "tool_use", "id": c.id, "name": c.name, "input": dict(c.arguments)} for c in said.calls]
        return (*blocks, *uses)

    def spare(self, kind: str, parts: Sequence[Part]) -> tuple[Json, ...]:
        """Write the user's text that a system message becomes where it can stand neither first nor in its own role."""
        text = join_text(labelled(parts)) if kind == "system" else ""
        return (text_block(framing.SYSTEM_HEADING + text),) if text.strip() else ()

    def result(self, call_id: str, content: Any, *, error: bool) -> Json:
        """Make the user's message that holds the result."""
        body = content if isinstance(content, str) or is_blocks(content) else dumps(content)
        block = {"type": "tool_result", "tool_use_id": call_id, "content": body}
        return {"role": "user", "content": [{**block, "is_error": True} if error else block]}

    def count_parts(self, parts: Sequence[Json]) -> int:
        """Count the blocks of one message."""
        tally = Tally(framing.MESSAGE_TOKENS)
        for block in parts:
            count_block(tally, block)
        return tally.tokens

    def count_message(self, message: Json) -> int:
        """Count one message of a payload."""
        value = message["content"]
        return self.count_parts([text_block(value)] if isinstance(value, str) else value)

    def count_tools(self, schemas: Sequence[Json]) -> int:
        """Count tool schemas as JSON, and the preamble that comes with them."""
        return _PREAMBLE_TOKENS + super().count_tools(schemas)

    def input_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `input_tokens`, which leaves out what the cache was read or written for."""
        fresh = number(usage, "input_tokens")
        if fresh is None:
            return None
        cached = (number(usage, name) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
        return fresh + sum(cached)

    def cached_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `cache_read_input_tokens`."""
        return number(usage, "cache_read_input_tokens")

    def cache_write_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `cache_creation_input_tokens`."""
        return number(usage, "cache_creation_input_tokens")

    def output_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `output_tokens`, which include thinking."""
        return number(usage, "output_tokens")

    def copy_of(self, parts: Sequence[Json]) -> Callable[[Json], Json]:
        """Choose the cheapest copy of blocks."""
        return anthropic_blocks.copy_of(parts)

    def join(self, units: Sequence[Unit], model: Model, breakpoints: Sequence[int] = ()) -> Wire:
        """Join units to messages that alternate."""
        return anthropic_join.join(units, model, breakpoints)

    def parts_of(self, message: Json) -> Sequence[Json]:
        """Return the blocks of a message."""
        blocks: list[Json] = message["content"]
        return blocks

    def kwargs(self, request: Request, over: Mapping[str, Any]) -> dict[str, Any]:
        """Put the system prompt apart, place the cache breakpoints, and say what is to happen to edited thinking."""
        messages, system, tools = marked(request)
        made: dict[str, Any] = {"model": request.model.name, "max_tokens": max(request.reserve, 1)}
        made["messages"] = messages
        if system:
            made["system"] = system
        if tools:
            made["tools"] = tools
        if request.drop_block and request.model.thinking_bound:
            wanted = over.get("thinking")
            if not isinstance(wanted, Mapping) or wanted.get("type") != "disabled":  # which knows no binding
                binding = {"prefix_mismatch_behavior": "drop_block"}
                made["thinking"] = {"type": "adaptive", "block_binding": binding}
            made["extra_headers"] = {_BETA: BINDING_BETA}
        return made

    def check(self, payload: Mapping[str, Any], messages: Sequence[Any]) -> Iterator[Violation]:
        """List what breaks the rules of the Messages API."""
        return anthropic_rules.check(payload, messages)

    def tool(self, name: str, text: str, parameters: Json) -> Json:
        """Write a tool's schema."""
        return {"name": name, "description": text, "input_schema": parameters}

    def owns_tool(self, schema: Json) -> bool:
        """Recognise a schema by its `input_schema`."""
        return schema.get("type") != "function" and "input_schema" in schema


SHAPE = Anthropic()


# ---- reading


def _drafts(message: Json) -> list[Draft]:
    blocks_or_text = message.get("content")
    role = message["role"]
    if isinstance(blocks_or_text, str):
        return [_draft(role, role, message, [text_block(blocks_or_text)])]
    _check_blocks(blocks_or_text, role)
    blocks: list[Json] = message["content"]
    results = [block for block in blocks if block["type"] == "tool_result"]
    if role != "user" or not results:
        return [_draft(role, role, message, blocks)]
    drafts = [_draft("tool", role, {**message, "content": [block]}, [block]) for block in results]
    rest = [block for block in blocks if block["type"] != "tool_result"]
    return [*drafts, _draft("user", role, {**message, "content": rest}, rest)] if rest else drafts


def _draft(kind: str, role: str, message: Json, blocks: Sequence[Json]) -> Draft:
    parts = content_of(message)
    tally = Tally(framing.MESSAGE_TOKENS)
    lines, calls = [], []
    margin = framing.JOIN_TOKENS * max(len(parts) - 1, 0) + (framing.SYSTEM_TOKENS if kind == "system" else 0)
    for block in blocks:
        count_block(tally, block)
        if block["type"] == "tool_use":
            call = call_of(block)
            raw = dumps(block.get("input"))
            calls += [call] if call else []
            lines.append(call_line(block["name"], raw, is_read=call is not None))
            margin += 0 if call else framing.UNREAD_TOKENS
    result = blocks[0] if kind == "tool" else {}
    if kind == "tool":
        margin += max(framing.RESULT_ID_TOKENS - count(result["tool_use_id"]), 0) + framing.ERROR_TOKENS
        margin += framing.IMAGES_TOKENS if any(isinstance(part, Image) for part in parts) else 0
    return Draft(
        shape=_NAME,
        role=role,
        kind=kind,
        message=message,
        text=searched(parts, lines),
        calls=tuple(calls),
        call_id=result.get("tool_use_id"),
        is_error=bool(result.get("is_error")),
        tokens=tally.tokens + margin,
        exact=tally.exact,
        image_tokens=tally.image_tokens,
    )


def _check_blocks(blocks: Any, role: str) -> None:
    if not isinstance(blocks, list) or (not blocks and role != "assistant"):
        raise BadMessage(f"message.content: {kind_of(blocks)} in a {role} message; pass a str or a list of blocks")
    for index, block in enumerate(blocks):
        path = f"message.content[{index}]"
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise BadMessage(f"{path}: not a block; pass {{'type': 'text', 'text': ...}} or the like")
        for name in _REQUIRED.get(block["type"], ()):
            if not isinstance(block.get(name), str) or (name != "text" and not block[name]):
                raise BadMessage(f"{path}.{name}: {kind_of(block.get(name))}; a {block['type']} block needs a str")
        inner = block.get("content")
        if block["type"] == "tool_result" and inner is not None and not isinstance(inner, str):
            _check_inner(inner, f"{path}.content")


_REQUIRED = {"text": ("text",), "tool_use": ("id", "name"), "tool_result": ("tool_use_id",)}


def _check_inner(inner: Any, path: str) -> None:
    if not isinstance(inner, list) or not all(isinstance(b, dict) and isinstance(b.get("type"), str) for b in inner):
        raise BadMessage(f"{path}: {kind_of(inner)}; pass a str or a list of blocks")
    if any(block["type"] == "text" and not isinstance(block.get("text"), str) for block in inner):
        raise BadMessage(f"{path}: a text block without text; pass {{'type': 'text', 'text': ...}}")


# ---- writing


def _blocks(parts: Sequence[Part]) -> list[Json]:
    return [wire_block(part) for part in parts if isinstance(part, Image) or part.text.strip()]
