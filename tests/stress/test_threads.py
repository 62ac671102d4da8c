"""Eight threads do all that a session can have done to it, and what they saw has an order.

Each call is recorded with the moments at which it began and ended. Afterwards, session by session, `linear.order` looks
for an order that a plain model explains. Then the store is opened anew: each session holds what it should, each turn is
replayed as it was sent, and `check` finds nothing.

CTXMEM_STRESS_S asks for so many seconds of it instead of a few hundred calls: `make stress`.
"""

import asyncio
import hashlib
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import count

import pytest

import ctxmem
from tests.dialogues import assistant, fast, seen, user
from tests.stress.linear import Call, order
from tests.stress.sessionmodel import CLOSED, EMPTY, Standing, step
from tests.watched import in_child

SECONDS = float(os.environ.get("CTXMEM_STRESS_S", "0"))
N_THREADS, N_CALLS = 8, 60  # calls of each thread, unless seconds are asked for
N_LIVE, MOST_LIVE = 3, 6  # sessions in use at a time
RETIRED_AT = 120  # calls: what is checked stays small
HOW = {"model": "gpt-4.1", "window": 200_000, "reserve": 0}
OPTIONS = {"tail_segments": 32, "merge_factor": 2, "block_segments": 256}

ACTS = {
    "say": 30, "call": 8, "result": 12, "assemble": 12, "aassemble": 6, "observe": 4, "collect": 3, "switch": 2,
    "rewind": 2, "drop": 4, "forget": 3, "pin": 3, "search": 6, "get": 4, "close": 3, "open": 6, "fork": 3,
}  # fmt: skip


