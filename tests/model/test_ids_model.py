"""Ids against a plain record of who was given which: many writers, crashes, takeovers, loads and seals in any order.

A writer's ids rise; no id is committed twice; what is settled is given to nobody any more; nothing is held twice.
"""

import contextlib
import tempfile
from functools import partial
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ctxmem.errors import WriterFenced
from ctxmem.store.localstore import LocalStore
from ctxmem.tables import chunks, slots
from ctxmem.tables.slots import Slot

SIZE = 64


class Writer:
    """A writer as the log keeps one: its slot, and the ids that it gave and has not committed."""

    def __init__(self, store):
        self.slot = Slot.claim(store, SIZE)
        self.queued = []
        self.last = -1


class IdsMachine(RuleBasedStateMachine):
    @initialize(chunk=st.integers(1, 32), least=st.integers(1, 8), kept=st.sampled_from([2, 64]))
    def start(self, chunk, least, kept):
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(slots, "CHUNK", chunk)
        self.patch.setattr(slots, "_CHUNK_LEAST", least)
        self.patch.setattr(chunks, "FREE_MOST", kept)
        self.folder = tempfile.TemporaryDirectory()
        self.store = LocalStore.open(Path(self.folder.name) / "s", durability="unsafe")
        self.writers, self.fenced = [], []
        self.committed, self.settled = set(), []

    def writer(self, number):
        return self.writers[number % len(self.writers)]

    @rule()
    def open_writer(self):
        if len(self.writers) < 6:
            self.writers.append(Writer(self.store))

    @precondition(lambda self: self.writers)
    @rule(number=st.integers(0, 5), n=st.integers(1, 40))
    def append(self, number, n):
        writer = self.writer(number)
        for _ in range(n):
            if writer.slot.is_used_up:
                writer.slot.extended(self.store.write(writer.slot.extend))
            segment_id = writer.slot.take_id()
            if segment_id is None:
                continue  # what was taken lies too low: the next try takes one above
            assert segment_id > writer.last
            assert segment_id not in self.committed
            assert not any(first <= segment_id < stop for first, stop in self.settled)
            assert not any(segment_id in other.queued for other in self.writers)
            writer.last = segment_id
            writer.queued.append(segment_id)

    @precondition(lambda self: self.writers)
    @rule(number=st.integers(0, 5), share=st.sampled_from([0.3, 1.0]))
    def commit(self, number, share):
        writer = self.writer(number)
        ids = writer.queued[: max(1, int(share * len(writer.queued)))]
        if ids:
            writer.slot.advanced(self.store.write(lambda batch: writer.slot.advance(batch, ids)))
            writer.queued = writer.queued[len(ids) :]
            self.committed |= set(ids)

    @precondition(lambda self: self.writers and self.committed)
    @rule(number=st.integers(0, 5), data=st.data())
    def rise_above(self, number, data):
        """Go on with a session that another writer began."""
        seen = data.draw(st.sampled_from(sorted(self.committed)))
        writer = self.writer(number)
        writer.slot.rise_above(seen)
        writer.last = max(writer.last, seen)

    @precondition(lambda self: self.writers)
    @rule(number=st.integers(0, 5), is_taken_over=st.booleans())
    def die(self, number, is_taken_over):
        """End without a commit; its ids may be given again, and if it lives after all, it is fenced."""
        writer = self.writer(number)
        self.writers.remove(writer)
        writer.slot.release()
        if is_taken_over:
            self.writers.append(Writer(self.store))
        else:
            free = partial(slots.free_dead, size=SIZE, slot=writer.slot.number, is_alive=self.store.is_slot_alive)
            self.store.write(free)
        is_free = is_taken_over and self.writers[-1].slot.number != writer.slot.number  # a lower one was free
        if writer.queued and not is_free:
            with contextlib.suppress(WriterFenced):
                self.store.write(lambda batch: writer.slot.advance(batch, writer.queued))
                raise AssertionError("a dead writer has committed")

    @precondition(lambda self: self.writers)
    @rule(number=st.integers(0, 5))
    def give_back(self, number):
        writer = self.writer(number)
        if not writer.queued:
            writer.slot.let_go()
            self.store.write(writer.slot.give_back)

    @rule(n=st.integers(1, SIZE))
    def load(self, n):
        """Fill the first ids of a block past all writers."""

        def fill(batch):
            first, stop = chunks.take_block(batch, slots.settle_block_segments(batch, SIZE))
            chunks.give_back(batch, SIZE, first + n, stop)
            return first

        first = self.store.write(fill)
        assert self.committed.isdisjoint(range(first, first + n))
        self.committed |= set(range(first, first + n))

    @precondition(lambda self: self.committed)
    @rule(data=st.data(), n=st.integers(1, SIZE))
    def settle(self, data, n):
        last = data.draw(st.sampled_from(sorted(self.committed)))
        first = last // SIZE * SIZE
        stop = min(last + n, first + SIZE)
        is_open = any(first <= i < stop for writer in self.writers for i in writer.queued)
        if self.store.write(partial(slots.settle, size=SIZE, first=first, stop=stop)):
            assert not is_open
            self.settled.append((first, stop))

    @invariant()
    def nothing_is_held_twice(self):
        with self.store.snapshot() as snapshot:
            assert slots.check(snapshot) == []
            unused = [each for _, claim in slots.all_of(snapshot) for each in claim.open] + chunks.free(snapshot)
            blocks = chunks.next_block(snapshot)
            done = [block for block in range(blocks) if slots.Settlement(snapshot, SIZE).is_finished(block)]
        for first, stop in unused:
            assert self.committed.isdisjoint(range(first, stop))
            assert all(stop <= start or first >= end for start, end in self.settled)
            assert first // SIZE not in done

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()
            self.patch.undo()


IdsMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestIds = IdsMachine.TestCase
