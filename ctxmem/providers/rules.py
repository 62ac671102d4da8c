"""The validity rules of every provider, strictest reading: `validate` lists what a payload breaks.

Where two APIs of a family differ, the stricter one is checked. Nothing is repaired here. A code is stable; the sentence
beside it may change. The rules of the block-shaped providers stand in `rules_blocks`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ctxmem.errors import BadInput
from ctxmem.providers.neutral import Violation
from ctxmem.providers.plain import parse_arguments
from ctxmem.providers.responses import CALLS
from ctxmem.providers.rules_blocks import check_anthropic, check_gemini, unsendable

Check: TypeAlias = Callable[[Mapping[str, Any], Sequence[Any]], Iterator[Violation]]

_MAX_ID_CHARS = 40


def validate(payload: Any, provider: str) -> list[Violation]:
    """List the rules of a provider that a payload breaks; empty when the provider takes it.

    `payload` is what goes into the SDK call (a mapping with `messages`, `input` or `contents`, and `system`, `tools`,
    `model` where given), or the list of messages alone. O(size of the payload); nothing is sent.

    Raises:
        BadInput: the provider is not known, or the payload is neither of the two.

    >>> validate([{"role": "tool", "tool_call_id": "c1", "content": "x"}], "openai")[0].code
    'orphan-result'
    """
    if provider not in _CHECKS:
        raise BadInput(f"provider {provider!r} is not known; choose one of {', '.join(sorted(_CHECKS))}")
    key, check = _CHECKS[provider]
    whole = {key: payload} if isinstance(payload, list | tuple) else payload
    if not isinstance(whole, Mapping) or not isinstance(whole.get(key), list | tuple):
        raise BadInput(f"payload: pass a list of messages, or a mapping with {key!r}")
    for index, message in enumerate(whole[key]):
        if not isinstance(message, Mapping):
            return [Violation("not-a-message", f"{key}[{index}]", f"{type(message).__name__}, not an object")]
    return [*unsendable(whole), *check(whole, whole[key])]


def _check_openai(payload: Mapping[str, Any], messages: Sequence[Any]) -> Iterator[Violation]:
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
        yield from _openai_content(message, path)
        if role == "assistant":
            for place, call in enumerate(message.get("tool_calls") or []):
                yield from _openai_call(call, f"{path}.tool_calls[{place}]", waiting)
    yield from _unanswered(waiting)
    yield from _openai_tools(payload.get("tools"))


def _unanswered(waiting: Mapping[str, str]) -> Iterator[Violation]:
    for call_id, path in waiting.items():
        yield Violation("unanswered-call", path, f"call {call_id!r} has no result right after its message")


def _openai_content(message: Mapping[str, Any], path: str) -> Iterator[Violation]:
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
            yield from _openai_part(part, role, f"{path}.content[{place}]")
    elif not isinstance(content, str):
        yield Violation("content-type", f"{path}.content", f"{type(content).__name__}, not a str or a list of parts")


def _openai_part(part: Any, role: Any, path: str) -> Iterator[Violation]:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        yield Violation("content-type", path, "not a part with a type")
    elif part["type"] == "text" and not isinstance(part.get("text"), str):
        yield Violation("content-type", f"{path}.text", "not a str")
    elif part["type"] in {"image_url", "input_audio", "file"} and role != "user":
        yield Violation("part-role", path, f"{part['type']} stands only in a user's message")


def _openai_call(call: Any, path: str, waiting: dict[str, str]) -> Iterator[Violation]:
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


def _openai_tools(tools: Any) -> Iterator[Violation]:
    for index, tool in enumerate(tools or ()):
        if not isinstance(tool, Mapping) or not isinstance(tool.get("type"), str):
            yield Violation("tool-shape", f"tools[{index}]", "not {'type': 'function', 'function': {...}}")


def _check_responses(payload: Mapping[str, Any], items: Sequence[Any]) -> Iterator[Violation]:
    calls: dict[str, str] = {}
    results: set[str] = set()
    for index, item in enumerate(items):
        path, kind = f"input[{index}]", item.get("type", "message")
        call_id = item.get("call_id")
        if kind in _RESPONSES_RESULTS:
            if call_id not in calls or call_id in results:
                code = "repeated-result" if call_id in results else "orphan-result"
                yield Violation(code, path, f"no call {call_id!r} before it waits for this")
            results.add(str(call_id))
        elif kind in _RESPONSES_RESULTS.values():
            if not isinstance(call_id, str) or not call_id:
                yield Violation("id-refused", f"{path}.call_id", "missing")
            elif call_id in calls:
                yield Violation("id-repeated", f"{path}.call_id", f"{call_id!r} is taken by {calls[call_id]}")
            calls[str(call_id)] = path
            if kind == "function_call" and parse_arguments(item.get("arguments")) is None:
                yield Violation("arguments", f"{path}.arguments", "not the JSON of an object")
        elif kind == "reasoning":
            following = items[index + 1].get("type", "message") if index + 1 < len(items) else None
            if following not in {"message", "reasoning", *_RESPONSES_RESULTS.values()}:
                yield Violation("reasoning-alone", path, "a reasoning item needs the item that followed it")
        elif kind == "message":
            yield from _responses_message(item, path)
    for call_id, path in calls.items():
        if call_id not in results:
            yield Violation("unanswered-call", path, f"call {call_id!r} has no output")
    if not items:
        yield Violation("empty", "input", "at least one item is needed")
    del payload


_RESPONSES_RESULTS = {f"{kind}_output": kind for kind in CALLS}


def _responses_message(item: Mapping[str, Any], path: str) -> Iterator[Violation]:
    if item.get("role") not in {"system", "developer", "user", "assistant"}:
        yield Violation("role", f"{path}.role", f"{item.get('role')!r} is not a role of the Responses API")
    content = item.get("content")
    if not isinstance(content, str) and not (isinstance(content, list) and content):
        yield Violation("content-missing", f"{path}.content", "not a str or a list of parts")
        return
    for place, part in enumerate(content if isinstance(content, list) else ()):
        allowed = {"output_text", "refusal"} if item.get("role") == "assistant" else _RESPONSES_INPUTS
        if not isinstance(part, Mapping) or part.get("type") not in allowed:
            yield Violation("part-role", f"{path}.content[{place}]", f"expected one of {', '.join(sorted(allowed))}")


_RESPONSES_INPUTS = frozenset({"input_text", "input_image", "input_file", "input_audio"})

_CHECKS: Mapping[str, tuple[str, Check]] = {
    "openai": ("messages", _check_openai),
    "openai-responses": ("input", _check_responses),
    "anthropic": ("messages", check_anthropic),
    "gemini": ("contents", check_gemini),
}
