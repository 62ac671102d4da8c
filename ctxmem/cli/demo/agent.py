"""The scripted agent: what a model would say while it reads the library, with no model.

It decides from the files alone, so that two runs on one machine say the same.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ctxmem.cli.demo.shelf import PAGE_LINES, Shelf

SYSTEM = (
    "You are a reading agent with tools over the Python standard library. "
    "Read what you are asked to read, then answer from what you have seen. "
    "Earlier steps may no longer be shown: find them with memory_search and memory_read."
)
TASK = "Read the Python standard library of this machine, directory by directory; I will ask about it afterwards."
_PAGES_A_STEP = 2
_GREP_EVERY = 9
_MISTAKE_EVERY = 40


@dataclass(slots=True)
class Step:
    """What happens next: the user speaks, or the agent calls tools."""

    user: str | None = None
    says: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class Agent:
    """Ids and wording of one agent's messages, in the shape of OpenAI Chat Completions."""

    def __init__(self) -> None:
        self._calls = 0

    def message(self, step: Step) -> dict[str, Any]:
        """Return the assistant message for a step."""
        return self.calling(step.says, step.calls)

    def calling(self, says: str, calls: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        """Return an assistant message with tool calls, ids counted up."""
        made = []
        for name, arguments in calls:
            self._calls += 1
            function = {"name": name, "arguments": json.dumps(arguments)}
            made.append({"id": f"call_{self._calls}", "type": "function", "function": function})
        message: dict[str, Any] = {"role": "assistant", "content": says or None}
        return {**message, "tool_calls": made} if made else message


def steps(shelf: Shelf) -> Iterator[Step]:
    """Yield the steps of reading the whole library; the caller stops where it has enough."""
    number = 0
    for folder in shelf.folders():
        files = shelf.files_in(folder)
        if not files:
            continue
        name = shelf.name(folder) if folder != shelf.root else ""
        yield Step(user=f"Now read {name or 'the top level'}.")
        yield Step(says="First the names.", calls=[("list_dir", {"path": name})])
        pages = [(shelf.name(file), start) for file in files for start in _starts(shelf, shelf.name(file))]
        for at in range(0, len(pages), _PAGES_A_STEP):
            number += 1
            batch = pages[at : at + _PAGES_A_STEP]
            yield Step(
                says=_saying(batch), calls=[("read_file", {"path": path, "start": start}) for path, start in batch]
            )
            yield from _asides(shelf, batch[-1][0], number)


def _starts(shelf: Shelf, path: str) -> range:
    return range(1, max(1, len(shelf.lines(path))) + 1, PAGE_LINES)


def _saying(batch: list[tuple[str, int]]) -> str:
    return "Reading " + " and ".join(f"{path} from line {start}" for path, start in batch) + "."


def _asides(shelf: Shelf, path: str, number: int) -> Iterator[Step]:
    """Yield, now and then, what agents do between two pages: look where a name is used, or mistype a path."""
    if number % _GREP_EVERY == 0:
        name = re.search(r"^class (\w+)", "".join(shelf.lines(path)), re.MULTILINE)
        if name:
            where = path.rpartition("/")[0]
            calls: list[tuple[str, dict[str, Any]]] = [("grep", {"pattern": rf"\b{name[1]}\b", "path": where})]
            yield Step(says=f"Where is {name[1]} used?", calls=calls)
    if number % _MISTAKE_EVERY == 0:
        yield Step(says="There may be a private twin.", calls=[("read_file", {"path": f"{path}.orig"})])
