"""Anthropic Messages: read into drafts, and written from the neutral form as content blocks.

A message with n tool results makes n drafts, then one of what else it holds. Everything is written as blocks, never as
a str, so that a message merged with its successor has the earlier one's blocks as a prefix. The caller's own
`cache_control` is left out: `kwargs` places the marks, of which there are at most four.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ctxmem.errors import BadMessage
from ctxmem.providers.images import image
from ctxmem.providers.neutral import (
    ERROR_TOKENS,
    IMAGES_TOKENS,
    JOIN_TOKENS,
    MESSAGE_TOKENS,
    RESULT_ID_TOKENS,
    SYSTEM_HEADING,
    SYSTEM_TOKENS,
    UNREAD_TOKENS,
    Draft,
    Image,
    Part,
    Tally,
    Text,
    Variant,
    call_text,
    join_text,
    kind_of,
    labelled,
    loose_text,
    unread_text,
)
from ctxmem.providers.plain import Json, copier, deep2, dumps
from ctxmem.segment import Call
from ctxmem.tokens import count

SHAPE = "anthropic"
REASONING = frozenset({"thinking", "redacted_thinking"})
_NOT_SENT = frozenset({"cache_control", "parsed_output"})
_HIDDEN_CHARS = 4  # characters of an opaque signature or redacted block per token of thinking; an upper bound


# ---- reading


def parse(message: Json) -> list[Draft]:
    """Read one message, or a whole Message reply as a dict, into drafts.

    Raises:
        BadMessage: a content or block that the Messages API does not know, with the field and the remedy.
    """
    if "stop_reason" in message or message.get("type") == "message":
        sent = {"role": message.get("role", "assistant"), "content": message.get("content")}
        usage = message.get("usage")
        return [replace(draft, usage=usage) if usage else draft for draft in parse(sent)]
    content_of = message.get("content")
    role = message["role"]
    if isinstance(content_of, str):
        return [_draft(role, role, message, [text_block(content_of)])]
    _check_blocks(content_of, role)
    blocks: list[Json] = message["content"]
    results = [block for block in blocks if block["type"] == "tool_result"]
    if role != "user" or not results:
        return [_draft(role, role, message, blocks)]
    drafts = [_draft("tool", role, {**message, "content": [block]}, [block]) for block in results]
    rest = [block for block in blocks if block["type"] != "tool_result"]
    return [*drafts, _draft("user", role, {**message, "content": rest}, rest)] if rest else drafts


def _draft(kind: str, role: str, message: Json, blocks: Sequence[Json]) -> Draft:
    parts = content(message)
    tally = Tally(MESSAGE_TOKENS)
    lines, calls, margin = [], [], JOIN_TOKENS * max(len(parts) - 1, 0) + (SYSTEM_TOKENS if kind == "system" else 0)
    for block in blocks:
        _count_block(tally, block)
        if block["type"] == "tool_use":
            call = _call(block)
            raw = dumps(block.get("input"))
            calls += [call] if call else []
            lines.append(call_text(block["name"], raw) if call else unread_text(block["name"], raw))
            margin += 0 if call else UNREAD_TOKENS
    result = blocks[0] if kind == "tool" else {}
    if kind == "tool":
        margin += max(RESULT_ID_TOKENS - count(result["tool_use_id"]), 0) + ERROR_TOKENS
        margin += IMAGES_TOKENS if any(isinstance(part, Image) for part in parts) else 0
    return Draft(
        shape=SHAPE,
        role=role,
        kind=kind,
        message=message,
        text="\n".join([text for text in (join_text(parts), *lines) if text]),
        calls=tuple(calls),
        call_id=result.get("tool_use_id"),
        is_error=bool(result.get("is_error")),
        tokens=tally.tokens + margin,
        exact=tally.exact,
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


def text_block(text: str) -> Json:
    """Make a text block."""
    return {"type": "text", "text": text}


def _call(block: Json) -> Call | None:
    arguments = block.get("input")
    return Call(block["id"], block["name"], arguments) if isinstance(arguments, dict) else None


def content(message: Json) -> list[Part]:
    """Read the content of a message, calls and reasoning apart, into neutral parts; of a result, what it holds."""
    value = message.get("content")
    if isinstance(value, str):
        return [Text(value)] if value else []
    parts: list[Part] = []
    for block in value or ():
        if block["type"] == "tool_result":
            inner = block.get("content") or []
            parts += content({"content": inner})
        elif block["type"] not in REASONING and block["type"] != "tool_use":
            parts.append(_part(block))
    return parts


def _part(block: Json) -> Part:
    kind, source = block["type"], block.get("source")
    if kind == "text":
        return Text(block["text"])
    if kind == "image" and isinstance(source, dict):
        data, url = str(source.get("data") or ""), str(source.get("url") or "")
        return image(str(source.get("media_type") or ""), data, url)
    if kind == "document" and isinstance(source, dict) and source.get("type") == "text":
        return Text(str(source.get("data") or ""))
    found = loose_text({key: item for key, item in block.items() if key != "source"})
    return Text(f"[{kind}] {found}" if found else f"[{kind}]")


def _count_block(tally: Tally, block: Json) -> None:
    kind = block["type"]
    if kind in {"text", "image"}:
        tally.parts([_part(block)])
    elif kind == "tool_use":
        tally.call(block["name"], dumps(block.get("input")))
    elif kind == "tool_result":
        tally.text(block["tool_use_id"])
        inner = block.get("content") or []
        for item in [text_block(inner)] if isinstance(inner, str) else inner:
            _count_block(tally, item)
    elif kind in REASONING:
        shown = block.get("thinking")
        hidden = str(block.get("signature") or block.get("data") or "")
        if isinstance(shown, str) and shown:
            tally.text(shown)
        else:
            tally.tokens += len(hidden) // _HIDDEN_CHARS
            tally.exact = False
    else:
        tally.block(block)


# ---- writing


def own(kind: str, message: Json, variant: Variant) -> tuple[Json, ...]:
    """Give the blocks of a message of this shape as they came, with call ids mapped, less what cannot be sent back.

    Left out are empty texts, the caller's cache marks, thinking at the end (and all, unless `variant.reasoning`), and
    calls whose input is not an object, which become text.
    """
    value = message["content"]
    blocks = [text_block(value)] if isinstance(value, str) else value
    if kind == "tool":
        block = _clean(blocks[0])
        if variant.call_id is not None:
            block["tool_use_id"] = variant.call_id
        return (_without_empty(block),)
    sent: list[Json] = []
    n_calls = 0
    for block in blocks:
        if block["type"] == "tool_use":
            if _call(block) is None:
                sent.append(text_block(unread_text(block["name"], dumps(block.get("input")))))
                continue
            sent.append({**_clean(block), "id": variant.ids.get(n_calls, block["id"])})
            n_calls += 1
        elif _is_sent(block, reasoning=variant.reasoning):
            sent.append(_clean(block))
    while sent and sent[-1]["type"] in REASONING:
        sent.pop()  # the API refuses a message that ends in thinking
    return tuple(sent)


def _is_sent(block: Json, *, reasoning: bool) -> bool:
    if block["type"] == "text":
        return bool(block["text"].strip())
    return reasoning or block["type"] not in REASONING


def _clean(block: Json) -> Json:
    return {key: value for key, value in block.items() if value is not None and key not in _NOT_SENT}


def _without_empty(result: Json) -> Json:
    """Drop the content of a result that holds nothing, and empty texts in one that does."""
    inner = result.get("content")
    if isinstance(inner, list):
        inner = [_clean(block) for block in inner if block["type"] != "text" or block["text"].strip()]
        result = {**result, "content": inner}
    if not inner or (isinstance(inner, str) and not inner.strip()):
        return {key: value for key, value in result.items() if key != "content"}
    return result


def write(
    kind: str,
    parts: Sequence[Part],
    calls: Sequence[Call],
    call_id: str,
    call_name: str = "",  # noqa: ARG001 -- one signature for all shapes
    *,
    is_error: bool = False,
) -> tuple[Json, ...]:
    """Write the blocks of a message from neutral parts; what the role cannot hold becomes its label."""
    if kind == "tool":
        texts_only = all(isinstance(part, Text) for part in parts)
        inner: Any = join_text(parts) if texts_only else _blocks(parts)
        result = {"type": "tool_result", "tool_use_id": call_id, "content": inner}
        return (_without_empty({**result, "is_error": True} if is_error else result),)
    blocks = _blocks(parts if kind == "user" else labelled(parts))
    uses = [{"type": "tool_use", "id": c.id, "name": c.name, "input": dict(c.arguments)} for c in calls]
    return (*blocks, *uses)


def _blocks(parts: Sequence[Part]) -> list[Json]:
    return [_block(part) for part in parts if isinstance(part, Image) or part.text.strip()]


def _block(part: Part) -> Json:
    if isinstance(part, Text):
        return text_block(part.text)
    if part.url:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}


def spare(kind: str, parts: Sequence[Part]) -> tuple[Json, ...]:
    """Write the user's text that a system message becomes where it can stand neither first nor in its own role."""
    text = join_text(labelled(parts)) if kind == "system" else ""
    return (text_block(SYSTEM_HEADING + text),) if text.strip() else ()


def count_parts(parts: Sequence[Json]) -> int:
    """Count the blocks of one message with its framing."""
    tally = Tally(MESSAGE_TOKENS)
    for block in parts:
        _count_block(tally, block)
    return tally.tokens


def count_message(message: Json) -> int:
    """Count one message of a payload."""
    value = message["content"]
    return count_parts([text_block(value)] if isinstance(value, str) else value)


def copy_of(parts: Sequence[Json]) -> Callable[[Json], Json]:
    """Choose the cheapest copy of blocks that shares no mutable state."""
    copy = copier(parts)
    return copy_use if copy is deep2 and all(_is_plain(part) for part in parts) else copy


def _is_plain(block: Json) -> bool:
    nested = [key for key, value in block.items() if isinstance(value, dict | list)]
    return not nested or nested == ["input"]


def copy_use(block: Json) -> Json:
    """Copy a flat block, or a call whose only nested field is a flat input: half the time of `deep2`."""
    copied = block.copy()
    if "input" in copied:
        copied["input"] = copied["input"].copy()
    return copied
