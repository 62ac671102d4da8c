"""Files that are not what was written: refused before they are mapped, or found by a checksum; never a crash."""

import json
import os
import random
import shutil
import struct
import subprocess
import sys

import pytest

import ctxmem
from ctxmem.errors import CtxMemError, StoreDamaged
from ctxmem.log import Log
from ctxmem.options import Options
from ctxmem.segment import Record
from ctxmem.store import look_at
from ctxmem.store.localstore import LocalStore
from tests.plainindex import PlainIndex
from tests.waiting import WATCHDOG_S

PAGE = 4096
READ_ALL = """
import sys
from ctxmem.errors import CtxMemError
from ctxmem.log import Log
from tests.plainindex import PlainIndex
try:
    log = Log.open(sys.argv[1], readonly=True, index_of=PlainIndex)
except CtxMemError as exc:
    print("refused", type(exc).__name__)
    sys.exit(0)
wrong = 0
for n in range(200):
    try:
        wrong += not log.get(n).text.startswith(f"text {n} ")
    except CtxMemError:
        pass
try:
    print("problems", len(log.check()), "wrong", wrong)
except CtxMemError as exc:
    print("check raised", type(exc).__name__, "wrong", wrong)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "s"
    log = Log.open(path, options=Options(durability="unsafe"), index_of=PlainIndex)
    for n in range(200):
        text = f"text {n} " * 30
        log.append(Record(1, "message", "user", text, 3, 1.5e9, message={"role": "user", "content": text}))
        if n % 10 == 9:
            log.commit()
    log.close()
    return path


@pytest.fixture
def path(tmp_path, sound):
    shutil.copytree(sound, tmp_path / "s")
    return tmp_path / "s"


def data(path):
    return path / "data.mdb"


def newest_roots(path):
    raw = data(path).read_bytes()[: 2 * PAGE]
    metas = [raw[:PAGE], raw[PAGE:]]
    meta = max(metas, key=lambda page: int.from_bytes(page[144:152], "little"))
    return [int.from_bytes(meta[at : at + 8], "little") for at in (80, 128)]


@pytest.mark.parametrize("left", [0, 1, 100, PAGE, 2 * PAGE, 3 * PAGE, -PAGE, -1])
def test_a_truncated_file_is_refused(path, left):
    size = data(path).stat().st_size
    os.truncate(data(path), left if left >= 0 else size + left)

    for readonly in (False, True):
        with pytest.raises(StoreDamaged, match="backup"):
            LocalStore.open(path, readonly=readonly)


@pytest.mark.parametrize("page", [0, 1, "free list", "tables"])
def test_a_zeroed_root_page_is_refused(path, page):
    if isinstance(page, str):
        page = newest_roots(path)[page == "tables"]
    with data(path).open("r+b") as file:
        file.seek(page * PAGE)
        file.write(bytes(PAGE))

    with pytest.raises(StoreDamaged):
        LocalStore.open(path)


def zero(path, page):
    with data(path).open("r+b") as file:
        file.seek(page * PAGE)
        file.write(bytes(PAGE))


def test_each_zeroed_page_that_is_in_use_is_named(path):
    """Pages that are free may hold anything; of all others `check` names the table, and nothing ends the process."""
    raw = data(path).read_bytes()
    tables = set()
    for page in range(2, len(raw) // PAGE):
        data(path).write_bytes(raw)
        assert look_at(path) == []
        zero(path, page)
        for problem in look_at(path):
            tables.add(problem.where)
            assert "page" in problem.what

    assert tables >= {"data.mdb", "table log", "table forward", "table meta", "table changes"}


@pytest.mark.unchecked
def test_a_page_that_is_zeroed_under_an_open_store_does_not_end_check(path):
    log = Log.open(path, index_of=PlainIndex)
    page = next(n for n in range(2, data(path).stat().st_size // PAGE) if is_of_table(path, n, "log"))
    raw = data(path).read_bytes()
    zero(path, page)
    found = log.check()
    data(path).write_bytes(raw)

    assert [problem.where for problem in found] == ["table log"]
    assert f"page {page}" in found[0].what
    assert "backup" in found[0].remedy
    log.close()


def is_of_table(path, page, table):
    """Whether a page belongs to a table: it is told by zeroing it in a copy."""
    raw = bytearray(data(path).read_bytes())
    raw[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    copy = path.with_name("copy")
    copy.mkdir(exist_ok=True)
    (copy / "data.mdb").write_bytes(raw)
    return [problem.where for problem in look_at(copy)] == [f"table {table}"]


def test_the_command_checks_a_file_before_it_opens_it(path):
    page = next(n for n in range(2, data(path).stat().st_size // PAGE) if is_of_table(path, n, "meta"))
    zero(path, page)
    done = subprocess.run(
        [sys.executable, "-c", "from ctxmem.cli import main; main()", "check", "--json", "--store", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert [one["where"] for one in json.loads(done.stdout)] == ["table meta"]


def test_a_file_of_noise_is_refused(path):
    data(path).write_bytes(random.Random(1).randbytes(20 * PAGE))

    with pytest.raises(StoreDamaged):
        LocalStore.open(path)


def test_a_refused_file_is_not_changed(path):
    os.truncate(data(path), 5 * PAGE)
    before = data(path).read_bytes()
    with pytest.raises(CtxMemError):
        LocalStore.open(path)

    assert data(path).read_bytes() == before


def test_a_flipped_bit_gives_no_wrong_text(path):
    """Bits of leaf pages, where values are: a process of its own reads them, since LMDB trusts its trees."""
    raw = data(path).read_bytes()
    rng = random.Random(7)
    pages = set(leaves(path, "log"))  # others hold what was there before
    at = [i for i in range(2 * PAGE, len(raw)) if raw[i : i + 5] == b"text " and i // PAGE in pages]
    outcomes = []
    for _ in range(12):
        changed = bytearray(raw)
        changed[rng.choice(at) + rng.randrange(60)] ^= 1 << rng.randrange(8)
        data(path).write_bytes(changed)
        done = subprocess.run(
            [sys.executable, "-c", READ_ALL, str(path)], capture_output=True, text=True, timeout=WATCHDOG_S
        )
        outcomes.append(done.stdout.strip() or f"exit {done.returncode}")

    assert not [outcome for outcome in outcomes if not outcome.endswith("wrong 0")]
    assert [outcome for outcome in outcomes if not outcome.startswith("problems 0")]


def leaves(path, table):
    """The leaf pages of a table, in the order of their keys."""
    raw = data(path).read_bytes()

    def nodes(page):
        at, (flags, lower) = page * PAGE, struct.unpack_from("<HH", raw, page * PAGE + 10)
        for place in range(at + 16, at + lower, 2):
            yield flags & 1, at + struct.unpack_from("<H", raw, place)[0]

    def below(page):
        found = []
        for is_branch, node in nodes(page):
            if is_branch:
                found += below(int.from_bytes(raw[node : node + 6], "little"))
        return found or [page]

    for leaf in below(newest_roots(path)[1]):
        for _, node in nodes(leaf):
            key = raw[node + 8 : node + 8 + int.from_bytes(raw[node + 6 : node + 8], "little")]
            if key == table.encode():
                return below(int.from_bytes(raw[node + 8 + len(key) + 40 :][:8], "little"))
    raise LookupError(table)


def swap(path, left, right):
    """Put each of two pages in the other's place, whole but for their numbers."""
    raw = bytearray(data(path).read_bytes())
    for page in (left, right):
        assert int.from_bytes(raw[page * PAGE : page * PAGE + 8], "little") == page
    a, b = (slice(page * PAGE + 8, (page + 1) * PAGE) for page in (left, right))
    raw[a], raw[b] = raw[b], raw[a]
    data(path).write_bytes(raw)


