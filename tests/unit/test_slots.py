"""Slots, leases, flags, names and the change log: what several writers share."""

import contextlib
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.errors import BadInput, ContextBusy, StoreBusy, StoreFull, WriterFenced
from ctxmem.store.localstore import LocalStore
from ctxmem.store.locks import FIRST_SLOT, LockFile
from ctxmem.tables import changes, chunks, flags, leases, names, slots
from ctxmem.tables.slots import Slot


@pytest.fixture
def store(tmp_path):
    opened = LocalStore.open(tmp_path / "s", durability="unsafe")
    yield opened
    with opened.snapshot() as snapshot:
        assert slots.check(snapshot) == []
        assert names.check(snapshot) == []
    opened.close()


@pytest.fixture
def others(tmp_path, store):
    """Locks as another process would hold them."""
    file = LockFile(tmp_path / "s" / "lock", writable=True)
    yield file
    file.close()


def take(slot, n):
    return [slot.take_id() for _ in range(n)]


def advance(store, slot, ids):
    slot.advanced(store.write(lambda batch: slot.advance(batch, ids)))


def extend(store, slot):
    slot.extended(store.write(slot.extend))


def free(store):
    with store.snapshot() as snapshot:
        return chunks.free(snapshot)


@pytest.fixture
def small(monkeypatch):
    """Chunks of four ids, whatever the size of a block."""
    monkeypatch.setattr(slots, "CHUNK", 4)
    monkeypatch.setattr(slots, "_CHUNK_LEAST", 4)


# --- ids ---


def test_one_writer_fills_a_block_from_its_first_id_on(store, small):
    slot = Slot.claim(store, 8)

    assert take(slot, 3) == [0, 1, 2]
    advance(store, slot, [0, 1, 2])  # takes the next chunk: little is left of this one
    assert take(slot, 5) == [3, 4, 5, 6, 7]
    assert slot.is_used_up
    assert slot.take_id() is None
    extend(store, slot)
    assert take(slot, 2) == [8, 9]
    advance(store, slot, [3, 4, 5, 6, 7, 8, 9])


def test_who_gives_many_ids_between_commits_takes_larger_chunks(store):
    slot = Slot.claim(store, 1 << 16)
    sizes = [len(take(slot, 256))]
    for _ in range(6):
        assert slot.is_used_up
        extend(store, slot)
        given = []
        while not slot.is_used_up:
            given.append(slot.take_id())
        sizes.append(len(given))

    assert sizes == [256, 256, 512, 1_024, 2_048, 4_096, 4_096]
    advance(store, slot, range(sum(sizes)))


def test_ids_that_no_commit_covered_are_given_again(store):
    slot = Slot.claim(store, 8)
    take(slot, 5)
    advance(store, slot, [0, 1])
    slot.release()
    heir = Slot.claim(store, 8)

    assert heir.number == slot.number
    assert take(heir, 2) == [2, 3]


def test_two_writers_fill_one_block_together(store, others, small):
    first, second = Slot.claim(store, 16), Slot.claim(store, 16)

    assert (second.number, take(second, 5)) == (1, [4, 5, 6, 7, None])
    extend(store, second)
    assert take(second, 2) == [8, 9]
    assert take(first, 5) == [0, 1, 2, 3, None]
    extend(store, first)
    assert take(first, 1) == [12]


def test_a_chunk_is_smaller_when_there_are_many_slots(store, others):
    for number in range(100):
        others.take(FIRST_SLOT + number)
        store.write(lambda batch, n=number: slots._claim(batch, store, n, 1 << 16))

    with store.snapshot() as snapshot:
        held = [stop - first for _, claim in slots.all_of(snapshot) for first, stop in claim.open]
    assert max(held) == 256
    assert held[-1] == (1 << 14) // 99
    assert sum(held) < 1 << 15


def test_a_free_slot_is_taken_before_a_new_one(store, others):
    assert others.take(FIRST_SLOT + 1)
    assert Slot.claim(store, 4).number == 0


def test_a_thousand_writers_hold_slots_at_once(tmp_path, store, others):
    for number in range(1_000):
        assert others.take(FIRST_SLOT + number)

    assert Slot.claim(store, 4).number == 1_000


