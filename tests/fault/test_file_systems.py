"""File systems that are full or read-only: mounted for the test, which needs the right to mount."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from ctxmem.errors import NotAStore, StoreFull, StoreGone, StoreReadonly
from ctxmem.log import Log
from ctxmem.segment import Record
from ctxmem.store.localstore import LocalStore
from tests.plainindex import PlainIndex


def mount(*arguments):
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small(tmp_path):
    where = tmp_path / "small"
    where.mkdir()
    try:
        is_mounted = mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where))
    except OSError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("no right to mount a file system")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def noise(session):
    text = os.urandom(20_000).hex()
    return Record(session, "message", "user", text, 3, 1.5e9, message={"role": "user", "content": text})


def test_a_full_disk_loses_nothing_and_heals(small):
    log = Log.open(small / "s", index_of=PlainIndex)
    texts = {}
    with pytest.raises(StoreFull, match="no room"):  # noqa: PT012
        for _ in range(1000):
            record = noise(1)
            texts[log.append(record)[0]] = record.text
            log.commit()
    with pytest.raises(StoreFull):
        log.close()
    assert {n: log.get(n).text for n in texts} == texts
    assert mount("-o", "remount,size=20m", str(small))
    log.commit()
    log.close()

    log = Log.open(small / "s", index_of=PlainIndex)
    assert {n: log.get(n).text for n in texts} == texts
    assert log.check() == []
    log.close()


def test_a_read_only_file_system_is_named_and_can_be_read(small):
    log = Log.open(small / "s", index_of=PlainIndex)
    segment_id, _ = log.append(noise(1))
    log.close()
    for name in ("lock", "lock.mdb"):  # as in a copy on a disc
        with suppress(FileNotFoundError):
            (small / "s" / name).unlink()
    assert mount("-o", "remount,ro", str(small))

    for path in (small / "s", small / "new"):
        with pytest.raises(StoreReadonly, match="read-only"):
            Log.open(path, index_of=PlainIndex)
    with pytest.raises(NotAStore):
        Log.open(small / "new", readonly=True, index_of=PlainIndex)
    reader = Log.open(small / "s", readonly=True, index_of=PlainIndex)
    assert len(reader.get(segment_id).text) == 40_000
    assert reader.check() == []
    reader.close()
    assert mount("-o", "remount,rw", str(small))


def said_to_another_user(path):
    """What a user without rights hears who opens a store for reading: its class and text, or what was read."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgid(65_534)
            os.setuid(65_534)
            with LocalStore.open(path, readonly=True).snapshot() as snapshot:
                said = str(snapshot.get("log", b"k"))
        except BaseException as exc:
            said = f"{type(exc).__name__}: {exc}"
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as answer:  # noqa: PTH123 - a descriptor
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_reader_without_rights_is_told_what_helps(is_there):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "s"
        store = LocalStore.open(path)
        store.write(lambda batch: batch.put("log", b"k", b"v"))
        store.close()
        assert "may not be read by this user" in said_to_another_user(path)
        path.chmod(0o755)
        assert "may not be read by this user" in said_to_another_user(path)
        for entry in path.iterdir():
            entry.chmod(0o644)
        if not is_there:
            (path / "lock.mdb").unlink()
        said = said_to_another_user(path)
        assert said.startswith("StoreReadonly")
        assert subprocess.run(said.split("`")[1], shell=True, check=False).returncode == 0
        assert said_to_another_user(path) == "b'v'"


FULL = """
import os, sys
from ctxmem.errors import StoreFull
from ctxmem.store.localstore import LocalStore
path, done = sys.argv[1], []
store = LocalStore.open(path, durability="unsafe")
try:
    for n in range(10_000):
        store.write(lambda batch: batch.put("log", n.to_bytes(8, "big"), os.urandom(5_000)))
        done.append(n)
except StoreFull:
    print("full")
try:
    store.alone(store.rewrite)
except StoreFull:
    print("not rewritten", *sorted(os.listdir(path)))
with store.snapshot() as snapshot:
    print(snapshot.count("log") == len(done), [*snapshot.unsound("log")])
store.close()
os.unlink(path + "/lock.mdb")
with open(path + "/../rest", "wb", 0) as rest:
    try:
        while True:
            rest.write(bytes(4096))
    except OSError:
        pass
try:
    LocalStore.open(path)
except StoreFull:
    print("not opened")
os.unlink(path + "/../rest")
store = LocalStore.open(path)
print("opened")
"""


def test_a_full_disk_does_not_end_the_process(small):
    """LMDB maps its reader table, and a mapped page that finds no room on the disk is a SIGBUS."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(small / "s")], capture_output=True, text=True, timeout=300, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "full",
        "not rewritten ctxmem.store data.mdb lock lock.mdb",
        "True []",
        "not opened",
        "opened",
    ]


NEARLY_FULL = """
import os, sys
from ctxmem.errors import StoreFull
from ctxmem.store.localstore import LocalStore
path, rest = sys.argv[1], sys.argv[1] + "/../rest"

def leave(n_pages):
    with open(rest, "wb", 0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(file.tell() - 4096 * n_pages)

store = LocalStore.open(path, durability="unsafe")
for n in range(60):
    store.write(lambda batch: batch.put("log", n.to_bytes(8, "big"), os.urandom(5_000)))
for n_pages in range(0, 240, 3):
    leave(n_pages)
    try:
        store.alone(store.rewrite)
        print("rewritten")
    except StoreFull:
        print("full")
    assert sorted(os.listdir(path)) == ["ctxmem.store", "data.mdb", "lock", "lock.mdb"]
    with store.snapshot() as snapshot:
        assert snapshot.count("log") == 60 and not [*snapshot.unsound("log")]
store.close()
os.unlink(rest)
for n_pages in range(0, 24):
    for name in ("lock", "lock.mdb"):
        if os.path.exists(path + "/" + name):
            os.unlink(path + "/" + name)
    leave(n_pages)
    try:
        LocalStore.open(path).close()
        print("opened")
    except StoreFull:
        print("not opened")
"""


def test_wherever_the_disk_is_full_it_is_an_error(small):
    """However much room is left: a rewrite, and an opening without the lock files, end well or with `StoreFull`."""
    done = subprocess.run(
        [sys.executable, "-c", NEARLY_FULL, str(small / "s")], capture_output=True, text=True, timeout=300, check=False
    )

    assert done.returncode == 0, f"{done.stdout[-500:]}{done.stderr}"
    said = done.stdout.splitlines()
    assert [key for key, _ in itertools.groupby(said)] == ["full", "rewritten", "not opened", "opened"]


def test_a_store_that_was_removed_says_so(tmp_path):
    log = Log.open(tmp_path / "s", index_of=PlainIndex)
    segment_id, _ = log.append(noise(1))
    log.commit()
    shutil.rmtree(tmp_path / "s")
    log.append(noise(1))

    for _ in range(2):
        with pytest.raises(StoreGone, match="removed"):
            log.commit()
    assert len(log.get(segment_id).text) == 40_000  # what is mapped can still be read
    again = Log.open(tmp_path / "s", index_of=PlainIndex)  # a new store, in this process too
    again.append(noise(1))
    again.close()
    with pytest.raises(StoreGone):
        log.close()