@pytest.mark.unchecked
def test_exchanged_pages_of_turns_are_found(tmp_path, monkeypatch):
    with ctxmem.open(tmp_path / "s", options=Options(durability="unsafe")) as memory:
        context = memory.context("a", model="gpt-4.1", window=8_000)
        for n in range(60):
            context.append({"role": "user", "content": f"question {n} " * 20})
            context.assemble()
    pages = leaves(tmp_path / "s", "turns")
    swap(tmp_path / "s", *pages[1:3])

    with ctxmem.open(tmp_path / "s", readonly=True) as memory:
        assert any("out of order" in problem.what for problem in memory.check())
        monkeypatch.setattr(LocalStore, "check", lambda _: [])  # what the rows themselves say
        problems = memory.check()

    assert any("out of order" in problem.what for problem in problems)
    assert any(problem.where == "session 1" and problem.what.startswith("the row of turn") for problem in problems)


@pytest.mark.unchecked
@pytest.mark.parametrize("table", ["log", "forward"])
def test_exchanged_pages_of_any_table_are_found(path, table):
    swap(path, *leaves(path, table)[1:3])

    log = Log.open(path, readonly=True, index_of=PlainIndex)

    assert any(table in problem.where and "out of order" in problem.what for problem in log.check())
    log.close()


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("table", "what"),
    [("turns", "turn 3"), ("epochs", "epoch 1"), ("journal", "collection 0"), ("contexts", "context")],
)
def test_a_missing_row_is_named(tmp_path, table, what):
    with ctxmem.open(tmp_path / "s") as memory:
        context = memory.context("a", model="gpt-4.1", window=8_000)
        for n in range(40):
            context.append({"role": "user", "content": f"question {n} " * 20})
            context.assemble()
            if n % 10 == 9:
                context.collect(200)
        context.assemble()
        key = {"turns": b"\0\0\0\1\0\0\0\3", "epochs": b"\0\0\0\1\0\0\0\1"}.get(table)
        with memory._log.snapshot() as snapshot:
            key = key or next(snapshot.keys(table))
            assert snapshot.get(table, key) is not None
        assert memory.check() == []
        memory._log._store.write(lambda batch: batch.delete(table, key))

        problems = memory.check()

    assert [problem.where for problem in problems][:1] == ["session 1"]
    assert any(what in problem.what for problem in problems)
