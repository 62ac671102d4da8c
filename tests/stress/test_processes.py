"""Processes that take sessions of one store from each other, and are killed in the middle of it.

Afterwards, session by session, what all of them saw must have an order (see `linear`). A killed process leaves a call
without an answer: it took place where the store says so. What no barrier had covered may be lost with it, and is then
taken as never said; what one had covered is there. Turns are replayed as they were sent, and `check` finds nothing.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from itertools import count, product
from pathlib import Path

import pytest

import ctxmem
from tests.dialogues import fast
from tests.stress.hand import HOW, OPTIONS, digest
from tests.stress.linear import Call, NotLinear, order
from tests.stress.sessionmodel import EMPTY, Standing, step
from tests.watched import ROOT, in_child

SECONDS = float(os.environ.get("CTXMEM_STRESS_S", "0"))
N_HANDS, N_SESSIONS, N_CALLS = 3, 3, 120
ROUNDS = 2  # unless seconds are asked for
KILLED = 0.6  # of the hands
BARRIERS = {"assemble", "flush", "close", "forget", "drop", "rewind"}


class Process:
    """One hand, its journal, and the line at which it is killed."""

    def __init__(self, folder: Path, seed: int, sessions: list[str], rng: random.Random) -> None:
        self.number = seed
        self.journal = folder / f"journal{seed}"
        self.last_line = rng.randrange(10, 2 * N_CALLS) if rng.random() < KILLED else None
        command = [sys.executable, "-m", "tests.stress.hand", folder / "s", self.journal, seed, N_CALLS, *sessions]
        self.process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.ended = 0

    def has_ended(self) -> bool:
        """Kill it where it has come far enough; say whether it is gone."""
        if self.last_line is not None and len(self.lines()) >= self.last_line:
            self.process.kill()
        if self.process.poll() is None:
            return False
        self.ended = time.monotonic_ns()
        said = self.process.communicate()[1]
        assert self.process.returncode in (0, -9), f"hand {self.number} failed:\n{said}"
        return True

    def lines(self) -> list[list]:
        try:
            data = self.journal.read_bytes()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]


def crew(folder: Path, rng: random.Random, numbers, sessions: list[str]) -> list[Process]:
    """Let as many processes as hands are work at once, each once, and wait for all."""
    made = [Process(folder, next(numbers), sessions, rng) for _ in range(N_HANDS)]
    waiting = list(made)
    try:
        while waiting:
            waiting = [each for each in waiting if not each.has_ended()]
            time.sleep(0.002)
    finally:
        for each in waiting:
            each.process.kill()
            each.process.wait()
    return made


class Story:
    """What happened to one session, told by several journals and by the store."""

    def __init__(self, memory: ctxmem.Memory, name: str) -> None:
        self.memory, self.name = memory, name
        self.calls: list[Call] = []
        self.turns: dict[int, set[str]] = defaultdict(set)
        self.unsure: list[Call] = []  # may have taken place: nobody can say
        self.n_durable = 0
        self.texts = {
            hit.segment.text.partition("\n")[0]: hit.segment for hit in memory.search("", session=name, limit=9_999)
        }

    def add(self, process: Process, calls: list[list], barriers: list[int]) -> None:
        """Take one process's calls in the session: [begun, ended or None, name, given, answer]."""
        handle, last = None, 0
        lost: set[int] = set()  # said, found by this process's searches, and never on disk
        for begun, ended, name, given, answer in calls:
            until = process.ended if ended is None else ended
            last = begun if ended is None else ended  # it lived at least so long
            if name == "open":
                if answer != "open":
                    if ended is None:  # killed on its way in: it may have had the lease, and has it no more
                        handle = None
                    continue
                handle = process.number, begun
                self.calls.append(Call(begun, until, "open", (), handle))
            elif name == "append":
                if not self._append(Call(begun, until, name, (handle,)), given[0], answer, barriers) and answer:
                    lost.add(answer[1])
            elif name == "assemble":
                self._assemble(Call(begun, until, name, (handle,)), ended, answer)
            elif name == "search" and ended is not None:
                self.calls.append(Call(begun, until, name, (), frozenset(answer) - lost))
            elif name == "forget":
                if ended is not None or (given[0] not in lost and self.memory.get(given[0]).text == "[forgotten]"):
                    self.calls.append(Call(begun, until, name, tuple(given)))
            elif name in {"drop", "rewind"}:
                made = Call(begun, until, name, (handle, *given))
                (self.unsure if ended is None else self.calls).append(made)
            elif name == "close" and ended is not None:
                self.calls.append(Call(begun, until, name, (handle,)))
                handle = None
        if handle is not None:
            self.calls.append(Call(last, process.ended, "end"))

    def _append(self, call: Call, text: str, answer: list | None, barriers: list[int]) -> bool:
        """What a barrier covered must be there; what none did counts where it is: says whether it is."""
        is_durable = answer is not None and any(begun > call.ended for begun in barriers)
        found = self._held(text, answer)
        if is_durable:
            self.n_durable += 1
            assert found is not None, f"{self.name}: {text!r} was acknowledged as {answer}, and is lost"
        if found is not None:
            self.calls.append(Call(call.begun, call.ended, "append", call.given, found))
        return found is not None

    def _held(self, text: str, answer: list | None) -> tuple[int, int] | None:
        """The group and id under which the store holds a text, forgotten or not."""
        segment = self.texts.get(text)
        if segment is None and answer is not None:
            try:
                segment = self.memory.get(answer[1])
            except ctxmem.SegmentNotFound:
                return None
            if segment.text != "[forgotten]" or segment.session != self.name:
                return None
        if segment is None:
            return None
        if answer is not None:
            assert answer == [segment.group, segment.id]
        return segment.group, segment.id

    def _assemble(self, call: Call, ended: int | None, answer: object) -> None:
        if ended is None:
            self.unsure.append(call)
        elif answer == EMPTY:
            self.calls.append(Call(call.begun, call.ended, "assemble", call.given, EMPTY))
        else:
            turn, shown, sent = answer
            self.turns[turn].add(sent)  # more than one only where something was forgotten between: see `tell`
            self.calls.append(Call(call.begun, call.ended, "assemble", call.given, (turn, frozenset(shown), ())))

    def tell(self) -> None:
        """Replay the turns, and look for an order with or without each call that nobody answered."""
        context = self.memory.context(self.name, **HOW)
        for turn, sent in self.turns.items():
            again = context.replay(turn)
            assert len(sent) == 1, f"{self.name}: turn {turn} was given with other bytes"
            assert {digest(again)} == sent or not again.is_complete, f"{self.name}: turn {turn} is replayed otherwise"
        lost = [turn for turn in range(1, context.turn + 1) if turn not in self.turns]
        pending = [call for call in self.unsure if call.name == "assemble"]
        assert len(lost) <= len(pending), f"{self.name}: turns {lost} were taken by nobody"
        prompts = [(turn, frozenset((*p.segments, *p.stubs)), ()) for turn in lost for p in [context.replay(turn)]]
        pending.sort(key=lambda call: call.begun)
        settled = [call for call in self.unsure if call.name != "assemble"]
        for chosen in product([False, True], repeat=len(settled)):
            more = [call for call, is_there in zip(settled, chosen, strict=True) if is_there]
            for taken in _subsets(pending, len(lost)):
                turns = [
                    Call(call.begun, call.ended, "assemble", call.given, prompt)
                    for call, prompt in zip(taken, prompts, strict=True)
                ]
                try:
                    order([*self.calls, *more, *turns], Standing(), step)
                except NotLinear as error:
                    failed = error
                else:
                    return
        raise failed


