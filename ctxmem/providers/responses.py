"""OpenAI Responses items: read into drafts, and written from the neutral form as input items.

A whole Response is one draft, its items together in `output`, because a reasoning item and what follows it stand and
fall together. A reasoning item appended alone renders to nothing; other items are then sent without their ids, which is
the API's own way to leave reasoning out.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ctxmem.errors import BadMessage
from ctxmem.models import Model
from ctxmem.providers.images import image
from ctxmem.providers.neutral import (
    ERROR_PREFIX,
    IMAGES_HEADING,
    IMAGES_TOKENS,
    JOIN_TOKENS,
    MESSAGE_TOKENS,
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
    loose_text,
    unread_text,
)
from ctxmem.providers.plain import Json, copier, deep, dumps, parse_arguments
from ctxmem.segment import Call
from ctxmem.tokens import count

SHAPE = "openai-responses"
# The calls and where their arguments are; each is answered by the item of the same name and "_output".
CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "computer_call": "action",
}
RESULTS = frozenset(f"{kind}_output" for kind in CALLS)
_OTHER = frozenset({"reasoning", "compaction", "item_reference", "mcp_list_tools", "mcp_approval_request"})
PARTS = frozenset({"input_text", "output_text", "input_image", "input_file"})
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_NOT_SENT = frozenset({"parsed", "parsed_arguments", "created_by"})


# ---- reading


def parse(message: Json) -> list[Draft]:
    """Read one item, or a whole Response as a dict, into a draft.

    Raises:
        BadMessage: an item without what its type needs, with the field and the remedy.
    """
    usage = None
    if "output" in message and message.get("type") not in RESULTS:
        if not isinstance(message["output"], list):
            raise BadMessage(f"message.output: {kind_of(message['output'])}; pass the whole Response")
        usage = message.get("usage")
        message = {"role": "assistant", "output": message["output"]}
    items = _items(message)
    for index, item in enumerate(items):
        _check(item, "message" if item is message else f"message.output[{index}]")
    tally, margin, lines, calls = Tally(), MESSAGE_TOKENS, [], []
    for item in items:
        _count_item(tally, item)
        if item.get("type") in CALLS:
            call, raw = _call(item)
            calls += [call] if call else []
            lines.append(call_text(_name(item), raw) if call else unread_text(_name(item), raw))
            margin += 0 if call else UNREAD_TOKENS
    is_result = items[0].get("type") in RESULTS if items else False
    role = "tool" if is_result else message.get("role", "assistant")
    parts = content(message)
    margin += JOIN_TOKENS * max(len(parts) - 1, 0)
    if is_result:
        margin += max(RESULT_ID_TOKENS - count(message["call_id"]), 0)
        margin += IMAGES_TOKENS if any(isinstance(part, Image) for part in parts) else 0
    return [
        Draft(
            shape=SHAPE,
            role=role,
            kind={"developer": "system"}.get(role, role),
            message=message,
            text="\n".join([text for text in (join_text(parts), *lines) if text]),
            calls=tuple(calls),
            call_id=message.get("call_id") if is_result else None,
            tokens=tally.tokens + margin,
            exact=tally.exact,
            usage=usage,
        )
    ]


def is_item(kind: str) -> bool:
    """Say whether a message of that type, without a role, is one of the API's items."""
    return kind in _OTHER or kind in RESULTS or kind.endswith("_call")


def _items(message: Json) -> list[Json]:
    return message["output"] if "output" in message and message.get("type") not in RESULTS else [message]


def _check(item: Any, path: str) -> None:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if not isinstance(kind, str):
        raise BadMessage(f"{path}: not an item; pass {{'type': 'function_call', ...}} or the like")
    needed = ["call_id"] if kind in RESULTS or kind in CALLS else []
    needed += ["name"] if kind in {"function_call", "custom_tool_call"} else []
    for name in needed:
        if not isinstance(item.get(name), str) or not item[name]:
            raise BadMessage(f"{path}.{name}: {kind_of(item.get(name))}; a {kind} item needs a str")
    value = _value(item) if kind in RESULTS or kind == "message" else ""
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


def content(message: Json) -> list[Part]:
    """Read the content of an item or of a Response's items, calls and reasoning apart, into neutral parts."""
    parts: list[Part] = []
    for item in _items(message):
        kind = item.get("type", "message")
        if kind in CALLS or kind == "reasoning":
            continue
        value = _value(item)
        if isinstance(value, str):
            parts += [Text(value)] if value else []
        elif isinstance(value, list) and (kind in RESULTS or kind == "message"):
            parts += [_part(part) for part in value]
        elif found := loose_text(item):
            parts.append(Text(f"[{kind}] {found}"))
    return parts


def _value(item: Json) -> Any:
    """Give the content of a message or a result; a screenshot alone as a list of one."""
    value = item.get("output") if item.get("type") in RESULTS else item.get("content")
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
    elif kind == "message" or kind in RESULTS:
        tally.tokens += MESSAGE_TOKENS
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


def own(kind: str, message: Json, variant: Variant) -> tuple[Json, ...]:
    """Give items of this shape as they came, with call ids mapped, less what cannot be sent back."""
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


def _clean(item: Json) -> Json:
    return {key: value for key, value in item.items() if value is not None and key not in _NOT_SENT}


def write(
    kind: str,
    parts: Sequence[Part],
    calls: Sequence[Call],
    call_id: str,
    call_name: str = "",  # noqa: ARG001 -- one signature for all shapes
    *,
    is_error: bool = False,
) -> tuple[Json, ...]:
    """Write items from neutral parts; what the role cannot hold becomes its label."""
    if kind == "tool":
        text = (ERROR_PREFIX if is_error else "") + join_text(labelled(parts))
        return ({"type": "function_call_output", "call_id": call_id, "output": text},)
    if kind == "user" and any(isinstance(part, Image) for part in parts):
        return ({"role": kind, "content": [_wire_part(part) for part in parts]},)
    text = join_text(labelled(parts))
    said = ({"role": kind, "content": text},) if text or not calls else ()
    return (*said, *(_wire_call(call) for call in calls))


def _wire_call(call: Call) -> Json:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": dumps(call.arguments)}


def _wire_part(part: Part) -> Json:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    return {"type": "input_image", "image_url": part.url or f"data:{part.media_type};base64,{part.data}"}


def spare(kind: str, parts: Sequence[Part]) -> tuple[Json, ...]:
    """Write the user's message that carries a result's images."""
    images = [part for part in parts if isinstance(part, Image)] if kind == "tool" else []
    return write("user", [Text(IMAGES_HEADING), *images], (), "") if images else ()


def count_parts(parts: Sequence[Json]) -> int:
    """Count items with their framing."""
    tally = Tally()
    for item in parts:
        _count_item(tally, item)
    return tally.tokens


def count_message(message: Json) -> int:
    """Count one item of a payload."""
    return count_parts([message])


def copy_of(parts: Sequence[Json]) -> Callable[[Json], Json]:
    """Choose the cheapest copy of items that shares no mutable state."""
    return copier(parts)


def join(units: Sequence[Unit], model: Model, marks: Sequence[int] = ()) -> Wire:  # noqa: ARG001 -- as the others
    """Join units to input items; a result's images come after the last result of its run."""
    items: list[Json] = []
    waiting: list[Json] = []
    for unit in units:
        if waiting and unit.role != "tool":
            items += waiting
            waiting = []
        items += map(unit.copy, unit.parts)
        waiting += map(deep, unit.spare)
    return Wire([*items, *waiting], None)
