"""OpenAI Responses items: read into drafts, and written from the neutral form as input items.

A whole Response is one draft, its items together in `output`, because a reasoning item and what follows it stand and
fall together. A reasoning item appended alone renders to nothing; other items are then sent without their ids, which is
the API's own way to leave reasoning out.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from ctxmem.errors import BadMessage
from ctxmem.providers import framing, responses_rules, typescript
from ctxmem.providers.images import image
from ctxmem.providers.neutral import Draft, Image, Part, Said, Tally, Text, Variant, Violation
from ctxmem.providers.plain import Json, dumps, number, parse_arguments
from ctxmem.providers.responses_rules import CALLS
from ctxmem.providers.shape import Fit, Shape
from ctxmem.providers.texts import call_line, join_text, kind_of, labelled, loose_text, searched, unread_text
from ctxmem.segment import Call
from ctxmem.tokens import count

_NAME = "openai-responses"
_RESULTS = frozenset(f"{kind}_output" for kind in CALLS)
_OTHER = frozenset({"reasoning", "compaction", "item_reference", "mcp_list_tools", "mcp_approval_request"})
_PARTS = frozenset({"input_text", "output_text", "input_image", "input_file"})
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_NOT_SENT = frozenset({"parsed", "parsed_arguments", "created_by"})


class Responses(Shape):
    """The Responses API's items. A part is a whole item."""

    __slots__ = ()

    name = _NAME
    payload_key = "input"
    tool_example = '{"type": "function", "name": ..., "parameters": ...}'

    def fit(self, message: Json, role: str, types: AbstractSet[str]) -> Fit:
        """Recognise a Response by its output, items by their type, messages by the types of their parts."""
        del role
        kind = message.get("type")
        if kind == "message":  # with a stop reason or a usage it is a reply of the Messages API
            is_item = "stop_reason" not in message and not isinstance(message.get("usage"), dict)
        else:
            is_item = isinstance(kind, str) and "role" not in message and _is_item(kind)
        is_response = "output" in message and (kind is None or message.get("object") == "response")
        return Fit.WHOLE if is_item or is_response else Fit.NONE if _PARTS.isdisjoint(types) else Fit.OWN_PART

    def parse(self, message: Json) -> list[Draft]:
        """Read one item, or a whole Response as a dict, into a draft."""
        usage = None
        if "output" in message and message.get("type") not in _RESULTS:
            if not isinstance(message["output"], list):
                raise BadMessage(f"message.output: {kind_of(message['output'])}; pass the whole Response")
            usage = message.get("usage")
            message = {"role": "assistant", "output": message["output"]}
        items = _items(message)
        for index, item in enumerate(items):
            _check(item, "message" if item is message else f"message.output[{index}]")
        tally, margin, lines, calls = Tally(), framing.MESSAGE_TOKENS, [], []
        for item in items:
            _count_item(tally, item)
            if item.get("type") in CALLS:
                call, raw = _call(item)
                calls += [call] if call else []
                lines.append(call_line(_name(item), raw, is_read=call is not None))
                margin += 0 if call else framing.UNREAD_TOKENS
        is_result = items[0].get("type") in _RESULTS if items else False
        role = "tool" if is_result else message.get("role", "assistant")
        parts = _content(message)
        margin += framing.JOIN_TOKENS * max(len(parts) - 1, 0)
        if is_result:
            margin += max(framing.RESULT_ID_TOKENS - count(message["call_id"]), 0)
            margin += framing.IMAGES_TOKENS if any(isinstance(part, Image) for part in parts) else 0
        return [
            Draft(
                shape=_NAME,
                role=role,
                kind={"developer": "system"}.get(role, role),
                message=message,
                text=searched(parts, lines),
                calls=tuple(calls),
                call_id=message.get("call_id") if is_result else None,
                tokens=tally.tokens + margin,
                exact=tally.exact,
                image_tokens=tally.image_tokens,
                usage=usage,
            )
        ]

    def continues(self, before: Json, message: Json) -> bool:
        """Keep the calls of one reply together, and reasoning with all that follows it up to the next."""
        opens = message.get("type") == "reasoning" and before.get("type") != "reasoning"
        return _is_said(before) and _is_said(message) and not opens

    def joined(self, messages: Sequence[Json]) -> Json:
        """Make a reply of items that a model said."""
        return {"role": "assistant", "output": list(messages)} if _is_said(messages[0]) else messages[0]

    def content(self, message: Json) -> list[Part]:
        """Read the content of an item, or of a Response's items."""
        return _content(message)

    def own(self, kind: str, message: Json, variant: Variant) -> tuple[Json, ...]:
        """Return items as they came; reasoning, and the ids that bind to it, only in a whole Response."""
        if kind == "tool":
            return ({**_clean(message), "call_id": variant.call_id or message["call_id"]},)
        keeps_ids = variant.reasoning and "output" in message
        sent: list[Json] = []
        n_calls = 0
        for item in _items(message):
            if item.get("type") == "reasoning" and not keeps_ids:
                continue
            wire = _clean(item)
            if not keeps_ids:
                wire.pop("id", None)
            if item.get("type") in CALLS:
                if _call(item)[0] is None:
                    text = unread_text(_name(item), _call(item)[1])
                    sent.append({"role": "assistant", "content": text})
                    continue
                wire["call_id"] = variant.ids.get(n_calls, item["call_id"])
                n_calls += 1
            sent.append(wire)
        while sent and sent[-1].get("type") == "reasoning":
            sent.pop()  # it would stand without the item that must follow
        return tuple(sent)

    def write(self, said: Said) -> tuple[Json, ...]:
        """Write a message or a result, then an item for each call."""
        kind, parts = said.kind, said.parts
        if kind == "tool":
            text = (framing.ERROR_PREFIX if said.is_error else "") + join_text(labelled(parts))
            return ({"type": "function_call_output", "call_id": said.call_id, "output": text},)
        if kind == "user" and any(isinstance(part, Image) for part in parts):
            return ({"role": kind, "content": [_wire_part(part) for part in parts]},)
        text = join_text(labelled(parts))
        words = ({"role": kind, "content": text},) if text or not said.calls else ()
        return (*words, *(_wire_call(call) for call in said.calls))

    def spare(self, kind: str, parts: Sequence[Part]) -> tuple[Json, ...]:
        """Write the user's message that carries a result's images."""
        images = [part for part in parts if isinstance(part, Image)] if kind == "tool" else []
        return self.write(Said("user", [Text(framing.IMAGES_HEADING), *images])) if images else ()

    def result(self, call_id: str, content: Any, *, error: bool) -> Json:
        """Make the output item of a function's call."""
        del error
        output = content if isinstance(content, str) else dumps(content)
        return {"type": "function_call_output", "call_id": call_id, "output": output}

    def count_parts(self, parts: Sequence[Json]) -> int:
        """Count items."""
        tally = Tally()
        for item in parts:
            _count_item(tally, item)
        return tally.tokens

    def count_tools(self, schemas: Sequence[Json]) -> int:
        """Count tool schemas as TypeScript."""
        return typescript.count_tools(schemas)

    def input_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `input_tokens`, unless the Messages API's fields say that it leaves cached ones out."""
        is_other = "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage
        return None if is_other else number(usage, "input_tokens")

    def cached_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read the details of the input."""
        return number(usage, "input_tokens_details", "cached_tokens")

    def output_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `output_tokens`, which include reasoning."""
        return number(usage, "output_tokens")

    def reasoning_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read the details of the output."""
        return number(usage, "output_tokens_details", "reasoning_tokens")

    def check(self, payload: Mapping[str, Any], messages: Sequence[Any]) -> Iterator[Violation]:
        """List what breaks the rules of the Responses API."""
        del payload
        return responses_rules.check(messages)

    def tool(self, name: str, text: str, parameters: Json) -> Json:
        """Write a tool's schema."""
        return {"type": "function", "name": name, "description": text, "parameters": parameters}

    def owns_tool(self, schema: Json) -> bool:
        """Recognise a schema by its fields standing flat."""
        return schema.get("type") == "function" and not isinstance(schema.get("function"), Mapping)


