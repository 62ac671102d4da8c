"""The rules of the Responses API, strictest reading: what a payload breaks. See `rules.validate`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ctxmem.providers.neutral import Violation
from ctxmem.providers.plain import parse_arguments

# The calls and where their arguments are; each is answered by the item of the same name and "_output".
CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "computer_call": "action",
}
_RESULTS = {f"{kind}_output": kind for kind in CALLS}
_INPUTS = frozenset({"input_text", "input_image", "input_file", "input_audio"})


def check(items: Sequence[Any]) -> Iterator[Violation]:
    """List what breaks the rules of the Responses API."""
    calls: dict[str, str] = {}
    results: set[str] = set()
    for index, item in enumerate(items):
        path, kind = f"input[{index}]", item.get("type", "message")
        call_id = item.get("call_id")
        if kind in _RESULTS:
            if call_id not in calls or call_id in results:
                code = "repeated-result" if call_id in results else "orphan-result"
                yield Violation(code, path, f"no call {call_id!r} before it waits for this")
            results.add(str(call_id))
        elif kind in _RESULTS.values():
            if not isinstance(call_id, str) or not call_id:
                yield Violation("id-refused", f"{path}.call_id", "missing")
            elif call_id in calls:
                yield Violation("id-repeated", f"{path}.call_id", f"{call_id!r} is taken by {calls[call_id]}")
            calls[str(call_id)] = path
            if kind == "function_call" and parse_arguments(item.get("arguments")) is None:
                yield Violation("arguments", f"{path}.arguments", "not the JSON of an object")
        elif kind == "reasoning":
            following = items[index + 1].get("type", "message") if index + 1 < len(items) else None
            if following not in {"message", "reasoning", *_RESULTS.values()}:
                yield Violation("reasoning-alone", path, "a reasoning item needs the item that followed it")
        elif kind == "message":
            yield from _message(item, path)
    for call_id, path in calls.items():
        if call_id not in results:
            yield Violation("unanswered-call", path, f"call {call_id!r} has no output")
    if not items:
        yield Violation("empty", "input", "at least one item is needed")


def _message(item: Mapping[str, Any], path: str) -> Iterator[Violation]:
    if item.get("role") not in {"system", "developer", "user", "assistant"}:
        yield Violation("role", f"{path}.role", f"{item.get('role')!r} is not a role of the Responses API")
    content = item.get("content")
    if not isinstance(content, str) and not (isinstance(content, list) and content):
        yield Violation("content-missing", f"{path}.content", "not a str or a list of parts")
        return
    for place, part in enumerate(content if isinstance(content, list) else ()):
        allowed = {"output_text", "refusal"} if item.get("role") == "assistant" else _INPUTS
        if not isinstance(part, Mapping) or part.get("type") not in allowed:
            yield Violation("part-role", f"{path}.content[{place}]", f"expected one of {', '.join(sorted(allowed))}")
