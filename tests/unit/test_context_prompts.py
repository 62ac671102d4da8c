"""Every prompt is valid, within its budget, counted on the safe side, a prefix of the next, and replayed to the byte."""

import copy
import random
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctxmem
from ctxmem.context.standing import CLOSED_TOKENS
from ctxmem.providers import rendered_tokens
from tests.dialogues import FAST, MODELS, blocks, fast, fill, seen, tool, user
from tests.strategies import groups

# docs/limits.md, "Counting": how far `tokens` may lie above a count of the rendered messages, in o200k tokens.
BOUND_A_PROMPT = 64
BOUND_A_SEGMENT = 16


def play(context, conversation, dice):
    """Append a conversation, some results late, some never; yield after what was appended where a turn may follow."""
    late = []
    for message in (m for group in conversation for m in group):
        if message.get("role") == "tool" and dice.random() < 0.2:
            late.append(message)
            continue
        context.append(message)
        if late and dice.random() < 0.3:
            one = late.pop(dice.randrange(len(late)))
            try:
                context.append(one)
            except ctxmem.KeyConflict:
                assert one["tool_call_id"] not in {call.id for call in context.open_calls}
        if dice.random() < 0.6:
            yield


@settings(max_examples=60)
@given(groups, st.sampled_from(sorted(MODELS)), st.integers(300, 4_000), st.randoms(use_true_random=False))
def test_every_prompt_is_valid_fits_and_is_replayed(conversation, provider, window, dice):
    with tempfile.TemporaryDirectory() as folder, ctxmem.open(folder + "/s", options=FAST) as memory:
        context = memory.context("a", model=MODELS[provider], provider=provider, window=window, reserve=0)
        sent = {}
        for _ in play(context, conversation, dice):
            try:
                prompt = context.assemble()
            except ctxmem.WindowOverflow:
                continue
            assert ctxmem.validate(prompt.kwargs(), provider) == []
            assert prompt.tokens <= prompt.budget
            assert context.tokens == prompt.tokens
            assert_counted(context, prompt)
            sent[prompt.turn] = seen(prompt)
        assert {turn: seen(context.replay(turn)) for turn in sent} == sent


def assert_counted(context, prompt):
    """`tokens` is never below a count from scratch, and above it by a bounded part."""
    counted = rendered_tokens(prompt.messages, prompt.provider, system=prompt.system, tools=prompt.tools)
    estimate = context._session.now.calibration.estimate
    assert estimate(counted) <= prompt.tokens
    records = context._session.log.get_many([*prompt.segments, *prompt.stubs])
    is_own = prompt.system is None and all(record.shape in {prompt.provider, None} for record in records)
    most = BOUND_A_PROMPT + BOUND_A_SEGMENT * len(records) + CLOSED_TOKENS * len(prompt.closed)
    if is_own and not context._session.now.state.inexact and not any(has_reasoning(record) for record in records):
        assert prompt.tokens <= estimate(counted + most)


def has_reasoning(record):
    """Whether reasoning was counted that is perhaps not sent."""
    return "reasoning" in str(record.message) or "thinking" in str(record.message)


@settings(max_examples=40)
@given(groups, st.sampled_from(["openai", "anthropic"]), st.sampled_from([900, 2_500, 60_000]), st.randoms())
def test_a_prompt_is_a_prefix_of_the_next_between_collections(conversation, provider, window, dice):
    with tempfile.TemporaryDirectory() as folder, ctxmem.open(folder + "/s", options=FAST) as memory:
        context = memory.context("a", model=MODELS[provider], provider=provider, window=window, reserve=0)
        before = None
        for _ in play(context, conversation * 3, dice):
            try:
                prompt = context.assemble()
            except ctxmem.WindowOverflow:
                before = None
                continue
            if before is not None and before[0] == context._session.now.state.epoch and not is_filled(before[1]):
                pieces = blocks(before[1])
                assert blocks(prompt)[: len(pieces)] == pieces
                assert prompt.system == before[1].system
            before = context._session.now.state.epoch, prompt


def is_filled(prompt):
    """Whether the join had to add a message of its own at the end, or for want of any: it gives way to the next."""
    fillers = ("[continue]", "[earlier context pruned]")
    return prompt.provider == "anthropic" and prompt.messages[-1]["content"][-1].get("text") in fillers


@pytest.mark.parametrize("provider", sorted(MODELS))
def test_a_retry_is_the_same_turn_and_shares_nothing(tmp_path, provider):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        tools = ctxmem.tools(provider)
        context = memory.context("a", model=MODELS[provider], provider=provider, window=3_000, tools=tools)
        context.system("Be brief.")
        fill(context, 12)
        context.append(user("and now?"))
        extra = [user("today is Monday")]
        first = context.assemble(extra=extra)
        expected = copy.deepcopy(seen(first))
        vandalise(first.kwargs())
        vandalise(first.messages)
        vandalise(first.system)
        vandalise(first.tools)
        again = context.assemble(extra=extra)
        assert seen(again) == expected
        assert again.turn == context.turn
        extra[0]["content"] = "today is Tuesday"
        other = context.assemble(extra=extra)
        assert other.turn == first.turn + 1
        assert "Tuesday" in str(other.messages)
        context.append(user("more"))
        after = context.assemble()
        assert after.tools == tools
        assert "Tuesday" not in str(after.messages)
        assert ctxmem.validate(after.kwargs(), provider) == []


