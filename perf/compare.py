"""Compare two commits: runs of a benchmark on each by turns, and the ratio of every figure, head over base.

    compare.py BASE HEAD [--bench bench_gate.py] [--rounds 10] [--gate 1.05] [workloads ...]

Each commit is checked out into a directory of its own; the benchmark itself is this tree's, so that both are asked the
same. What a benchmark keeps between its runs, each commit makes for itself: their formats may differ. A ratio above 1 is
slower. Figures belong to the case that their name begins with; the exit status is 1 where the geometric mean of a case
is above the gate.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEEPING = {"bench_gate.py", "bench_open.py"}  # these build a store once, and take --keep


def checked_out(commit: str, folder: Path) -> Path:
    """Put a commit's files into a directory."""
    tree = folder / commit.replace("/", "-")
    tree.mkdir(exist_ok=True)
    packed = subprocess.run(["git", "archive", commit], cwd=HERE.parent, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tree)], input=packed, check=True)
    return tree


def run(tree: Path, bench: str, workloads: list[str], folder: Path) -> dict[str, float]:
    """Run the benchmark on one tree; the median of each figure."""
    output, kept = folder / "figures.json", tree.with_name(f"{tree.name}-kept")
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, str(HERE / bench), "--json", str(output), *workloads]
    if bench in KEEPING:
        kept.mkdir(exist_ok=True)
        command += ["--keep", str(kept)]
    # Not here: a child of `python -c` would import what lies in its directory.
    subprocess.run(command, check=True, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    (row,) = json.loads(output.read_text()).values()
    return {each["name"]: each["p50"] for each in row["figures"]}


def middle(values: list[float]) -> float:
    """Return the median."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def means(ratios: dict[str, float]) -> dict[str, float]:
    """Return the geometric mean of each case.

    >>> means({"open, cold": 2.0, "open, warm": 0.5, "append": 1.5})
    {'open': 1.0, 'append': 1.5}
    """
    cases: dict[str, list[float]] = {}
    for name, ratio in ratios.items():
        cases.setdefault(name.split(",")[0], []).append(ratio)
    return {case: round(math.exp(sum(map(math.log, some)) / len(some)), 6) for case, some in cases.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("base")
    parser.add_argument("head")
    parser.add_argument("workloads", nargs="*")
    parser.add_argument("--bench", default="bench_gate.py")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--gate", type=float, default=1.05)
    chosen = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = [checked_out(commit, folder) for commit in (chosen.base, chosen.head)]
        rows: list[list[dict[str, float]]] = [[], []]
        for number in range(chosen.rounds):
            order = (0, 1) if number % 2 == 0 else (1, 0)  # whoever goes first meets a colder machine
            for side in order:
                rows[side].append(run(trees[side], chosen.bench, chosen.workloads, folder))
    ratios = {}
    for name in [name for name in rows[0][0] if name in rows[1][0]]:
        ratios[name] = middle([head[name] / base[name] for base, head in zip(*rows, strict=True)])
        print(f"{ratios[name]:6.3f}  {middle([row[name] for row in rows[1]]):10.3f}  {name}")
    found = means(ratios)
    print(f"geometric means, {chosen.rounds} rounds, gate {chosen.gate}")
    for case, mean in found.items():
        print(f"{mean:6.3f}  {case}{'' if mean <= chosen.gate else ': above the gate'}")
    return int(max(found.values()) > chosen.gate)


if __name__ == "__main__":
    sys.exit(main())
