"""Rewind, drop, fork, switch and reads: what is seen after, what is hidden for good, and what a failure leaves."""

import pytest

import ctxmem
from tests.dialogues import FAST, MODELS, assistant, exchange, fill, seen, text_of, tool, user


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as opened:
        yield opened


def reopened(memory, tmp_path):
    memory.close()
    return ctxmem.open(tmp_path / "s", options=FAST)


def test_rewind_gives_the_prompt_of_that_time(memory, tmp_path):
    context = memory.context("a", model="gpt-4.1", window=6_000)
    context.system("first system")
    fill(context, 2)
    before = context.assemble()
    ids = [context.append(user("wrong turn xylophone")).id]
    context.system("second system")
    ids += exchange(context, 77)
    context.assemble()
    context.rewind(ids[0])
    after = context.assemble()
    assert (after.messages, after.tokens, after.turn) == (before.messages, before.tokens, before.turn + 2)
    assert context.explain(ids[0]).state == context.explain(ids[-1]).state == "hidden"
    assert memory.get(ids[0]).text == "wrong turn xylophone"  # the log keeps all
    assert memory.search("xylophone")
    assert context.search("xylophone") == []
    assert "Nothing found" in context.dispatch("memory_search", {"query": "xylophone"})
    context.append(user("next"))
    assert "xylophone" not in text_of(context.assemble(recall="xylophone part77"))
    expected = seen(context.assemble(recall="xylophone part77"))
    with reopened(memory, tmp_path) as again:
        context = again.context("a", model="gpt-4.1", window=6_000)
        assert context.search("xylophone") == []
        assert seen(context.assemble(recall="xylophone part77")) == expected


def test_rewind_to_a_result_opens_its_call_again(memory):
    context = memory.context("a", model="gpt-4.1")
    context.append(user("go"))
    context.append(assistant(None, ("a", "look", {}), ("b", "look", {})))
    first = context.result("a", "one")
    context.result("b", "two")
    context.assemble()
    context.rewind(first.id)
    assert [call.id for call in context.open_calls] == ["a", "b"]
    context.result("b", "new two")
    prompt = context.assemble()
    assert [m.get("content") for m in prompt.messages[2:]] == ["[no result recorded]", "new two"]
    assert ctxmem.validate(prompt.kwargs(), "openai") == []
    context.rewind(0)
    with pytest.raises(ctxmem.BadInput):
        context.assemble()
    assert context.open_calls == ()


def test_rewind_into_what_the_ledger_tells(memory):
    context = memory.context("a", model="gpt-4.1", window=2_500, reserve=0)
    ids = fill(context, 20)
    told = next(i for i in ids[12:] if context.explain(i).state == "ledger")
    first = ids.index(told) // 4
    context.rewind(ids[4 * first])
    prompt = (
        context.assemble()
        if context._session.now.state.working.group_ids() or context._session.now.state.ledger.pieces
        else None
    )
    said = "" if prompt is None else text_of(prompt)
    assert all(f"part{number}" not in said for number in range(first, 20))
    context.append(user("again"))
    assert ctxmem.validate(context.assemble().kwargs(), "openai") == []


@pytest.mark.parametrize("turns", [2, 14])
def test_drop_hides_the_whole_group_for_good(memory, turns):
    context = memory.context("a", model="gpt-4.1", window=3_000, reserve=0)
    ids = fill(context, 1) + fill(context, turns - 1, start=1)
    context.drop(ids[1])  # the call of the first exchange; with many turns it is in the ledger by now
    said = text_of(context.assemble())
    assert "call_0" not in said
    assert "value0" not in said
    found = {hit.segment.id for hit in context.search("value0 part0 read_file", limit=100)}
    assert found
    assert not found & set(ids[1:3])
    context.append(user("recall it"))
    assert "value0" not in text_of(context.assemble(recall="value0 part0"))
    with pytest.raises(ctxmem.BadInput, match="system"):
        context.drop(context.system("Be brief.").id)


def test_a_fork_shares_and_then_parts(memory, tmp_path):
    parent = memory.context("a", model="gpt-4.1", window=4_000)
    parent.system("first")
    ids = fill(parent, 4)
    at_then = parent.assemble().messages
    cut = ids[-1]
    parent.system("second")
    later = parent.append(user("only the parent knows zeppelin"))
    parent.assemble()
    whole = parent.fork("whole")
    assert whole.turn == 0
    assert whole.assemble().messages == parent.assemble().messages
    early = parent.fork("early", at=cut, model="claude-sonnet-4-5")
    openai = parent.fork("early-openai", at=cut)
    assert openai.assemble().messages == at_then
    assert early.provider == "anthropic"
    assert "zeppelin" not in text_of(early.assemble())
    assert early.search("zeppelin") == []
    with pytest.raises(ctxmem.SegmentNotFound):
        early.restore(later.id)
    own = early.append(user("only the fork knows dirigible"))
    assert "dirigible" not in text_of(parent.assemble())
    assert parent.search("dirigible") == []
    assert own.id > later.id
    for name in ("a", "early"):
        with pytest.raises(ctxmem.BadInput, match="exists"):
            parent.fork(name)
    fill(early, 12, start=100)  # what is new is not taken for old
    assert "part111" in text_of(early.assemble())
    assert early.explain(ids[0]).state in {"shown", "stub", "ledger"}
    shown = seen(early.assemble())
    expected = {turn: seen(early.replay(turn)) for turn in range(1, early.turn + 1)}
    with reopened(memory, tmp_path) as again:
        early = again.context("early", model="claude-sonnet-4-5", window=None)
        assert {turn: seen(early.replay(turn)) for turn in expected} == expected
        assert seen(early.assemble())["kwargs"]["messages"] == shown["kwargs"]["messages"]