def test_a_writer_more_than_there_are_slots_is_refused(store, others, monkeypatch):
    monkeypatch.setattr(slots, "SLOTS", 20)
    for number in range(slots.SLOTS):
        assert others.take(FIRST_SLOT + number)

    with pytest.raises(StoreBusy, match="all 20 writer slots"):
        Slot.claim(store, 4)
    others.release(FIRST_SLOT + 7)
    assert Slot.claim(store, 4).number == 7


def test_a_writer_that_was_taken_over_is_fenced(store):
    slot = Slot.claim(store, 8)
    store.release_slot(slot.number)  # as if the lock had been lost
    heir = Slot.claim(store, 8)
    take(slot, 1)

    with pytest.raises(WriterFenced):
        advance(store, slot, [0])
    take(heir, 1)
    advance(store, heir, [0])


def test_a_block_has_the_size_that_the_store_began_with(store):
    Slot.claim(store, 4).release()
    slot = Slot.claim(store, 1000)

    assert take(slot, 4) == [0, 1, 2, 3]
    assert slot.is_used_up


def test_rising_above_gives_back_what_it_skips(store, small):
    slot = Slot.claim(store, 16)
    take(slot, 1)
    advance(store, slot, [0])
    slot.rise_above(1)
    assert take(slot, 1) == [2]
    advance(store, slot, [2])
    slot.rise_above(9)
    assert slot.is_used_up
    extend(store, slot)
    assert take(slot, 1) == [10]
    assert free(store) == [(8, 10), (14, 16)]
    advance(store, slot, [10])

    assert free(store) == [(3, 10), (14, 16)]
    slot.rise_above(2)
    assert take(slot, 1) == [11]


def test_what_is_open_is_not_settled_and_the_rest_is(store, others, small):
    first, second = Slot.claim(store, 16), Slot.claim(store, 16)
    take(first, 2), take(second, 1)
    advance(store, second, [4])
    settle = partial(slots.settle, size=16, first=0, stop=4)
    assert not store.write(settle)
    with store.snapshot() as snapshot:
        assert slots.Settlement(snapshot, 16).limit(0) == (0, 0)
        assert slots.Settlement(snapshot, 16).limit(1) == (32, None)

    advance(store, first, [0, 1])
    first.let_go()
    store.write(first.give_back)
    assert (2, 4) in free(store)
    assert store.write(settle)
    assert (2, 4) not in free(store)
    extend(store, first)
    assert first.take_id() > 5


def test_the_chunk_of_a_dead_slot_is_freed_and_its_owner_fenced(store):
    slot = Slot.claim(store, 1 << 16)
    take(slot, 3)
    advance(store, slot, [0, 1, 2])
    dead = partial(slots.free_dead, size=1 << 16, slot=0, is_alive=store.is_slot_alive)
    store.write(dead)
    assert free(store) == [(256, 1 << 16)]  # it lives
    slot.release()
    store.write(dead)

    assert free(store) == [(3, 1 << 16)]
    take(slot, 1)
    with pytest.raises(WriterFenced):
        advance(store, slot, [3])
    assert take(Slot.claim(store, 1 << 16), 1) == [3]


def test_a_writer_is_in_the_way_when_others_are_far_beyond(store):
    size = 1 << 14
    slow, fast = Slot.claim(store, size), Slot.claim(store, size)
    ways = []
    for _ in range(20):
        extend(store, fast)
        with store.snapshot() as snapshot:
            ways.append(slots.is_in_the_way(snapshot, size, slow.number))

    assert not ways[0]
    assert ways[-1]
    assert ways == sorted(ways)


def test_only_so_many_free_ranges_are_kept(store):
    def scatter(batch):
        chunks.take_block(batch, slots.settle_block_segments(batch, 1 << 16))
        for n in range(100):
            chunks.give_back(batch, 1 << 16, 10 * n, 10 * n + 3)

    store.write(scatter)
    assert free(store) == [(10 * n, 10 * n + 3) for n in range(100 - chunks.FREE_MOST, 100)]


