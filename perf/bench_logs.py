"""Measure the log of a run of 800 agents: appended with a barrier every 100, asked at once and after a reopen.

A tick has 800 entries: @alice takes eight steps in a row, @bob and @carol talk forty times each, and 712 others act
once; half of it is said in #general. A day is 125 ticks, so 100,000 entries. At 1,000,000 entries @alice has 10,000,
the two have 100,000 between them, and a day of #general is 50,000.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ctxmem
from perf.measuring import clocked

TICK, OTHERS, TALKS, STEPS, TICKS_A_DAY = 800, 712, 80, 8, 125
BEGINS = 1_764_547_200.0  # 2025-12-01, UTC
DAY_S = 86_400.0
WORDS = [
    "the",
    "build",
    "failed",
    "again",
    "look",
    "at",
    "login",
    "token",
    "expired",
    "before",
    "request",
    "was",
    "made",
    "deploy",
    "green",
    "retry",
    "queue",
    "worker",
    "timeout",
    "index",
    "merge",
    "review",
    "patch",
    "tests",
    "passed",
    "cache",
    "miss",
    "window",
    "budget",
    "prompt",
    "agent",
    "memory",
    "search",
    "replay",
]


class Said(NamedTuple):
    """One entry of the run."""

    command: str
    output: str
    entity: str
    space: str
    tick: int
    at: float


def run(n: int) -> Iterator[Said]:
    """Yield the entries of a run, the same each time."""
    rng = random.Random(9)
    for place in range(n):
        tick, step = divmod(place, TICK)
        if step < STEPS:
            entity, to = "alice", ""
        elif step < STEPS + TALKS:
            entity, to = ("bob", "@carol ") if step % 2 else ("carol", "@bob ")
        else:
            entity, to = f"agent{step - STEPS - TALKS:03d}", f"@agent{rng.randrange(OTHERS):03d} "
        command = to + " ".join(rng.choices(WORDS, k=14)) + f" case {rng.randrange(10_000)}"
        output = "exit 0: " + " ".join(rng.choices(WORDS, k=6)) if step % 4 == 0 else ""
        space = "general" if step % 2 else f"room{step % 20}"
        yield Said(command, output, entity, space, tick, BEGINS + DAY_S * place / (TICK * TICKS_A_DAY))


def fill(path: str, n: int) -> tuple[float, float]:
    """Append the run with a barrier every 100; return entries a second, by the clock and by this thread's own time."""
    said = list(run(n))
    with ctxmem.open(path) as memory:

        def append() -> None:
            for place, one in enumerate(said, start=1):
                memory.logs.append(
                    one.command,
                    one.output,
                    entity=one.entity,
                    space=one.space,
                    tick=one.tick,
                    tokens_in=900,
                    tokens_out=40,
                    at=one.at,
                )
                if place % 100 == 0:
                    memory.flush()

        seconds, own = clocked(append)
    return n / seconds, n / own


def questions(n: int) -> list[tuple[str, float, Callable[[Any], Iterator[Any]]]]:
    """Return name, aim in seconds, and the question."""
    middle = n // TICK // 2
    day = BEGINS + DAY_S * (middle // TICKS_A_DAY)
    return [
        ("one entity, its burst in each tick", 0.1, lambda logs: logs.entries(entity="alice")),
        ("one entity, once a tick", 0.1, lambda logs: logs.entries(entity="agent007")),
        ("a space's day", 0.2, lambda logs: logs.entries(space="general", since=day, until=day + DAY_S - 1)),
        ("a tick", 0.01, lambda logs: logs.entries(tick=middle)),
        ("between two", 0.5, lambda logs: logs.entries(between=("bob", "carol"))),
        ("the newest 100 of one entity", 0.01, lambda logs: logs.query("?(@alice last 100)")),
    ]


def asked(path: str, n: int, repeats: int) -> list[tuple[str, float, int, list[tuple[float, float]]]]:
    """Ask each question after a reopen, several times; return its seconds by the clock and by this thread."""
    rows = []
    for name, aim, ask in questions(n):
        times, count = [], 0
        with ctxmem.open(path, readonly=True) as memory:
            for _ in range(repeats):
                found: list[Any] = []
                times.append(clocked(lambda ask=ask, memory=memory, found=found: found.extend(ask(memory.logs))))
                count = len(found)
        rows.append((name, aim, count, times))
    return rows


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--store", help="measure this store, made before by --keep with as many entries")
    parser.add_argument("--keep", help="make the store here and leave it")
    given = parser.parse_args()
    folder = tempfile.mkdtemp()
    path = given.store or given.keep or str(Path(folder) / "run")
    out = sys.stdout.write
    try:
        if not given.store:
            wall, own = fill(path, given.entries)
            size = sum(one.stat().st_size for one in Path(path).rglob("*") if one.is_file()) / 1e6
            out(f"{given.entries:,} entries, barrier every 100: {wall:,.0f}/s by the clock, {own:,.0f}/s of own time; ")
            out(f"{size:.0f} MB; {time.strftime('%Y-%m-%d')}\n")
        out(f"{'question':36} {'entries':>8} {'first s':>9} {'least s':>9} {'least own s':>12} {'aim s':>7}\n")
        for name, aim, count, times in asked(path, given.entries, given.repeats):
            first, least, own = times[0][0], min(t[0] for t in times), min(t[1] for t in times)
            out(f"{name:36} {count:8,} {first:9.4f} {least:9.4f} {own:12.4f} {aim:7.3f}\n")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