class Entry:
    """One session as the threads know it."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Of a fork: its parent, the moment it began, its handle, its first turn and what that showed.
        self.start: tuple[Entry, int, int, int, frozenset[int]] | None = None
        self.context: ctxmem.Context | None = None
        self.calls: list[Call] = []
        self.ids: list[int] = []
        self.waiting: list[str] = []
        self.prompts: list[tuple[int, str]] = []
        self.n = count()

    @property
    def is_retired(self) -> bool:
        return len(self.calls) >= RETIRED_AT


class Stage:
    """One memory, the sessions on it, and a clock that says which moment came first."""

    def __init__(self, memory: ctxmem.Memory) -> None:
        self.memory = memory
        self.moment = count().__next__
        self.entries: list[Entry] = []
        self.groups: dict[int, int] = {}
        self.texts: dict[int, str] = {}
        self.forgotten: set[int] = set()
        self._handles: dict[ctxmem.Context, int] = {}
        self._lock = threading.Lock()  # of the two lists above, never held during a call

    def handle(self, context: ctxmem.Context) -> int:
        with self._lock:
            return self._handles.setdefault(context, len(self._handles))

    def pick(self, rng: random.Random) -> Entry:
        with self._lock:
            live = [entry for entry in self.entries if not entry.is_retired]
            while len(live) < N_LIVE:
                live.append(Entry(f"session{len(self.entries)}"))
                self.entries.append(live[-1])
            return rng.choice(live[:MOST_LIVE])

    def add(self, entry: Entry) -> None:
        with self._lock:
            self.entries.append(entry)

    def record(self, entry: Entry, name: str, given: tuple, act) -> object:
        """Make a call and note what it answered, between which moments."""
        begun = self.moment()
        try:
            answer = act()
        except ctxmem.StoreClosed:
            answer = CLOSED
        entry.calls.append(Call(begun, self.moment(), name, given, answer))
        return answer

    def appended(self, entry: Entry, segment: ctxmem.Segment) -> tuple[int, int]:
        self.groups[segment.id] = segment.group
        self.texts[segment.id] = segment.text
        entry.ids.append(segment.id)
        return segment.group, segment.id

    def taken(self, entry: Entry, prompt: ctxmem.Prompt) -> tuple[int, frozenset[int], tuple[int, ...]]:
        entry.prompts.append((prompt.turn, digest(prompt)))
        dropped = () if prompt.collection is None else tuple(prompt.collection.dropped)
        return prompt.turn, frozenset(prompt.segments) | frozenset(prompt.stubs), dropped


def digest(prompt: ctxmem.Prompt) -> str:
    return hashlib.blake2b(json.dumps(seen(prompt), default=repr, sort_keys=True).encode(), digest_size=8).hexdigest()


class Player:
    """One thread: picks a session and something to do with it, again and again."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.rng = stage, random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None

    def play(self, until: float | None) -> None:
        names, weights = zip(*ACTS.items(), strict=True)
        try:
            for number in count():
                if (number >= N_CALLS) if until is None else (time.monotonic() > until):
                    return
                entry, name = self.stage.pick(self.rng), self.rng.choices(names, weights)[0]
                if entry.context is None:
                    name = "open"
                self.counts[name] += 1
                getattr(self, name)(entry)
        except BaseException as error:
            self.error = error
            raise

    def inside(self, entry: Entry, name: str, act, *given) -> object:
        context = entry.context
        return self.stage.record(entry, name, (self.stage.handle(context), *given), lambda: act(context))

    def text(self, entry: Entry) -> str:
        return f"common {entry.name} word{next(entry.n)} " * self.rng.randrange(1, 4)

    def open(self, entry: Entry) -> None:
        def act():
            entry.context = self.stage.memory.context(entry.name, **HOW)
            return self.stage.handle(entry.context)

        self.stage.record(entry, "open", (), act)

    def close(self, entry: Entry) -> None:
        self.inside(entry, "close", lambda context: context.close())

    def say(self, entry: Entry) -> None:
        text = self.text(entry)
        self.inside(entry, "append", lambda context: self.stage.appended(entry, context.append(user(text))))

    def call(self, entry: Entry) -> None:
        calls = [(f"{entry.name}.{next(entry.n)}", "look", {}) for _ in range(self.rng.randrange(1, 4))]
        message = assistant(self.text(entry), *calls)
        done = self.inside(entry, "append", lambda context: self.stage.appended(entry, context.append(message)))
        if done != CLOSED:
            entry.waiting += [call_id for call_id, _, _ in calls]

    def result(self, entry: Entry) -> None:
        try:
            call_id = entry.waiting.pop(self.rng.randrange(len(entry.waiting)))
        except (ValueError, IndexError):
            return
        text = self.text(entry)
        self.inside(entry, "append", lambda context: self.stage.appended(entry, context.result(call_id, text)))

    def assemble(self, entry: Entry, take=lambda context: context.assemble()) -> None:
        def act(context):
            try:
                return self.stage.taken(entry, take(context))
            except ctxmem.BadInput:
                return EMPTY  # there was nothing to send

        self.inside(entry, "assemble", act)

    def aassemble(self, entry: Entry) -> None:
        self.assemble(entry, lambda context: asyncio.run(context.aassemble()))

    def observe(self, entry: Entry) -> None:
        def act(context):
            with suppress(ctxmem.TurnNotFound):  # before the first
                context.observe({"input_tokens": self.rng.randrange(50, 5_000)})

        self.inside(entry, "observe", act)

    def collect(self, entry: Entry) -> None:
        def act(context):
            try:
                return tuple(context.collect(self.rng.randrange(1, 2_000)).dropped)
            except ctxmem.WindowOverflow:
                return ()

        self.inside(entry, "collect", act)

    def switch(self, entry: Entry) -> None:
        model = self.rng.choice(["gpt-4.1", "claude-sonnet-4-5", "gemini-2.5-pro"])
        self.inside(entry, "switch", lambda context: context.switch(model, window=200_000, reserve=0))

    def rewind(self, entry: Entry) -> None:
        if entry.ids:
            segment_id = self.rng.choice(entry.ids[-4:])
            self.inside(entry, "rewind", lambda context: context.rewind(segment_id), segment_id)

    def drop(self, entry: Entry) -> None:
        if entry.ids:
            segment_id = self.rng.choice(entry.ids)
            group = self.stage.groups[segment_id]  # all of it goes
            self.inside(entry, "drop", lambda context: context.drop(segment_id), group)

    def fork(self, entry: Entry) -> None:
        made = Entry(f"{entry.name}.{next(entry.n)}")
        children = []

        def act(context):
            children.append(context.fork(made.name))
            return children[0]

        answer = self.inside(entry, "fork", act)
        if answer == CLOSED:
            return
        call, child = next(call for call in reversed(entry.calls) if call.answer is answer), children[0]
        try:
            prompt = child.assemble()
            turn, shown, _ = self.stage.taken(made, prompt)
        except ctxmem.BadInput:
            turn, shown = 0, frozenset()
        entry.calls[entry.calls.index(call)] = replace(call, answer=shown)
        made.context, made.start = child, (entry, call.begun, self.stage.handle(child), turn, shown)
        self.stage.add(made)

    def forget(self, entry: Entry) -> None:
        if entry.ids:
            segment_id = self.rng.choice(entry.ids)
            self.stage.forgotten.add(segment_id)
            self.stage.record(entry, "forget", (segment_id,), lambda: self.stage.memory.forget(segment_id))

    def pin(self, entry: Entry) -> None:
        if entry.ids:
            self.rng.choice([self.stage.memory.pin, self.stage.memory.unpin])(self.rng.choice(entry.ids))

    def search(self, entry: Entry) -> None:
        def act():
            hits = self.stage.memory.search("common", session=entry.name, limit=9_999)
            return frozenset(hit.segment.id for hit in hits)

        self.stage.record(entry, "search", (), act)

    def get(self, entry: Entry) -> None:
        if entry.ids:
            segment_id = self.rng.choice(entry.ids)
            self.stage.record(entry, "get", (segment_id,), lambda: self.stage.memory.get(segment_id).text)