SHAPE = Responses()


# ---- reading


def _is_item(kind: str) -> bool:
    """Say whether a message of that type, without a role, is one of the API's items."""
    return kind in _OTHER or kind in _RESULTS or kind.endswith("_call")


def _is_said(item: Json) -> bool:
    """Say whether a model said an item of a list: calls, reasoning, messages with their type."""
    kind = item.get("type")
    if kind == "message":
        return item.get("role") == "assistant"
    return isinstance(kind, str) and (kind == "reasoning" or kind in CALLS or kind.endswith("_call"))


def _items(message: Json) -> list[Json]:
    return message["output"] if "output" in message and message.get("type") not in _RESULTS else [message]


def _check(item: Any, path: str) -> None:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if not isinstance(kind, str):
        raise BadMessage(f"{path}: not an item; pass {{'type': 'function_call', ...}} or the like")
    needed = ["call_id"] if kind in _RESULTS or kind in CALLS else []
    needed += ["name"] if kind in {"function_call", "custom_tool_call"} else []
    for name in needed:
        if not isinstance(item.get(name), str) or not item[name]:
            raise BadMessage(f"{path}.{name}: {kind_of(item.get(name))}; a {kind} item needs a str")
    value = _value(item) if kind in _RESULTS or kind == "message" else ""
    is_parts = isinstance(value, list) and all(isinstance(p, dict) and isinstance(p.get("type"), str) for p in value)
    if not isinstance(value, str) and not is_parts:
        raise BadMessage(f"{path}: {kind_of(value)} for its content; pass a str or a list of parts")
    if kind == "message" and item.get("role") not in _ROLES:
        raise BadMessage(f"{path}.role: {item.get('role')!r}; pass system, developer, user or assistant")


