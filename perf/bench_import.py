"""Time `import ctxmem` in fresh processes, with compiled files as an installed package has them; numpy alone beside it.

The tokenizer must not be loaded by it. `--slowest` lists the modules that take longest, by -X importtime.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

from measuring import arguments, figure, keep, machine, show

_IMPORT = """
import json, sys, time
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
print(json.dumps([seconds, "tiktoken" in sys.modules]))
"""
_TIMES = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \|\s*(\S+)")


def imported(module: str, environment: dict[str, str]) -> float:
    """Return the seconds of one import; it must leave the tokenizer alone."""
    command = [sys.executable, "-c", _IMPORT.format(module=module)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, has_tokenizer = json.loads(found.stdout)
    assert not has_tokenizer
    return seconds


def slowest(environment: dict[str, str], n: int = 15) -> list[tuple[int, str]]:
    """Return the modules whose own code takes longest, in microseconds."""
    command = [sys.executable, "-X", "importtime", "-c", "import ctxmem"]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return sorted(((int(own), name) for own, _, name in _TIMES.findall(found.stderr)), reverse=True)[:n]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--slowest", action="store_true")
    chosen = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        rows: dict[str, list[float]] = {"ctxmem": [], "numpy": []}
        for module in rows:
            imported(module, environment)  # compiles
        for _ in range(chosen.times):
            for module, seconds in rows.items():
                seconds.append(imported(module, environment))
        if chosen.slowest:
            for own_us, name in slowest(environment):
                print(f"{own_us / 1e3:8.1f} ms  {name}")
    figures = [
        figure("import ctxmem", rows["ctxmem"], judged="p50", bound=150),
        figure("import numpy, which it needs", rows["numpy"]),
    ]
    show(figures, about)
    if chosen.json:
        keep("import", figures, about, chosen.json)


if __name__ == "__main__":
    main()
