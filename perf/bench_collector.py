"""Time the collector: a collection over 20,000 segments, its ledger, and the arithmetic of a plan over 1M candidates.

    perf/bench_collector.py [--segments 20000] [--rounds 50] [--candidates 1000000] [--json]

Caveats first: one process, the machine as busy as it is; texts are in memory, so what a store adds is not in here. A
"collection" is plan, lines of what goes, the sealed piece and the working set after it, on a copy, as a context does it.
Three shapes: "steady" (all but a little fits: what a context meets at its high mark), "half" (half of everything goes at
once), "all read" (as half, and every group's file is read again).
"""

import argparse
import heapq
import json
import random
import sys
import time
from math import log2
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ctxmem import collector, tokens
from ctxmem.collector.keepvalue import HALF_LIFE_TURNS, SIZE_EXPONENT, UNIT, keep_values
from ctxmem.collector.sweep import FEW, NEVER, Step, cheapest, sweep
from ctxmem.collector.working import FileUse, Item, WorkingSet
from ctxmem.ledger import ledger, stubs
from ctxmem.options import Policy
from ctxmem.segment import Call, Record


def filled(n_segments: int, *, reads: bool) -> tuple[WorkingSet, dict[int, Record]]:
    """Make a working set of calls with short results, a user message every 50 groups."""
    rng = random.Random(7)
    working, records = WorkingSet(), {}
    segment = 0
    while segment < n_segments:
        turn = segment // 2
        if segment % 100 == 0:
            records[segment] = Record(1, "message", "user", f"Please look at part_{segment} of the work.", 14, 0.0)
            working.append(Item(segment, segment, "user", 14, turn))
            segment += 1
            continue
        path = f"src/part_{rng.randrange(400)}/file_{rng.randrange(40)}.py"
        text = f"{path}: value_{rng.randrange(10_000)} = {rng.random()}; see line {rng.randrange(900)}"
        call = Call(f"c{segment}", "read_file", {"path": path})
        records[segment] = Record(1, "message", "assistant", "", 40, 0.0, calls=(call,))
        records[segment + 1] = Record(1, "message", "tool", text, 60, 0.0, call_id=call.id)
        files = (FileUse(path, 1, rng.randrange(2, 400)),) if reads else ()
        working.append(Item(segment, segment, "assistant", 40, turn, calls=1))
        working.append(Item(segment + 1, segment, "result", rng.randrange(50, 200), turn, is_result=True, files=files))
        segment += 2
    return working, records


def collect(working: WorkingSet, records: dict[int, Record], share: float) -> tuple[float, float, int]:
    """Time a plan, and the whole collection; return both in seconds, and how many groups went."""
    twin = working.copy()
    budget = working.tokens + 8_000
    start = time.perf_counter()
    made = collector.plan(
        twin,
        budget_tokens=budget,
        target_tokens=int(share * budget),
        overhead_tokens=0,
        ledger_tokens=0,
        turn=len(twin.segments),
        policy=Policy(),
    )
    planned = time.perf_counter()
    lines = ledger.lines_of(made, lambda group: [(i, records[i]) for i in twin.segments_of(group)])
    ledger.Ledger().extended(lines, 6_000, tokens.count)
    forms = {
        i: form._replace(tokens=tokens.count(stubs.stub(stubs.Cut(i, has_memory_read=True), records[i].text, 99)))
        for i, form in made.forms.items()
    }
    twin.apply(made.dropped, forms, {})
    made.pack()
    return planned - start, time.perf_counter() - start, len(made.dropped)


