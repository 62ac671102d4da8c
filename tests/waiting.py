"""How tests wait: for a condition, under a watchdog that only keeps a wait for ever from being one."""

import time
from collections.abc import Callable

WATCHDOG_S = 240.0  # far more than anything here takes, on a slow and busy machine too; below pytest's own time-out


def comes_true(condition: Callable[[], object], within_s: float = WATCHDOG_S) -> bool:
    """Wait until the condition holds; whether it came to that."""
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def eventually(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail where it never does."""
    assert comes_true(condition), "it has not come about"
