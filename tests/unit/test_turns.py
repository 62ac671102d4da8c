"""What a context leaves on disk beside its segments, and what a call hands back without reading it again."""

import pytest

import ctxmem
from ctxmem import codec
from ctxmem.errors import CorruptSegment, FormatMismatch
from ctxmem.store.localstore import LocalStore
from ctxmem.tables import turns

STATE = {"v": 1, "working": {"groups": {"id": bytes(8_000)}}, "last": 7, "hidden": b"", "read": False}


@pytest.fixture
def store(tmp_path):
    with_store = LocalStore.open(tmp_path / "turns.ctxmem")
    yield with_store
    with_store.close()


def test_an_epoch_comes_back_and_is_stored_small(store):
    with store.batch() as batch:
        turns.put_epoch(batch, 3, 5, STATE)
    with store.snapshot() as snapshot:
        assert turns.epoch(snapshot, 3, 5) == STATE
        assert turns.epoch(snapshot, 3, 6) is None
        assert len(snapshot.get("epochs", bytes([0, 0, 0, 3, 0, 0, 0, 5]))) < 200


def test_collections_come_back_newest_first(store):
    with store.batch() as batch:
        for number in range(40):
            turns.put_collection(batch, 3, number, {"turn": number})
        turns.put_collection(batch, 4, 0, {"turn": 99})
    with store.snapshot() as snapshot:
        found = turns.collections(snapshot, 3, 38)

    assert [number for number, _ in found] == list(range(37, 5, -1))
    assert all(row == {"turn": number} for number, row in found)


def test_a_newer_epoch_is_refused(store):
    with store.batch() as batch:
        batch.put("epochs", bytes(8), codec.pack_large((turns.VERSION + 1, STATE)))
    with store.snapshot() as snapshot, pytest.raises(FormatMismatch, match="upgrade"):
        turns.epoch(snapshot, 0, 0)


@pytest.mark.parametrize("data", [b"", b"nothing compressed", codec.pack_large([1])[:-3]])
def test_bytes_that_do_not_expand_are_corrupt(data):
    with pytest.raises(CorruptSegment):
        codec.unpack_large(data)


def test_an_append_returns_what_the_store_holds(tmp_path):
    call = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.py", "n": [1, 2]}'}}
    with ctxmem.open(tmp_path / "a.ctxmem") as memory:
        context = memory.context("s", model="gpt-4.1")
        made = [
            context.append({"role": "user", "content": "hi"}, tags=["a", "b"], task="T", key="k"),
            context.append({"role": "user", "content": "hi"}, tags=["a", "b"], task="T", key="k"),
            context.append({"role": "assistant", "content": None, "tool_calls": [call]}),
            context.result("c1", "the text", pages=[3, 4]),
            context.append({"role": "user", "content": [{"type": "text", "text": "x"}]}, pinned=True),
        ]
        assert made[0] == made[1]
        assert made == [memory.get(segment.id) for segment in made]
        memory.flush()
        assert made == [memory.get(segment.id) for segment in made]


def test_changing_a_returned_segment_changes_no_stored_one(tmp_path):
    with ctxmem.open(tmp_path / "a.ctxmem") as memory:
        context = memory.context("s", model="gpt-4.1")
        segment = context.append({"role": "user", "content": "login expired"}, tags=["kept"])
        segment.facets["tags"].append("added")
        segment.message["content"] = "changed"
        prompt = context.assemble()

        assert prompt.messages[-1]["content"] == "login expired"
        assert memory.get(segment.id).facets["tags"] == ["kept"]
        assert [hit.segment.id for hit in memory.search("login", tags="kept")] == [segment.id]
        assert memory.search("", tags="added") == []
