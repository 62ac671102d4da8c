"""OpenAI chat messages: read into drafts, and written from the neutral form. DeepSeek, xAI and others speak it too.

The `developer` role, custom tool calls, the legacy `function_call` and role `function` are read; the legacy ones are
written as tool calls, which every current model takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ctxmem.errors import BadMessage
from ctxmem.models import Model
from ctxmem.providers.images import image
from ctxmem.providers.neutral import (
    ERROR_PREFIX,
    IMAGES_HEADING,
    IMAGES_TOKENS,
    JOIN_TOKENS,
    MESSAGE_TOKENS,
    NAME_TOKENS,
    RESULT_ID_TOKENS,
    UNREAD_TOKENS,
    Draft,
    Image,
    Part,
    Tally,
    Text,
    Unit,
    Variant,
    Wire,
    call_text,
    join_text,
    kind_of,
    labelled,
    unread_text,
)
from ctxmem.providers.plain import Json, copier, deep, dumps, parse_arguments
from ctxmem.segment import Call
from ctxmem.tokens import count

SHAPE = "openai"
KINDS = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
OUTPUT_ONLY = frozenset({"annotations", "parsed"})
REASONING = frozenset({"reasoning_content", "reasoning", "reasoning_details"})


class RawCall(NamedTuple):
    """A call as the message has it: the dict, its reading (None: kept as text), name and arguments as they came."""

    raw: Json
    call: Call | None
    name: str
    arguments: str


# ---- reading


def parse(message: Json) -> list[Draft]:
    """Read one chat message, or a whole ChatCompletion as a dict, into a draft.

    Raises:
        BadMessage: a content or call that the chat API does not know, with the field and the remedy.
    """
    if "choices" in message:
        return _parse_reply(message)
    kind = KINDS[message["role"]]
    _check_content(message.get("content"), kind)
    parts = content(message)
    raw_calls = calls_of(message) if kind == "assistant" else []
    call_id = _result_id(message) if kind == "tool" else None
    lines = [call_text(c.name, c.arguments) if c.call else unread_text(c.name, c.arguments) for c in raw_calls]
    tally = tally_of(message, raw_calls)
    return [
        Draft(
            shape=SHAPE,
            role=message["role"],
            kind=kind,
            message=message,
            text="\n".join([text for text in (join_text(parts), *lines) if text]),
            calls=tuple(c.call for c in raw_calls if c.call),
            call_id=call_id,
            tokens=tally.tokens + _margin(parts, raw_calls, call_id),
            exact=tally.exact,
        )
    ]


def _parse_reply(reply: Json) -> list[Draft]:
    choices = reply["choices"]
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise BadMessage("message.choices: expected one choice; append the message you take: reply.choices[i].message")
    message = {key: value for key, value in choice["message"].items() if key not in OUTPUT_ONLY}
    if message.setdefault("role", "assistant") != "assistant":
        raise BadMessage("message.choices[0].message.role: not assistant; append a reply, or the message itself")
    drafts = parse(message)
    usage = reply.get("usage")
    return [_with_usage(draft, usage) for draft in drafts] if usage else drafts


def _with_usage(draft: Draft, usage: Json) -> Draft:
    return replace(draft, usage=usage)


def _margin(parts: Sequence[Part], raw_calls: Sequence[RawCall], call_id: str | None) -> int:
    """Count what the rendering for another provider, or under another call id, may add."""
    texts = sum(isinstance(part, Text) for part in parts)
    margin = JOIN_TOKENS * max(texts - 1, 0)
    if call_id is not None:
        margin += max(RESULT_ID_TOKENS - count(call_id), 0)
        margin += IMAGES_TOKENS if len(parts) > texts else 0
    for raw in raw_calls:
        if raw.call is None:
            margin += UNREAD_TOKENS
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


def calls_of(message: Json) -> list[RawCall]:
    """Read the calls of an assistant message, in order.

    Raises:
        BadMessage: an entry that is not a tool call at all.
    """
    entries = message.get("tool_calls") or []
    if not isinstance(entries, list):
        raise BadMessage("message.tool_calls: not a list; pass a list of {'id', 'type': 'function', 'function': {...}}")
    found = [_raw_call(entry, f"message.tool_calls[{index}]") for index, entry in enumerate(entries)]
    legacy = message.get("function_call")
    if isinstance(legacy, dict) and isinstance(legacy.get("name"), str):
        entry = {"id": legacy["name"], "type": "function", "function": legacy}  # its result has only the name
        found.append(_raw_call(entry, "message.function_call"))
    return found


def _raw_call(entry: Any, path: str) -> RawCall:
    body = entry.get(entry.get("type") or "function") if isinstance(entry, dict) else None
    if not isinstance(body, dict) or not isinstance(body.get("name"), str) or not body["name"]:
        raise BadMessage(
            f"{path}: not a tool call; pass {{'id', 'type': 'function', 'function': {{'name', 'arguments'}}}}"
        )
    call_id = entry.get("id")
    if not isinstance(call_id, str) or not call_id:
        raise BadMessage(f"{path}.id: missing; a call needs an id for its result to name")
    name = body["name"]
    if entry.get("type") == "custom":
        text = body.get("input") if isinstance(body.get("input"), str) else ""
        return RawCall(entry, Call(call_id, name, {"input": text}), name, str(text))
    given = body.get("arguments", "")
    if isinstance(given, dict):  # some servers send the object itself
        return RawCall(entry, Call(call_id, name, given), name, dumps(given))
    arguments = parse_arguments(given)
    raw = given if isinstance(given, str) else dumps(given)
    return RawCall(entry, None if arguments is None else Call(call_id, name, arguments), name, raw)


def content(message: Json) -> list[Part]:
    """Read the content of a message, calls and reasoning apart, into neutral parts."""
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


def tally_of(message: Json, raw_calls: Sequence[RawCall] | None = None) -> Tally:
    """Count one chat message as it is sent: 4, each text, name and id, each call, each image by its formula.

    `raw_calls`: its calls, where they were read already.
    """
    tally = Tally(MESSAGE_TOKENS)
    _count_content(tally, message.get("content"))
    for key in ("refusal", "tool_call_id", *sorted(REASONING - {"reasoning_details"})):
        if isinstance(message.get(key), str):
            tally.text(message[key])
    if isinstance(message.get("name"), str):
        tally.text(message["name"])
        tally.tokens += NAME_TOKENS
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


def own(kind: str, message: Json, variant: Variant) -> tuple[Json, ...]:
    """Give a message of this shape as it came, with call ids mapped, and without what cannot be sent back.

    Left out are null and output-only fields, calls that do not parse (they become text), and, unless
    `variant.reasoning`, reasoning. The legacy function shapes become tool calls.
    """
    sent = message if "content" in message else {"role": message["role"], "content": None, **message}
    wire = {k: v for k, v in sent.items() if (v is not None or k == "content") and k not in OUTPUT_ONLY}
    if kind == "tool":
        if message["role"] == "function":
            wire = {"role": "tool", "tool_call_id": message["name"], "content": wire["content"]}
        if variant.call_id is not None:
            wire["tool_call_id"] = variant.call_id
        return (wire,)
    return (_own_assistant(message, wire, variant),) if kind == "assistant" else (wire,)


def _own_assistant(message: Json, wire: Json, variant: Variant) -> Json:
    if not variant.reasoning:
        wire = {key: value for key, value in wire.items() if key not in REASONING}
    if isinstance(wire.get("audio"), dict):
        wire["audio"] = {"id": wire["audio"].get("id", "")}
    raw_calls = calls_of(message)
    calls = [_mapped(raw, variant.ids.get(i)) for i, raw in enumerate(raw for raw in raw_calls if raw.call)]
    unread = [unread_text(raw.name, raw.arguments) for raw in raw_calls if raw.call is None]
    if unread:
        wire["content"] = "\n".join([text for text in (join_text(content(message)), *unread) if text])
    elif not wire.get("content"):
        wire["content"] = wire["content"] if calls or "refusal" in wire or "audio" in wire else ""
    wire.pop("function_call", None)
    if calls:
        wire["tool_calls"] = calls
    else:
        wire.pop("tool_calls", None)
    return wire


def _mapped(raw: RawCall, call_id: str | None) -> Json:
    entry = {key: value for key, value in raw.raw.items() if value is not None and key != "index"}
    entry["id"] = call_id or raw.raw["id"]
    kind = entry.setdefault("type", "function")
    body = {key: value for key, value in entry[kind].items() if key != "parsed_arguments"}
    if kind == "function":
        body["arguments"] = raw.arguments or "{}"
    entry[kind] = body
    return entry


def write(
    kind: str,
    parts: Sequence[Part],
    calls: Sequence[Call],
    call_id: str,
    call_name: str = "",  # noqa: ARG001 -- one signature for all shapes
    *,
    is_error: bool = False,
) -> tuple[Json, ...]:
    """Write a message of this shape from neutral parts; what the role cannot hold becomes its label."""
    if kind == "tool":
        prefix = ERROR_PREFIX if is_error else ""
        return ({"role": "tool", "tool_call_id": call_id, "content": prefix + join_text(labelled(parts))},)
    if kind == "assistant":
        wire: Json = {"role": "assistant", "content": join_text(labelled(parts)) or (None if calls else "")}
        if calls:
            wire["tool_calls"] = [_wire_call(call) for call in calls]
        return (wire,)
    if kind == "system" or all(isinstance(part, Text) for part in parts):
        return ({"role": kind, "content": join_text(labelled(parts))},)
    return ({"role": kind, "content": [_wire_part(part) for part in parts]},)


def spare(kind: str, parts: Sequence[Part]) -> tuple[Json, ...]:
    """Write the user's message that carries a result's images, since role `tool` holds text only."""
    images = [part for part in parts if isinstance(part, Image)] if kind == "tool" else []
    return write("user", [Text(IMAGES_HEADING), *images], (), "") if images else ()


def _wire_call(call: Call) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": dumps(call.arguments)}}


def _wire_part(part: Part) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def count_parts(parts: Sequence[Json]) -> int:
    """Count wire messages with their framing."""
    return sum(tally_of(part).tokens for part in parts)


def count_message(message: Json) -> int:
    """Count one message of a payload."""
    return tally_of(message).tokens


def copy_of(parts: Sequence[Json]) -> Callable[[Json], Json]:
    """Choose the cheapest copy of wire messages that shares no mutable state."""
    if not all(_has_plain_calls(part) for part in parts):
        return copier(parts)
    return copy_call if all(len(part["tool_calls"]) == 1 for part in parts) else copy_calls


def _has_plain_calls(part: Json) -> bool:
    calls = part.get("tool_calls")
    if type(calls) is not list or any(type(v) in {dict, list} for k, v in part.items() if k != "tool_calls"):
        return False
    return all(
        call.keys() == {"id", "type", "function"} and call["function"].keys() == {"name", "arguments"} for call in calls
    )


def copy_call(message: Json) -> Json:
    """Copy a message whose only nested field is one plain tool call: 0.3 us, half the time of `copy_calls`."""
    copied = message.copy()
    call = message["tool_calls"][0].copy()
    call["function"] = call["function"].copy()
    copied["tool_calls"] = [call]
    return copied


def copy_calls(message: Json) -> Json:
    """Copy a message whose only nested field is plain tool calls: a third of the time of the general copy."""
    copied = message.copy()
    copied["tool_calls"] = [
        {"id": call["id"], "type": call["type"], "function": call["function"].copy()} for call in message["tool_calls"]
    ]
    return copied


def join(units: Sequence[Unit], model: Model, marks: Sequence[int] = ()) -> Wire:  # noqa: ARG001 -- as the others
    """Join units to messages: one each, a result's images after the last result of its run."""
    messages: list[Json] = []
    waiting: list[Json] = []
    for unit in units:
        if waiting and unit.role != "tool":
            messages += waiting
            waiting = []
        copy, parts = unit.copy, unit.parts
        if len(parts) == 1:  # all but system messages: no loop for the one
            messages.append(copy(parts[0]))
        else:
            messages += map(copy, parts)
        if unit.spare:
            waiting += [deep(part) for part in unit.spare]
    messages += waiting
    return Wire(messages, None)
