"""The golden store of format 2: opened, and read to the last byte; and how other formats are refused."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

import ctxmem
from ctxmem.errors import FormatMismatch
from ctxmem.store import preflight

GOLDEN = Path(__file__).parent.parent / "golden"
_spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)


@pytest.fixture
def path(tmp_path):
    shutil.copytree(GOLDEN / "format2", tmp_path / "s")
    return tmp_path / "s"


@pytest.fixture
def expected():
    return json.loads((GOLDEN / "expected.json").read_text())


def test_it_is_of_the_format_that_is_written():
    assert f"format {preflight.FORMAT}\n" in (GOLDEN / "format2" / "ctxmem.store").read_text()


@pytest.mark.parametrize("readonly", [True, False])
def test_everything_is_read_as_it_was_written(path, expected, readonly):
    memory = ctxmem.open(path, readonly=readonly, options=make.OPTIONS)
    stats = memory.stats()

    assert stats["runs"] > 1
    assert stats["tail_segments"] > 0
    assert stats["journal_entries"] > 0
    assert json.loads(json.dumps(make.read(memory))) == expected
    assert memory.check() == []
    memory.close()


def test_it_is_written_on(path, expected):
    memory = ctxmem.open(path, options=make.OPTIONS)
    known = [row[0] for row in expected["segments"]]
    added = [memory.add(f"A red cat {n} after all.", session="notes").id for n in range(40)]

    assert memory.add("anything", session="other").id > max(known)
    assert min(added) > max(known)
    assert memory.add(expected["segments"][3][4], session="notes", key="cat 3", colour="blue", n=3).id == known[3]
    context = memory.context("agent", model="gpt-4.1", window=4_000)
    assert context.turn == len(expected["prompts"])
    context.append({"role": "user", "content": "And now?"})
    context.assemble()
    context.close()
    memory.compact()
    assert [memory.get(segment_id).text for segment_id in known] == [row[4] for row in expected["segments"]]
    assert memory.check() == []
    memory.close()


@pytest.mark.parametrize(("number", "remedy"), [(1, "the ctxmem that wrote it"), (3, "install a newer ctxmem")])
@pytest.mark.parametrize("readonly", [True, False])
def test_another_format_is_refused_and_not_touched(path, number, remedy, readonly):
    (path / "ctxmem.store").write_text(f"ctxmem store\nformat {number}\nstate ready\n")
    before = {each.name: each.read_bytes() for each in path.iterdir()}

    with pytest.raises(FormatMismatch, match=f"format {number}.*{remedy}"):
        ctxmem.open(path, readonly=readonly)
    assert {each.name: each.read_bytes() for each in path.iterdir()} == before


def test_every_other_format_is_refused_before_a_byte_of_the_data_is_looked_at(path):
    (path / "ctxmem.store").write_text("ctxmem store\nformat 1\nstate ready\n")
    (path / "data.mdb").write_bytes(b"nothing that LMDB would map")

    with pytest.raises(FormatMismatch):
        ctxmem.open(path)