def _call(item: Json) -> tuple[Call | None, str]:
    raw = item.get(CALLS[item["type"]])
    text = raw if isinstance(raw, str) else dumps(raw)
    arguments = {"input": text} if item["type"] == "custom_tool_call" else parse_arguments(text)
    return (None if arguments is None else Call(item["call_id"], _name(item), arguments)), text


def _name(item: Json) -> str:
    name = item.get("name")
    return name if isinstance(name, str) and name else str(item["type"])


def _content(message: Json) -> list[Part]:
    parts: list[Part] = []
    for item in _items(message):
        kind = item.get("type", "message")
        if kind in CALLS or kind == "reasoning":
            continue
        value = _value(item)
        if isinstance(value, str):
            parts += [Text(value)] if value else []
        elif isinstance(value, list) and (kind in _RESULTS or kind == "message"):
            parts += [_part(part) for part in value]
        elif found := loose_text(item):
            parts.append(Text(f"[{kind}] {found}"))
    return parts


def _value(item: Json) -> Any:
    """Return the content of a message or a result; a screenshot alone as a list of one."""
    value = item.get("output") if item.get("type") in _RESULTS else item.get("content")
    return [value] if isinstance(value, dict) else value


def _part(part: Json) -> Part:
    if isinstance(part.get("image_url"), str):
        return image("", "", str(part.get("image_url") or ""), str(part.get("detail") or ""))
    text = part.get("text", part.get("refusal"))
    return Text(text if isinstance(text, str) else f"[{part['type']}]")


def _count_item(tally: Tally, item: Json) -> None:
    kind = item.get("type", "message")
    if kind in CALLS:
        tally.call(_name(item), _call(item)[1])
    elif kind == "message" or kind in _RESULTS:
        tally.tokens += framing.MESSAGE_TOKENS
        tally.text(item.get("call_id") or "")
        value = _value(item)
        for part in [{"type": "input_text", "text": value}] if isinstance(value, str) else value or ():
            if "text" in part or "refusal" in part or isinstance(part.get("image_url"), str):
                tally.parts([_part(part)])
            else:
                tally.block(part)
    else:
        tally.block(item)


# ---- writing


def _clean(item: Json) -> Json:
    return {key: value for key, value in item.items() if value is not None and key not in _NOT_SENT}


def _wire_call(call: Call) -> Json:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": dumps(call.arguments)}


def _wire_part(part: Part) -> Json:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    return {"type": "input_image", "image_url": part.url or f"data:{part.media_type};base64,{part.data}"}
