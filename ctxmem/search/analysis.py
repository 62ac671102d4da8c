"""Worker processes that count and analyse texts for a load: the two expensive steps, on the other cores.

I1. What a worker gives equals what this process would compute: same code, same Python.
I2. A worker holds no store, and ends with its input: a killed parent leaves none behind.
I3. Where a worker cannot be had, or dies, its texts are done in this process.

A worker is a plain child with two pipes: `multiprocessing` would run the caller's own script again.
"""

import marshal
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any

from ctxmem import tokens
from ctxmem.search import forward
from ctxmem.search.forward import Words

Text = tuple[str, list[str], float]  # the text, its speakers, its time
_SIZE_BYTES = 8
_PROGRAM = (
    "import importlib, sys; sys.path[:] = {path!r}; importlib.import_module({name!r}).serve(sys.stdin.buffer, {out})"
)


def analysed(texts: Sequence[Text]) -> list[tuple[int, Words]]:
    """Count and analyse texts here: (tokens, words) for each."""
    return [(tokens.count(text), forward.words_of(text, speakers, at)) for text, speakers, at in texts]


def serve(source: IO[bytes], sink_number: int) -> None:
    """Answer batches of texts until the input ends; what a worker runs."""
    with os.fdopen(sink_number, "wb") as sink:
        while (data := _read(source)) is not None:
            answer = [(n, tuple(words)) for n, words in analysed(marshal.loads(data))]  # noqa: S302 - from our parent
            _write(sink, answer)


def _read(source: IO[bytes]) -> bytes | None:
    size = source.read(_SIZE_BYTES)
    return source.read(int.from_bytes(size, "little")) if len(size) == _SIZE_BYTES else None


def _write(sink: IO[bytes], value: Any) -> None:
    data = marshal.dumps(value)
    sink.write(len(data).to_bytes(_SIZE_BYTES, "little"))
    sink.write(data)
    sink.flush()


class Workers:
    """A few worker processes; `submit` batches, take the futures in order. A context manager."""

    def __init__(self, n: int) -> None:
        self._children = [child for child in (_start() for _ in range(n)) if child is not None]
        self._free: SimpleQueue[subprocess.Popen[bytes] | None] = SimpleQueue()
        for child in self._children:
            self._free.put(child)
        if not self._children:
            self._free.put(None)  # this process
        self._threads = ThreadPoolExecutor(max(len(self._children), 1), thread_name_prefix="ctxmem-load")

    @property
    def n_alive(self) -> int:
        """How many workers are alive; 0: this process does all the work."""
        return sum(child.poll() is None for child in self._children)

    @property
    def n(self) -> int:
        """How many batches are worked on at once."""
        return max(len(self._children), 1)

    def submit(self, texts: Sequence[Text]) -> "Future[list[tuple[int, Words]]]":
        """Start counting and analysing a batch."""
        return self._threads.submit(self._ask, list(texts))

    def _ask(self, texts: list[Text]) -> list[tuple[int, Words]]:
        child = self._free.get()
        try:
            answer = None if child is None else _exchange(child, texts)
        except (OSError, ValueError, EOFError):
            answer, child = None, None  # I3: a dead worker is not asked again
        finally:
            self._free.put(child)
        return analysed(texts) if answer is None else answer

    def __enter__(self) -> "Workers":  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with suppress(OSError):  # a dead worker's pipe may hold what it did not read
                        pipe.close()
            child.wait()


def _start() -> "subprocess.Popen[bytes] | None":
    """Start a worker, its import path ours; None where there is no interpreter to start."""
    if not sys.executable or getattr(sys, "frozen", False):
        return None
    # Its standard output is kept for answers alone: file descriptor 1 is moved, so that no print can get between.
    program = "import os; answers = os.dup(1); os.dup2(2, 1); " + _PROGRAM.format(
        path=sys.path, name=__name__, out="answers"
    )
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter, our own program
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None


def _exchange(child: "subprocess.Popen[bytes]", texts: list[Text]) -> list[tuple[int, Words]]:
    assert child.stdin is not None  # both are pipes
    assert child.stdout is not None
    _write(child.stdin, texts)
    data = _read(child.stdout)
    if data is None:
        raise EOFError("the worker ended")
    return [(n, Words(*words)) for n, words in marshal.loads(data)]  # noqa: S302 - from our child
