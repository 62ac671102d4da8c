"""A turn: append, assemble, collect, each through `Context`, on conversations that are made up and seeded.

append    messages of up to 1 KB, 10 to a turn
busy      the same while another process writes and flushes
assemble  one call with its result and a prompt a turn, 1,000 messages shown; the barrier is timed apart and taken off
recount   a prompt of 200,000 tokens, with counting made impossible
collect   a collection over 20,000 segments: the decision alone, and all of it with ledger, copy, commit and layout
plan      the decision over 1,000,000 segments
"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from unittest import mock

from measuring import Figure, arguments, clocked, figure, flush_ms, keep, machine, settle, show, timed

import ctxmem
from ctxmem import collector, tokens
from ctxmem.collector.working import Item, WorkingSet
from ctxmem.log import Log
from ctxmem.options import Policy

MODEL = "gpt-5.1"
WORDS = [
    "the",
    "parser",
    "reads",
    "a",
    "token",
    "then",
    "asks",
    "login_handler",
    "why",
    "session",
    "4711",
    "failed",
    "at",
    "src/app/auth.py",
    "line",
    "12",
    "again",
]
_BUSY = """
import os, sys
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
while True:
    os.pwrite(file, bytes(1 << 20), 0)
    os.fsync(file)
"""


def text(rng: random.Random, n_chars: int) -> str:
    """Return about that many characters of words and numbers."""
    words = []
    while n_chars > 0:
        words.append(rng.choice(WORDS) if rng.random() < 0.8 else str(rng.randrange(10_000)))
        n_chars -= len(words[-1]) + 1
    return " ".join(words)


def groups(rng: random.Random, n_chars: Callable[[], int]) -> Iterator[list[dict]]:
    """Yield groups without end: a task, then calls with their results, and now and then an answer and a question."""
    yield [{"role": "user", "content": text(rng, 200)}]
    for number in count():
        if number % 10 == 9:
            yield [
                {"role": "assistant", "content": text(rng, n_chars())},
                {"role": "user", "content": text(rng, n_chars())},
            ]
            continue
        call = {
            "name": "read",
            "arguments": f'{{"path": "src/{rng.randrange(200)}.py", "start": {rng.randrange(999)}}}',
        }
        calls = [{"id": f"call_{number}", "type": "function", "function": call}]
        said = {"role": "assistant", "content": text(rng, n_chars() // 4), "tool_calls": calls}
        yield [said, {"role": "tool", "tool_call_id": f"call_{number}", "content": text(rng, n_chars())}]


@contextmanager
def opened(folder: Path, durability: str = "full", **choices) -> Iterator[ctxmem.Context]:
    """Open a store of its own and a context in it."""
    with tempfile.TemporaryDirectory(dir=folder) as path:
        options = ctxmem.Options(durability=durability, hot_bytes=256 << 20)
        with ctxmem.open(Path(path) / "bench.ctxmem", options=options) as memory:
            yield memory.context("bench", **{"model": MODEL, **choices})


class Barriers:
    """Times barriers, so that they can be taken off."""

    def __init__(self) -> None:
        self.seconds: list[tuple[float, float]] = []

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Time every commit inside the `with`."""
        commit = Log.commit

        def timed_commit(log: Log, *given) -> None:
            self.seconds.append(clocked(lambda: commit(log, *given)))

        with mock.patch.object(Log, "commit", timed_commit):
            yield


