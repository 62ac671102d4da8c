"""What the benchmarks share: quantiles, one table on the screen, one JSON file for each day and machine."""

import argparse
import gc
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured quantity, in milliseconds unless `unit` says otherwise; `bound` is what `judged` must stay below."""

    name: str
    n: int
    p50: float
    p90: float
    p99: float
    highest: float
    unit: str = "ms"
    judged: str = ""
    bound: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Say whether the bound was kept."""
        if self.bound is None:
            return ""
        return "kept" if getattr(self, self.judged) < self.bound else "MISSED"


def figure(name: str, values: Iterable[float], *, scale: float = 1e3, **more: Any) -> Figure:
    """Make a figure of seconds (or of any values, with `scale=1`)."""
    ordered = sorted(value * scale for value in values)
    picked = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.9, 0.99)]
    return Figure(name, len(ordered), *picked, ordered[-1], **more)


def timed(act: Callable[[], Any]) -> float:
    """Return how many seconds a call takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def clocked(act: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds that a call takes, and those that its thread was on a core: what others leave of the machine."""
    start, worked = time.perf_counter(), time.thread_time()
    act()
    return time.perf_counter() - start, time.thread_time() - worked


def machine() -> dict[str, Any]:
    """Describe the machine, its load, and how long its disk takes to flush."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        cpu = found[1].strip() if found else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(value, 2) for value in os.getloadavg()],
        "when": time.strftime("%Y-%m-%d %H:%M"),
    }


def flush_ms(folder: Path, n: int = 50) -> float:
    """Return the median time of writing 4 KB and flushing it, in a folder."""
    path, values = folder / "flush.probe", []
    with path.open("wb", buffering=0) as file:
        for _ in range(n):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            values.append(time.perf_counter() - start)
    path.unlink()
    return round(sorted(values)[n // 2] * 1e3, 3)


def show(figures: Sequence[Figure], about: dict[str, Any]) -> None:
    """Print the machine and one row for each figure."""
    print("  ".join(f"{name}: {value}" for name, value in about.items()))
    width = max(len(each.name) for each in figures)
    print(f"{'':{width}}  {'n':>6} {'p50':>9} {'p90':>9} {'p99':>9} {'max':>9}")
    for each in figures:
        values = " ".join(f"{value:9.3f}" for value in (each.p50, each.p90, each.p99, each.highest))
        bound = "" if each.bound is None else f"{each.judged} < {each.bound:g}: {each.verdict}"
        print(f"{each.name:{width}}  {each.n:>6} {values} {each.unit:<3} {bound}  {each.note}".rstrip())


def keep(workload: str, figures: Sequence[Any], about: dict[str, Any], path: str) -> None:
    """Write the figures, values of a dataclass, as JSON: to a file of their own, or into the day's for `path` "results"."""
    row = {"machine": about, "figures": [asdict(each) for each in figures]}
    if path != "results":
        Path(path).write_text(json.dumps({workload: row}, indent=1) + "\n")
        return
    name = re.sub(r"[^a-z0-9]+", "-", f"{about['cpu']} {about['cores']}".lower()).strip("-")
    file = RESULTS / f"{time.strftime('%Y-%m-%d')}-{name}.json"
    RESULTS.mkdir(exist_ok=True)
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**known, workload: row}, indent=1) + "\n")


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n\n")[0])
    parser.add_argument(
        "--json", metavar="PATH", help="also write JSON; 'results': into perf/results/<date>-<machine>.json"
    )
    return parser


def settle() -> None:
    """Collect Python's garbage and move what lives out of its sight: the benchmark's own lists are no program's."""
    gc.collect()
    gc.freeze()
