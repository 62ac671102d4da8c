"""Drive the scripted agent through a context: the reading, a restart half-way, three restores, the questions.

I1. The loop is the one that every agent has: assemble, say, run the calls, give the results.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ctxmem
from ctxmem import models
from ctxmem.cli.demo import agent as scripted
from ctxmem.cli.demo.exam import Question, questions, texts_of
from ctxmem.cli.demo.shelf import PAGE_LINES, Shelf, tools
from ctxmem.cli.meter import Meter

_SESSION = "library"
_RESTORES = 3
_READS_A_QUESTION = 5
_RECALL_TOKENS = 4_000


@dataclass(frozen=True, slots=True)
class Answer:
    """One question's outcome: the way it was looked up, what was found, what was right."""

    asks: str
    way: str
    found: str | None
    right: str
    turns: int

    @property
    def is_right(self) -> bool:
        """Whether memory gave what the file says."""
        return self.found == self.right


@dataclass(slots=True)
class Outcome:
    """All that a run showed."""

    meter: Meter
    answers: list[Answer] = field(default_factory=list)
    files_read: int = 0
    tokens_seen: int = 0
    restores: int = 0
    restored_exactly: int = 0
    same_after_restart: bool | None = None
    seconds: float = 0.0
    stats: dict[str, Any] = field(default_factory=dict)


