"""What a context was told and believed, or showed and should not have: each was found by hostile use."""

import gc
import json
import weakref

import pytest

import ctxmem
from ctxmem.log import Log

HOW = {"model": "gpt-4.1", "window": 20_000}


def user(text):
    return {"role": "user", "content": text}


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as opened:
        yield opened


@pytest.mark.parametrize(
    "usage",
    [{}, {"prompt_tokens": -5}, {"prompt_tokens": "many"}, {"prompt_tokens": 10**9}, {"input_tokens": float("nan")}],
)
def test_a_usage_that_cannot_be_is_refused_and_teaches_nothing(memory, usage):
    context = memory.context("a", model="claude-sonnet-4-5", window=20_000)
    context.append(user("word " * 400))
    context.assemble()
    before = context.tokens
    with pytest.raises(ctxmem.BadInput, match="usage"):
        context.observe(usage)
    assert context.tokens == before
    context.observe({"output_tokens": 5})  # a stream's last event: nothing to learn, nothing wrong
    assert context.tokens == before


def test_a_reply_with_an_absurd_usage_is_appended_all_the_same(memory):
    context = memory.context("a", **HOW)
    context.append(user("hello"))
    context.assemble()
    before = context.tokens
    message = {"role": "assistant", "content": "hi"}
    reply = {"object": "chat.completion", "choices": [{"message": message}], "usage": {"prompt_tokens": 10**9}}
    assert context.append(reply).text == "hi"
    assert before < context.tokens < before + 50


def test_dispatch_takes_the_json_text_that_an_sdk_holds(memory):
    context = memory.context("a", **HOW)
    said = context.append(user("the staging password rotates on mondays"))
    assert "staging" in context.dispatch("memory_read", json.dumps({"id": said.id}))
    assert f"[#{said.id}]" in context.dispatch("memory_search", '{"query": "staging password"}')
    for wrong in ("{", "[]", '"id"', "", "[" * 100_000):
        assert "must be an object" in context.dispatch("memory_read", wrong)


def test_explain_speaks_of_this_session_alone(memory):
    mine, other = memory.context("a", **HOW), memory.context("b", **HOW)
    theirs = other.append(user("a secret of b"))
    with pytest.raises(ctxmem.SegmentNotFound, match="another session"):
        mine.explain(theirs.id)
    assert memory.context("a", **HOW, reads=["b"]).explain(theirs.id).id == theirs.id
    shared = mine.append(user("x"))
    fork = mine.fork("c")
    later = mine.append(user("y"))
    assert fork.explain(shared.id).id == shared.id
    with pytest.raises(ctxmem.SegmentNotFound):
        fork.explain(later.id)


def test_results_of_many_parallel_calls_read_their_message_once(memory, monkeypatch):
    context, reads = memory.context("a", **HOW), []
    calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": "read", "arguments": json.dumps({"path": f"f{i}"})}}
        for i in range(300)
    ]
    context.append({"role": "assistant", "content": None, "tool_calls": calls})
    get = Log.get
    monkeypatch.setattr(Log, "get", lambda log, segment_id: reads.append(segment_id) or get(log, segment_id))
    for i in range(300):
        context.result(f"c{i}", f"content {i}")
    assert len(reads) <= 1
    assert context.open_calls == ()


def test_closed_contexts_are_let_go_of(memory):
    gone = []
    for n in range(50):
        with memory.context(f"s{n}", **HOW) as context:
            context.append(user(f"hello {n}"))
            gone.append(weakref.ref(context))
    del context
    gc.collect()
    assert [ref for ref in gone if ref() is not None] == []
    assert memory.stats()["contexts"] == 0
    assert memory.context("s7", **HOW).assemble().messages[0]["content"] == "hello 7"


def test_a_context_that_is_asked_for_while_it_closes_is_a_new_one(memory):
    first = memory.context("a", **HOW)
    first.append(user("hello"))
    first.close()
    first.close()
    second = memory.context("a", **HOW)
    assert second is not first
    assert memory.context("a", **HOW) is second
    first.close()  # an old handle does not let go of the new one
    assert memory.context("a", **HOW) is second


@pytest.mark.parametrize("reopens_first", [True, False])
def test_a_turn_is_not_given_again_with_other_bytes_once_something_was_forgotten(memory, reopens_first):
    context = memory.context("a", **HOW)
    secret = context.append(user("the code is 4711"))
    first = context.assemble()
    context.close()
    if reopens_first:
        context = memory.context("a", **HOW)
    memory.forget(secret.id)
    again = memory.context("a", **HOW).assemble()
    assert "4711" not in str(again.messages)
    assert again.turn == first.turn + 1
    assert not memory.context("a", **HOW).replay(first.turn).is_complete


def test_odd_arguments_are_refused_by_name_and_any_facet_has_a_name(memory):
    context = memory.context("a", **HOW)
    context.append(user("hello"))
    context.assemble()
    for turn in ("x", 1.5, -1):
        with pytest.raises((ctxmem.BadInput, ctxmem.TurnNotFound)):
            context.observe({"prompt_tokens": 9}, turn=turn)
    for wrong in ("yes", 2, None):
        with pytest.raises(ctxmem.BadInput, match="pinned"):
            context.append(user("x"), pinned=wrong)
        with pytest.raises(ctxmem.BadInput, match="error"):
            context.result("c", "x", error=wrong)
    for policy in ("", [], {}):
        with pytest.raises(ctxmem.BadInput, match="policy"):
            memory.context("b", **HOW, policy=policy)
        with pytest.raises(ctxmem.BadInput, match="policy"):
            memory.context("a", **HOW, policy=policy)
    assert context.dispatch(["memory_read"], {}) is None
    said = context.append(user("named"), self="me", message_id=7)
    assert [hit.segment.id for hit in context.search("", self="me")] == [said.id]
