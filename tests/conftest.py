"""What holds for every test: stores are checked and closed, files and threads are given back, Hypothesis has no deadline.

`@pytest.mark.unchecked` is for a test that damages its store on purpose: it is closed, not checked.
"""

import contextlib
import functools
import gc
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.waiting import comes_true

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", deadline=None, suppress_health_check=_SLOW)
settings.register_profile("ci", deadline=None, suppress_health_check=_SLOW, derandomize=True, print_blob=True)
settings.register_profile("long", deadline=None, suppress_health_check=_SLOW, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

# Threads of libraries that live as long as the process does.
_LASTING_THREADS = ("execnet", "asyncio_", "AnyIO", "tqdm", "pytest_timeout")
_GONE_WITHIN_S = 30.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "unchecked: damages its store on purpose, so it is closed without a check")


class Watch:
    """Every Memory that was opened during one test, and what `check` said of it when it closed."""

    def __init__(self) -> None:
        self.opened: list[weakref.ref] = []
        self.problems: list[str] = []

    def check(self, memory) -> None:
        try:
            self.problems += [f"{p.where}: {p.what}" for p in memory.check()]
        except Exception as exc:
            self.problems.append(f"check raised {exc!r}")

    def close_all(self) -> None:
        for ref in self.opened:
            memory = ref()
            if memory is not None:
                memory.close()


@pytest.fixture(autouse=True)
def _stores_are_sound(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check and close every Memory that the test opened, then see that no file and no thread is left over."""
    watch = Watch()
    is_checked = request.node.get_closest_marker("unchecked") is None
    with contextlib.suppress(ImportError):
        from ctxmem.memory import Memory

        _wrap(Memory, watch, monkeypatch, is_checked=is_checked)
    files, threads = _open_files(), set(threading.enumerate())
    yield
    watch.close_all()
    assert watch.problems == []
    assert _left_over(files, threads) == []


def _wrap(memory_class: type, watch: Watch, monkeypatch: pytest.MonkeyPatch, *, is_checked: bool) -> None:
    opening, closing = memory_class.__init__, memory_class.close
    pid = os.getpid()

    @functools.wraps(opening)
    def opened(self, *args, **kwargs):
        opening(self, *args, **kwargs)
        watch.opened.append(weakref.ref(self))

    @functools.wraps(closing)
    def closed(self):
        if is_checked and not self._contexts.is_closed and os.getpid() == pid:
            watch.check(self)
        closing(self)

    monkeypatch.setattr(memory_class, "__init__", opened)
    monkeypatch.setattr(memory_class, "close", closed)


def _open_files() -> set[str]:
    """Paths of the regular files that this process holds open, without those of Python itself."""
    found = set()
    with contextlib.suppress(FileNotFoundError):  # no /proc: nothing to say
        for fd in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(fd.readlink()))
    return {path for path in found if path.startswith("/") and not path.startswith(("/dev/", "/proc/", "/sys/"))}


def _left_over(files: set[str], threads: set[threading.Thread]) -> list[str]:
    """What is still open when everything was closed; garbage, and threads about to end, are given time to go."""

    def found() -> list[str]:
        gc.collect()
        still = [one for one in threading.enumerate() if one not in threads]
        return [f"file {Path(path)}" for path in sorted(_open_files() - files)] + [
            f"thread {thread.name}" for thread in still if not thread.name.startswith(_LASTING_THREADS)
        ]

    return [] if comes_true(lambda: not found(), _GONE_WITHIN_S) else found()
