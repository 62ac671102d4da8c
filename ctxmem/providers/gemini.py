"""Gemini contents: read into drafts, and written from the neutral form as parts.

Names are written in camelCase, as the REST API has them; snake_case is read too. A call has no id of its own in older
replies: its name stands for it. The first call of a foreign message gets the documented dummy signature, since Gemini 3
checks the signatures of the current turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from ctxmem.errors import BadMessage
from ctxmem.models import Model
from ctxmem.providers import framing, gemini_rules
from ctxmem.providers.images import image
from ctxmem.providers.neutral import Draft, Image, Part, Request, Said, Tally, Text, Unit, Variant, Violation, Wire
from ctxmem.providers.plain import Json, deep, dumps, number
from ctxmem.providers.shape import Fit, Shape
from ctxmem.providers.texts import call_line, join_text, kind_of, labelled, searched
from ctxmem.segment import Call
from ctxmem.tokens import count

_NAME = "gemini"
_CAMEL = {
    "function_call": "functionCall",
    "function_response": "functionResponse",
    "inline_data": "inlineData",
    "file_data": "fileData",
    "thought_signature": "thoughtSignature",
    "mime_type": "mimeType",
    "file_uri": "fileUri",
    "prompt_token_count": "promptTokenCount",
    "cached_content_token_count": "cachedContentTokenCount",
}
_DUMMY_SIGNATURE = "skip_thought_signature_validator"


class Gemini(Shape):
    """Gemini's contents. A part is a part of one."""

    __slots__ = ()

    name = _NAME
    payload_key = "contents"
    tool_example = '{"name": ..., "parameters": ...}'
    framing_tokens = framing.PRIMING_TOKENS + framing.FILLERS_TOKENS

    def fit(self, message: Json, role: str, types: AbstractSet[str]) -> Fit:
        """Recognise replies by their candidates, contents by their parts."""
        del role, types
        return Fit.WHOLE if "candidates" in message or "parts" in message else Fit.NONE

    def parse(self, message: Json) -> list[Draft]:
        """Read one content, or a whole reply as a dict: a draft for each function response, one for the rest."""
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

    def content(self, message: Json) -> list[Part]:
        """Read the content of a message; of a response, what it holds."""
        return _content(message)

    def own(self, kind: str, message: Json, variant: Variant) -> tuple[Json, ...]:
        """Return the parts of a message as they came, less empty texts and, unless wanted, thoughts."""
        del kind
        parts = [_camel(part) for part in message.get("parts") or ()]
        kept = [part for part in parts if part.get("text") != "" and (variant.reasoning or not part.get("thought"))]
        return tuple(kept)

    def write(self, said: Said) -> tuple[Json, ...]:
        """Write the parts of a message, a function call for each call."""
        if said.kind == "tool":
            response = {"error" if said.is_error else "output": join_text(labelled(said.parts))}
            return ({"functionResponse": {"name": said.call_name or said.call_id, "response": response}},)
        given = said.parts if said.kind == "user" else labelled(said.parts)
        wires = [_wire_part(part) for part in given if isinstance(part, Image) or part.text]
        uses: list[Json] = [{"functionCall": {"name": call.name, "args": dict(call.arguments)}} for call in said.calls]
        if uses:
            uses[0]["thoughtSignature"] = _DUMMY_SIGNATURE
        return (*wires, *uses)

    def spare(self, kind: str, parts: Sequence[Part]) -> tuple[Json, ...]:
        """Write a later system message as a user's text, and the images of a result as parts of the user's content."""
        if kind == "system":
            text = join_text(labelled(parts))
            return ({"text": framing.SYSTEM_HEADING + text},) if text else ()
        return tuple(_wire_part(part) for part in parts if isinstance(part, Image)) if kind == "tool" else ()

    def count_parts(self, parts: Sequence[Json]) -> int:
        """Count the parts of one content."""
        tally = Tally(framing.MESSAGE_TOKENS + framing.SYSTEM_TOKENS)
        for part in parts:
            _count_part(tally, part)
        return tally.tokens

    def count_message(self, message: Json) -> int:
        """Count one content of a payload."""
        return self.count_parts(message["parts"]) - framing.SYSTEM_TOKENS

    def input_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `promptTokenCount`."""
        return number(_camel(usage), "promptTokenCount")

    def cached_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `cachedContentTokenCount`."""
        return number(_camel(usage), "cachedContentTokenCount")

    def output_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `candidatesTokenCount`, which leaves out thoughts; those are billed as output too."""
        found = _camel(usage)
        said, thought = number(found, "candidatesTokenCount"), number(found, "thoughtsTokenCount")
        return None if said is None and thought is None else (said or 0) + (thought or 0)

    def reasoning_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read `thoughtsTokenCount`."""
        return number(_camel(usage), "thoughtsTokenCount")

    def join(self, units: Sequence[Unit], model: Model, breakpoints: Sequence[int] = ()) -> Wire:
        """Join units to contents: same roles merged, leading system units apart, a user's content first and last."""
        del model, breakpoints
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
                contents.append({"role": "user", "parts": [{"text": framing.PRUNED}]})
                added_tokens += framing.MESSAGE_TOKENS + count(framing.PRUNED)
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
            text = framing.CONTINUE if contents else framing.PRUNED
            contents.append({"role": "user", "parts": [{"text": text}]})
            added_tokens += framing.MESSAGE_TOKENS + count(text)
        return Wire(contents, system or None, added_tokens)

    def parts_of(self, message: Json) -> Sequence[Json]:
        """Return the parts of a content."""
        parts: list[Json] = message["parts"]
        return parts

    def kwargs(self, request: Request, over: Mapping[str, Any]) -> dict[str, Any]:
        """Put the system prompt, the tools and the room for the answer into `config`."""
        del over
        config: dict[str, Any] = {"max_output_tokens": request.reserve} if request.reserve else {}
        if request.system:
            config["system_instruction"] = {"parts": list(request.system)}
        if request.tools:
            config["tools"] = list(request.tools)
        made = {"model": request.model.name, "contents": list(request.messages)}
        return {**made, "config": config} if config else made

    def check(self, payload: Mapping[str, Any], messages: Sequence[Any]) -> Iterator[Violation]:
        """List what breaks the rules of generateContent."""
        del payload
        return gemini_rules.check(messages)

    def tool(self, name: str, text: str, parameters: Json) -> Json:
        """Write a function's declaration."""
        return {"name": name, "description": text, "parameters": parameters}

    def functions(self, schema: Json) -> list[Json]:
        """Give the declarations of a tool, or the one that stands for itself."""
        declared = schema.get("function_declarations", schema.get("functionDeclarations"))
        return [one for one in declared if isinstance(one, dict)] if isinstance(declared, list) else [schema]

    def owns_tool(self, schema: Json) -> bool:
        """Recognise a schema by having a name and parameters, and no type, or by its list of declarations."""
        if schema.get("type") == "function" or "input_schema" in schema:
            return False
        is_plain = "type" not in schema and "name" in schema and "parameters" in schema
        return is_plain or "function_declarations" in schema or "functionDeclarations" in schema


