"""Draw the curve of cost against `explained` for the policies tried, each changed in one thing from the default.

    perf/curve.py SCORER DATA [--budget 16000 ...] [--png FILE]

Prints one row a policy, marked `*` where no other is both cheaper and better; `--png` needs matplotlib. The last column is
the worst source's rank change when that source is left out of the mean: a choice that hangs on one file shows there.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import simulate

VARIANTS = (
    (),
    ("low=0.45",),
    ("low=0.5",),
    ("low=0.65",),
    ("low=0.75",),
    ("high=0.8",),
    ("high=0.9",),
    ("ledger_share=0.1",),
    ("ledger_share=0.2",),
    ("ledger_tokens=4000",),
    ("keepvalue.RESULT_WEIGHT=0.0625",),
    ("keepvalue.RESULT_WEIGHT=1.0",),
    ("keepvalue.RESULT_WEIGHT=4.0",),
    ("keepvalue.HALF_LIFE_TURNS=10.0",),
    ("keepvalue.HALF_LIFE_TURNS=100.0",),
    ("keepvalue.SIZE_EXPONENT=0.0",),
    ("keepvalue.SIZE_EXPONENT=1.0",),
    ("collector.plan.CUT_SHARE=2.0",),
    ("collector.roots.RECENT_SHARE=0.1",),
    ("collector.roots.RECENT_SHARE=0.4",),
    ("abridge.HEAD_SHARE=0.2",),
)


def restored(module_state: dict[tuple[str, str], object]) -> None:
    """Put every constant back to what it was."""
    for (module, name), value in module_state.items():
        setattr(sys.modules[module], name, value)


def constants() -> dict[tuple[str, str], object]:
    """Remember every upper-case name of the package."""
    modules = {name: module for name, module in sys.modules.items() if name.startswith("ctxmem")}
    return {(m, n): v for m, module in modules.items() for n, v in vars(module).items() if n.isupper()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scorer", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--budget", type=float, action="append")
    parser.add_argument("--png", type=Path)
    given = parser.parse_args()
    scorer, sources = simulate.load(given.scorer, given.data)
    before = constants()
    for budget in given.budget or (0.6, 0.3, 16_000, 64_000):
        points = {name: simulate.evaluate(scorer, sources, budget, scorer.STRATEGIES[name]) for name in simulate.PLAIN}
        for variant in VARIANTS:
            policy = simulate.overridden(list(variant))
            points[" ".join(variant) or "default"] = simulate.evaluate(
                scorer, sources, budget, simulate.strategy(scorer, policy)
            )
            restored(before)
        report(budget, points)
        if given.png:
            draw(given.png.with_stem(f"{given.png.stem}-{budget:g}"), points)


def report(budget, points) -> None:
    """Print the table of one budget."""
    print(f"\nbudget {budget:g}\n{'':38s}   cost explained     far | left out: lowest gain in explained over sliding")
    plain = points[simulate.PLAIN[0]]
    for name, found in points.items():
        mean = found["mean"]
        is_best = not any(
            o["mean"]["cost"] < mean["cost"] and o["mean"]["explained"] > mean["explained"] for o in points.values()
        )
        large = [s for s, o in found.items() if s != "mean" and o["calls"] >= 30 and o["explained"] is not None]
        gains = {s: found[s]["explained"] - plain[s]["explained"] for s in large}
        left_out = [sum(g for s, g in gains.items() if s != one) / (len(gains) - 1) for one in gains if len(gains) > 1]
        worst = f"{min(left_out):+.3f}" if left_out else "-"
        print(
            f"{'*' if is_best else ' '} {name:36s} {mean['cost']:6.3f}  {mean['explained']:8.3f}  {mean['far']:6.1%} | {worst}",
            flush=True,
        )


def draw(path, points) -> None:
    """Draw one budget's points."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6))
    for name, found in points.items():
        axes.plot(found["mean"]["cost"], found["mean"]["explained"], "o")
        axes.annotate(name, (found["mean"]["cost"], found["mean"]["explained"]), fontsize=7)
    axes.set_xlabel("cost: input price of a call / budget")
    axes.set_ylabel("explained")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