def _subsets(calls: list[Call], size: int) -> list[list[Call]]:
    found = [[]] if size == 0 else []
    for at in range(len(calls) if size else 0):
        found += [[calls[at], *rest] for rest in _subsets(calls[at + 1 :], size - 1)]
    return found


def calls_of(process: Process) -> list[list]:
    """A process's calls in order: [begun, ended or None, name, given, answer, session]."""
    made: dict[int, list] = {}
    for moment, number, name, session, given, *answer in process.lines():
        if number in made:
            made[number][1], made[number][4] = moment, answer[0]
        else:
            made[number] = [moment, None, name, given, None, session]
    return list(made.values())


def scenario(folder: str, seed: str, seconds: str) -> None:
    rng, numbers, begun = random.Random(int(seed)), count(), time.monotonic()
    rounds = []
    while time.monotonic() - begun < float(seconds) or len(rounds) < ROUNDS:
        sessions = [f"round{len(rounds)}.{n}" for n in range(N_SESSIONS)]
        rounds.append((sessions, crew(Path(folder), rng, numbers, sessions)))
    n_calls, n_durable, n_killed = 0, 0, 0
    with ctxmem.open(Path(folder) / "s", options=fast(**OPTIONS)) as memory:
        assert memory.check() == []
        for sessions, hands in rounds:
            stories = {name: Story(memory, name) for name in sessions}
            for hand in hands:
                made = calls_of(hand)
                n_calls += len(made)
                n_killed += hand.process.returncode != 0
                barriers = [call[0] for call in made if call[2] in BARRIERS and call[1] is not None]
                parts = defaultdict(list)
                for *call, session in made:
                    parts[session].append(call)
                for session, part in parts.items():
                    stories[session].add(hand, part, barriers)
            for story in stories.values():
                story.tell()
                n_durable += story.n_durable
        assert memory.check() == []
    print(
        f"{n_calls} calls of {N_HANDS * len(rounds)} processes, {n_killed} killed; {n_durable} acknowledged, none lost"
    )


@pytest.mark.timeout(0)  # the child has a time limit of its own
def test_what_processes_see_of_a_session_has_an_order(tmp_path):
    in_child(scenario, tmp_path, random.randrange(10**6) if SECONDS else 1, SECONDS, limit_s=180 + 20 * SECONDS)
