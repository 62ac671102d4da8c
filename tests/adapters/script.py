"""What a scripted agent says and does, by the number of its model call; and what each framework's driver is.

A run begins with a user's message and has `CALLS` model calls: all but the last call tools, several at once, some of
which fail; the last answers. Whatever the framework, the words are the same.
"""

import json
import os
import signal
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, TextIO

import ctxmem
from ctxmem.providers.counts import rendered_tokens

MODEL = "claude-sonnet-4-5"  # of which ctxmem counts by estimate, so that usage teaches it something
WINDOW, RESERVE = 9_000, 1_000
CALLS = 10
SYSTEM = "You repair web applications. You look before you change anything."
SCALE = 1.15  # the tokens that the scripted provider counts for each of o200k
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
NOON = 1_750_000_000.0


def options() -> ctxmem.Options:
    """No flush, and a clock that stands still: what is tested is neither the disk nor the time."""
    return ctxmem.Options(durability="unsafe", clock=lambda: NOON)


@dataclass(frozen=True)
class Reply:
    """What the model says: a text, or calls, each (id, name, arguments)."""

    text: str
    calls: tuple[tuple[str, str, dict], ...] = ()


def reply(step: int) -> Reply:
    """What the model answers at its call number `step`, from 0."""
    if step % CALLS == CALLS - 1:
        return Reply(f"Part {step // CALLS} of the login is repaired, and its tests pass: " + "all is well " * 8)
    calls = [
        (f"call_{step}_{i}", "look", {"path": f"src/part{(step * 7 + i * 3) % 29}.py", "round": step})
        for i in range(1 + step % 3)
    ]
    if step % 23 == 11:
        calls.append((f"call_{step}_m", "memory_search", {"query": f"part{step % 5} zebra"}))
    return Reply("I look at it." if step % 2 else "", tuple(calls))


def asked(run: int) -> str:
    """What the user says at the beginning of a run."""
    return f"Task {run}: repair zebra{run} in part{run % 29} of the login. " + "Mind the old sessions. " * 6


def has_image(run: int) -> bool:
    """Whether the user shows a picture with it."""
    return run % 4 == 2


def look(path: str, round: int) -> str:  # noqa: A002 - the name of a tool's argument
    """Return the file as it is in a round; every eleventh round it cannot be read."""
    if round % 11 == 5:
        raise ValueError(f"{path} cannot be read in round {round}")
    return f"{path} in round {round}\n" + "\n".join(f"def part_{round}_{i}(session): ..." for i in range(18))


@dataclass
class Request:
    """One request: the framework's list when it was made, and what of it reached the model."""

    given: list[Any]
    sent: list[Any]
    wire: list[dict]

    @property
    def text(self) -> str:
        return json.dumps(self.wire, ensure_ascii=False, sort_keys=True)


@dataclass
class Driver(ABC):
    """A framework with a scripted model, the tool `look` and our adapter.

    `mode` is "sync", "async" or "stream"; one that the framework lacks is run as the nearest. The model answers by
    `next_reply`, with the usage that `counted` says.
    """

    memory: ctxmem.Memory
    mode: str = "sync"
    thread: str = "thread-1"
    options: dict = field(default_factory=dict)
    step: int = 0
    requests: list[Request] = field(default_factory=list)
    fails_at: frozenset[int] = frozenset()  # steps at which the model's first answer is an error
    kill_at: int | None = None  # the step at which this process kills itself, after its request was written
    log: TextIO | None = None  # where requests are written

    provider = "openai"  # whose rules `wire` is checked by
    schemas = ()  # of the tools, as the last request had them

    def __post_init__(self) -> None:
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Make the agent: its model scripted, its system prompt SYSTEM, our adapter with MODEL, WINDOW and RESERVE."""

    @abstractmethod
    def user(self, text: str, *, image: bool = False) -> Any:
        """Return a user's message as the framework has it."""

    @abstractmethod
    def run(self, history: list[Any]) -> list[Any]:
        """Have the agent go on with a list until it answers, retrying where the model fails; return its whole list."""

    @abstractmethod
    def wire(self, items: list[Any]) -> list[dict]:
        """Return a list of the framework as the messages of `provider`, system prompt apart, without ids of ours."""

    @abstractmethod
    def is_ours(self, item: Any) -> bool:
        """Say whether ctxmem made an item of the list."""

    @abstractmethod
    def context(self) -> ctxmem.Context:
        """Return the context of the thread."""

    @abstractmethod
    def stats(self) -> dict:
        """Return the adapter's stats."""

    def next_reply(self, request: Request) -> Reply:
        """Note a request that reached the model; return the answer, or fail as it is to."""
        self.requests.append(request)
        if self.log is not None:
            self.log.write(request.text + "\n")
            self.log.flush()
        if self.step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.step in self.fails_at:
            self.fails_at -= {self.step}
            raise ConnectionError("the provider was busy")
        self.step += 1
        return reply(self.step - 1)

    def counted(self, wire: list[dict], tools: list[dict]) -> int:
        """What the scripted provider counts for a request."""
        return int(SCALE * rendered_tokens(wire, self.provider, system=SYSTEM, tools=tools))

    def play(self, runs: int, history: list[Any] | None = None, first: int = 0) -> list[Any]:
        """Have a user say what is asked in each run; return the framework's list after the last."""
        history = list(history or [])
        for run in range(first, first + runs):
            history = self.run([*history, self.user(asked(run), image=has_image(run))])
        return history
