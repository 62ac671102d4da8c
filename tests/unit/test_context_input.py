"""Wrong input is a typed error that names the remedy, and changes nothing; usage calibrates as it should."""

import datetime as dt

import pytest

import ctxmem
from tests.dialogues import FAST, assistant, exchange, fill, seen, tool, user


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as opened:
        yield opened


class Odd:
    """Nothing that any SDK returns."""


APPEND = [
    ((None,), {}),
    (("hello",), {}),
    (([user("a"), user("b")],), {}),
    (({},), {}),
    (({"role": "robot", "content": "x"},), {}),
    (({"role": "user"},), {}),
    (({"role": "user", "content": 7},), {}),
    (({"role": "user", "content": b"x"},), {}),
    (({"role": "user", "content": [{"type": "text"}]},), {}),
    (({"role": "user", "content": float("nan")},), {}),
    (({"role": "tool", "content": "no id"},), {}),
    ((Odd(),), {}),
    ((user("x"),), {"key": ""}),
    ((user("x"),), {"key": 7}),
    ((user("x"),), {"key": "k" * 1_000}),
    ((user("x"),), {"refs": "12"}),
    ((user("x"),), {"refs": [-1]}),
    ((user("x"),), {"refs": [True]}),
    ((user("x"),), {"refs": 7}),
    ((user("x"),), {"at": "now"}),
    ((user("x"),), {"at": dt.datetime(2026, 1, 1)}),  # noqa: DTZ001 - naive on purpose
    ((user("x"),), {"at": float("inf")}),
    ((user("x"),), {"at": 1.7e12}),
    ((user("x"),), {"task": 1.5}),
    ((user("x"),), {"task": {"a": 1}}),
    ((user("x"),), {"tags": [None]}),
    ((user("x"),), {"kind": "reserved"}),
    ((user("x"),), {"n": 2**70}),
    ((user("x"),), {"file": "f" * 1_000}),
    ((user("x"),), {"file": "\ud800"}),
    (({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "other"}]},), {}),
    ((tool("c", "other"),), {}),
    ((user("other"),), {"key": "taken"}),
]
RESULT = [
    ("", "x"),
    (None, "x"),
    (7, "x"),
    ("c", Odd()),
    ("c", b"x"),
    ("c", float("nan")),
    ("c", "other"),
    ("c", [{1: 2}]),
]


def test_a_wrong_message_changes_nothing(memory):
    context = memory.context("a", model="gpt-4.1", window=3_000)
    context.append(user("hello"), key="taken")
    context.append(assistant(None, ("c", "look", {}), ("d", "look", {})))
    context.result("c", "one")
    memory.flush()
    before = state_of(memory, context)
    for arguments, named in APPEND:
        with pytest.raises(ctxmem.CtxMemError) as raised:
            context.append(*arguments, **named)
        assert isinstance(raised.value, ValueError)
        assert len(str(raised.value)) > 15
        assert state_of(memory, context) == before, (arguments, named)
    for call_id, content in RESULT:
        with pytest.raises(ctxmem.BadInput):
            context.result(call_id, content)
        assert state_of(memory, context) == before
    for content in (None, 7, b"x", Odd(), [7]):
        with pytest.raises(ctxmem.BadInput):
            context.system(content)
        assert state_of(memory, context) == before
    assert memory.check() == []


def state_of(memory, context):
    """What would have changed: what waits, the newest id, the prompt to come."""
    shown = context._session.now.state
    return (
        memory.stats()["queued_entries"],
        shown.last_id,
        context.tokens,
        context.open_calls,
        context.turn,
    )


def test_wrong_choices_of_a_turn_change_nothing(memory):
    context = memory.context("a", model="gpt-4.1", window=3_000)
    fill(context, 2)
    expected = seen(context.assemble())
    calls = [
        {"recall": 7},
        {"recall_tokens": -1},
        {"recall": "x", "recall_tokens": "many"},
        {"extra": "hello"},
        {"extra": user("x")},
        {"extra": 7},
        {"extra": [7]},
        {"extra": [{"role": "robot", "content": "x"}]},
        {"extra": [Odd()]},
    ]
    for named in calls:
        with pytest.raises(ctxmem.BadInput):
            context.assemble(**named)
        assert seen(context.assemble()) == expected
    acts = [
        (context.rewind, 10**6),
        (context.drop, 10**6),
        (context.rewind, "0"),
        (context.drop, None),
        (context.explain, 10**6),
        (context.replay, 0),
        (context.replay, 99),
        (context.replay, "1"),
        (context.collect, 0),
        (context.plan, "x"),
        (context.fork, ""),
        (context.fork, 7),
        (lambda at: context.fork("b", at=at), 10**6),
        (lambda model: context.fork("b", model=model), ""),
        (lambda limit: context.search("x", limit=limit), 0),
        (context.search, 7),
        (context.observe, None),
        (context.observe, 7),
        (lambda turn: context.observe({"prompt_tokens": 9}, turn=turn), 99),
        (lambda model: memory.context("c", model=model), ""),
        (lambda window: memory.context("c", model="gpt-4.1", window=window), 0),
        (lambda window: memory.context("c", model="gpt-4.1", window=window, reserve=5_000), 4_000),
        (lambda tools: memory.context("c", model="gpt-4.1", tools=tools), "x"),
        (lambda tools: memory.context("c", model="gpt-4.1", tools=tools), 7),
        (lambda tools: memory.context("c", model="gpt-4.1", tools=tools), [7]),
        (lambda reads: memory.context("c", model="gpt-4.1", reads=reads), "other"),
        (lambda reads: memory.context("c", model="gpt-4.1", reads=reads), 7),
        (lambda name: memory.context(name, model="gpt-4.1"), "\ud800"),
        (lambda policy: memory.context("c", model="gpt-4.1", policy=policy), {"low": 0.5}),
        (lambda low: memory.context("c", model="gpt-4.1", policy=ctxmem.Policy(low=low)), -1),
        (lambda low: memory.context("c", model="gpt-4.1", policy=ctxmem.Policy(low=low, high=0.2)), 0.5),
        (lambda keep: memory.context("c", model="gpt-4.1", policy=ctxmem.Policy(keep_recent=keep)), -1),
    ]
    for act, given in acts:
        with pytest.raises((ctxmem.BadInput, ctxmem.SegmentNotFound, ctxmem.TurnNotFound)) as raised:
            act(given)
        assert len(str(raised.value)) > 10
        assert seen(context.assemble()) == expected
    assert memory._log.session("c", create=False) is None
    assert context.fork("b").turn == 0  # what failed before left the name free
    with pytest.raises(ctxmem.ToolsChanged):
        context.assemble().kwargs(tools=[{"type": "function"}])


