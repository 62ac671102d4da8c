"""What every change is compared by: append, assemble, search and open, on small stores, in about half a minute.

append    messages of up to 1 KB, 10 to a turn
assemble  one call with its result and a prompt a turn, 300 messages shown
search    three queries over 20,000 made-up texts: several words, the same within a facet, and none (the newest)
open      that store, and the prompt of a session of 200 messages, each time in a fresh process

`compare.py` runs it. A figure is the time on a core, and nothing is flushed: so that whatever else the machine and its
disk do is in no figure. What waiting costs, bench_writers.py says.
The store is built once in `--keep`, by the tree that is measured.
"""

import tempfile
from functools import partial
from pathlib import Path

import bench_open
import bench_turn
import workloads
from measuring import Figure, arguments, clocked, figure, keep, machine, settle, show

import ctxmem

N_TEXTS = 20_000
REPEATS = 20


def on_a_core(figures: list[Figure]) -> list[Figure]:
    """Leave out the figures of the clock on the wall."""
    return [each for each in figures if each.name.endswith("on a core")]


def append(_: Path, folder: Path) -> list[Figure]:
    """Append messages, as bench_turn does."""
    return on_a_core(bench_turn.append(folder, n=1_500, name="append", durability="unsafe"))


def assemble(_: Path, folder: Path) -> list[Figure]:
    """Assemble prompts, as bench_turn does."""
    return on_a_core(bench_turn.assemble(folder, n=300, turns=100, durability="unsafe"))


def search(store: Path, _: Path) -> list[Figure]:
    """Search through the public surface, in one process."""
    texts = list(workloads.zipf(N_TEXTS))
    asked = [text for mix in workloads.queries(texts).values() for text in mix[::4]]
    with ctxmem.open(store, options=ctxmem.Options(durability="unsafe")) as memory:
        kinds = {
            "several words": memory.search,
            "within a facet": lambda text: memory.search(text, cent=7),
            "the newest": lambda _: memory.search(limit=10),
        }
        settle()
        for call in kinds.values():
            for text in asked:
                call(text)
        return [
            figure(f"search, {name}", [clocked(partial(call, text))[1] for _ in range(REPEATS) for text in asked])
            for name, call in kinds.items()
        ]


def open_(store: Path, _: Path) -> list[Figure]:
    """Open the store in fresh processes."""
    rows = bench_open.measure(store, 10, "core")
    steps = ("open", "context", "assemble", "all three")
    return [figure(f"open, {name}", values) for name, values in zip(steps, zip(*rows, strict=True), strict=True)]


WORKLOADS = {"append": append, "assemble": assemble, "search": search, "open": open_}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; all unless given")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="where the store is kept between runs")
    chosen = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = (chosen.keep or folder) / f"gate-{N_TEXTS}.ctxmem"
        names = chosen.workloads or list(WORKLOADS)
        if {"search", "open"} & set(names):
            bench_open.build(store, N_TEXTS)
        figures = [each for name in names for each in WORKLOADS[name](store, folder)]
    show(figures, machine())
    if chosen.json:
        keep("gate", figures, machine(), chosen.json)


if __name__ == "__main__":
    main()
