"""A process of its own that plays the script and kills itself at a step: `python -m tests.adapters.killed ...`."""

import importlib
import sys
from pathlib import Path

import ctxmem
from tests.adapters import script


def main(framework: str, store: str, log: str, kill_at: str) -> None:
    module = importlib.import_module(f"tests.adapters.drivers.{framework}")
    with Path(log).open("w", encoding="utf-8") as lines, ctxmem.open(store, options=script.options()) as memory:
        driver = module.Driver(memory, log=lines, kill_at=int(kill_at))
        driver.play(int(kill_at) // script.CALLS + 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
