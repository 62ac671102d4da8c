"""The floors above run on any store: a log with its index on the plain one, which runs every `apply` twice."""

import pytest

from ctxmem.errors import SegmentNotFound
from ctxmem.index.index import Index
from ctxmem.log import Log
from ctxmem.memory import Memory
from ctxmem.options import Options
from ctxmem.tables import slots
from tests.contract.stores import MAKERS

OPTIONS = Options(block_segments=64, tail_segments=8, merge_factor=2)


@pytest.fixture(params=MAKERS, ids=lambda made: made.__name__.lower())
def maker(request, tmp_path):
    return request.param(tmp_path)


def open_memory(maker):
    store = maker.open()
    store.write(lambda batch: slots.settle_block_segments(batch, OPTIONS.block_segments))
    return Memory(Log(store, OPTIONS, Index), OPTIONS)


def test_a_memory_lives_on_any_store(maker, tmp_path):
    memory = open_memory(maker)
    ids = [memory.add(f"note {n} about topic{n % 5}", key=f"k{n}").id for n in range(200)]
    context = memory.context("s", model="gpt-4.1", window=8_000)
    context.append({"role": "user", "content": "What was topic3?"})
    turn = context.assemble().turn
    memory.pin(ids[3])
    memory.forget(ids[8])
    memory.flush()
    found = [hit.segment.id for hit in memory.search("topic3", limit=100)]

    assert set(found) >= {i for n, i in enumerate(ids) if n % 5 == 3 and n != 8}
    assert ids[8] not in found
    assert memory.check() == []
    memory.backup(tmp_path / "copy")
    memory.close()

    memory = open_memory(maker)
    assert memory.stats()["runs"] > 0  # closing finishes maintenance
    assert memory.context("s", model="gpt-4.1", window=8_000).turn == turn
    assert memory.add("note 7 about topic2", key="k7").id == ids[7]
    memory.compact()
    assert memory.get(ids[8]).text == "[forgotten]"
    with pytest.raises(SegmentNotFound):
        memory.get(10**6)
    assert memory.check() == []
    memory.close()
