"""Bulk loads: few items and many, keys, a bad item in the middle, an iterator that raises, search and order after."""

import pytest

import ctxmem
from ctxmem import loading
from ctxmem.search import analysis

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf")


def items(n, **more):
    return ({"text": f"note number {i} about {WORDS[i % 7]}", "session": f"s{i % 3}", **more} for i in range(n))


@pytest.fixture
def small(monkeypatch):
    """Make a load count as many from 300 items on."""
    monkeypatch.setattr(loading, "MANY", 300)
    return ctxmem.Options(block_segments=512, tail_segments=64, load_workers=0)


@pytest.mark.parametrize("n", [0, 1, 299, 300, 511, 512, 513, 2000])
def test_every_item_is_found_in_order(tmp_path, small, n):
    with ctxmem.open(tmp_path / "store", options=small) as memory:
        seen = []
        ids = memory.add_many(items(n), progress=seen.append)

        assert ids == sorted(set(ids))
        assert len(ids) == n
        assert seen[-1] == n
        assert [memory.get(i).text for i in ids] == [item["text"] for item in items(n)]
        assert all(memory.get(i).tokens > 0 for i in ids)
        if n:
            assert {h.segment.id for h in memory.search("+delta", limit=5000)} == {
                i for k, i in enumerate(ids) if k % 7 == 3
            }
            assert memory.add("afterwards").id > ids[-1]
        assert memory.check() == []


@pytest.mark.parametrize("bad", [0, 10, 299, 300, 600, 999])
def test_what_stood_before_a_bad_item_stays(tmp_path, small, bad):
    def some():
        for position, item in enumerate(items(1000)):
            yield {"text": ""} if position == bad else item

    with ctxmem.open(tmp_path / "store", options=small) as memory:
        with pytest.raises(ctxmem.BadInput, match=f"item {bad}: text is empty"):
            memory.add_many(some())
        assert len(memory.search("", limit=2000)) == bad
    with ctxmem.open(tmp_path / "store") as memory:
        assert len(memory.search("", limit=2000)) == bad


def test_an_iterator_that_raises_loses_nothing_before_it(tmp_path, small):
    def some():
        yield from items(700)
        raise OSError("the disk with the source is gone")

    with ctxmem.open(tmp_path / "store", options=small) as memory:
        with pytest.raises(OSError, match="gone"):
            memory.add_many(some())
        assert len(memory.search("", limit=2000)) == 700


def test_keys_make_a_load_repeatable(tmp_path, small):
    keyed = [{"text": f"note {i}", "key": f"k{i}"} for i in range(700)]
    with ctxmem.open(tmp_path / "store", options=small) as memory:
        first = memory.add_many(keyed)
        assert memory.add_many(keyed) == first
        assert memory.add_many(keyed[:5]) == first[:5]
        with pytest.raises(ctxmem.KeyConflict):
            memory.add("other", key="k3")
        with pytest.raises(ctxmem.KeyConflict):
            memory.add_many([*({"text": f"x{i}"} for i in range(400)), {"text": "other", "key": "k3"}])


def test_appends_go_on_during_a_load(tmp_path, small):
    with ctxmem.open(tmp_path / "store", options=small) as memory:
        between = []

        def some():
            for position, item in enumerate(items(900)):
                if position % 100 == 0:
                    between.append(memory.add(f"in between {position}").id)
                yield item

        ids = memory.add_many(some())
        assert len(set(ids) | set(between)) == 909
        assert {memory.get(i).text for i in between} == {f"in between {p}" for p in range(0, 900, 100)}
        assert len(memory.search("between", limit=100)) == 9


def test_workers_give_what_this_process_would():
    texts = [(item["text"] + "\ud800 \0 snake_case", ["Ann"], float(n)) for n, item in enumerate(items(40))]
    with analysis.Workers(2) as workers:
        batches = [workers.submit(texts[at : at + 7]) for at in range(0, 40, 7)]
        found = [row for batch in batches for row in batch.result()]
        assert workers.n_alive == 2  # it was they who answered

    assert found == analysis.analysed(texts)


def test_a_dead_worker_costs_time_only():
    texts = [("some text", [], 0.0)] * 5
    with analysis.Workers(1) as workers:
        assert workers.submit(texts).result() == analysis.analysed(texts)
        for child in workers._children:
            child.kill()
            child.wait()
        assert workers.submit(texts).result() == analysis.analysed(texts)
        assert workers.submit(texts).result() == analysis.analysed(texts)


def test_a_load_by_workers_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "MANY", 300)
    with ctxmem.open(tmp_path / "store", options=ctxmem.Options(load_workers=1)) as memory:
        ids = memory.add_many(items(700))
        assert len(memory.search("+delta", limit=500)) == 100
        assert memory.get(ids[3]).tokens == memory.add(memory.get(ids[3]).text).tokens


def test_what_is_added_after_a_load_that_failed_has_a_higher_id(tmp_path, small):
    with ctxmem.open(tmp_path / "s", options=small) as memory:
        before = memory.add("before").id
        with pytest.raises(ctxmem.BadInput):
            memory.add_many([*items(400), {"text": 3}])
        loaded = max(hit.segment.id for hit in memory.search(limit=1_000))
        assert loaded > before
        assert memory.add("after").id > loaded
