"""Draw the curves of cost against `explained` and `said` for the policies tried, each changed in one thing from the default.

    perf/curve.py SCORER DATA [--budget 16000 ...] [--only low ...] [--png FILE]

Prints one row a policy, marked `*` where no other is cheaper and better in both; `--png` needs matplotlib. The last columns
are the lowest gain over the sliding window, `explained` and `said`, where one source is left out of the mean: a choice that
hangs on one file shows there. `--only` takes the variants whose text holds one of these.
"""

import argparse
import importlib
import sys
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent))

import simulate

from ctxmem.options import Policy  # simulate puts this tree on the path

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
    ("ledger_share=0.3",),
    ("ledger_tokens=3000",),
    ("collector.keepvalue.RESULT_WEIGHT=0.0625",),
    ("collector.keepvalue.RESULT_WEIGHT=1.0",),
    ("collector.keepvalue.HALF_LIFE_TURNS=9.0",),
    ("collector.keepvalue.HALF_LIFE_TURNS=36.0",),
    ("collector.keepvalue.SIZE_EXPONENT=0.0",),
    ("collector.keepvalue.SIZE_EXPONENT=1.0",),
    ("collector.ladder.CUT_SHARE=2.0",),  # results are never cut alone
    ("collector.roots.RECENT_SHARE=0.2",),
    ("collector.lasting.WORDS_SHARE=0.15",),
    ("collector.lasting.WORDS_SHARE=0.45",),
    ("collector.lasting.NEEDED_SHARE=0.0",),
    ("collector.lasting.NEEDED_SHARE=0.2",),
    ("ledger.abridge.NAME_SHARE=0.1",),
    ("ledger.abridge.NAME_SHARE=0.6",),
)
AXES = ("explained", "said")
DEFAULT = "default"
MARKS = {"sliding, pair-safe": "s", "hysteresis 50%, pair-safe": "^", DEFAULT: "o"}

Figures: TypeAlias = dict[str, float]
Sources: TypeAlias = dict[str, Figures]  # by source, and the mean
Points: TypeAlias = dict[str, Sources]  # by policy


def restored(module_state: dict[tuple[str, str], object]) -> None:
    """Put every constant back to what it was."""
    for (module, name), value in module_state.items():
        setattr(sys.modules[module], name, value)


def check(variants: list[tuple[str, ...]]) -> None:
    """Raise where a variant names what is not there: before the first hour, not after it. Imports all that they name."""
    for name in (setting.partition("=")[0] for variant in variants for setting in variant):
        module, _, constant = name.rpartition(".")
        getattr(importlib.import_module(f"ctxmem.{module}") if module else Policy(), constant)


def constants() -> dict[tuple[str, str], object]:
    """Remember every upper-case name of the package."""
    modules = {name: module for name, module in sys.modules.items() if name.startswith("ctxmem")}
    return {(m, n): v for m, module in modules.items() for n, v in vars(module).items() if n.isupper()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scorer", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--budget", type=float, action="append")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--png", type=Path)
    given = parser.parse_args()
    scorer, sources = simulate.load(given.scorer, given.data)
    variants = [one for one in VARIANTS if not one or not given.only or any(part in one[0] for part in given.only)]
    check(variants)
    before = constants()
    for budget in given.budget or (0.6, 0.3, 16_000, 64_000):
        points = {name: simulate.evaluate(scorer, sources, budget, scorer.STRATEGIES[name]) for name in simulate.PLAIN}
        for variant in variants:
            policy = simulate.overridden(list(variant))
            points[" ".join(variant) or DEFAULT] = simulate.evaluate(scorer, sources, budget, simulate.strategy(policy))
            restored(before)
        report(budget, points)
        if given.png:
            draw(given.png.with_stem(f"{given.png.stem}-{budget:g}"), budget, points)


def report(budget: float, points: Points) -> None:
    """Print the table of one budget."""
    print(f"\nbudget {budget:g}\n{'':40s}   cost explained    said     far | left out: lowest gain over sliding")
    for name, found in points.items():
        mean = found["mean"]
        is_best = not any(is_better(other["mean"], mean) for other in points.values())
        gains = " ".join(lowest_gain(found, points[simulate.PLAIN[0]], axis) for axis in AXES)
        print(
            f"{'*' if is_best else ' '} {name:38s} {mean['cost']:6.3f}  {mean['explained']:8.3f}  {mean['said']:6.3f}"
            f"  {mean['far']:6.1%} | {gains}",
            flush=True,
        )


def is_better(one: Figures, other: Figures) -> bool:
    """Say whether one policy is cheaper than the other and better on both axes."""
    return one["cost"] < other["cost"] and all(one[axis] > other[axis] for axis in AXES)


def lowest_gain(found: Sources, plain: Sources, axis: str) -> str:
    """Return the gain of the mean where the source is left out that it hangs on most, "-" where there are too few."""
    gains = [
        figures[axis] - plain[source][axis]
        for source, figures in found.items()
        if source != "mean" and figures["calls"] >= 30 and None not in (figures[axis], plain[source][axis])
    ]
    if len(gains) < 2:
        return "     -"
    return f"{min((sum(gains) - one) / (len(gains) - 1) for one in gains):+.3f}"


def draw(path: Path, budget: float, points: Points) -> None:
    """Draw one budget's points: a panel an axis, told apart by their marks, not by colour."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    letters = {name: chr(ord("a") + at) for at, name in enumerate(name for name in points if name not in MARKS)}
    figure, panels = plt.subplots(1, len(AXES), figsize=(13, 6), layout="constrained")
    for axis, panel in zip(AXES, panels, strict=True):
        for name, found in points.items():
            at = found["mean"]["cost"], found["mean"][axis]
            if name in MARKS:
                panel.plot(*at, MARKS[name], color="black", fillstyle="none", markersize=9, label=name)
            else:
                panel.plot(*at, ".", color="black", markersize=4, label=f"{letters[name]}  {name}")
                panel.annotate(letters[name], at, xytext=(3, 3), textcoords="offset points", fontsize=9)
        panel.set_xlabel("cost: input price of a call / budget")
        panel.set_ylabel(axis)
        panel.grid(color="0.9")
    figure.suptitle(f"budget {budget:g}")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
