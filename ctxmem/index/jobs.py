"""Maintenance of the index, one block at a time: find what is due, begin it, and go on with it step by step.

I1. A process that works on a block holds the block's maintenance: two processes maintain two blocks at once, never one.
I2. What is begun goes on at the next call; where another process took the block meanwhile, it is given up.
I3. Only what is settled is sealed. The transaction that begins a run settles the ids of its stretch, so that nothing is
    added to them; what is committed of them is read afterwards.

Does not know: how a run is made, when steps are run.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby, islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.codec import Codec
from ctxmem.index import due, manifest, merging, sealing
from ctxmem.options import Options
from ctxmem.search.runs import Run
from ctxmem.search.tail import Tail
from ctxmem.store import Snapshot, Store
from ctxmem.tables import frames, slots

Ids: TypeAlias = npt.NDArray[np.int64]
Lock: TypeAlias = Any  # threading.RLock is a function


class Known(NamedTuple):
    """What the index knows of a snapshot: runs in order of their first id, tails by block, forgotten ids ascending."""

    runs: list[Run]
    tails: dict[int, Tail]
    forgotten: Ids

    def forgotten_in(self, first: int, stop: int) -> Ids:
        """Return the forgotten ids of `[first, stop)`."""
        low, high = self.forgotten.searchsorted([first, stop]).tolist()
        return self.forgotten[low:high]


class Jobs:
    """The maintenance of one index. Not for several threads at once: the log steps it under `Upkeep._lock`.

    `lock` is `Index._lock`: it is held while `known` applies a snapshot, and for as long as its result is used.
    """

    def __init__(
        self, store: Store, options: Options, codec: Codec, lock: Lock, known: Callable[[Snapshot], Known]
    ) -> None:
        self._store = store
        self._options = options
        self._size = options.block_segments
        self._codec = codec
        self._lock = lock
        self._known = known
        self._job: Iterator[None] | None = None
        self._block = 0  # the block that the job is of
        self._held: int | None = None  # the block whose maintenance is held
        self._waiting: dict[int, tuple[int, int]] = {}  # by block: slot and first id its tail waits for

    def steps(self) -> Iterator[None]:
        """Seal, merge and purge what is due, each step about 1 ms; may be left at any point and called again (I2).

        Blocks that another process maintains are left to it.
        """
        self._release()  # what an interrupt left
        try:
            while self._goes_on() or self._begin():
                yield from self._step()
        finally:
            self._release()

    def purge(self) -> None:
        """Take what is forgotten out of every run and forward record, when nobody else has the store open."""
        for _ in self.steps():
            pass
        with self._lock, self._store.snapshot() as snapshot:
            known = self._known(snapshot)
            held = [run for run in known.runs if len(known.forgotten_in(run.first, run.stop)) > run.n_forgotten]
        for run in held:
            for _ in _rewritten(self._store, run, known, self._size):
                pass
        sealing.erase_forwards(self._store, known.forgotten.tolist())
        for _ in self.steps():
            pass

    def _goes_on(self) -> bool:
        """Say whether a job is under way and its block held; a call that was left had given the block back."""
        if self._job is not None and self._held is None and not self._hold(self._block):
            self._job = None
        return self._job is not None

    def _step(self) -> Iterator[None]:
        assert self._job is not None  # `steps` calls this with a job only
        try:
            next(self._job)
        except (StopIteration, manifest.TakenOver):
            self._job = None
        except BaseException:
            self._job = None
            raise
        finally:
            if self._job is None:
                self._release()
        yield

    def _begin(self) -> bool:
        """Find something due in a block that is free, and hold that block; say whether there is anything."""
        wanted, owners = self._look()
        if self._free_dead(owners):
            wanted, _ = self._look()
        for block in wanted:
            if self._hold(block):
                with self._lock, self._store.snapshot() as snapshot:  # another process may just have done it
                    self._job, self._block = self._seen(snapshot).due(block), block
                if self._job is not None:
                    return True
                self._release()
        return False

    def _seen(self, snapshot: Snapshot) -> "_Seen":
        return _Seen(self._store, self._options, self._codec, snapshot, self._known(snapshot), self._sealed)

    def _look(self) -> tuple[list[int], set[int]]:
        """Return the blocks in which something is due, and the slots for whose open ids full tails wait.

        With many writers most tails wait, and reading all claims costs more than looking whether one has moved.
        """
        wanted: list[int] = []
        owners: set[int] = set()
        with self._lock, self._store.snapshot() as snapshot:
            seen = self._seen(snapshot)
            for block in seen.blocks:
                waits = self._waiting.get(block)
                if waits is not None and not slots.is_open(snapshot, *waits):
                    waits = None
                if seen.due(block, is_waiting=waits is not None) is not None:
                    wanted.append(block)
                elif seen.n_in_tail(block) >= self._options.tail_segments:
                    first, owner = (waits[1], waits[0]) if waits is not None else seen.settlement.limit(block)
                    if owner is not None:
                        self._waiting[block] = owner, first
                        owners.add(owner)
        return wanted, owners

    def _sealed(self, block: int, first: int, stop: int) -> Iterator[None]:
        """Settle the ids of a stretch, then seal what is committed of them (I3)."""
        settle = partial(slots.settle, size=self._size, first=first, stop=stop)
        draft = manifest.begin(self._store, block, first, stop, is_seal=True, if_so=settle)
        yield
        with self._lock, self._store.snapshot() as snapshot:
            manifest.ensure(snapshot, draft)
            known = self._known(snapshot)
            ids = [frames.segment_id_of(key) for key in snapshot.keys("forward", frames.key(first), frames.key(stop))]
            forward_of = known.tails[block].forward
            forgotten = set(known.forgotten_in(first, stop).tolist())
        yield from sealing.seal(self._store, self._codec, draft, ids, forward_of, forgotten)

    def _free_dead(self, owners: set[int]) -> bool:
        """Free the ids that dead writers among these left open; say whether there was one."""
        dead = [owner for owner in owners if not self._store.is_slot_alive(owner)]
        for owner in dead:
            free = partial(slots.free_dead, size=self._size, slot=owner, is_alive=self._store.is_slot_alive)
            self._store.write(free)
        return bool(dead)

    def _hold(self, block: int) -> bool:
        self._held = block  # noted before it is taken: an interrupt must not leave it held
        if not self._store.hold_maintenance(block):
            self._held = None
        return self._held is not None

    def _release(self) -> None:
        if self._held is not None:
            self._store.release_maintenance(self._held)
            self._held = None


class _Seen:
    """What a snapshot shows to maintenance, and what is due in it. Valid inside the snapshot and `Index._lock`."""

    def __init__(
        self,
        store: Store,
        options: Options,
        codec: Codec,
        snapshot: Snapshot,
        known: Known,
        seal: Callable[[int, int, int], Iterator[None]],
    ) -> None:
        self._store = store
        self._options = options
        self._size = options.block_segments
        self._codec = codec
        self._snapshot = snapshot
        self._known = known
        self._seal = seal
        self._untidy = manifest.untidy(snapshot)
        runs = groupby(known.runs, lambda run: run.first // self._size)
        self._runs = {block: list(some) for block, some in runs}
        self.settlement = slots.Settlement(snapshot, self._size)

    @property
    def blocks(self) -> list[int]:
        """Every block in which something may be due, ascending."""
        return sorted({*self._runs, *self._known.tails, *self._untidy})

    def n_in_tail(self, block: int) -> int:
        """Return how many segments of a block are in no run."""
        tail = self._known.tails.get(block)
        return 0 if tail is None else tail.n

    def due(self, block: int, *, is_waiting: bool = False) -> Iterator[None] | None:
        """Return what is due in a block, not begun yet; None where nothing is.

        `is_waiting`: the block's tail waits for open ids, so it is not sealed now.
        """
        if block in self._untidy:
            return manifest.sweep(self._store, block)
        tail = self._known.tails.get(block)
        if tail is not None and tail.n and not is_waiting:
            ids = self._settled(block, tail)
            if ids:  # from the tail's first id on: free ids before its first segment would be lost
                return self._seal(block, tail.first, ids[-1] + 1)
        runs = self._runs.get(block, [])
        found = due.next_merge(runs, self._options, lambda: not tail and self._is_finished(block, runs[-1].stop))
        if found:
            gone = self._known.forgotten_in(found[0].first, found[-1].stop)
            return merging.merge(self._store, block, found, gone)
        for run in runs if len(self._known.forgotten) else ():
            if due.wants_purge(run, len(self._known.forgotten_in(run.first, run.stop))):
                return _rewritten(self._store, run, self._known, self._size)
        return None

    def _settled(self, block: int, tail: Tail) -> list[int]:
        """Return the committed segments of a tail that one seal takes; none where they are too few, or still open.

        A long tail waits for more: what is left of it is indexed again.
        """
        is_last = self._is_finished(block, tail.last_id + 1)
        if tail.n < self._options.tail_segments and not is_last:
            return []
        most = self._options.tail_segments * self._options.merge_factor
        least = min(max(self._options.tail_segments, tail.n // 4), most)
        stop = self.settlement.limit(block)[0]
        keys = self._snapshot.keys("forward", frames.key(tail.first), frames.key(stop))
        ids = [frames.segment_id_of(key) for key in islice(keys, most)]
        return ids if len(ids) >= least or is_last else []

    def _is_finished(self, block: int, stop: int) -> bool:
        """Say whether a block of which everything below `stop` is known will hold nothing more."""
        return stop == (block + 1) * self._size or self.settlement.is_finished(block)


def _rewritten(store: Store, run: Run, known: Known, size: int) -> Iterator[None]:
    """Merge a run by itself, without what is forgotten."""
    return merging.merge(store, run.first // size, [run], known.forgotten_in(run.first, run.stop), "purge")
