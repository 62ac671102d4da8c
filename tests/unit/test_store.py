"""Store: opening, refusing, growing, copying, and who may write when."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from ctxmem.errors import (
    BadInput,
    FormatMismatch,
    NotAStore,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreForked,
    StoreReadonly,
)
from ctxmem.store import TABLES
from ctxmem.store.gate import Visitor
from ctxmem.store.localstore import LocalStore
from ctxmem.store.tables import UNCHECKED
from tests.waiting import WATCHDOG_S


@pytest.fixture
def store(tmp_path):
    opened = LocalStore.open(tmp_path / "s", durability="unsafe")
    yield opened
    opened.close()


def put(store, key=b"k", value=b"v", table="log"):
    with store.batch() as batch:
        batch.put(table, key, value)


def read(store, key=b"k", table="log"):
    with store.snapshot() as snapshot:
        return snapshot.get(table, key)


def names(path):
    return sorted(entry.name for entry in path.iterdir())


# --- opening ---


def test_files_are_for_their_owner_alone(tmp_path, store):
    put(store)

    assert {stat.S_IMODE(entry.stat().st_mode) for entry in (tmp_path / "s").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_an_empty_directory_becomes_a_store(tmp_path):
    (tmp_path / "s").mkdir()
    LocalStore.open(tmp_path / "s").close()

    assert "ctxmem.store" in names(tmp_path / "s")


def test_what_was_written_is_there_after_reopening(tmp_path):
    with_value = LocalStore.open(tmp_path / "s")
    put(with_value)
    with_value.close()
    again = LocalStore.open(tmp_path / "s")

    assert read(again) == b"v"
    again.close()


def test_a_directory_of_something_else_is_refused_and_not_changed(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")

    for readonly in (False, True):
        with pytest.raises(NotAStore, match="directory of its own"):
            LocalStore.open(tmp_path, readonly=readonly)
    assert names(tmp_path) == ["notes.txt"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("mine")

    with pytest.raises(NotAStore):
        LocalStore.open(tmp_path / "f")


def test_nothing_to_read_is_refused_and_not_made(tmp_path):
    with pytest.raises(NotAStore, match="readonly"):
        LocalStore.open(tmp_path / "s", readonly=True)
    assert names(tmp_path) == []


def test_a_marker_of_something_else_is_refused(tmp_path):
    LocalStore.open(tmp_path / "s").close()
    (tmp_path / "s" / "ctxmem.store").write_bytes(b"\xff\xfe hello")

    with pytest.raises(NotAStore):
        LocalStore.open(tmp_path / "s")


def test_a_newer_format_is_refused(tmp_path):
    LocalStore.open(tmp_path / "s").close()
    (tmp_path / "s" / "ctxmem.store").write_text("ctxmem store\nformat 99\nstate ready\n")

    with pytest.raises(FormatMismatch, match="newer"):
        LocalStore.open(tmp_path / "s")


def test_a_missing_data_file_is_damage_not_a_new_store(tmp_path):
    LocalStore.open(tmp_path / "s").close()
    (tmp_path / "s" / "data.mdb").unlink()

    for readonly in (False, True):
        with pytest.raises(StoreDamaged):
            LocalStore.open(tmp_path / "s", readonly=readonly)


def test_a_creation_cut_short_is_begun_again(tmp_path):
    LocalStore.open(tmp_path / "s").close()
    (tmp_path / "s" / "ctxmem.store").write_text("ctxmem store\nformat 2\nstate new\n")
    (tmp_path / "s" / "data.mdb").write_bytes(b"half a page")
    opened = LocalStore.open(tmp_path / "s")
    put(opened)

    assert read(opened) == b"v"
    opened.close()


def test_twice_in_one_process_is_refused(tmp_path, store):
    (tmp_path / "link").symlink_to(tmp_path / "s")

    for path in (tmp_path / "s", tmp_path / "link"):
        with pytest.raises(StoreBusy, match="this process"):
            LocalStore.open(path)


def test_a_refused_opening_leaves_nothing_held(tmp_path, store):
    with pytest.raises(StoreBusy):
        LocalStore.open(tmp_path / "s")
    store.close()
    LocalStore.open(tmp_path / "s").close()


# --- reading and writing ---


def test_a_wrong_append_raises(store):
    put(store, b"m")

    with pytest.raises(StoreError, match="out of order"), store.batch() as batch:
        batch.put("log", b"a", b"v", append=True)
    assert read(store, b"a") is None


@pytest.mark.parametrize("key", [b"", b"x" * 512])
def test_keys_have_1_to_511_bytes(store, key):
    with pytest.raises(StoreError):
        put(store, key)


def test_an_exception_rolls_back(store):
    with pytest.raises(KeyError), store.batch() as batch:  # noqa: PT012
        batch.put("log", b"k", b"v")
        raise KeyError
    assert read(store) is None


def test_a_snapshot_may_stand_in_a_batch(store):
    with store.batch() as batch, store.snapshot() as snapshot:
        batch.put("log", b"k", b"v")
        assert snapshot.get("log", b"k") is None
        assert batch.get("log", b"k") == b"v"


def test_a_batch_in_a_batch_is_refused(store):
    with store.batch(), pytest.raises(StoreError, match="inside a batch"):
        put(store)
    put(store)


def test_what_a_snapshot_gave_ends_with_it(store):
    put(store)
    with store.snapshot() as snapshot:
        entries = snapshot.scan("log")
        next(entries)
    with pytest.raises(StoreClosed):
        snapshot.get("log", b"k")
    with pytest.raises(StoreClosed):
        list(entries)


def test_head_rises_with_each_commit(store):
    before = store.head
    put(store)

    assert store.head == before + 1


@pytest.mark.parametrize("table", TABLES)
def test_every_table_carries_checksums(store, table):
    put(store, table=table)
    store._environment.tables["log"], moved = store._environment.tables[table], store._environment.tables["log"]
    try:
        with store.snapshot() as snapshot:
            if table != "log":
                with pytest.raises(StoreDamaged):
                    snapshot.get("log", b"k", verify=True)
            assert snapshot.get(table, b"k", verify=True) == b"v"
    finally:
        store._environment.tables["log"] = moved


def test_run_tables_are_verified_when_asked(store):
    assert set(TABLES) > UNCHECKED
    transaction = store._environment.begin(visitor := Visitor(), write=True)
    transaction.put(b"k", b"value and no checksum", db=store._environment.tables["columns"])
    store._environment.end(visitor, transaction, commit=True)

    with store.snapshot() as snapshot:
        assert snapshot.get("columns", b"k") == b"value and no chec"
        assert list(snapshot.unsound("columns")) == [b"k"]
        with pytest.raises(StoreDamaged, match="columns"):
            snapshot.get("columns", b"k", verify=True)


def test_the_map_grows(tmp_path):
    opened = LocalStore.open(tmp_path / "s", map_bytes=1, durability="unsafe")
    opened.write(lambda batch: [batch.put("frames", b"%d" % n, os.urandom(1 << 20)) for n in range(80)])

    assert opened.stats()["frames_entries"] == 80
    assert opened.stats()["map_bytes"] > 80 << 20
    opened.close()


def test_the_map_does_not_grow_inside_a_snapshot(tmp_path):
    opened = LocalStore.open(tmp_path / "s", map_bytes=1, durability="unsafe")
    with opened.snapshot(), pytest.raises(StoreError):
        opened.write(lambda batch: [batch.put("frames", b"%d" % n, os.urandom(1 << 20)) for n in range(80)])
    with opened.snapshot() as snapshot:
        assert snapshot.count("frames") == 0
    opened.close()


def test_many_threads_write_one_after_another(store):
    def work(n):
        for _ in range(50):
            store.write(lambda batch: batch.put("log", b"sum", b"%d" % (int(batch.get("log", b"sum") or 0) + 1)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(store, b"sum") == b"200"


def test_maintenance_is_held_once(store):
    assert store.hold_maintenance()
    assert not store.hold_maintenance()
    store.release_maintenance()
    assert store.hold_maintenance()
    store.release_maintenance()


# --- copies ---


def test_a_backup_opens_as_a_store(tmp_path, store):
    put(store)
    store.backup(tmp_path / "b")
    copy = LocalStore.open(tmp_path / "b", readonly=True)

    assert read(copy) == b"v"
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in (tmp_path / "b").iterdir()} == {0o600}
    copy.close()


def test_a_backup_goes_into_an_empty_directory_only(tmp_path, store):
    (tmp_path / "x").write_text("mine")

    for path in (tmp_path, tmp_path / "x"):
        with pytest.raises(BadInput):
            store.backup(path)


def test_a_rewrite_keeps_everything_and_leaves_no_deleted_byte(tmp_path, store):
    secret = b"the-secret-that-was-deleted"
    with store.batch() as batch:
        for n in range(300):
            batch.put("log", b"%04d" % n, secret + b"%d" % n if n % 3 else b"kept %d" % n)
    with store.batch() as batch:
        for n in range(300):
            if n % 3:
                batch.delete("log", b"%04d" % n)
    assert secret in (tmp_path / "s" / "data.mdb").read_bytes()

    head = store.head
    store.alone(store.rewrite)

    assert store.head > head  # whoever compares numbers sees that something happened
    assert secret not in (tmp_path / "s" / "data.mdb").read_bytes()
    with store.snapshot() as snapshot:
        assert [value for _, value in snapshot.scan("log")] == [b"kept %d" % n for n in range(0, 300, 3)]
    put(store)
    assert names(tmp_path / "s") == ["ctxmem.store", "data.mdb", "lock", "lock.mdb"]


# --- endings ---


def test_closed_is_closed(store):
    store.close()
    store.close()

    for use in (store.snapshot, store.batch):
        with pytest.raises(StoreClosed), use():
            pass
    with pytest.raises(StoreClosed):
        store.head  # noqa: B018


def test_readonly_reads_and_refuses_writes(tmp_path, store):
    put(store)
    store.close()
    reader = LocalStore.open(tmp_path / "s", readonly=True)

    assert read(reader) == b"v"
    with pytest.raises(StoreReadonly), reader.batch():
        pass
    with pytest.raises(StoreReadonly):
        reader.alone(lambda: None)
    reader.close()


def test_a_child_process_is_told_so(store):
    put(store)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            try:
                read(store)
            except StoreForked:
                store.close()
                code = 0
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    put(store, b"after")
    assert read(store, b"after") == b"v"


def run(code, *args):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=WATCHDOG_S
    )


def test_another_process_reads_and_writes_beside_us(tmp_path, store):
    put(store)
    done = run(
        "import sys; from ctxmem.store.localstore import LocalStore; s = LocalStore.open(sys.argv[1])\n"
        "with s.batch() as b: b.put('log', b'theirs', b.get('log', b'k') + b'2')\n"
        "s.close()",
        tmp_path / "s",
    )

    assert done.returncode == 0, done.stderr
    assert read(store, b"theirs") == b"v2"


def test_a_rewrite_needs_the_store_alone(tmp_path, store):
    code = "import sys; from ctxmem.store.localstore import LocalStore; s = LocalStore.open(sys.argv[1]); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreBusy, match="another process"):
            store.alone(lambda: None)
        other.kill()
        other.wait()
    store.alone(store.rewrite)
