"""The rules of generateContent, strictest reading: what a payload breaks. See `rules.validate`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ctxmem.providers.neutral import Violation


def check(contents: Sequence[Any]) -> Iterator[Violation]:
    """List what breaks the rules of generateContent."""
    if not contents:
        yield Violation("empty", "contents", "at least one content is needed")
        return
    if contents[0].get("role") != "user":
        yield Violation("first-not-user", "contents[0].role", "the first content must be a user's")
    if contents[-1].get("role") == "model":
        yield Violation("last-assistant", f"contents[{len(contents) - 1}]", "the last content must be a user's")
    waiting: list[str] = []
    for index, content in enumerate(contents):
        path, role, parts = f"contents[{index}]", content.get("role"), content.get("parts")
        if role not in {"user", "model"}:
            yield Violation("role", f"{path}.role", f"{role!r} is not user or model")
        if index and role == contents[index - 1].get("role"):
            yield Violation("same-role", f"{path}.role", f"two {role} contents in a row; merge them")
        if not isinstance(parts, list) or not parts or not all(isinstance(part, Mapping) and part for part in parts):
            yield Violation("content-empty", f"{path}.parts", "not a list of parts")
            waiting = []
            continue
        names = [str(part["functionResponse"].get("name")) for part in parts if "functionResponse" in part]
        if names != waiting:
            code = "unanswered-call" if len(names) < len(waiting) else "orphan-result"
            yield Violation(code, path, f"responses {names} do not match the calls before, {waiting}")
        waiting = [str(part["functionCall"].get("name")) for part in parts if "functionCall" in part]
        for place, part in enumerate(parts):
            if "text" in part and not str(part["text"] or ""):
                yield Violation("text-empty", f"{path}.parts[{place}]", "an empty text")
            if "functionCall" in part and not isinstance(part["functionCall"].get("args", {}), Mapping):
                yield Violation("arguments", f"{path}.parts[{place}].functionCall.args", "not an object")
    if waiting:
        yield Violation("unanswered-call", f"contents[{len(contents) - 1}]", f"calls {waiting} have no responses")
