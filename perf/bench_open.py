"""Open a store of 1,000,000 segments and assemble a prompt, beside the same at 10,000: the cost must not grow with history.

The stores are built once (a few minutes for the large one) and kept in --keep: n texts in sessions of their own, and
one session "bench" of 200 messages. Each opening is a fresh process; `import ctxmem` is not in the time, and the file is in the page cache.
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import workloads
from bench_turn import MODEL, groups
from measuring import Figure, arguments, figure, flush_ms, keep, machine, show

import ctxmem

N_MESSAGES = 200
_OPEN = """
import json, sys, time
import ctxmem
from ctxmem import tokens
marks = {"wall": [], "core": []}
def mark():
    marks["wall"].append(time.perf_counter())
    marks["core"].append(time.process_time())
mark()
memory = ctxmem.open(sys.argv[1])
mark()
context = memory.context("bench", model=sys.argv[2])
mark()
prompt = context.assemble()
mark()
assert len(prompt.messages) == int(sys.argv[3]) and not tokens.is_loaded()
context.close()
memory.close()
print(json.dumps({clock: [b - a for a, b in zip(at, at[1:])] + [at[-1] - at[0]] for clock, at in marks.items()}))
"""


def build(path: Path, n: int) -> None:
    """Write a store, under another name until it is whole."""
    if path.exists():
        return
    draft = path.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    start = time.perf_counter()
    rng = random.Random(5)
    with ctxmem.open(draft) as memory:
        memory.add_many(workloads.items(workloads.zipf(n)))
        context = memory.context("bench", model=MODEL)
        messages = (message for group in groups(rng, lambda: 500) for message in group)
        for message in islice(messages, N_MESSAGES):
            context.append(message)
        context.assemble()
    draft.rename(path)
    size = sum(file.stat().st_size for file in path.iterdir()) >> 20
    print(f"built {path}: {n} segments, {size} MB, {time.perf_counter() - start:.0f} s")


def measure(path: Path, times: int, clock: str = "wall") -> list[list[float]]:
    """Open, assemble and close in fresh processes; columns: open, context, assemble, all three.

    The clock "core" says how long the process was on a core instead.
    """
    rows = []
    for _ in range(times):
        command = [sys.executable, "-c", _OPEN, str(path), MODEL, str(N_MESSAGES)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout)[clock])
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--keep", metavar="DIR", type=Path, help="where the stores are kept between runs")
    parser.add_argument("--sizes", nargs=2, type=int, default=[10_000, 1_000_000], metavar="N")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--build", action="store_true", help="build what is missing, and stop")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = chosen.keep or Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        paths = [home / f"open-{n}.ctxmem" for n in chosen.sizes]
        for path, n in zip(paths, chosen.sizes, strict=True):
            build(path, n)
        if chosen.build:
            return
        about = {**machine(), "flush_ms": flush_ms(home)}
        for path in paths:
            measure(path, 2)  # fills the page cache
        rows: dict[Path, list[list[float]]] = {path: [] for path in paths}
        for _ in range(chosen.times):  # by turns: both meet the same noise
            for path in paths:
                rows[path] += measure(path, 1)
    figures = _figures(chosen.sizes, [rows[path] for path in paths])
    show(figures, about)
    if chosen.json:
        keep("open", figures, about, chosen.json)


def _figures(sizes: list[int], rows: list[list[list[float]]]) -> list[Figure]:
    figures = []
    for n, part in zip(sizes, rows, strict=True):
        *steps, whole = zip(*part, strict=True)
        note = ", ".join(
            f"{name} {sorted(step)[len(step) // 2] * 1e3:.1f}"
            for name, step in zip(("open", "context", "assemble"), steps, strict=True)
        )
        figures.append(figure(f"open {n} segments and assemble", whole, judged="p50", bound=50, note=note))
    ratios = [large[-1] / small[-1] for small, large in zip(*rows, strict=True)]
    return [*figures, figure("the large over the small", ratios, scale=1, unit="x", judged="p50", bound=2)]


if __name__ == "__main__":
    main()
