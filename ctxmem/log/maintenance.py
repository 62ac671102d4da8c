"""When maintenance runs: a little after each barrier, to the end at `close`; and when the dictionary is trained.

I1. The index's steps hold the maintenance of the block they work on. The block is given back when they are done, or
    when nobody has stepped them for `ABANDON_S`.
I2. A failed step never fails the commit before it; it is remembered, and reported by `finish` and `stats`.
I3. A dictionary is trained once, outside the interpreter's lock, from what this process committed and nobody forgot.

It does not know what a step does.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from weakref import WeakMethod

from ctxmem import codec
from ctxmem.store import Batch, Store
from ctxmem.tables.dictionaries import current_dictionary, put_dictionary

STEP_S = 0.001
ABANDON_S = 2.0
BEHIND = 4096  # appends since maintenance was last done; beyond them every 128th append steps it, for 8 ms or more
_BEHIND_EVERY = 128
_BEHIND_STEP_S = 0.008  # a segment needs about 50 us of maintenance
_SKIP_AFTER_FAILURE = 64
_SAMPLES = 512
_SAMPLE_BYTES = 128 << 10  # a dictionary of fewer gains nothing


class Upkeep:
    """Steps one iterator of maintenance at a time, from any thread; a caller that finds it busy returns at once."""

    def __init__(self, steps: Callable[[], Iterator[None]]) -> None:
        self._steps = steps
        self._running: Iterator[None] | None = None
        self._lock = threading.Lock()
        self._stepped_at = 0.0
        self._skip = 0
        self._appended = 0  # since maintenance was last done
        self._also: WeakMethod[Callable[[], bool]] | None = None
        self.failure: Exception | None = None

    def also(self, step: Callable[[], bool]) -> None:
        """Call a bound method after the steps, as long as it says that there is more; its object is held weakly."""
        self._also = WeakMethod(step)

    def step(self, seconds: float = STEP_S) -> None:
        """Run steps for about this long, or none while another thread runs them. Never raises (I2)."""
        if self._lock.locked():
            return
        # `with`, since an interrupt between an `acquire` and the `try` behind it would keep the lock. Two threads that
        # both found it free take turns.
        with self._lock:
            try:
                if self._skip:
                    self._skip -= 1
                elif self._advance(time.perf_counter() + seconds):
                    self._appended = 0
            except Exception as exc:  # noqa: BLE001 - I2: kept for `finish` and `stats`
                self.failure = exc
                self._skip = _SKIP_AFTER_FAILURE

    def note_append(self) -> None:
        """Count an append; where many came and few barriers, run steps now: the tail must not grow without end."""
        self._appended += 1
        if self._appended >= BEHIND and not self._appended % _BEHIND_EVERY:
            self.step(_BEHIND_STEP_S * self._appended / BEHIND)

    def finish(self) -> None:
        """Run steps to the end; blocks that another process maintains are left to it. Raises what a step raises."""
        with self._lock:
            self._advance(None)
            self.failure = None

    def held_off(self, act: Callable[[], None]) -> None:
        """Finish what is due, then call `act` while this process runs no maintenance."""
        with self._lock:
            self._advance(None)
            act()

    def give_way(self) -> None:
        """Drop an iterator that nobody has stepped for `ABANDON_S`, so that other processes may maintain (I1)."""
        if self._running is not None and time.monotonic() - self._stepped_at > ABANDON_S:
            self.stop()

    def stop(self) -> None:
        """Drop the iterator, and give back the block that it holds."""
        with self._lock:
            self._stop()

    def _advance(self, until: float | None) -> bool:
        """Step until a time, or to the end; say whether the end was reached. The caller holds `Upkeep._lock`."""
        try:
            if self._running is None:
                self._running = chain(self._steps(), self._further())
            for _ in self._running:
                if until is not None and time.perf_counter() >= until:
                    self._stepped_at = time.monotonic()
                    return False
        except BaseException:
            self._stop()
            raise
        self._stop()
        return True

    def _further(self) -> Iterator[None]:
        while self._is_further():
            yield

    def _is_further(self) -> bool:
        step = None if self._also is None else self._also()  # in a frame that ends: an iterator would keep its object
        return step is not None and step()

    def _stop(self) -> None:
        running, self._running = self._running, None
        close = getattr(running, "close", None)
        if close is not None:
            close()


class Trainer:
    """Collects samples until there are enough, then trains the store's first dictionary (I3)."""

    def __init__(self, store: Store, is_forgotten: Callable[[int], bool]) -> None:
        self._store = store
        self._is_forgotten = is_forgotten
        self._samples: deque[tuple[int, bytes]] = deque(maxlen=_SAMPLES)
        self.is_done = False

    def offer(self, segment_id: int, packed: bytes) -> None:
        """Keep a committed record as a sample."""
        if not self.is_done:
            self._samples.append((segment_id, packed))

    def train(self) -> int | None:
        """Train and commit a dictionary when there are samples enough and the store has none; return its number."""
        if self.is_done or len(self._samples) < _SAMPLES:
            return None
        live = [packed for segment_id, packed in list(self._samples) if not self._is_forgotten(segment_id)]
        if sum(map(len, live)) < _SAMPLE_BYTES:
            return None
        self.is_done = True
        self._samples.clear()
        data = codec.train(live)
        return None if data is None else self._store.write(lambda batch: _put_first(batch, data))


def _put_first(batch: Batch, data: bytes) -> int | None:
    """Store a dictionary unless another process was first; return the number of the one in use."""
    return put_dictionary(batch, data) if current_dictionary(batch) is None else current_dictionary(batch)