def test_a_callers_own_reading_of_calls_is_heard(tmp_path):
    options = ctxmem.Options(
        durability="unsafe", facets_of_call=lambda name, _: {"file": 1.5} if name == "bad" else {"tag": name}
    )
    with ctxmem.open(tmp_path / "s", options=options) as memory:
        context = memory.context("a", model="gpt-4.1")
        context.append(user("hello"))
        context.append(assistant(None, ("a", "good", {}), ("b", "bad", {})))
        assert context.result("a", "x").facets["tag"] == "good"
        with pytest.raises(ctxmem.BadInput, match="file"):
            context.result("b", "x")
        assert [call.id for call in context.open_calls] == ["b"]
        two = [{"type": "tool_result", "tool_use_id": i, "content": "quagga"} for i in ("new", "b")]
        with pytest.raises(ctxmem.BadInput):
            context.append({"role": "user", "content": two})
        assert "quagga" not in str(context.assemble().messages)


def test_a_segment_that_was_returned_is_the_callers(memory):
    context = memory.context("a", model="gpt-4.1")
    message = user("hello") | {"name": "ann"}
    said = context.append(message, tags=["a"])
    message["content"] = said.message["content"] = "vandal"
    said.facets["tags"].append("vandal")
    assert memory.get(said.id).message == user("hello") | {"name": "ann"}
    assert memory.get(said.id).facets == {"tags": ["a"]}
    assert context.assemble().messages[0]["content"] == "hello"
    assert memory.search(tags="vandal") == []


# -- usage


def test_usage_raises_at_once_lowers_slowly_and_replaces(memory, tmp_path):
    context = memory.context("a", model="claude-sonnet-4-5", window=50_000)
    context.append(user("word " * 3_000))
    first = context.assemble()
    assert not first.exact
    assert first.budget == int(45_000 * 0.99)
    context.observe({"input_tokens": 2 * first.tokens})
    raised = context.tokens
    assert raised >= 2 * first.tokens - 2
    context.observe({"input_tokens": first.tokens}, turn=1)  # the same turn: replaces
    assert context.tokens == first.tokens
    context.observe({"input_tokens": 2 * first.tokens}, turn=1)
    assert context.tokens == raised
    context.append(user("more"))
    second = context.assemble()
    context.observe({"input_tokens": second.tokens // 2})
    assert 0.9 * second.tokens < context.tokens < second.tokens
    context.observe({"output_tokens": 5})
    learned = context.tokens
    memory.flush()
    memory.close()
    with ctxmem.open(tmp_path / "s", options=FAST) as again:
        context = again.context("a", model="claude-sonnet-4-5", window=50_000)
        assert context.tokens == learned


def test_an_exact_model_is_counted_not_learned(memory):
    context = memory.context("a", model="gpt-4.1", window=50_000)
    context.append(user("word " * 3_000))
    first = context.assemble()
    assert first.exact
    assert first.budget == 45_000
    context.observe({"prompt_tokens": 9 * first.tokens})
    assert context.tokens == first.tokens


def test_a_reply_is_observed_and_odd_usage_does_no_harm(memory):
    context = memory.context("a", model="claude-sonnet-4-5", window=50_000)
    context.append(user("word " * 3_000))
    first = context.assemble()
    for usage in (
        {"input_tokens": 2 * first.tokens, "output_tokens": 3},
        {"input_tokens": "many"},
        {"input_tokens": -5},
    ):
        reply = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "ok"}], "usage": usage}
        context.append(reply | {"stop_reason": "end_turn"})
        assert context.tokens > 2 * first.tokens - 5


def test_a_cold_turn_collects_to_low(memory):
    how = {"model": "gpt-4.1", "window": 8_000, "reserve": 0}
    warm, cold = (memory.context(name, **how) for name in ("warm", "cold"))
    for number in range(100):
        for context in (warm, cold):
            exchange(context, number)
        last = [context.assemble() for context in (warm, cold)]
        if 0.75 < last[0].tokens / last[0].budget < 0.85:
            break
    assert last[0].tokens == last[1].tokens
    warm.observe({"prompt_tokens": last[0].tokens, "prompt_tokens_details": {"cached_tokens": 3_000}})
    cold.observe({"prompt_tokens": last[0].tokens, "prompt_tokens_details": {"cached_tokens": 0}})
    for context in (warm, cold):
        context.append(user("next"))
    assert warm.assemble().collection is None
    prompt = cold.assemble()
    assert prompt.collection is not None
    assert prompt.stable_prefix_tokens == 0
    assert cold.replay(prompt.turn).stable_prefix_tokens == 0
