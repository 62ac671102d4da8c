"""OpenAI chat messages: read into drafts, and written from the neutral form. DeepSeek, xAI and others speak it too.

The `developer` role and the legacy role `function` are read; the latter is written as `tool`. Calls stand in
`openai_calls`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from ctxmem.errors import BadMessage
from ctxmem.models import Model
from ctxmem.providers import framing, openai_calls, openai_rules, typescript
from ctxmem.providers.images import image
from ctxmem.providers.neutral import KINDS, Draft, Image, Part, Said, Tally, Text, Variant, Violation
from ctxmem.providers.openai_calls import RawCall, calls_of, sent_call, wire_call
from ctxmem.providers.plain import Json, dumps, number
from ctxmem.providers.shape import Fit, Shape
from ctxmem.providers.texts import call_line, join_text, kind_of, labelled, searched, unread_text
from ctxmem.tokens import count

_NAME = "openai"
_OUTPUT_ONLY = frozenset({"annotations", "parsed"})
_REASONING = frozenset({"reasoning_content", "reasoning", "reasoning_details"})
_FIELDS = frozenset({"tool_calls", "function_call", "refusal", "audio", "name", "annotations", *_REASONING})
_PARTS = frozenset({"image_url", "input_audio", "file", "refusal"})


class OpenAI(Shape):
    """The chat API's messages. A part is a whole message."""

    __slots__ = ()

    name = _NAME
    payload_key = "messages"
    tool_example = '{"type": "function", "function": {"name": ..., "parameters": ...}}'
    output_only = _OUTPUT_ONLY

    def fit(self, message: Json, role: str, types: AbstractSet[str]) -> Fit:
        """Recognise replies by choices, results and system messages by role, others by a field or a part."""
        if "choices" in message:
            return Fit.WHOLE
        if role in {"user", "assistant"}:
            if not _FIELDS.isdisjoint(message):
                return Fit.FIELD
            return Fit.SHARED if _PARTS.isdisjoint(types) else Fit.PART
        return Fit.RESULT if KINDS.get(role) == "tool" else Fit.FIELD if role in KINDS else Fit.NONE

    def parse(self, message: Json) -> list[Draft]:
        """Read one chat message, or a whole ChatCompletion as a dict, into a draft."""
        return [_reply(message) if "choices" in message else _draft(message)]

    def content(self, message: Json) -> list[Part]:
        """Read the content of a message."""
        return _content(message)

    def own(self, kind: str, message: Json, variant: Variant) -> tuple[Json, ...]:
        """Return a message as it came.

        Left out are null and output-only fields, calls that do not parse (they become text), and, unless
        `variant.reasoning`, reasoning. The legacy function shapes become tool calls.
        """
        sent = message if "content" in message else {"role": message["role"], "content": None, **message}
        wire = {k: v for k, v in sent.items() if (v is not None or k == "content") and k not in _OUTPUT_ONLY}
        if kind == "tool":
            if message["role"] == "function":
                wire = {"role": "tool", "tool_call_id": message["name"], "content": wire["content"]}
            if variant.call_id is not None:
                wire["tool_call_id"] = variant.call_id
            parts = _content(message)
            if any(isinstance(part, Image) for part in parts):  # the API takes none in a result; see `spare`
                wire["content"] = join_text(labelled(parts))
            return (wire,)
        return (_own_assistant(message, wire, variant),) if kind == "assistant" else (wire,)

    def write(self, said: Said) -> tuple[Json, ...]:
        """Write one message."""
        kind, parts = said.kind, said.parts
        if kind == "tool":
            prefix = framing.ERROR_PREFIX if said.is_error else ""
            return ({"role": "tool", "tool_call_id": said.call_id, "content": prefix + join_text(labelled(parts))},)
        if kind == "assistant":
            wire: Json = {"role": "assistant", "content": join_text(labelled(parts)) or (None if said.calls else "")}
            if said.calls:
                wire["tool_calls"] = [wire_call(call) for call in said.calls]
            return (wire,)
        if kind == "system" or all(isinstance(part, Text) for part in parts):
            return ({"role": kind, "content": join_text(labelled(parts))},)
        return ({"role": kind, "content": [_wire_part(part) for part in parts]},)

    def spare(self, kind: str, parts: Sequence[Part]) -> tuple[Json, ...]:
        """Write the user's message that carries a result's images, since role `tool` holds text only."""
        images = [part for part in parts if isinstance(part, Image)] if kind == "tool" else []
        return self.write(Said("user", [Text(framing.IMAGES_HEADING), *images])) if images else ()

    def for_model(self, parts: Sequence[Json], model: Model) -> Sequence[Json]:
        """Leave out for OpenAI the fields in which others return reasoning; give DeepSeek one with every call."""
        if model.family == "openai":
            parts = [_without_reasoning(part) for part in parts]
        if "deepseek" in model.name.lower():
            return [{"reasoning_content": "", **part} if part.get("tool_calls") else part for part in parts]
        return parts

    def count_parts(self, parts: Sequence[Json]) -> int:
        """Count messages."""
        return sum(_tally(part).tokens for part in parts)

    def count_tools(self, schemas: Sequence[Json]) -> int:
        """Count tool schemas as TypeScript."""
        return typescript.count_tools(schemas)

    def input_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `prompt_tokens`."""
        return number(usage, "prompt_tokens")

    def cached_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read the details of the prompt; what a gateway says besides in the words of the Messages API goes first."""
        found = number(usage, "cache_read_input_tokens")
        return number(usage, "prompt_tokens_details", "cached_tokens") if found is None else found

    def cache_write_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read what gateways say of writes, in the words of either API."""
        found = number(usage, "cache_creation_input_tokens")
        return number(usage, "prompt_tokens_details", "cache_write_tokens") if found is None else found

    def output_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `completion_tokens`."""
        return number(usage, "completion_tokens")

    def reasoning_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read the details of the completion."""
        return number(usage, "completion_tokens_details", "reasoning_tokens")

    def copy_of(self, parts: Sequence[Json]) -> Callable[[Json], Json]:
        """Choose the cheapest copy of messages."""
        return openai_calls.copy_of(parts)

    def check(self, payload: Mapping[str, Any], messages: Sequence[Any]) -> Iterator[Violation]:
        """List what breaks the rules of the chat API."""
        return openai_rules.check(payload, messages)

    def tool(self, name: str, text: str, parameters: Json) -> Json:
        """Write a tool's schema."""
        return {"type": "function", "function": {"name": name, "description": text, "parameters": parameters}}

    def owns_tool(self, schema: Json) -> bool:
        """Recognise a schema by the function nested in it."""
        return schema.get("type") == "function" and isinstance(schema.get("function"), Mapping)