def append(folder: Path, *, n: int = 5_000, name: str = "append, up to 1 KB", durability: str = "full") -> list[Figure]:
    """Append n messages of 50 to 1,024 characters, with a prompt after every 10."""
    rng = random.Random(1)
    seconds = []
    with opened(folder, durability, window=2_000_000, policy=Policy(high=0.9)) as context:
        made = list(islice(groups(rng, lambda: rng.randrange(50, 1_000)), n // 2))
        _append(context, made[0])  # loads the vocabulary, claims the block
        context.assemble()
        settle()
        for number, group in enumerate(made[1:]):
            seconds += [clocked(lambda message=message: context.append(message)) for message in group]
            if number % 5 == 4:
                context.assemble()
    wall, core = zip(*seconds, strict=True)
    return [figure(name, wall, judged="p99", bound=0.2), figure(f"{name}, on a core", core)]


def busy(folder: Path) -> list[Figure]:
    """Append while another process writes 1 MB and flushes, over and over."""
    path = folder / "busy.bin"
    other = subprocess.Popen([sys.executable, "-c", _BUSY, str(path)])
    try:
        time.sleep(0.2)
        return append(folder, name="append, disk busy")
    finally:
        other.kill()
        other.wait()
        path.unlink(missing_ok=True)


def assemble(folder: Path, *, n: int = 1_000, turns: int = 200, durability: str = "full") -> list[Figure]:
    """Assemble at n messages in the mean, two more each turn, nothing collected."""
    rng = random.Random(2)
    whole, barriers = [], Barriers()
    with opened(folder, durability, window=4_000_000, policy=Policy(high=0.9)) as context:
        made = list(islice(groups(rng, lambda: 300), (n + turns) // 2))
        for group in made[: (n - turns) // 2]:
            _append(context, group)
        context.assemble()
        settle()
        with barriers.taken():
            for group in made[(n - turns) // 2 :]:
                _append(context, group)
                whole.append(clocked(context.assemble))
    pairs = zip(whole, barriers.seconds, strict=True)  # one barrier a turn
    rest, core = zip(*((a - b, c - d) for (a, c), (b, d) in pairs), strict=True)
    return [
        figure(f"assemble, {n} messages, barrier taken off", rest, judged="p50", bound=0.5),
        figure(f"assemble, {n} messages, barrier taken off, on a core", core),
        figure(f"assemble, {n} messages, with its barrier", [wall for wall, _ in whole]),
        figure(f"assemble, {n} messages, with its barrier, on a core", [core for _, core in whole]),
        figure(
            "assemble, its barrier alone: commit, index, 1 ms of maintenance", [wall for wall, _ in barriers.seconds]
        ),
    ]


def recount(folder: Path) -> list[Figure]:
    """Assemble 200,000 tokens when counting raises."""
    rng = random.Random(3)
    with opened(folder, window=400_000, policy=Policy(high=0.95)) as context:
        made = groups(rng, lambda: 1_500)
        while context.tokens < 200_000:
            _append(context, next(made))
        refuse = mock.Mock(side_effect=AssertionError("counted again"))
        with mock.patch.object(tokens, "count", refuse), mock.patch.object(tokens, "_load", refuse):
            encoding, tokens._encoding = tokens._encoding, None  # whoever imported `count` itself meets `_load`
            try:
                seconds = timed(context.assemble)
                prompt = context.assemble()
            finally:
                tokens._encoding = encoding
    assert refuse.call_count == 0
    note = f"{prompt.tokens} tokens, {len(prompt.messages)} messages, no count"
    return [figure("first assemble of 200k tokens", [seconds], note=note)]


def collect(folder: Path, *, n: int = 20_000, rounds: int = 30) -> list[Figure]:
    """Collect from n segments down by a tenth, again and again: the set is filled up in between."""
    rng = random.Random(4)
    parts: dict[str, list[float]] = {"decide": [], "all": [], "turn": []}
    decide = collector.plan

    def timed_plan(*args, **kwargs):
        start = time.perf_counter()
        try:
            return decide(*args, **kwargs)
        finally:
            parts["decide"].append(time.perf_counter() - start)

    with opened(folder, window=40_000_000, policy=Policy(high=0.9, low=0.5)) as context:
        made = groups(rng, lambda: 120)
        with mock.patch.object(collector, "plan", timed_plan):
            for _ in range(rounds):
                _fill(context, made, n)
                context.assemble()
                settle()
                goal = int(context.tokens * 0.9)
                parts["all"] += [context.plan(goal).seconds for _ in range(3)]  # decides all of it, changes nothing
                start = time.perf_counter()
                done = context.collect(goal)
                context.assemble()
                parts["turn"].append(time.perf_counter() - start)
                parts["all"].append(done.seconds)
    note = f"{len(done.dropped)} groups dropped, {len(done.stubbed)} cut in the last"
    return [
        figure(f"collection, {n} segments: the decision", parts["decide"], judged="p99", bound=5),
        figure(f"collection, {n} segments: with copy, ledger and removal", parts["all"], note=note),
        figure(f"collection, {n} segments: with commit and the next prompt", parts["turn"]),
    ]


def _fill(context: ctxmem.Context, made: Iterator[list[dict]], n: int) -> None:
    _append(context, next(made))
    prompt = context.assemble()
    shown = len(prompt.segments) + len(prompt.stubs)
    while shown < n:
        group = next(made)
        _append(context, group)
        shown += len(group)


def _append(context: ctxmem.Context, group: list[dict]) -> None:
    for message in group:
        context.append(message)


def plan(_: Path, *, n: int = 1_000_000) -> list[Figure]:
    """Decide over n segments, half of them to go."""
    working = WorkingSet()
    for number in range(n):
        group = number - number % 2
        kind = "assistant" if number % 2 == 0 else "result"
        working.append(Item(number, group, kind, 60, number // 20, is_result=number % 2 == 1, calls=1 - number % 2))
    settle()
    size = {"budget_tokens": 60 * n, "target_tokens": 30 * n, "overhead_tokens": 0, "ledger_tokens": 0}
    seconds = [timed(lambda: collector.plan(working, **size, turn=n // 20, policy=Policy())) for _ in range(10)]
    return [figure(f"plan over {n} candidates", seconds, judged="p50", bound=100)]


WORKLOADS = {each.__name__: each for each in (append, busy, assemble, recount, collect, plan)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; all unless given")
    chosen = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        about = {**machine(), "flush_ms": flush_ms(Path(folder))}
        figures = [each for name in chosen.workloads or WORKLOADS for each in WORKLOADS[name](Path(folder))]
    show(figures, about)
    if chosen.json:
        keep("turn", figures, about, chosen.json)


if __name__ == "__main__":
    main()
