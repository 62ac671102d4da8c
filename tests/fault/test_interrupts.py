"""A signal handler that raises, at every place where the interpreter runs one: nothing is lost, and all goes on.

CPython runs handlers between two instructions of the main thread: after calls, at the start of functions and at the
back of loops. A trace function marks a signal as pending there without running Python code of its own in between, so
the handler raises where it would in real life; also where a function returns or yields, since a call of C code that
runs Python code (`next` of a generator) looks for signals once more behind it. The exception is alive while the store
is used again, as in an `except` or `finally` block: what its frames hold is not let go of before.
`CTXMEM_INTERRUPTS=all` sweeps every place; without it, one in several.
"""

import _thread
import asyncio
import dis
import os
import signal
import sys
from collections import defaultdict
from functools import cache, partial
from pathlib import Path

import pytest

import ctxmem
from ctxmem.errors import StoreClosed
from ctxmem.options import Options
from ctxmem.store import locks

SWEEP_ALL = os.environ.get("CTXMEM_INTERRUPTS") == "all"
SAMPLES = 40  # places of one action in a usual run
OPTIONS = Options(durability="unsafe", block_segments=64, tail_segments=8, merge_factor=2)
WATCHED = ("/ctxmem/", "/threading.py", "/contextlib.py", "/cachetools/", "/concurrent/futures/")


class Interrupt(KeyboardInterrupt):
    """What the handler raises."""


@cache
def _checks(code) -> frozenset[int]:
    """Offsets of the instructions after which the interpreter looks for signals."""
    looks = ("CALL", "JUMP_BACK", "YIELD", "RETURN")
    return frozenset(i.offset for i in dis.get_instructions(code) if i.opname.startswith(looks))


@cache
def _is_watched(code) -> bool:
    return any(part in code.co_filename for part in WATCHED)


class Interrupter:
    """Runs something with a signal pending from the k-th place on; `reached` says whether there was one."""

    def __init__(self):
        self.place = ""
        self.reached = False
        self._left = 0
        # A C function behind a subscript: between it and the traced code no instruction looks for signals.
        self._pend = defaultdict(partial(_thread.interrupt_main, signal.SIGUSR1))

    def run(self, action, k: int, then=lambda: None) -> bool:
        """Run it, interrupted at place k, `then` something else; True where it ended without the interrupt."""
        self._left, self.reached, self.place = k, False, ""
        self._pend.clear()
        before = signal.signal(signal.SIGUSR1, self._raise)
        sys.settrace(self._trace)
        try:
            action()
            len("")  # a call, behind which a signal that is pending still is met
        except Interrupt:
            then()
            return False
        finally:
            sys.settrace(None)
            signal.signal(signal.SIGUSR1, before)
        return True

    def _raise(self, _, frame):
        sys.settrace(None)
        self.place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
        self.reached = True
        raise Interrupt

    def _trace(self, frame, event, _):
        if not _is_watched(frame.f_code):
            return self._trace
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call" or (event == "opcode" and frame.f_lasti in _checks(frame.f_code)):
            self._left -= 1
            if self._left == -1:
                above = frame
                while above is not None:  # or tracing a return would look for the signal where nothing else does
                    above.f_trace = None
                    above = above.f_back
                self._pend[0]
                return None
        return self._trace