def told(stage: Stage, entry: Entry) -> tuple[Standing, list[Call]]:
    """Where a session stood when the threads began, nowhere or where its fork left it, and what happened to it then."""
    calls = [
        replace(call, answer=frozenset(stage.groups[one] for one in call.answer))
        if call.name == "fork" and call.answer != CLOSED
        else call
        for call in entry.calls
    ]
    if entry.start is None:
        return Standing(), calls
    parent, forked, handle, turn, shown = entry.start
    erased = [call for call in told(stage, parent)[1] if call.name == "forget"]
    before = frozenset(call.given[0] for call in erased if call.ended < forked)
    calls += [call for call in erased if call.ended >= forked]
    pairs = frozenset((stage.groups[one], one) for one in shown)
    start = Standing(handle, frozenset({handle}), max(shown, default=-1), shown=pairs, gone=before, turn=turn)
    return start._replace(is_changed=not turn), calls


def read_again(stage: Stage, player: Player) -> None:
    """See what each session holds in the store that was opened anew."""
    for entry in stage.entries:
        stage.record(entry, "end", (), lambda: None)
        player.open(entry)
        player.assemble(entry)
        player.search(entry)
        for turn, sent in entry.prompts:
            again = entry.context.replay(turn)
            assert digest(again) == sent or not again.is_complete, f"{entry.name}, turn {turn} is replayed otherwise"
        entry.context.close()
    for segment_id, text in stage.texts.items():
        assert stage.memory.get(segment_id).text == ("[forgotten]" if segment_id in stage.forgotten else text)


def scenario(path: str, seed: str, seconds: str) -> None:
    """Play, then look for an order of what each session saw."""
    sys.setswitchinterval(1e-4)
    memory = ctxmem.open(path, options=fast(**OPTIONS))
    stage = Stage(memory)
    players = [Player(stage, 1_000 * int(seed) + number) for number in range(N_THREADS)]
    until = time.monotonic() + float(seconds) if float(seconds) else None
    threads = [threading.Thread(target=player.play, args=(until,)) for player in players]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [player.error for player in players if player.error is not None]
    assert errors == [], errors
    memory.close()
    with ctxmem.open(path, options=fast(**OPTIONS)) as memory:
        stage.memory = memory
        read_again(stage, players[0])
        assert memory.check() == []
    for entry in stage.entries:
        start, calls = told(stage, entry)
        order(calls, start, step)
    counts = sum((player.counts for player in players), Counter())
    print(f"{counts.total()} calls on {len(stage.entries)} sessions, seed {seed}: {dict(counts.most_common())}")


@pytest.mark.timeout(0)  # the child has a time limit of its own
@pytest.mark.parametrize("seed", range(2 if not SECONDS else 1))
def test_what_threads_see_of_a_session_has_an_order(tmp_path, seed):
    in_child(
        scenario, tmp_path / "s", random.randrange(10**6) if SECONDS else seed, SECONDS, limit_s=150 + 20 * SECONDS
    )