def test_free_ranges_join_within_a_block_only(store):
    def give(batch):
        for _ in range(2):
            chunks.take_block(batch, slots.settle_block_segments(batch, 10))
        for first, stop in ((0, 2), (5, 8), (10, 13), (2, 5), (8, 10), (3, 3)):
            chunks.give_back(batch, 10, first, stop)

    store.write(give)
    assert free(store) == [(0, 10), (10, 13)]
    store.write(lambda batch: chunks.drop(batch, 4, 12))
    assert free(store) == [(0, 4), (12, 13)]


def test_the_last_id_is_the_last(store):
    store.write(lambda batch: batch.put("meta", b"next_block", (2**32).to_bytes(8, "big")))

    with pytest.raises(StoreFull):
        Slot.claim(store, 1 << 16)


# --- leases ---


def test_a_lease_is_for_one_living_owner(store):
    slot = Slot.claim(store, 4)
    store.write(lambda batch: leases.acquire(batch, slot, 7, lambda _: True))
    store.write(lambda batch: leases.acquire(batch, slot, 7, lambda _: True))  # again is nothing
    store.release_slot(0)
    holder = LockFile(store.path / "lock", writable=True)
    assert holder.take(FIRST_SLOT)
    other = Slot.claim(store, 4)

    with pytest.raises(ContextBusy, match="session 7") as caught:
        store.write(lambda batch: leases.acquire(batch, other, 7, store.is_slot_alive))
    assert caught.value.pid
    holder.close()  # the owner dies
    store.write(lambda batch: leases.acquire(batch, other, 7, store.is_slot_alive))


def test_a_lease_of_an_earlier_epoch_is_dead(store):
    slot = Slot.claim(store, 4)
    store.write(lambda batch: leases.acquire(batch, slot, 7, lambda _: True))
    store.release_slot(slot.number)
    heir = Slot.claim(store, 4)

    store.write(lambda batch: leases.acquire(batch, heir, 7, lambda _: True))
    store.write(lambda batch: leases.release(batch, slot, 7))  # not its own any more
    with store.snapshot() as snapshot:
        assert snapshot.count("leases") == 1
    store.write(lambda batch: leases.release(batch, heir, 7))
    with store.snapshot() as snapshot:
        assert snapshot.count("leases") == 0


# --- flags ---


def test_marks_are_set_and_cleared(store):
    ids = [1, 5, 65_535, 65_536, 2**48 - 1]
    assert store.write(lambda batch: flags.change(batch, flags.PINNED, ids, is_on=True)) == ids
    assert store.write(lambda batch: flags.change(batch, flags.PINNED, [5, 6], is_on=True)) == [6]
    assert store.write(lambda batch: flags.change(batch, flags.PINNED, [1, 2, 65_536], is_on=False)) == [1, 65_536]

    with store.snapshot() as snapshot:
        assert flags.ids(snapshot, flags.PINNED).tolist() == [5, 6, 65_535, 2**48 - 1]
        assert flags.ids(snapshot, flags.PINNED, 6, 65_536).tolist() == [6, 65_535]
        assert flags.ids(snapshot, flags.FORGOTTEN).tolist() == []
        assert flags.ids(snapshot, flags.PINNED).dtype == np.int64
    cached = flags.Flags(store.snapshot)
    assert [n for n in (1, 5, 6, 7, 2**48 - 1) if cached.has(flags.PINNED, n)] == [5, 6, 2**48 - 1]


def test_many_marks_become_a_bitmap(store):
    ids = list(range(0, 65_536, 3))
    store.write(lambda batch: flags.change(batch, flags.FORGOTTEN, ids, is_on=True))

    with store.snapshot() as snapshot:
        assert len(snapshot.last("flags")[1]) == 8194
        assert flags.ids(snapshot, flags.FORGOTTEN).tolist() == ids


def test_marks_in_memory_follow_when_told(store):
    cached = flags.Flags(store.snapshot)
    assert not cached.has(flags.PINNED, 3)
    store.write(lambda batch: flags.change(batch, flags.PINNED, [3], is_on=True))
    cached.clear()

    assert cached.has(flags.PINNED, 3)