class Bench:
    """A store at work, and what was acknowledged of it."""

    def __init__(self, path):
        self.path = path
        self.said: dict[int, str] = {}
        self.keys: dict[str, int] = {}
        self.gone: set[int] = set()
        self.n = 0
        self.other = None
        self.open()
        for _ in range(5):
            self.add()

    def open(self):
        self.memory = ctxmem.open(self.path, options=OPTIONS)
        self.memory._log._committer.note = lambda **_: None  # the small thread would make k a race
        self.context = self.memory.context("s", model="gpt-4.1", window=60_000)

    def text(self):
        self.n += 1
        return f"words of number x{self.n}"

    # --- what is interrupted ---

    def add(self):
        text = self.text()
        self.said[self.memory.add(text).id] = text

    def add_pinned_with_key(self):
        text = self.text()
        self.said[self.memory.add(text, key=f"k{self.n}", pinned=True, tags=["t"]).id] = text
        self.keys[f"k{self.n}"] = max(self.said)

    def append(self):
        text = self.text()
        self.said[self.context.append({"role": "user", "content": text}).id] = text

    def result(self):
        text = self.text()
        call = {"id": f"c{self.n}", "type": "function", "function": {"name": "read", "arguments": "{}"}}
        self.context.append({"role": "assistant", "content": None, "tool_calls": [call]})
        self.said[self.context.result(f"c{self.n}", text).id] = text

    def add_and_flush(self):
        self.add()
        self.memory.flush()

    def add_and_search(self):
        text = self.text()
        made = self.memory.add(text).id
        self.said[made] = text
        found = self.memory.search(f"number x{self.n}", limit=3)
        assert made in {hit.segment.id for hit in found}

    def phrase(self):
        self.memory.search('"words of number"', limit=3)

    def add_many(self):
        texts = [self.text() for _ in range(3)]
        ids = self.memory.add_many({"text": text, "key": text} for text in texts)
        self.said.update(zip(ids, texts, strict=True))

    def load_blocks(self):
        from ctxmem import loading

        texts = [self.text() for _ in range(3)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loading, "MANY", 2)
            patch.setattr(self.memory._log.options.__class__, "load_workers", 0)
            ids = self.memory.add_many({"text": text, "key": text} for text in texts)
        self.said.update(zip(ids, texts, strict=True))

    def pin(self):
        self.add()
        made = max(self.said)
        self.memory.pin(made)
        assert self.memory.get(made).pinned

    def forget(self):
        self.add()
        made = max(self.said)
        self.gone.add(made)
        self.memory.forget(made)
        assert self.memory.get(made).text == "[forgotten]"

    def assemble(self):
        self.append()
        self.context.assemble()

    def aassemble(self):
        self.append()
        asyncio.run(self.context.aassemble())

    def collect(self):
        self.append()
        self.context.collect()

    def observe(self):
        self.append()
        self.context.assemble()
        self.context.observe({"input_tokens": 500 + self.n})

    def switch(self):
        self.append()
        self.context.switch(("gpt-4.1", "claude-sonnet-4-5")[self.n % 2], window=60_000)

    def rewind(self):
        self.append()
        self.context.rewind(max(self.said))

    def drop(self):
        self.append()
        self.context.drop(max(self.said))

    def restore(self):
        self.append()
        self.context.drop(max(self.said))
        self.context.restore(max(self.said))

    def fork(self):
        self.append()
        with self.context.fork(f"fork {self.n}") as made:
            made.append({"role": "user", "content": "elsewhere"})
            made.assemble()

    def context_of_another(self):
        with self.memory.context(f"other {self.n % 3}", model="gpt-4.1") as made:
            made.append({"role": "user", "content": self.text()})

    def seal(self):
        for _ in range(9):
            self.add()
        self.memory._log.flush()

    def compact(self):
        self.add()
        self.memory.compact()

    def alone(self):
        self.memory._log._store.alone(lambda: None)

    def resize(self):
        self.memory._log._store._environment.resize(0)

    def close(self):
        self.add()
        self.memory.close()
        self.open()

    # --- what must hold afterwards ---

    def settle(self):
        """Go on as a program does that caught the interrupt."""
        try:
            self.memory.flush()
            assert self.context.tokens > 0
        except StoreClosed:
            self.memory.close()
            self.open()
        self.add()
        self.append()
        self.memory.flush()
        self.context.assemble()
        self._see(list(self.said)[-10:])
        assert max(self.said) in {hit.segment.id for hit in self.memory.search(f"number x{self.n}", limit=5)}
        for key, made in list(self.keys.items())[-3:]:
            assert self.memory.add(self.said[made], key=key, tags=["t"]).id == made
        assert self._held_bytes() == []
        self.memory._log._store.alone(lambda: None)
        self.memory._log._store._environment.gate.alone(lambda: None)  # nothing open, here or elsewhere

    def _see(self, ids):
        """What was acknowledged is there, but for what was forgotten; a `forget` that was interrupted may have been."""
        found = {i: self.memory.get(i).text for i in ids}
        assert all(text == self.said[i] or (text == "[forgotten]" and i in self.gone) for i, text in found.items())

    def _held_bytes(self):
        """The locks that another process would wait for."""
        other = locks.LockFile(self.path / "lock", writable=True)
        try:
            self.memory._log._upkeep.stop()
            names = {"write": locks.WRITE, "create": locks.CREATE, "maintenance": locks.MAINTENANCE}
            held = [name for name, byte in names.items() if other.is_held_elsewhere(byte)]
            return held if other.take(locks.OPEN, shared=True) else [*held, "open"]
        finally:
            other.close()

    def check(self):
        assert self.memory.check() == []
        self.memory.compact()
        self.memory.close()
        self.open()
        self._see(self.said)
        assert self.memory.check() == []