SHAPE = OpenAI()


# ---- reading


def _draft(message: Json) -> Draft:
    kind = KINDS[message["role"]]
    _check_content(message.get("content"), kind)
    parts = _content(message)
    raw_calls = calls_of(message) if kind == "assistant" else []
    call_id = _result_id(message) if kind == "tool" else None
    tally = _tally(message, raw_calls)
    return Draft(
        shape=_NAME,
        role=message["role"],
        kind=kind,
        message=message,
        text=searched(parts, [call_line(c.name, c.arguments, is_read=c.call is not None) for c in raw_calls]),
        calls=tuple(c.call for c in raw_calls if c.call),
        call_id=call_id,
        tokens=tally.tokens + _margin(parts, raw_calls, call_id),
        exact=tally.exact,
        image_tokens=tally.image_tokens,
    )


def _reply(reply: Json) -> Draft:
    choices = reply["choices"]
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise BadMessage("message.choices: expected one choice; append the message you take: reply.choices[i].message")
    message = {key: value for key, value in choice["message"].items() if key not in _OUTPUT_ONLY}
    if message.setdefault("role", "assistant") != "assistant":
        raise BadMessage("message.choices[0].message.role: not assistant; append a reply, or the message itself")
    draft = _draft(message)
    usage = reply.get("usage")
    return draft._replace(usage=usage) if usage else draft


def _margin(parts: Sequence[Part], raw_calls: Sequence[RawCall], call_id: str | None) -> int:
    """Count what the rendering for another provider, or under another call id, may add."""
    texts = sum(isinstance(part, Text) for part in parts)
    margin = framing.JOIN_TOKENS * max(texts - 1, 0)
    if call_id is not None:
        margin += max(framing.RESULT_ID_TOKENS - count(call_id), 0)
        margin += framing.IMAGES_TOKENS if len(parts) > texts else 0
    for raw in raw_calls:
        if raw.call is None:
            margin += framing.UNREAD_TOKENS
        elif len(written := dumps(raw.call.arguments)) > len(raw.arguments):  # else it has no more tokens either
            margin += max(count(written) - count(raw.arguments), 0)
    return margin


