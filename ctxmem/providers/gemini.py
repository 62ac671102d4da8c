"""Gemini contents: read into drafts, and written from the neutral form as parts.

Names are written in camelCase, as the REST API has them; snake_case is read too. A call has no id of its own in older
replies: its name stands for it. The first call of a foreign message gets the documented dummy signature, since Gemini 3
checks the signatures of the current turn.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ctxmem.errors import BadMessage
from ctxmem.models import Model
from ctxmem.providers.images import image
from ctxmem.providers.neutral import (
    CONTINUE,
    ERROR_TOKENS,
    IMAGES_TOKENS,
    JOIN_TOKENS,
    MESSAGE_TOKENS,
    PRUNED,
    RESULT_ID_TOKENS,
    SYSTEM_HEADING,
    SYSTEM_TOKENS,
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
)
from ctxmem.providers.plain import Json, copier, deep, dumps
from ctxmem.segment import Call
from ctxmem.tokens import count

SHAPE = "gemini"
_CAMEL = {
    "function_call": "functionCall",
    "function_response": "functionResponse",
    "inline_data": "inlineData",
    "file_data": "fileData",
    "thought_signature": "thoughtSignature",
    "mime_type": "mimeType",
    "file_uri": "fileUri",
}
_DUMMY_SIGNATURE = "skip_thought_signature_validator"


# ---- reading


def parse(message: Json) -> list[Draft]:
    """Read one content, or a whole reply as a dict, into drafts: one for each function response, one for the rest.

    Raises:
        BadMessage: not a content with parts, with the field and the remedy.
    """
    if "candidates" in message:
        candidates = message["candidates"]
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(first, dict) or not isinstance(first.get("content"), dict):
            raise BadMessage("message.candidates: no candidate with content; append a reply that has one")
        usage = message.get("usageMetadata") or message.get("usage_metadata")
        said = {"parts": [], **first["content"], "role": "model"}
        _check_parts(said["parts"])
        return [_draft("assistant", said, usage if isinstance(usage, dict) else None)]
    parts = _check_parts(message.get("parts"))
    if message.get("role") == "model":
        return [_draft("assistant", message)]
    results = [part for part in parts if "functionResponse" in _camel(part)]
    rest = [part for part in parts if "functionResponse" not in _camel(part)]
    drafts = [_draft("tool", {**message, "parts": [part]}) for part in results]
    return [*drafts, _draft("user", {**message, "parts": rest})] if rest or not drafts else drafts


def _check_parts(parts: Any) -> list[Json]:
    if not isinstance(parts, list) or not all(isinstance(part, dict) and part for part in parts):
        raise BadMessage(f"message.parts: {kind_of(parts)}; pass a list of parts such as {{'text': ...}}")
    for index, part in enumerate(map(_camel, parts)):
        for name in ("functionCall", "functionResponse", "inlineData", "fileData"):
            if name in part and not isinstance(part[name], dict):
                raise BadMessage(f"message.parts[{index}].{name}: not an object; pass {{'name': ...}} or the like")
    return parts


def _camel(part: Json) -> Json:
    return {_CAMEL.get(key, key): value for key, value in part.items()}


def _draft(kind: str, message: Json, usage: Json | None = None) -> Draft:
    wires = [_camel(part) for part in message.get("parts") or ()]
    calls = [call for part in wires if (call := _call(part))]
    parts = content(message)
    tally = Tally(MESSAGE_TOKENS)
    for part in wires:
        _count_part(tally, part)
    margin = JOIN_TOKENS * max(len(parts) - 1, 0)
    call_id = None
    if kind == "tool":
        response = wires[0]["functionResponse"]
        call_id = str(response.get("id") or response.get("name") or "")
        if not call_id:
            raise BadMessage("message.parts[0].functionResponse.name: missing; name the function that was called")
        margin += RESULT_ID_TOKENS + count(call_id) + ERROR_TOKENS + IMAGES_TOKENS
    lines = [call_text(call.name, dumps(call.arguments)) for call in calls]
    return Draft(
        shape=SHAPE,
        role=str(message.get("role") or "user"),
        kind=kind,
        message=message,
        text="\n".join([text for text in (join_text(parts), *lines) if text]),
        calls=tuple(calls),
        call_id=call_id,
        tokens=tally.tokens + margin,
        exact=tally.exact,
        usage=usage,
    )


def _call(part: Json) -> Call | None:
    called = part.get("functionCall")
    if not isinstance(called, dict) or not isinstance(called.get("name"), str) or not called["name"]:
        return None
    arguments = called.get("args")
    return Call(
        str(called.get("id") or called["name"]), called["name"], arguments if isinstance(arguments, dict) else {}
    )


def content(message: Json) -> list[Part]:
    """Read the content of a message, calls and thoughts apart, into neutral parts; of a response, what it holds."""
    parts: list[Part] = []
    for given in message.get("parts") or ():
        part = _camel(given)
        if "functionResponse" in part:
            parts.append(Text(_response_text(part["functionResponse"].get("response"))))
        elif "text" in part:
            parts += [Text(str(part["text"]))] if part["text"] and not part.get("thought") else []
        elif "inlineData" in part:
            data = _camel(part["inlineData"])
            parts.append(image(str(data.get("mimeType") or ""), str(data.get("data") or "")))
        elif "functionCall" not in part:
            parts.append(Text(f"[{next(iter(part))}]"))
    return parts


def _response_text(response: Any) -> str:
    """Give the text of a function's response: of the customary `output`, `result` or `error`, else its JSON."""
    if isinstance(response, Mapping) and len(response) == 1:
        key, value = next(iter(response.items()))
        if key in {"output", "result", "error"}:
            return value if isinstance(value, str) else dumps(value)
    return "" if response is None else dumps(response)


