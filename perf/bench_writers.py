"""Writing processes on one store: how long a turn's commit takes when others write too, and what all achieve together.

turn    each process has a session of its own: four messages of about 1 KB appended, one prompt assembled
store   the same entries put by `Store.write` alone: what the write lock and the disk cost, without the engine

With `--against DIR` each round runs a second checkout as well, in turns on the same machine, and prints the ratios.
`p99 over p50` says how evenly the processes share the lock: below 10 is even.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from measuring import Figure, arguments, figure, flush_ms, keep, machine, show

HERE = Path(__file__).resolve().parent
N_RECORDS, RECORD_CHARS = 4, 1_000
WARM_UP = 20  # turns before the clock: vocabulary, the first block of ids, the writer's slot


# --- in a writing process: each mode yields, once a turn, the seconds of the whole turn's barrier and of its commit ---


def turns(path: str, number: int) -> Iterator[tuple[float, float]]:
    """Take turns through the public surface; the commit is `Log.commit`, timed apart."""
    import ctxmem
    from ctxmem.log import Log

    commits: list[float] = []
    commit = Log.commit

    def timed_commit(log: Log, *given: object) -> None:
        start = time.perf_counter()
        commit(log, *given)
        commits.append(time.perf_counter() - start)

    Log.commit = timed_commit
    rng = random.Random(number)
    made = texts(rng)
    with ctxmem.open(path) as memory:
        context = memory.context(f"writer {number}", model="gpt-5.1", window=64_000)
        for turn in count():
            for role in ("user", "assistant") * (N_RECORDS // 2):
                context.append({"role": role, "content": f"turn{turn} {rng.choice(made)}"})
            start = time.perf_counter()
            context.assemble()
            yield time.perf_counter() - start, commits[-1]


def texts(rng: random.Random) -> list[str]:
    """Return texts of about 1 KB, of words that recur and words that do not; made ahead, so that no turn pays for them."""
    made = []
    for _ in range(200):
        words = [f"word{int(rng.paretovariate(0.6)) % 20_000}" for _ in range(RECORD_CHARS // 8)]
        made.append(" ".join(words)[:RECORD_CHARS])
    return made


def puts(path: str, number: int) -> Iterator[tuple[float, float]]:
    """Write what a turn writes, of the same sizes, without anything above the store."""
    store = _opened(path)
    rng = random.Random(number)
    try:
        for turn in count():
            entries = [
                (table, f"{number:04}-{turn:08}-{each:02}".encode(), rng.randbytes(size))
                for table, size in (("log", RECORD_CHARS), ("forward", RECORD_CHARS // 4))
                for each in range(N_RECORDS)
            ]
            entries += [("turns", f"{number:04}-{turn:08}".encode(), rng.randbytes(300))]
            entries += [("contexts", f"{number:04}".encode(), rng.randbytes(300))]
            start = time.perf_counter()
            store.write(lambda batch, entries=entries: [batch.put(*entry) for entry in entries] and None)
            seconds = time.perf_counter() - start
            yield seconds, seconds
    finally:
        store.close()


def _opened(path: str) -> Any:
    """Open a store without a log, in this checkout or in one before the store became a protocol."""
    import ctxmem
    from ctxmem import store as room

    if hasattr(room, "open_store"):
        return room.open_store(path, readonly=False, options=ctxmem.Options())
    return room.Store.open(path)


MODES: dict[str, Callable[[str, int], Iterator[tuple[float, float]]]] = {"turn": turns, "store": puts}


def work(mode: str, path: str, number: str, seconds: str) -> None:
    """Be one writing process: warm up, wait for the word, write for so many seconds, say what it took."""
    taking = MODES[mode](path, int(number))
    for _ in range(WARM_UP):
        next(taking)
    print("ready", flush=True)
    sys.stdin.readline()
    start, worked = time.perf_counter(), time.process_time()
    rows = []
    while time.perf_counter() - start < float(seconds):
        rows.append(next(taking))
    wall, cpu = time.perf_counter() - start, time.process_time() - worked
    sys.stdin.readline()  # nobody closes, and so ends maintenance, while others still write
    taking.close()
    print(json.dumps({"rows": rows, "wall": wall, "cpu": cpu}))


# --- beside them -------------------------------------------------------------------------------------------------------


@dataclass
class Side:
    """One checkout, and what its writers took in each round."""

    name: str
    tree: Path
    whole: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)  # turns a second, all writers together
    spreads: list[float] = field(default_factory=list)  # p99 of a commit over its p50
    cpu_ms: list[float] = field(default_factory=list)  # of a turn

    def round(self, mode: str, n_writers: int, seconds: float, folder: Path) -> None:
        """Let the writers run once, on a fresh store."""
        with tempfile.TemporaryDirectory(dir=folder) as place:
            done = list(together(self.tree, mode, n_writers, seconds, Path(place) / "bench.ctxmem"))
        rows = [row for each in done for row in each["rows"]]
        commits = sorted(commit for _, commit in rows)
        self.whole += [whole for whole, _ in rows]
        self.commits += commits
        self.rates.append(sum(len(each["rows"]) / each["wall"] for each in done))
        self.spreads.append(commits[int(0.99 * len(commits))] / commits[len(commits) // 2])
        self.cpu_ms.append(sum(each["cpu"] for each in done) / len(rows) * 1e3)

    def figures(self, mode: str) -> list[Figure]:
        """Return what was measured on this checkout."""
        rows = [figure(f"{mode}, {self.name}: commit", self.commits)]
        if mode == "turn":
            rows.append(figure(f"{mode}, {self.name}: assemble, its commit in it", self.whole))
        return [
            *rows,
            figure(f"{mode}, {self.name}: CPU of a turn", self.cpu_ms, scale=1),
            figure(f"{mode}, {self.name}: turns of all", self.rates, scale=1, unit="/s"),
            figure(f"{mode}, {self.name}: p99 over p50", self.spreads, scale=1, unit="x", judged="p50", bound=10),
        ]


def together(tree: Path, mode: str, n_writers: int, seconds: float, path: Path) -> Iterator[dict]:
    """Start the writers, give the word when all are ready, and yield what each says."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    writers = [
        subprocess.Popen(
            [sys.executable, __file__, "--work", mode, str(path), str(number), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(n_writers)
    ]
    try:
        for writer in writers:
            if writer.stdout.readline() != "ready\n":
                raise SystemExit(f"a writer of {tree} failed; what it printed is above")
        for _ in range(2):  # begin; end, which is read when the time is up
            for writer in writers:
                writer.stdin.write("go\n")
                writer.stdin.flush()
            time.sleep(seconds + 0.5)
        yield from (json.loads(writer.communicate(timeout=120)[0]) for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdin.close()
            writer.stdout.close()


def ratios(mode: str, ours: Side, base: Side) -> list[Figure]:
    """Compare two checkouts round by round; above 1 is worse than the base."""

    def over(name: str, pairs: Iterator[tuple[float, float]], **more: object) -> Figure:
        return figure(f"{mode}, {name}", [a / b for a, b in pairs], scale=1, unit="x", **more)

    return [
        over("the base's rate over this", zip(base.rates, ours.rates, strict=True), judged="p50", bound=1 / 0.9),
        over("CPU of a turn over the base's", zip(ours.cpu_ms, base.cpu_ms, strict=True)),
        over("p99 over p50, over the base's", zip(ours.spreads, base.spreads, strict=True)),
    ]


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
        return
    parser = arguments(__doc__)
    parser.add_argument("modes", nargs="*", help=f"of {', '.join(MODES)}; both unless given")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0, help="of writing in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", metavar="DIR", type=Path, help="another checkout, to run by turns")
    parser.add_argument("--dir", type=Path, help="where the stores are made: the disk to measure")
    chosen = parser.parse_intermixed_args()
    figures = []
    with tempfile.TemporaryDirectory(dir=chosen.dir) as name:
        folder = Path(name)
        about = {**machine(), "flush_ms": flush_ms(folder), "writers": chosen.writers}
        for mode in chosen.modes or MODES:
            sides = [Side("this", HERE.parent)]
            if chosen.against is not None:
                sides.append(Side("base", chosen.against.resolve()))
            for number in range(chosen.rounds):
                for side in sides if number % 2 else sides[::-1]:  # whoever goes first meets a colder machine
                    side.round(mode, chosen.writers, chosen.seconds, folder)
            figures += [each for side in sides for each in side.figures(mode)]
            figures += ratios(mode, *sides) if len(sides) > 1 else []
    show(figures, about)
    if chosen.json:
        keep("writers", figures, about, chosen.json)


if __name__ == "__main__":
    main()