SHAPE = Gemini()


# ---- reading


def _check_parts(parts: Any) -> list[Json]:
    if not isinstance(parts, list) or not all(isinstance(part, dict) and part for part in parts):
        raise BadMessage(f"message.parts: {kind_of(parts)}; pass a list of parts such as {{'text': ...}}")
    for index, part in enumerate(map(_camel, parts)):
        for name in ("functionCall", "functionResponse", "inlineData", "fileData"):
            if name in part and not isinstance(part[name], dict):
                raise BadMessage(f"message.parts[{index}].{name}: not an object; pass {{'name': ...}} or the like")
    return parts


def _camel(part: Mapping[str, Any]) -> Json:
    return {_CAMEL.get(key, key): value for key, value in part.items()}


def _draft(kind: str, message: Json, usage: Json | None = None) -> Draft:
    wires = [_camel(part) for part in message.get("parts") or ()]
    calls = [call for part in wires if (call := _call(part))]
    parts = _content(message)
    tally = Tally(framing.MESSAGE_TOKENS)
    for part in wires:
        _count_part(tally, part)
    margin = framing.JOIN_TOKENS * max(len(parts) - 1, 0)
    call_id = None
    if kind == "tool":
        response = wires[0]["functionResponse"]
        call_id = str(response.get("id") or response.get("name") or "")
        if not call_id:
            raise BadMessage("message.parts[0].functionResponse.name: missing; name the function that was called")
        margin += framing.RESULT_ID_TOKENS + count(call_id) + framing.ERROR_TOKENS + framing.IMAGES_TOKENS
    lines = [call_line(call.name, dumps(call.arguments), is_read=True) for call in calls]
    return Draft(
        shape=_NAME,
        role=str(message.get("role") or "user"),
        kind=kind,
        message=message,
        text=searched(parts, lines),
        calls=tuple(calls),
        call_id=call_id,
        tokens=tally.tokens + margin,
        exact=tally.exact,
        image_tokens=tally.image_tokens,
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


def _content(message: Json) -> list[Part]:
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
    """Return the text of a function's response: of the customary `output`, `result` or `error`, else its JSON."""
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
        tally.parts(_content({"parts": [part]}))
    else:
        tally.block(part)


# ---- writing


def _wire_part(part: Part) -> Json:
    if isinstance(part, Text):
        return {"text": part.text}
    if part.url:
        return {"fileData": {"fileUri": part.url, "mimeType": part.media_type}}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}}


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