def _check_content(value: Any, kind: str) -> None:
    if isinstance(value, str) or (value is None and kind == "assistant"):
        return
    if not isinstance(value, list) or (not value and kind != "assistant"):
        raise BadMessage(f"message.content: {kind_of(value)} in a {kind} message; pass a str or a list of parts")
    for index, part in enumerate(value):
        if isinstance(part, str):
            continue
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise BadMessage(f"message.content[{index}]: not a part; pass {{'type': 'text', 'text': ...}} or the like")
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise BadMessage(f"message.content[{index}].text: {kind_of(part.get('text'))}; pass a str")


def _result_id(message: Json) -> str:
    call_id = message.get("name" if message["role"] == "function" else "tool_call_id")
    if not isinstance(call_id, str) or not call_id:
        raise BadMessage("message.tool_call_id: missing; pass the id of the call that this is the result of")
    return call_id


def _content(message: Json) -> list[Part]:
    value = message.get("content")
    refusal = message.get("refusal")
    parts: list[Part] = [_part(part) for part in value] if isinstance(value, list) else [Text(value)] if value else []
    return [*parts, Text(refusal)] if isinstance(refusal, str) and refusal else parts


def _part(part: Any) -> Part:
    if isinstance(part, str):
        return Text(part)
    if isinstance(part.get("text"), str):
        return Text(part["text"])
    if part["type"] == "image_url":
        source = part.get("image_url")
        source = source if isinstance(source, dict) else {"url": source}
        return image("", "", str(source.get("url") or ""), str(source.get("detail") or ""))
    if isinstance(part.get("refusal"), str):
        return Text(part["refusal"])
    return Text(f"[{part['type']}]")


def _tally(message: Json, raw_calls: Sequence[RawCall] | None = None) -> Tally:
    """Count one chat message as it is sent: 4, each text, name and id, each call, each image by its formula.

    `raw_calls`: its calls, where they were read already.
    """
    tally = Tally(framing.MESSAGE_TOKENS)
    _count_content(tally, message.get("content"))
    for key in ("refusal", "tool_call_id", *sorted(_REASONING - {"reasoning_details"})):
        if isinstance(message.get(key), str):
            tally.text(message[key])
    if isinstance(message.get("name"), str):
        tally.text(message["name"])
        tally.tokens += framing.NAME_TOKENS
    if message["role"] == "assistant":
        for raw in calls_of(message) if raw_calls is None else raw_calls:
            tally.call(raw.name, raw.arguments)
    return tally


def _count_content(tally: Tally, value: Any) -> None:
    if isinstance(value, str):
        tally.text(value)
        return
    for part in value or ():
        known = isinstance(part, str) or "text" in part or part["type"] == "image_url" or "refusal" in part
        if known:
            tally.parts([_part(part)])
        else:
            tally.block(part)


# ---- writing


def _own_assistant(message: Json, wire: Json, variant: Variant) -> Json:
    if not variant.reasoning:
        wire = _without_reasoning(wire)
    if isinstance(wire.get("audio"), dict):
        wire["audio"] = {"id": wire["audio"].get("id", "")}
    raw_calls = calls_of(message)
    calls = [sent_call(raw, variant.ids.get(i)) for i, raw in enumerate(raw for raw in raw_calls if raw.call)]
    unread = [unread_text(raw.name, raw.arguments) for raw in raw_calls if raw.call is None]
    if unread:
        wire["content"] = "\n".join([text for text in (join_text(_content(message)), *unread) if text])
    elif not wire.get("content"):
        wire["content"] = wire["content"] if calls or "refusal" in wire or "audio" in wire else ""
    wire.pop("function_call", None)
    if calls:
        wire["tool_calls"] = calls
    else:
        wire.pop("tool_calls", None)
    return wire


def _without_reasoning(wire: Json) -> Json:
    if wire["role"] != "assistant" or _REASONING.isdisjoint(wire):
        return wire
    return {key: value for key, value in wire.items() if key not in _REASONING}


def _wire_part(part: Part) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    return {"type": "image_url", "image_url": {"url": url}}