def vandalise(value):
    """Change everything in it, at every depth."""
    for item in list(value.values() if isinstance(value, dict) else value or ()):
        if isinstance(item, dict | list):
            vandalise(item)
    if isinstance(value, dict):
        value["role"] = value["text"] = value["content"] = "vandal"
    elif isinstance(value, list):
        value.append("vandal")


def test_extra_stands_last_is_counted_and_is_not_kept(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", model="gpt-4.1", window=3_000)
        context.append(user("hello"))
        plain = context.tokens
        prompt = context.assemble(extra=[user("todo: one, two")])
        assert prompt.messages[-1]["content"] == "todo: one, two"
        assert prompt.tokens > plain == context.tokens
        assert rendered_tokens(prompt.messages, "openai") <= prompt.tokens
        assert seen(context.replay(1)) == seen(prompt)
        assert len(memory.search("todo")) == 0
        with pytest.raises(ctxmem.WindowOverflow):
            context.assemble(extra=[user("word " * 4_000)])
        assert context.turn == 1


def test_a_changed_system_prompt_ends_the_epoch_and_an_equal_one_does_nothing(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", model="claude-sonnet-4-5", window=8_000)
        context.append(user("hello"))
        assert context.assemble().system is None
        first = context.system("Be brief.")
        prompt = context.assemble()  # set after the first turn
        assert prompt.system[0]["text"] == "Be brief."
        assert prompt.stable_prefix_tokens == 0
        assert context.system("Be brief.").id == first.id
        assert context.append({"role": "system", "content": "Be brief."}).id == first.id
        assert context.assemble().turn == prompt.turn
        context.system("Be long.")
        assert context.assemble().system[0]["text"] == "Be long."
        assert seen(context.replay(prompt.turn)) == seen(prompt)
        assert context.explain(first.id).rule == "system"


def test_closed_calls_are_listed_and_a_late_result_takes_the_place(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", model="gpt-4.1")
        context.append(user("go"))
        calls = [{"id": i, "type": "function", "function": {"name": "look", "arguments": "{}"}} for i in "ab"]
        context.append({"role": "assistant", "content": None, "tool_calls": calls})
        context.append(tool("b", "second"))
        first = context.assemble()
        assert [call.id for call in first.closed] == ["a"] == [call.id for call in context.open_calls]
        assert [m.get("content") for m in first.messages[2:]] == ["[no result recorded]", "second"]
        context.append(user("meanwhile"))
        context.append(tool("a", "first"))
        second = context.assemble()
        assert [m.get("content") for m in second.messages[2:]] == ["first", "second", "meanwhile"]
        assert second.closed == () == context.open_calls
        assert second.stable_prefix_tokens < first.tokens
        assert seen(context.replay(1)) == seen(first)


def test_nothing_to_send_is_an_error_that_says_so(tmp_path):
    with ctxmem.open(tmp_path / "s", options=fast()) as memory:
        context = memory.context("a", model="gpt-4.1")
        with pytest.raises(ctxmem.BadInput, match="append a message first"):
            context.assemble()
        assert context.turn == 0
        context.append(user("hello"))
        assert context.assemble().turn == 1


def test_a_late_result_during_a_commit_leaves_that_turn_as_it_was(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", model="gpt-4.1")
        context.append(user("go"))
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        context.append({"role": "assistant", "content": None, "tool_calls": [call]})
        commit = memory._log.commit

        def late(write=None):
            context.append(tool("c", "came late"))
            return commit(write)

        memory._log.commit = late
        first = context.assemble()
        memory._log.commit = commit
        assert first.messages[-1]["content"] == "[no result recorded]"
        second = context.assemble()
        assert second.turn == 2
        assert second.messages[-1]["content"] == "came late"
        assert seen(context.replay(1)) == seen(first)
        assert seen(context.replay(2)) == seen(second)


def test_many_small_random_windows_never_overrun(tmp_path):
    dice = random.Random(7)
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        for window in range(600, 4_000, 500):
            context = memory.context(f"w{window}", model="gpt-4.1", window=window, reserve=0)
            for number in range(25):
                context.append(user(f"item {number} " + "word " * dice.randrange(90)))
                prompt = context.assemble()
                assert prompt.tokens <= prompt.budget == window
                assert ctxmem.validate(prompt.kwargs(), "openai") == []