ACTIONS = [name for name in vars(Bench) if not name.startswith("_") and name not in {"open", "text", "settle", "check"}]


def places(bench, action) -> int:
    """How many places an action has."""
    interrupter = Interrupter()
    assert interrupter.run(getattr(bench, action), 1 << 40)
    return (1 << 40) - interrupter._left


# Where the interpreter drops an object, it can only report what a handler raises.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("action", ACTIONS)
def test_an_interrupt_at_any_place_loses_nothing(tmp_path, action):
    bench = Bench(tmp_path / "store")
    n = max(places(bench, action) for _ in range(2))
    step = 1 if SWEEP_ALL else max(1, n // SAMPLES)
    interrupter = Interrupter()

    def settle():
        try:
            bench.settle()
        except BaseException as exc:
            raise AssertionError(f"after an interrupt of {action} at place {k} of {n}: {interrupter.place}") from exc

    for k in range(0, n + step, step):
        if interrupter.run(getattr(bench, action), k, settle):
            settle()
    bench.check()
    bench.memory.close()


def test_what_an_interrupted_commit_wrote_is_not_written_again(tmp_path):
    """The interrupt comes when the transaction is on disk and the queue not told; then the segments are sealed."""
    with ctxmem.open(tmp_path / "s", options=OPTIONS) as memory:
        ids = [memory.add(f"text {n}", key=f"k{n}").id for n in range(20)]
        store = memory._log._store
        write = store.write

        def interrupted(apply):
            write(apply)
            raise Interrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "write", interrupted)
            with pytest.raises(Interrupt):
                memory.flush()
        assert memory.stats()["queued_entries"] == 20
        memory._log._upkeep.finish()
        assert memory.stats()["sealed_segments"] > 0

        ids.append(memory.add("one more").id)
        memory.flush()

        assert memory.stats()["queued_entries"] == 0
        assert memory.stats()["segments"] == len({*ids}) == 21
        assert memory.add("text 3", key="k3").id == ids[3]
        assert memory.check() == []


def test_a_write_whose_caller_was_interrupted_is_not_made_later(tmp_path, monkeypatch):
    with ctxmem.open(tmp_path / "s", options=OPTIONS) as memory:
        committer = memory._log._committer
        memory.add("starts the thread")
        made = []

        def interrupted(*_):
            raise Interrupt

        with monkeypatch.context() as patch:
            patch.setattr(committer._condition, "notify", interrupted)
            with pytest.raises(Interrupt):
                memory._log.commit_soon(made.append)
        memory._log.commit_soon(lambda _: None).result()

        assert made == []
