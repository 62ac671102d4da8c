"""File systems that are full or read-only: mounted for the test, which needs the right to mount."""

import os
import subprocess
from contextlib import suppress

import pytest

from ctxmem.errors import NotAStore, StoreFull, StoreReadonly
from ctxmem.log import Log
from ctxmem.segment import Record
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