# --- names ---


def test_sessions_keep_their_numbers(store):
    wanted = ["a", "b", "a", "\ud800 odd", "x" * 3000]
    assert store.write(lambda batch: names.create_sessions(batch, wanted)) == [1, 2, 1, 3, 4]
    with store.snapshot() as snapshot:
        assert [names.session_number(snapshot, name) for name in [*wanted, "c"]] == [1, 2, 1, 3, 4, None]
        assert names.session_name(snapshot, 3) == "\ud800 odd"
        assert names.session_name(snapshot, 9) is None
        assert len(names.session_names(snapshot)) == 4


@pytest.mark.parametrize("name", ["", "x" * 70_000])
def test_names_have_bounds(store, name):
    with pytest.raises(BadInput), store.snapshot() as snapshot:
        names.session_number(snapshot, name)
    with pytest.raises(BadInput):
        names.key_name(1, name)


def test_the_first_commit_of_a_key_wins(store):
    key = names.key_name(1, "k")
    store.write(lambda batch: names.put_key(batch, key, 5, b"d" * 16))
    store.write(lambda batch: names.put_key(batch, key, 6, b"e" * 16))

    with store.snapshot() as snapshot:
        assert names.find_key(snapshot, key) == (5, b"d" * 16)
        assert names.find_key(snapshot, names.key_name(2, "k")) is None


# --- the change log ---


def write_as(store, slot, detail):
    """Record a change as the writer of a slot would."""
    store._environment.slot = slot
    store.write(lambda batch: changes.record(batch, "append", detail))
    store._environment.slot = None


def test_changes_are_numbered_and_trimmed(store, monkeypatch):
    monkeypatch.setattr(changes, "KEEP", 10)
    for n in range(25):
        write_as(store, 3, n)

    with store.snapshot() as snapshot:
        assert snapshot.count("changes") == 10
        assert changes.newest(snapshot) == {3: 25}
        assert changes.since(snapshot, {3: 25}) == ([], {3: 25})
        found, reached = changes.since(snapshot, {3: 22})
        assert ([change.detail for change in found], reached) == ([22, 23, 24], {3: 25})
        assert len(changes.since(snapshot, {3: 15})[0]) == 10
        assert changes.since(snapshot, {3: 14}) is None
        assert changes.since(snapshot, {}) is None


def test_an_empty_change_log_is_up_to_date(store):
    with store.snapshot() as snapshot:
        assert changes.since(snapshot, {}) == ([], {})
        assert changes.newest(snapshot) == {}


def test_the_changes_of_who_holds_no_slot_are_followed_too(store):
    write_as(store, None, "a")
    write_as(store, 0, "b")

    with store.snapshot() as snapshot:
        assert [change.detail for change in changes.since(snapshot, {})[0]] == ["a", "b"]
        assert changes.newest(snapshot) == {changes.NOBODY: 1, 0: 1}


@given(st.data())
def test_every_reader_sees_every_change_once_and_causes_first(tmp_path_factory, data):
    """Writers change and readers follow in any order; each has then seen what was written, as it was written."""
    store = LocalStore.open(tmp_path_factory.mktemp("changes") / "s", durability="unsafe")
    kept = data.draw(st.sampled_from([3, 100]))
    written: list[int] = []
    readers = [({}, []) for _ in range(3)]
    with contextlib.closing(store), pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "KEEP", kept)
        for _ in range(data.draw(st.integers(1, 30))):
            if data.draw(st.booleans()):
                write_as(store, data.draw(st.sampled_from([0, 1, 7, 300, 65_534, None])), len(written))
                written.append(len(written))
                continue
            place = data.draw(st.integers(0, 2))
            position, seen = readers[place]
            with store.snapshot() as snapshot:
                found = changes.since(snapshot, position)
                if found is None:  # it fell behind: what is there is what it loads
                    assert len(written) - len(seen) > kept
                    readers[place] = changes.newest(snapshot), list(written)
                else:
                    readers[place] = found[1], seen + [change.detail for change in found[0]]
                    assert found[1] == changes.newest(snapshot)
            assert readers[place][1] == written
