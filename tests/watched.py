"""Threads that may get stuck: run in a process of their own, which says where they stand and dies in time.

A deadlock cannot be ended from inside, and would keep the test's own clean-up waiting. So the scenario is a function
of a test module, run by `in_child`; there it starts its threads with `Doing` and waits for them with `done`.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_CHILD = """
import faulthandler, importlib, sys
faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True)
getattr(importlib.import_module(sys.argv[2]), sys.argv[3])(*sys.argv[4:])
"""
_LOOKS, _LOOK_S = 20, 0.01  # a thread whose line is the same at so many looks waits for something


def in_child(scenario: Callable[..., None], *arguments: object, limit_s: float = 90.0) -> None:
    """Run a scenario in a process of its own; fails with what it printed, all stacks among it where it is stuck."""
    command = [sys.executable, "-c", _CHILD, str(limit_s), scenario.__module__, scenario.__name__]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [*command, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{scenario.__name__}{arguments} failed:\n{done.stdout}{done.stderr}"
    print(done.stdout, end="")


class Doing:
    """A call on a thread of its own: its value or what it raised, once it is done."""

    def __init__(self, act: Callable[..., Any], *arguments: Any, name: str = "other") -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self._act = act, arguments
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        act, arguments = self._act
        try:
            self.value = act(*arguments)
        except BaseException as error:
            self.error = error
        finally:
            self._ended.set()

    @property
    def is_done(self) -> bool:
        return self._ended.is_set()

    def wait(self) -> None:
        """Return when it is done."""
        self._ended.wait()

    def settle(self) -> bool:
        """Wait until it is done, or waits itself for another thread; says whether it is done."""
        line, same = None, 0
        while not self._ended.wait(_LOOK_S) and same < _LOOKS:
            frame = sys._current_frames().get(self.thread.ident or 0)
            here = None if frame is None else (id(frame), frame.f_lineno)
            same = same + 1 if here == line else 0
            line = here
        return self._ended.is_set()

    def result(self, limit_s: float = 60.0) -> Any:
        """Return its value, or raise what it raised."""
        assert self._ended.wait(limit_s), f"{self._act[0]} is stuck"
        if self.error is not None:
            raise self.error
        return self.value


def done(several: Sequence[Doing]) -> None:
    """Wait for all; whoever is stuck is seen to by the process's watchdog."""
    for each in several:
        each.wait()


class Meeting:
    """Something that happens once, while the thread named `whose` is inside a call."""

    def __init__(self, whose: str, act: Callable[..., Any]) -> None:
        self.other: Doing | None = None
        self.was_done = False  # before the thread went on; else it waited for that thread
        self._whose, self._act = whose, act

    def meet(self, *_: object, **__: object) -> None:
        """Begin it where this is the thread's first call, and go on when it is done or has to wait."""
        if self.other is None and threading.current_thread().name == self._whose:
            self.other = Doing(self._act)
            self.was_done = self.other.settle()

    def at(self, owner: type, name: str) -> None:
        """Meet before each call of a method."""
        original = getattr(owner, name)

        def patched(*given: Any, **named: Any) -> Any:
            self.meet()
            return original(*given, **named)

        setattr(owner, name, patched)
