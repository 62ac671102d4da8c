"""No test holds a clock to a bound, or sleeps in the hope that something has happened: that is for `perf/`.

What is bounded is counted (terms, characters, commits), and a wait is for a condition: `tests/waiting.py`.
`tests/stress` reads clocks: to say what came before what, and to play on for as long as it is told to.
"""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
WAITS = {TESTS / "waiting.py"}
CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "time_ns", "timeit"}


def clocks_in(source: str) -> list[int]:
    """The lines that read a clock or sleep; `asyncio.sleep(0)` only lets others go first."""
    return sorted({node.lineno for node in ast.walk(ast.parse(source)) if is_clock(node)})


def is_clock(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "time"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep":
        return not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    if isinstance(node, ast.Attribute):
        return node.attr in CLOCKS or (node.attr == "time" and ast.unparse(node.value) == "time")
    return False


def test_no_test_reads_a_clock():
    files = [path for path in TESTS.rglob("*.py") if path not in WAITS and TESTS / "stress" not in path.parents]
    found = {str(path.relative_to(TESTS)): lines for path in files if (lines := clocks_in(path.read_text("utf-8")))}

    assert found == {}


def test_what_counts_as_a_clock():
    assert clocks_in("import time\ntime.sleep(1)\ntime.monotonic()\ntime.time()") == [2, 3, 4]
    assert clocks_in("from time import perf_counter") == [1]
    assert clocks_in("import asyncio\nasyncio.sleep(0)\nasyncio.sleep(0.1)\ntime.gmtime(0)") == [3]
