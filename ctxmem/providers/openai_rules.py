"""The rules of the chat API, strictest reading: what a payload breaks. See `rules.validate`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ctxmem.providers.neutral import Violation
from ctxmem.providers.plain import parse_arguments

_MAX_ID_CHARS = 40


def check(payload: Mapping[str, Any], messages: Sequence[Any]) -> Iterator[Violation]:
    """List what breaks the rules of the chat API."""
    if not messages:
        yield Violation("empty", "messages", "at least one message is needed")
    waiting: dict[str, str] = {}
    answered: set[str] = set()
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        role = message.get("role")
        if role == "tool":
            call_id = message.get("tool_call_id")
            if call_id in waiting:
                del waiting[call_id]
                answered.add(call_id)
            else:
                code = "repeated-result" if call_id in answered else "orphan-result"
                yield Violation(code, path, f"no call {call_id!r} in the assistant message just before waits for this")
        else:
            yield from _unanswered(waiting)
            waiting, answered = {}, set()
        yield from _content(message, path)
        if role == "assistant":
            for place, call in enumerate(message.get("tool_calls") or []):
                yield from _call(call, f"{path}.tool_calls[{place}]", waiting)
    yield from _unanswered(waiting)
    yield from _tools(payload.get("tools"))


def _unanswered(waiting: Mapping[str, str]) -> Iterator[Violation]:
    for call_id, path in waiting.items():
        yield Violation("unanswered-call", path, f"call {call_id!r} has no result right after its message")


def _content(message: Mapping[str, Any], path: str) -> Iterator[Violation]:
    role, content = message.get("role"), message.get("content")
    if role not in {"system", "developer", "user", "assistant", "tool"}:
        yield Violation("role", f"{path}.role", f"{role!r} is not a role of the chat API")
    if "tool_calls" in message and not (isinstance(message["tool_calls"], list) and message["tool_calls"]):
        yield Violation("calls-empty", f"{path}.tool_calls", "leave the field out where there are no calls")
    if content is None:
        if role != "assistant" or not any(message.get(key) for key in ("tool_calls", "refusal", "audio")):
            yield Violation("content-missing", f"{path}.content", "only an assistant message with calls may lack it")
    elif isinstance(content, list):
        if not content:
            yield Violation("content-empty", f"{path}.content", "an empty list of parts")
        for place, part in enumerate(content):
            yield from _part(part, role, f"{path}.content[{place}]")
    elif not isinstance(content, str):
        yield Violation("content-type", f"{path}.content", f"{type(content).__name__}, not a str or a list of parts")


def _part(part: Any, role: Any, path: str) -> Iterator[Violation]:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        yield Violation("content-type", path, "not a part with a type")
    elif part["type"] == "text" and not isinstance(part.get("text"), str):
        yield Violation("content-type", f"{path}.text", "not a str")
    elif part["type"] in {"image_url", "input_audio", "file"} and role != "user":
        yield Violation("part-role", path, f"{part['type']} stands only in a user's message")


def _call(call: Any, path: str, waiting: dict[str, str]) -> Iterator[Violation]:
    kind = call.get("type") if isinstance(call, Mapping) else None
    body = call.get(kind) if kind in {"function", "custom"} else None
    if not isinstance(body, Mapping) or not body.get("name") or not isinstance(body["name"], str):
        yield Violation("call-shape", path, "not {'id', 'type': 'function', 'function': {'name', 'arguments'}}")
        return
    call_id = call.get("id")
    if not isinstance(call_id, str) or not 0 < len(call_id) <= _MAX_ID_CHARS:
        yield Violation("id-refused", f"{path}.id", f"a call id has 1 to {_MAX_ID_CHARS} characters")
    elif call_id in waiting:
        yield Violation("id-repeated", f"{path}.id", f"{call_id!r} twice in one message")
    if kind == "function" and parse_arguments(body.get("arguments")) is None:
        yield Violation("arguments", f"{path}.function.arguments", "not the JSON of an object")
    waiting[str(call_id)] = path


def _tools(tools: Any) -> Iterator[Violation]:
    for index, tool in enumerate(tools or ()):
        if not isinstance(tool, Mapping) or not isinstance(tool.get("type"), str):
            yield Violation("tool-shape", f"tools[{index}]", "not {'type': 'function', 'function': {...}}")
