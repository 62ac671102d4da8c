"""`Memory.forget` of several segments: one commit, all or none."""

import pytest

import ctxmem


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s") as memory:
        yield memory


def test_several_are_forgotten_at_once(memory):
    ids = [memory.add(f"the red cat {n}").id for n in range(5)]
    memory.forget(i for i in ids[:3])

    assert sorted(hit.segment.id for hit in memory.search("cat")) == ids[3:]
    memory.forget([])
    memory.forget(ids[3])
    assert [hit.segment.id for hit in memory.search("cat")] == ids[4:]


def test_none_is_forgotten_where_one_is_not_there(memory):
    kept = memory.add("the red cat").id
    with pytest.raises(ctxmem.SegmentNotFound):
        memory.forget([kept, kept + 1000])

    assert len(memory.search("cat")) == 1


@pytest.mark.parametrize("bad", ["12", ["1"], [True], None, [None], b"1"])
def test_what_is_no_id_is_refused(memory, bad):
    memory.add("the red cat")
    with pytest.raises(ctxmem.BadInput):
        memory.forget(bad)


def test_what_a_context_quoted_of_any_of_them_goes_too(memory):
    ids = [memory.add(f"the password is swordfish{n}", session="notes").id for n in range(2)]
    with memory.context("s", model="gpt-4.1", reads=["notes"]) as context:
        context.append({"role": "user", "content": "what is the password?"})
        call = {
            "id": "c1",
            "type": "function",
            "function": {"name": "memory_search", "arguments": '{"query": "password"}'},
        }
        context.append({"role": "assistant", "content": None, "tool_calls": [call]})
        context.result("c1", context.dispatch("memory_search", {"query": "password"}))
        assert "swordfish1" in str(context.assemble().messages)
        memory.forget(ids)
        assert "swordfish" not in str(context.assemble().messages)
