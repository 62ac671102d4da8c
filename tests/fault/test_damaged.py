"""Files that are not what was written: refused before they are mapped, or found by a checksum; never a crash."""

import os
import random
import shutil
import subprocess
import sys

import pytest

from ctxmem.errors import CtxMemError, StoreDamaged
from ctxmem.log import Log
from ctxmem.options import Options
from ctxmem.segment import Record
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
    at = [i for i in range(2 * PAGE, len(raw)) if raw[i : i + 5] == b"text "]
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