def _count_part(tally: Tally, part: Json) -> None:
    if "text" in part:
        tally.text(str(part["text"] or ""))
    elif "functionCall" in part:
        called = part["functionCall"]
        tally.call(str(called.get("name") or ""), dumps(called.get("args") or {}))
    elif "functionResponse" in part:
        response = part["functionResponse"]
        tally.text(str(response.get("name") or ""))
        tally.text(_response_text(response.get("response")))
    elif "inlineData" in part:
        tally.parts(content({"parts": [part]}))
    else:
        tally.block(part)


# ---- writing


def own(kind: str, message: Json, variant: Variant) -> tuple[Json, ...]:  # noqa: ARG001 -- one signature for all shapes
    """Give the parts of a message of this shape as they came, less empty texts and, unless wanted, thoughts."""
    parts = [_camel(part) for part in message.get("parts") or ()]
    kept = [part for part in parts if part.get("text") != "" and (variant.reasoning or not part.get("thought"))]
    return tuple(kept)


def write(
    kind: str,
    parts: Sequence[Part],
    calls: Sequence[Call],
    call_id: str,
    call_name: str = "",
    *,
    is_error: bool = False,
) -> tuple[Json, ...]:
    """Write the parts of a message from neutral parts; what the role cannot hold becomes its label."""
    if kind == "tool":
        response = {"error" if is_error else "output": join_text(labelled(parts))}
        return ({"functionResponse": {"name": call_name or call_id, "response": response}},)
    given = parts if kind == "user" else labelled(parts)
    wires = [_wire_part(part) for part in given if isinstance(part, Image) or part.text]
    uses: list[Json] = [{"functionCall": {"name": call.name, "args": dict(call.arguments)}} for call in calls]
    if uses:
        uses[0]["thoughtSignature"] = _DUMMY_SIGNATURE
    return (*wires, *uses)


def _wire_part(part: Part) -> Json:
    if isinstance(part, Text):
        return {"text": part.text}
    if part.url:
        return {"fileData": {"fileUri": part.url, "mimeType": part.media_type}}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}}


def spare(kind: str, parts: Sequence[Part]) -> tuple[Json, ...]:
    """Write a later system message as a user's text, and the images of a result as parts of the user's content."""
    if kind == "system":
        text = join_text(labelled(parts))
        return ({"text": SYSTEM_HEADING + text},) if text else ()
    return tuple(_wire_part(part) for part in parts if isinstance(part, Image)) if kind == "tool" else ()


def count_parts(parts: Sequence[Json]) -> int:
    """Count the parts of one content with its framing."""
    tally = Tally(MESSAGE_TOKENS + SYSTEM_TOKENS)
    for part in parts:
        _count_part(tally, part)
    return tally.tokens


def count_message(message: Json) -> int:
    """Count one content of a payload."""
    return count_parts(message["parts"]) - SYSTEM_TOKENS


def copy_of(parts: Sequence[Json]) -> Callable[[Json], Json]:
    """Choose the cheapest copy of parts that shares no mutable state."""
    return copier(parts)


def join(units: Sequence[Unit], model: Model, marks: Sequence[int] = ()) -> Wire:  # noqa: ARG001 -- as the others
    """Join units to contents: same roles merged, leading system units apart, a user's content first and last."""
    system: list[Json] = []
    contents: list[Json] = []
    waiting: list[Json] = []
    called: list[str] = []
    added_tokens = 0
    for unit in units:
        if unit.role == "system" and not contents:
            system += map(deep, unit.parts)
            continue
        if not unit.parts:
            continue
        role = "model" if unit.role == "assistant" else "user"
        if not contents and role == "model":
            contents.append({"role": "user", "parts": [{"text": PRUNED}]})
            added_tokens += MESSAGE_TOKENS + count(PRUNED)
        if waiting and unit.role != "tool":
            contents[-1]["parts"] += waiting
            waiting = []
        if not contents or contents[-1]["role"] != role:
            contents.append({"role": role, "parts": []})
        parts = [deep(part) for part in (unit.spare if unit.role == "system" else unit.parts)]
        contents[-1]["parts"] += parts
        called = _named(parts, called if unit.role == "tool" else [])
        waiting += map(deep, unit.spare if unit.role == "tool" else ())
    if waiting:
        contents[-1]["parts"] += waiting
    if not contents or contents[-1]["role"] == "model":
        text = CONTINUE if contents else PRUNED
        contents.append({"role": "user", "parts": [{"text": text}]})
        added_tokens += MESSAGE_TOKENS + count(text)
    return Wire(contents, system or None, added_tokens)


def _named(parts: Sequence[Json], called: list[str]) -> list[str]:
    """Give responses the names of the calls that they answer, in order; return the names of calls not yet answered.

    A result in another provider's shape knows only the id of its call.
    """
    left = list(called)
    for part in parts:
        if "functionCall" in part:
            left.append(str(part["functionCall"].get("name") or ""))
        elif "functionResponse" in part and left:
            part["functionResponse"]["name"] = left.pop(0)
    return left