def test_a_fork_in_mid_call_answers_for_itself(memory):
    parent = memory.context("a", model="gpt-4.1")
    parent.append(user("go"))
    call = parent.append(assistant(None, ("c", "look", {})))
    fork = parent.fork("b")
    parent.result("c", "the parent saw this")
    fork.result("c", "the fork saw that")
    assert fork.open_calls == () == parent.open_calls
    assert fork.assemble().messages[-1]["content"] == "the fork saw that"
    assert parent.assemble().messages[-1]["content"] == "the parent saw this"
    fill(fork, 3)
    fork.drop(call.id)
    assert fork.search("saw") == []
    assert ctxmem.validate(fork.assemble().kwargs(), "openai") == []


@pytest.mark.parametrize("other", ["claude-sonnet-4-5", "claude-opus-4-1", "gemini-2.5-pro", "gpt-4.1-mini"])
def test_switch_keeps_what_was_said_and_past_turns_stay(memory, tmp_path, other):
    context = memory.context("a", model="gpt-4.1", window=3_000)
    context.system("Be brief.")
    fill(context, 4)
    context.append(
        assistant("hm", ("weird id!", "look", {}), ("d", "look", {})) | {"reasoning_content": "thinking about it"}
    )
    context.result("d", "dee")
    sent = {context.turn: seen(context.assemble())} if False else {}
    for model in (other, "gpt-4.1", other):
        context.switch(model, window=2_000)
        prompt = context.assemble()
        assert prompt.model == context.model
        assert prompt.stable_prefix_tokens == 0
        assert ctxmem.validate(prompt.kwargs(), context.provider) == []
        assert prompt.tokens <= prompt.budget
        sent[prompt.turn] = seen(prompt)
        fill(context, 2, start=10 * prompt.turn)
    context.result("weird id!", "late")
    assert ctxmem.validate(context.assemble().kwargs(), context.provider) == []
    assert {turn: seen(context.replay(turn)) for turn in sent} == sent
    with reopened(memory, tmp_path) as again:
        context = again.context("a", model=other, window=2_000)
        assert {turn: seen(context.replay(turn)) for turn in sent} == sent


def test_a_switch_that_does_not_fit_changes_nothing(memory):
    context = memory.context("a", model="gpt-4.1", window=8_000)
    context.append(user("word " * 3_000), pinned=True)
    before = seen(context.assemble())
    for window in (1_000, 50):
        with pytest.raises(ctxmem.WindowOverflow) as raised:
            context.switch("claude-sonnet-4-5", window=window)
        assert raised.value.roots[0][0] == 0
        assert sorted(raised.value.roots, key=lambda r: -r[1]) == list(raised.value.roots)
        assert context.model == "gpt-4.1"
        assert seen(context.assemble()) == before
    for wrong in ({"model": ""}, {"model": "gpt-4.1", "provider": "x"}, {"model": "gpt-4.1", "window": 0}):
        with pytest.raises(ctxmem.BadInput):
            context.switch(**wrong)
    assert seen(context.assemble()) == before


def test_reads_reach_and_no_further(memory):
    for name in ("library", "diary"):
        memory.add(f"the {name} speaks of okapi", session=name, key="k")
    book = memory.search("okapi", session="library")[0].segment
    diary = memory.search("okapi", session="diary")[0].segment
    context = memory.context("a", model="gpt-4.1", reads=["library", "not there"])
    context.append(user("hello"))
    assert [hit.segment.id for hit in context.search("okapi")] == [book.id]
    assert context.search("okapi", session="diary") == []
    assert "the library speaks" in context.dispatch("memory_read", {"id": book.id})
    assert "There is no item" in context.dispatch("memory_read", {"id": diary.id})
    assert "the diary" not in context.dispatch("memory_search", {"query": "okapi"})
    assert "the library" in text_of(context.assemble(recall="okapi"))
    with pytest.raises(ctxmem.SegmentNotFound, match="reads="):
        context.restore(diary.id)
    every = memory.context("b", model="gpt-4.1", reads="*")
    assert len(every.search("okapi")) == 2
    assert every.restore(diary.id)
    for act in (context.rewind, context.drop):
        with pytest.raises(ctxmem.SegmentNotFound):
            act(book.id)


def test_one_object_for_a_session_and_errors_after_close(memory, tmp_path):
    context = memory.context("a", model="gpt-4.1")
    context.append(user("hello"))
    same = memory.context("a", model="claude-sonnet-4-5", window=5_000)
    assert same is context
    assert context.provider == "anthropic"
    context.close()
    context.close()
    for act in (
        lambda: context.append(user("x")),
        context.assemble,
        context.collect,
        lambda: context.tokens,
        lambda: context.switch("gpt-4.1"),
        lambda: context.restore(0),
        lambda: context.replay(1),
    ):
        with pytest.raises(ctxmem.StoreClosed):
            act()
    fresh = memory.context("a", model="gpt-4.1")
    assert fresh is not context
    assert fresh.assemble().messages == [user("hello")]
    memory.close()
    with pytest.raises(ctxmem.StoreClosed):
        fresh.append(user("x"))
    with pytest.raises(ctxmem.StoreClosed):
        memory.context("a", model="gpt-4.1")


@pytest.mark.parametrize("provider", sorted(MODELS))
def test_an_orphan_result_is_kept_as_text(memory, provider):
    context = memory.context("a", model=MODELS[provider], provider=provider)
    context.append(user("hello"))
    context.append(tool("nobody", "an answer to nothing"))
    prompt = context.assemble()
    assert "an answer to nothing" in text_of(prompt)
    assert ctxmem.validate(prompt.kwargs(), provider) == []
