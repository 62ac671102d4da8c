"""What any store behind our seam must do, told through the protocol alone: see `docs/architecture.md`, Adding a store."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxmem.errors import StoreBusy, StoreClosed, StoreError, StoreReadonly
from ctxmem.store import MAX_KEY_BYTES, TABLES, Store, after
from tests.contract.stores import MAKERS

keys = st.binary(min_size=1, max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, st.binary(max_size=20)),
        st.tuples(st.just("delete"), keys),
        st.tuples(st.just("delete_range"), st.binary(max_size=2), st.none() | keys, st.none() | st.integers(0, 5)),
    ),
    max_size=12,
)


@pytest.fixture(scope="module", params=MAKERS, ids=lambda made: made.__name__.lower())
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def shared(kind, tmp_path_factory):
    """One store for all examples of a property."""
    opened = kind(tmp_path_factory.mktemp("contract")).open()
    yield opened
    opened.close()


@pytest.fixture
def maker(kind, tmp_path):
    return kind(tmp_path)


@pytest.fixture
def store(maker) -> Store:
    opened = maker.open()
    yield opened
    opened.close()


@pytest.fixture
def peer(maker, store):
    other = maker.peer()
    yield other
    other.close()


@pytest.fixture
def mortal(maker, store):
    """A peer that the test kills."""
    return maker.peer()


def put(store, key=b"k", value=b"v", table="log"):
    store.write(lambda batch: batch.put(table, key, value))


def read(store, key=b"k", table="log"):
    with store.snapshot() as snapshot:
        return snapshot.get(table, key)


def head(store):
    return store.head


def clock(batch):
    batch.put("log", b"k", b"v")
    return batch.clock


def take(store, name, *arguments):
    return getattr(store, name)(*arguments)


# --- tables ---


def step(batch, oracle, planned):
    name, *rest = planned
    if name == "put":
        batch.put("log", *rest)
        oracle[rest[0]] = rest[1]
    elif name == "delete":
        assert batch.delete("log", rest[0]) == (oracle.pop(rest[0], None) is not None)
    else:
        start, stop, limit = rest
        doomed = [key for key in sorted(oracle) if key >= start and (stop is None or key < stop)][:limit]
        assert batch.delete_range("log", start, stop, limit=limit) == len(doomed)
        for key in doomed:
            del oracle[key]


def agree(snapshot, oracle, probe, stop):
    ordered = sorted(oracle.items())
    inside = [(k, v) for k, v in ordered if k >= probe and (stop is None or k < stop)]
    assert snapshot.get("log", probe) == oracle.get(probe)
    assert snapshot.get_many("log", [probe, b"zzzzz"]) == [oracle.get(probe), None]
    for view in (snapshot.view("log", probe), *snapshot.views("log", [probe])):
        assert (None if view is None else bytes(view)) == oracle.get(probe)
    assert list(snapshot.scan("log", probe, stop)) == inside
    assert list(snapshot.scan("log", probe, stop, reverse=True)) == inside[::-1]
    assert list(snapshot.scan("log", probe, stop, limit=2)) == inside[:2]
    assert list(snapshot.keys("log", probe, stop)) == [k for k, _ in inside]
    assert snapshot.floor("log", probe) == next(((k, v) for k, v in ordered[::-1] if k <= probe), None)
    assert snapshot.last("log") == (ordered[-1] if ordered else None)
    assert snapshot.count("log") == len(oracle)
    assert list(snapshot.unsound("log")) == []


@settings(max_examples=60)
@given(st.lists(st.tuples(steps, st.booleans()), max_size=5), keys, st.none() | keys)
def test_it_agrees_with_a_dict(shared, batches, probe, stop):
    shared.write(lambda batch: batch.delete_range("log"))
    oracle = {}
    for planned, is_kept in batches:
        before = dict(oracle)

        def apply(batch, planned=planned, is_kept=is_kept, before=before):
            state = dict(before)
            for one in planned:
                step(batch, state, one)
            agree(batch, state, probe, stop)
            if not is_kept:
                raise KeyboardInterrupt
            return state

        with shared.snapshot() as earlier:
            try:
                oracle = shared.write(apply)
            except KeyboardInterrupt:
                oracle = before
            agree(earlier, before, probe, stop)
        with shared.snapshot() as snapshot:
            agree(snapshot, oracle, probe, stop)


@given(st.binary(max_size=6), st.lists(st.binary(max_size=6)))
def test_after_ends_a_prefix(prefix, others):
    stop = after(prefix)

    for other in others:
        is_inside = other >= prefix and (stop is None or other < stop)
        assert is_inside == other.startswith(prefix)


def test_tables_are_apart(store):
    store.write(lambda batch: [batch.put(table, b"k", table.encode()) for table in TABLES])

    assert [read(store, table=table) for table in TABLES] == [table.encode() for table in TABLES]
    assert {table: store.stats()[f"{table}_entries"] for table in TABLES} == dict.fromkeys(TABLES, 1)


@pytest.mark.parametrize("key", [b"", b"x" * (MAX_KEY_BYTES + 1)])
def test_a_key_has_bounds(store, key):
    put(store, b"x" * MAX_KEY_BYTES)
    with pytest.raises(StoreError):
        put(store, key)


def test_appending_out_of_order_raises_and_rolls_back(store):
    put(store, b"m")

    def apply(batch):
        batch.put("log", b"z", b"v", append=True)
        batch.put("log", b"a", b"v", append=True)

    with pytest.raises(StoreError):
        store.write(apply)
    assert (read(store, b"z"), read(store, b"a")) == (None, None)


# --- snapshots and commits ---


def test_what_apply_returns_is_returned(store):
    assert store.write(lambda batch: batch.count("log")) == 0


def test_an_apply_counts_once_however_often_it_is_run(store):
    for _ in range(3):
        store.write(lambda batch: batch.put("log", b"n", b"%d" % (int(batch.get("log", b"n") or 0) + 1)))

    assert read(store, b"n") == b"3"


def test_a_snapshot_does_not_move(store):
    put(store, value=b"1")
    with store.snapshot() as snapshot, store.snapshot() as other:
        put(store, value=b"2")
        assert snapshot.get("log", b"k") == other.get("log", b"k") == b"1"
    assert read(store) == b"2"


def test_a_snapshot_inside_an_apply_does_not_see_it(store):
    def apply(batch):
        batch.put("log", b"k", b"v")
        with store.snapshot() as snapshot:
            return batch.get("log", b"k"), snapshot.get("log", b"k")

    assert store.write(apply) == (b"v", None)


def test_an_apply_inside_an_apply_is_refused(store):
    with pytest.raises(StoreError):
        store.write(lambda _: put(store))
    put(store)


def test_nothing_outlives_its_block(store):
    put(store)
    with store.snapshot() as snapshot:
        entries = snapshot.scan("log")
    batch = store.write(lambda batch: batch)

    for use in (lambda: snapshot.get("log", b"k"), lambda: next(entries), lambda: batch.get("log", b"k")):
        with pytest.raises(StoreClosed):
            use()


def test_the_head_is_the_number_of_what_is_seen(store):
    before = store.head
    with store.snapshot() as snapshot:
        assert snapshot.number == before
    assert store.write(lambda batch: batch.put("log", b"k", b"v") or batch.number) > before
    with store.snapshot() as snapshot:
        assert snapshot.number == store.head > before


def test_the_clock_of_a_batch_is_above_that_of_all_it_sees(store, peer):
    clocks = [store.write(clock), peer.run(take, "write", clock), store.write(clock)]

    assert sorted(set(clocks)) == clocks


def test_a_failed_apply_does_not_move_the_head(store):
    before = store.head
    with pytest.raises(LookupError):
        store.write(lambda batch: {}[batch.put("log", b"k", b"v")])

    assert (store.head, read(store)) == (before, None)


def test_writers_come_one_after_another(store):
    def work():
        for _ in range(50):
            store.write(lambda batch: batch.put("log", b"sum", b"%d" % (int(batch.get("log", b"sum") or 0) + 1)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(store, b"sum") == b"200"


def test_what_another_process_commits_is_seen(store, peer):
    before = store.head
    peer.run(put, b"theirs", b"v")

    assert store.head > before
    assert read(store, b"theirs") == b"v"
    put(store, b"ours")
    assert peer.run(read, b"ours") == b"v"


# --- what is held ---


def test_slots_are_held_lowest_first(store):
    assert [store.hold_slot(3) for _ in range(4)] == [0, 1, 2, None]
    store.release_slot(1)
    store.release_slot(1)
    assert [store.is_slot_alive(slot) for slot in range(4)] == [True, False, True, False]
    assert store.hold_slot(3) == 1


def test_a_batch_knows_the_slot(store):
    assert store.write(lambda batch: batch.slot) is None
    slot = store.hold_slot(1)
    assert store.write(lambda batch: batch.slot) == slot
    store.release_slot(slot)
    assert store.write(lambda batch: batch.slot) is None


def test_slots_are_held_among_processes(store, peer):
    assert store.hold_slot(4) == 0
    assert peer.run(take, "hold_slot", 4) == 1
    assert store.is_slot_alive(1)
    assert peer.run(take, "is_slot_alive", 0)
    peer.run(take, "release_slot", 1)
    assert not store.is_slot_alive(1)


def test_what_a_killed_process_held_is_free(store, mortal):
    assert mortal.run(take, "hold_slot", 4) == 0
    assert mortal.run(take, "hold_maintenance", 7)
    mortal.kill()

    assert not store.is_slot_alive(0)
    assert store.hold_slot(4) == 0
    assert store.hold_maintenance(7)


def test_maintenance_is_of_one_block_or_of_all(store):
    assert store.hold_maintenance(1)
    assert store.hold_maintenance(2)
    assert not store.hold_maintenance(1)
    assert not store.hold_maintenance()
    store.release_maintenance(1)
    assert store.hold_maintenance(1)
    store.release_maintenance(1)
    store.release_maintenance(2)
    assert store.hold_maintenance()
    assert not store.hold_maintenance()
    assert not store.hold_maintenance(1)
    store.release_maintenance()
    assert store.hold_maintenance(1)


def test_maintenance_is_held_among_processes(store, peer):
    assert peer.run(take, "hold_maintenance", 1)
    assert not store.hold_maintenance(1)
    assert not store.hold_maintenance()
    assert store.hold_maintenance(2)
    assert not peer.run(take, "hold_maintenance", 2)
    store.release_maintenance(2)
    peer.run(take, "release_maintenance", 1)
    assert store.hold_maintenance()
    assert not peer.run(take, "hold_maintenance", 1)


# --- the whole store ---


def test_alone_is_alone(store, mortal):
    with pytest.raises(StoreBusy):
        store.alone(lambda: None)
    mortal.kill()
    store.alone(lambda: None)


def test_a_rewrite_keeps_everything(store):
    store.write(lambda batch: [batch.put("log", b"%d" % n, b"v") for n in range(50)])
    store.write(lambda batch: batch.delete_range("log", b"2", b"3"))
    with store.snapshot() as snapshot:
        before = list(snapshot.scan("log"))
    head_before = store.head
    store.alone(store.rewrite)

    assert store.head > head_before  # whoever compares numbers looks again
    with store.snapshot() as snapshot:
        assert list(snapshot.scan("log")) == before
    put(store)


def test_a_backup_opens_as_a_store(maker, store, tmp_path):
    put(store)
    store.backup(tmp_path / "copy")
    put(store, value=b"later")
    copy = maker.restored(tmp_path / "copy")

    assert read(copy) == b"v"
    copy.close()


def test_for_reading_nothing_is_written_or_held(maker, store):
    put(store)
    store.close()
    reader = maker.open(readonly=True)

    assert reader.readonly
    assert read(reader) == b"v"
    assert (reader.hold_slot(4), reader.hold_maintenance()) == (None, False)
    for use in (lambda: put(reader), lambda: reader.alone(lambda: None)):
        with pytest.raises(StoreReadonly):
            use()
    reader.close()


def test_closed_is_closed(store):
    assert store.is_open
    store.close()
    store.close()

    assert not store.is_open
    uses = (lambda: read(store), lambda: put(store), lambda: head(store), store.stats, store.ensure_usable)
    for use in (*uses, lambda: store.hold_slot(1), store.hold_maintenance, lambda: store.alone(lambda: None)):
        with pytest.raises(StoreClosed):
            use()


def test_what_is_sound_has_no_problems(store, peer):
    store.write(lambda batch: [batch.put("log", b"%d" % n, b"v" * n * 50) for n in range(200)])
    store.write(lambda batch: batch.delete_range("log", b"2", b"3"))
    peer.run(put, b"theirs", b"v")

    assert store.check() == []


def test_a_store_has_a_name(store):
    assert isinstance(store.name, str)
    assert store.name
