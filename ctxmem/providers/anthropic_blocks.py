"""One block of Anthropic's content: read, counted, written, and what of it is sent back."""

from collections.abc import Callable, Sequence

from ctxmem.providers.images import image
from ctxmem.providers.neutral import Part, Tally, Text
from ctxmem.providers.plain import Json, copier, deep2, dumps
from ctxmem.providers.texts import loose_text
from ctxmem.segment import Call

THINKING = frozenset({"thinking", "redacted_thinking"})
_NOT_SENT = frozenset({"cache_control", "parsed_output"})
_HIDDEN_CHARS = 4  # characters of an opaque signature or redacted block per token of thinking; an upper bound


def text_block(text: str) -> Json:
    """Make a text block."""
    return {"type": "text", "text": text}


def call_of(block: Json) -> Call | None:
    """Read a tool use; None where its input is not an object."""
    arguments = block.get("input")
    return Call(block["id"], block["name"], arguments) if isinstance(arguments, dict) else None


def content_of(message: Json) -> list[Part]:
    """Read the content of a message, calls and reasoning apart, into neutral parts; of a result, what it holds."""
    value = message.get("content")
    if isinstance(value, str):
        return [Text(value)] if value else []
    parts: list[Part] = []
    for block in value or ():
        if block["type"] == "tool_result":
            inner = block.get("content") or []
            parts += content_of({"content": inner})
        elif block["type"] not in THINKING and block["type"] != "tool_use":
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


def count_block(tally: Tally, block: Json) -> None:
    """Count a block as it is sent."""
    kind = block["type"]
    if kind in {"text", "image"}:
        tally.parts([_part(block)])
    elif kind == "tool_use":
        tally.call(block["name"], dumps(block.get("input")))
    elif kind == "tool_result":
        tally.text(block["tool_use_id"])
        inner = block.get("content") or []
        for item in [text_block(inner)] if isinstance(inner, str) else inner:
            count_block(tally, item)
    elif kind in THINKING:
        shown = block.get("thinking")
        hidden = str(block.get("signature") or block.get("data") or "")
        if isinstance(shown, str) and shown:
            tally.text(shown)
        else:
            tally.tokens += len(hidden) // _HIDDEN_CHARS
            tally.exact = False
    else:
        tally.block(block)


def is_sent(block: Json, *, reasoning: bool) -> bool:
    """Say whether a block goes back: no empty text, and thinking only where it is wanted."""
    if block["type"] == "text":
        return bool(block["text"].strip())
    return reasoning or block["type"] not in THINKING


def clean(block: Json) -> Json:
    """Leave out what the API does not take back, and the caller's cache breakpoints."""
    return {key: value for key, value in block.items() if value is not None and key not in _NOT_SENT}


def without_empty(result: Json) -> Json:
    """Drop the content of a result that holds nothing, and empty texts in one that does."""
    inner = result.get("content")
    if isinstance(inner, list):
        inner = [clean(block) for block in inner if block["type"] != "text" or block["text"].strip()]
        result = {**result, "content": inner}
    if not inner or (isinstance(inner, str) and not inner.strip()):
        return {key: value for key, value in result.items() if key != "content"}
    return result


def wire_block(part: Part) -> Json:
    """Write a text or an image."""
    if isinstance(part, Text):
        return text_block(part.text)
    if part.url:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}


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