class Run:
    """One demonstration in one store."""

    def __init__(self, store: Path, *, model: str, window: int, shelf: Shelf, progress: Callable[[int], None]) -> None:
        self._store, self._model, self._window = store, model, window
        self._shelf, self._progress = shelf, progress
        self._agent = scripted.Agent()
        self._pages: list[tuple[int, str]] = []  # (segment id, text) of pages read, for the restores
        self._read: dict[str, None] = {}  # files read to their end, in order
        self._open()
        self.outcome = Outcome(Meter(lambda segment_id: self._memory.get(segment_id).kind))

    def _open(self) -> None:
        self._memory = ctxmem.open(self._store)
        provider = models.lookup(self._model, {}).provider
        schemas = [*tools(provider), *ctxmem.tools(provider)]
        self._context = self._memory.context(_SESSION, model=self._model, window=self._window, tools=schemas)

    def close(self) -> None:
        """Give the store back; a second call does nothing."""
        self._memory.close()

    def perform(self, tokens: int, n_questions: int) -> Outcome:
        """Read until `tokens` were seen or the library ends, then restore and answer."""
        begun = time.perf_counter()
        self._context.system(scripted.SYSTEM)
        self._said(self._context.append({"role": "user", "content": scripted.TASK}))
        for step in scripted.steps(self._shelf):
            self._step(step)
            if self.outcome.same_after_restart is None and self.outcome.tokens_seen > tokens // 2:
                self._restart()
            if self.outcome.tokens_seen >= tokens:
                break
        self._restore_some()
        self._answer_all(n_questions)
        self.outcome.files_read = len(self._read)
        self.outcome.stats = self._memory.stats()
        self.outcome.seconds = time.perf_counter() - begun
        return self.outcome

    def _said(self, segment: ctxmem.Segment) -> ctxmem.Segment:
        self.outcome.tokens_seen += segment.tokens
        self._progress(self.outcome.tokens_seen)
        return segment

    def _assemble(self, *, restored: int = 0, **how: Any) -> ctxmem.Prompt:
        begun = time.perf_counter()
        prompt = self._context.assemble(**how)
        self.outcome.meter.see(prompt, time.perf_counter() - begun, restored=restored)
        return prompt

    def _step(self, step: scripted.Step) -> None:
        if step.user is not None:
            self._said(self._context.append({"role": "user", "content": step.user}))
            return
        self._assemble()
        said = self._said(self._context.append(self._agent.message(step)))
        for call in said.calls:
            text, is_error = self._shelf.run(call.name, dict(call.arguments))
            given = self._said(self._context.result(call.id, text, error=is_error, **_facets(call, text)))
            if call.name == "read_file" and not is_error:
                self._note_page(given.id, text, call.arguments["path"])

    def _note_page(self, segment_id: int, text: str, path: str) -> None:
        self._pages.append((segment_id, text))
        heading = re.match(r"\[.* lines \d+-(\d+) of (\d+)\]", text)
        if heading and heading[1] == heading[2]:
            self._read[path] = None

    def _restart(self) -> None:
        """Close the store, open it again, and compare the prompt before with the prompt after."""
        before = self._assemble()
        self._memory.close()
        self._open()
        after = self._context.assemble()  # the same turn again
        self.outcome.same_after_restart = (before.messages, before.tokens) == (after.messages, after.tokens)

    def _restore_some(self) -> None:
        """Bring back pages from the first half, and look whether the prompt holds them byte for byte."""
        half = self._pages[: len(self._pages) // 2]
        for segment_id, text in half[:: max(1, len(half) // _RESTORES)][:_RESTORES]:
            self._context.append({"role": "user", "content": f"Show me #{segment_id} again."})
            self._context.restore(segment_id)
            prompt = self._assemble(restored=1)
            self.outcome.restores += 1
            self.outcome.restored_exactly += any(text in shown for shown in texts_of(prompt.messages))
            self._said(self._context.append({"role": "assistant", "content": "Here it is again."}))

    def _answer_all(self, count: int) -> None:
        seen = list(self._read)[: max(1, len(self._read) * 9 // 10)]
        for number, question in enumerate(questions(self._shelf, seen, count)):
            begun = len(self.outcome.meter.rows)
            self._said(self._context.append({"role": "user", "content": question.asks}))
            way, answer = ("tools", self._by_tools) if number % 2 == 0 else ("recall", self._by_recall)
            found = answer(question)
            self._said(self._context.append({"role": "assistant", "content": found or "I do not find it."}))
            turns = len(self.outcome.meter.rows) - begun
            self.outcome.answers.append(Answer(question.asks, way, found, question.right, turns))

    def _by_recall(self, question: Question) -> str | None:
        """Ask for a prompt with a recall of the question, as a host would, and look for the answer in it."""
        prompt = self._assemble(recall=question.asks, recall_tokens=_RECALL_TOKENS)
        return next((found for text in texts_of(prompt.messages) if (found := question.find(text))), None)

    def _by_tools(self, question: Question) -> str | None:
        """Search once and read the best hits until one answers, as an agent would with the model's own tools."""
        listing = self._call("memory_search", {"query": question.query, "file": question.file})
        numbers = dict.fromkeys(int(number) for number in re.findall(r"\[#(\d+)\]", listing))
        for number in list(numbers)[:_READS_A_QUESTION]:
            for text in self._reading(number):
                found = question.find(text)
                if found is not None:
                    self._assemble()
                    return found
        self._assemble()
        return None

    def _reading(self, number: int) -> Iterator[str]:
        """Yield the pages of one segment, for as long as `memory_read` names a next one."""
        offset = 0
        while True:
            text = self._call("memory_read", {"id": number, "offset": offset})
            yield text
            following = re.search(r"offset[ =]*(\d+)", text[-200:])
            if following is None or int(following[1]) <= offset:
                return
            offset = int(following[1])

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        """Take one turn with one call of the model's own memory tools; return its result."""
        self._assemble()
        said = self._said(self._context.append(self._agent.calling("", [(name, arguments)])))
        text = self._context.dispatch(name, arguments) or ""
        self._said(self._context.result(said.calls[0].id, text))
        return text


def _facets(call: ctxmem.Call, text: str) -> dict[str, Any]:
    """Return file and lines of a page, by which the collector sees that a page was read again."""
    if call.name != "read_file":
        return {}
    first = int(call.arguments.get("start", 1))
    heading = re.match(r"\[.* lines \d+-(\d+) of", text)
    return {"file": call.arguments["path"], "lines": [first, int(heading[1]) if heading else first + PAGE_LINES - 1]}