def arithmetic(n: int) -> float:
    """Time scores and sweep over n candidates, in seconds."""
    rng = np.random.default_rng(7)
    weight, one = rng.choice([0.25, 1.0, 4.0], n), np.ones(n)
    hits, turn, sizes = rng.integers(0, 3, n), np.arange(n), rng.integers(20, 2_000, n)
    roots = np.zeros(n, bool)
    roots[-8:] = True
    start = time.perf_counter()
    chosen = {"half_life_turns": HALF_LIFE_TURNS, "size_exponent": SIZE_EXPONENT}
    drop = keep_values(one, one, hits, turn, sizes, **chosen)
    cut = keep_values(weight, one, hits, turn, sizes, **chosen)
    sweep((Step(cut, sizes // 2), Step(drop, sizes)), roots, int(sizes.sum()) // 2)
    return time.perf_counter() - start


def selections(n: int, share: float, rounds: int) -> dict[str, float]:
    """Time three ways to take the cheapest of n candidates until `share` of their tokens is free: best, in seconds.

    "standing heap" pops from one that stood there already and weighs again what comes up; what it costs to keep one
    between collections is left out.
    """
    rng = np.random.default_rng(7)
    weight, one = rng.choice([0.25, 1.0, 4.0], n), np.ones(n)
    hits, turn, sizes = rng.integers(0, 3, n), np.arange(n), rng.integers(20, 2_000, n)
    need, gains, found = int(share * sizes.sum()), sizes.tolist(), {}
    chosen = {"half_life_turns": HALF_LIFE_TURNS, "size_exponent": SIZE_EXPONENT}
    for _ in range(rounds):
        times = [time.perf_counter()]
        values = keep_values(weight, one, hits, turn, sizes, **chosen)
        times.append(time.perf_counter())
        cheapest(np.append(values, [NEVER] * (FEW + 1)), np.append(sizes, [0] * (FEW + 1)), need)
        times.append(time.perf_counter())
        heap = list(zip(values.tolist(), range(n), strict=True))
        heapq.heapify(heap)
        times.append(time.perf_counter())
        popped(heap, need, gains, None)
        times.append(time.perf_counter())
        heap = sorted(zip(values.tolist(), range(n), strict=True))
        columns = [column.tolist() for column in (weight, hits, turn)]
        before = time.perf_counter()
        popped(heap, need, gains, columns)
        standing = time.perf_counter() - before
        row = np.diff(times)
        each = {
            "weigh": row[0],
            "select": row[1],
            "heap made": row[2],
            "heap popped": row[3],
            "standing heap": standing,
        }
        found = {name: min(found.get(name, 1e9), float(seconds)) for name, seconds in each.items()}
    return found


def popped(heap: list, need: int, gains: list, columns: list | None) -> None:
    """Pop until enough is free; with columns, weigh each entry again and put it back where its value rose."""
    while need > 0 and heap:
        value, row = heapq.heappop(heap)
        if columns is not None:
            weight, hits, turn = (column[row] for column in columns)
            worth = log2(weight * (1 + hits)) - SIZE_EXPONENT * log2(gains[row])
            again = round(worth * UNIT) + round(turn * UNIT / HALF_LIFE_TURNS)
            if again > value + 2:
                heapq.heappush(heap, (again, row))
                continue
        need -= gains[row]


def spread(seconds: list[float]) -> dict[str, float]:
    """Return p50, p90, p99 and the longest, in ms."""
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(1e3 * ordered[min(len(ordered) - 1, int(q * len(ordered)))], 3) for name, q in at.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tokens.count("loaded")
    out = {}
    for name, share, reads in (("steady", 0.95, False), ("half", 0.5, False), ("all read", 0.5, True)):
        working, records = filled(given.segments, reads=reads)
        found = [collect(working, records, share) for _ in range(given.rounds)]
        out[f"{name}: plan"] = spread([plan for plan, _, _ in found])
        out[f"{name}: collection, {found[0][2]:,} groups go"] = spread([whole for _, whole, _ in found])
    out[f"arithmetic over {given.candidates:,}"] = spread([arithmetic(given.candidates) for _ in range(5)])
    for n, rounds in ((50, 500), (1_000, 200), (20_000, 20), (given.candidates, 3)):
        for share in (0.05, 0.4):
            ways = selections(n, share, rounds)
            out[f"{n:,} candidates, {share:.0%} goes"] = {name: round(1e3 * best, 3) for name, best in ways.items()}
    if given.json:
        print(json.dumps(out))
        return
    for name, row in out.items():
        print(f"{name:44s} " + "  ".join(f"{k} {v:8.3f} ms" for k, v in row.items()))


if __name__ == "__main__":
    main()
