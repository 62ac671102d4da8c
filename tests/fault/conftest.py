"""Processes of their own on one store: started, told what to do, paused, killed, and ended with the test."""

import builtins
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ctxmem
from tests.waiting import WATCHDOG_S


def error_of(answer):
    """What an actor's line raised, as the same class here."""
    kind = getattr(ctxmem, answer["error"], None) or getattr(builtins, answer["error"])
    return kind(answer["said"], *answer["about"].values())


class Actor:
    """One process. `do` waits for the value; `tell` and `hear` are its halves, for several at once."""

    def __init__(self, path, **options):
        command = [sys.executable, str(Path(__file__).with_name("actor.py")), str(path), json.dumps(options)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def tell(self, code):
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()

    def hear(self):
        line = self._process.stdout.readline()
        assert line, "the actor died"
        answer = json.loads(line)
        if "error" in answer:
            raise error_of(answer)
        return answer["value"]

    def do(self, code):
        self.tell(code)
        return self.hear()

    def send(self, number):
        self._process.send_signal(number)

    def kill(self):
        """Kill it, and wait until the kernel has freed what it held."""
        self._process.kill()
        self._process.wait(WATCHDOG_S)

    def end(self):
        """Let it close its store and go; a paused one is woken."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.close()
            self._process.wait(WATCHDOG_S)
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def actors(tmp_path):
    """Start processes on one store; call it with how many, and the options they open it with."""
    started = []

    def start(n, **options):
        some = [Actor(tmp_path / "s", **options) for _ in range(n)]
        started.extend(some)
        for actor in some:
            actor.hear()
        return some

    yield start
    for actor in started:
        actor.end()
