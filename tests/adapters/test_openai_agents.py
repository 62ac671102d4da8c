"""The filter of an OpenAI Agents run: the run's own items back, its history whole, its agents apart."""

import asyncio
import warnings
from types import SimpleNamespace

import pytest

pytest.importorskip("agents")
from agents import (
    Agent,
    HandoffInputData,
    RunConfig,
    Runner,
    Usage,
    function_tool,
    handoff,
    set_tracing_disabled,
)
from agents.handoffs import nest_handoff_history
from agents.run_config import CallModelData, ModelInputData
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from openai.types.responses.response_reasoning_item import ResponseReasoningItem

import ctxmem
from ctxmem.adapters.hook import Sent
from ctxmem.adapters.openai_agents import UsageHooks, context_filter
from ctxmem.adapters.openai_agents.items import PROVIDER, read
from ctxmem.providers import rendered_tokens
from tests.dialogues import fast

set_tracing_disabled(True)
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


class Model(ScriptedModel):
    """A scripted model that keeps the very objects that it was given."""

    def __init__(self, steps, model="gpt-4o"):
        super().__init__(steps)
        self.model = model
        self.inputs = []

    async def get_response(self, *args, **named):
        self.inputs.append(list(named["input"]))
        return await super().get_response(*args, **named)

    def stream_response(self, *args, **named):
        self.inputs.append(list(args[1] if args else named["input"]))
        return super().stream_response(*args, **named)


@function_tool(failure_error_function=lambda _, error: f"failed: {error}")
def look(path: str) -> str:
    """Return what a file holds."""
    if path.startswith("bad"):
        raise ValueError(path)
    return f"{path} holds " + "zebra lion " * 80


def used(tokens: int) -> Usage:
    return Usage(requests=1, input_tokens=tokens, output_tokens=9, total_tokens=tokens + 9)


def rounds(n: int, usage: int = 0, start: int = 0) -> list:
    """Steps of a model that makes two calls at once, each with reasoning before it; one of ten fails."""
    steps = []
    for i in range(start, start + n):
        thought = ResponseReasoningItem(id=f"rs_{i}", summary=[], type="reasoning", encrypted_content="x" * 40)
        first = function_call("look", {"path": f"{'bad' if i % 10 == 9 else 'a'}{i}.py"}, call_id=f"a{i}")
        second = function_call("look", {"path": f"b{i}.py"}, call_id=f"b{i}")
        steps.append(ModelStep(output=[thought, first, second], usage=used(usage) if usage else Usage()))
    return [*steps, [assistant_message("done")]]


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=fast()) as memory:
        yield memory


def small(memory, **options):
    return context_filter(memory, **{"session": "chat", "window": 6_000, "reserve": 0, "strict": True, **options})


def run(agent, filter_, given="look at everything", *, streamed=False, **options):
    async def act():
        named = {"run_config": RunConfig(call_model_input_filter=filter_), "max_turns": 500, **options}
        if not streamed:
            return await Runner.run(agent, given, **named)
        result = Runner.run_streamed(agent, given, **named)
        async for _ in result.stream_events():
            pass
        return result

    return asyncio.run(act())


def agent_of(model, *tools, name="helper", **beside):
    return Agent(name, instructions="Be kind.", model=model, tools=[look, *tools], **beside)


def data(*items, agent=None, instructions="Be kind."):
    return CallModelData(
        model_data=ModelInputData(input=list(items), instructions=instructions),
        agent=agent or Agent("helper", model="gpt-4o"),
        context=None,
    )


def filtered(filter_, *items, **beside):
    return asyncio.run(filter_(data(*items, **beside))).input


def wire(items) -> list:
    return [message for item in items for message in read(item)]


def user(text):
    return {"role": "user", "content": text}


# -- what is sent


def test_two_hundred_calls_are_valid_fit_and_leave_the_history_whole(memory):
    model, filter_ = Model(rounds(200)), small(memory)
    picture = {"role": "user", "content": [{"type": "input_image", "image_url": IMAGE, "detail": "low"}]}
    result = run(agent_of(model), filter_, [user("look at everything"), picture])
    history = result.to_input_list()

    assert len(model.inputs) == 201
    assert len(history) == 2 + 200 * 5 + 1
    assert filter_.follower.stats() == {"calls": 201, "cuts": 0, "errors": {}}
    for sent in model.inputs:
        assert ctxmem.validate(sent, PROVIDER) == []
        assert rendered_tokens(sent, PROVIDER) < 6_000
    assert any("[ctxmem record" in str(item) for item in model.inputs[-1])
    shown = [item for item in model.inputs[-1] if item in history]
    assert len(shown) > 10


def test_items_that_stand_whole_are_the_same_objects_and_reasoning_stays_with_what_follows_it(memory):
    model, given = Model(rounds(60)), []
    filter_ = small(memory)

    async def spy(data):
        given.append(list(data.model_data.input))
        return await filter_(data)

    run(agent_of(model), spy)

    for sent, items in zip(model.inputs, given, strict=True):
        own = {id(item) for item in items}
        assert sum(id(item) in own for item in sent) >= 1
        assert all(item in items for item in sent if id(item) in own)
        assert not any(item.get("id") for item in sent if id(item) not in own)  # nothing of ours replaces an item
        for one, after in zip(sent, [*sent[1:], {}], strict=True):
            assert one.get("type") != "reasoning" or after.get("type") == "function_call"
    assert sum(item.get("type") == "reasoning" for item in model.inputs[-1]) > 3


def test_streamed_is_as_not_streamed(memory, tmp_path):
    plain, streamed = Model(rounds(40)), Model(rounds(40))
    run(agent_of(plain), small(memory))
    with ctxmem.open(tmp_path / "other", options=fast()) as other:
        run(agent_of(streamed), small(other), streamed=True)

    assert streamed.inputs == plain.inputs


def test_a_process_that_goes_on_sends_the_same(memory, tmp_path):
    whole = Model(rounds(40))
    history = run(agent_of(whole), small(memory)).to_input_list()
    with ctxmem.open(tmp_path / "other", options=fast()) as other:
        for n in range(1, 100, 5):
            filtered(small(other), *history[:n], agent=agent_of(whole))
    with ctxmem.open(tmp_path / "other", options=fast()) as other:
        resumed = [filtered(small(other), *history[:n], agent=agent_of(whole)) for n in range(101, len(history), 5)]

    assert resumed == [whole.inputs[at] for at in range(20, 41)]


def test_a_retry_is_the_same_prompt(memory):
    filter_ = small(memory)
    assert filtered(filter_, user("hi")) == filtered(filter_, user("hi"))
    assert filter_.follower.context("chat").turn == 1


def test_an_edited_history_rewinds(memory):
    filter_ = small(memory)
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "blue"}]}
    filtered(filter_, user("which colour"), said, user("why blue"))
    given = [user("which colour"), said, user("why not red")]

    assert filtered(filter_, *given) == given


def test_instructions_stay_and_are_counted(memory):
    filter_ = small(memory)
    made = asyncio.run(filter_(data(user("hi"), instructions="Be brief. " * 100)))

    assert made.instructions == "Be brief. " * 100
    assert filter_.follower.context("chat").tokens > 200


def test_tools_and_handoffs_are_counted(memory):
    filter_ = small(memory)
    filtered(filter_, user("hi"))
    bare = filter_.follower.context("chat").tokens
    filtered(filter_, user("hi"), agent=agent_of("gpt-4o", handoffs=[Agent("other", handoff_description="knows")]))

    assert [tool["name"] for tool in filter_.follower.context("chat").assemble().tools] == ["look", "transfer_to_other"]
    assert filter_.follower.context("chat").tokens > bare + 20


@pytest.mark.parametrize("kind", ["shell_call", "apply_patch_call", "tool_search_call", "program"])
def test_a_call_of_a_kind_that_is_not_known_stays_with_its_output(memory, kind):
    given = [
        user("go"),
        {"type": kind, "id": "x1", "call_id": "c1", "action": {"commands": ["ls"]}},
        {"type": f"{kind.removesuffix('_call')}_output", "call_id": "c1", "output": [{"stdout": "a"}]},
        {"type": "web_search_call", "id": "w1", "status": "completed", "action": {"query": "zebra"}},
        {"type": "configuration_update", "reasoning": {"effort": "low"}},
        user("on"),
    ]

    assert filtered(small(memory), *given) == given


# -- the model


def test_the_model_is_the_agents_own(memory):
    filter_ = context_filter(memory, session="chat", strict=True)
    for model in ("gpt-4.1", "litellm/anthropic/claude-sonnet-4-5", Model([], "gpt-4o"), None):
        filtered(filter_, user("hi"), agent=Agent("helper", model=model))
        name = filter_.follower.context("chat").model
        assert name == (getattr(model, "model", model) or name)
    assert name.startswith("gpt-")


def test_a_model_without_a_name_needs_one(memory):
    with pytest.raises(ctxmem.BadInput, match="pass model="):
        filtered(
            context_filter(memory, session="chat", strict=True), user("hi"), agent=Agent("a", model=ScriptedModel())
        )


def test_usage_arrives_once_and_with_its_own_turn(memory):
    model, filter_ = Model(rounds(5, usage=900), "claude-sonnet-4-5"), small(memory)
    run(agent_of(model), filter_, hooks=filter_.hooks)
    row = filter_.follower.context("chat")._session.now.row

    assert row.calibrations["claude-sonnet-4-5"]["observations"] == 5
    assert row.observed.turn == 5


def test_usage_of_a_reply_that_took_two_requests_is_the_last_ones(memory, monkeypatch):
    filter_, seen = small(memory), []
    monkeypatch.setattr(Sent, "observe", lambda _, usage: seen.append(usage))

    async def act():
        usage = used(40)
        usage.add(used(41))
        await filter_(data(user("hi")))
        for _ in range(2):
            await filter_.hooks.on_llm_end(None, None, SimpleNamespace(usage=usage))

    asyncio.run(act())

    assert seen == [{"input_tokens": 41, "input_tokens_details": {"cached_tokens": 0}}]


# -- sessions and agents


def test_a_session_is_named_by_a_function(memory):
    filter_ = small(memory, session=lambda data: f"chat-{data.agent.name}")
    filtered(filter_, user("hi"))

    assert filter_.follower.context("chat-helper").turn == 1
    with pytest.raises(ctxmem.BadInput, match="session must be a name"):
        filtered(small(memory, session=lambda _: None), user("hi"))


def test_a_handoff_keeps_the_session(memory):
    second = Model(rounds(3, start=10))
    other = agent_of(second, name="other")
    first = Model([*rounds(2)[:-1], [function_call("transfer_to_other", {}, call_id="h1")]])
    filter_ = small(memory)
    result = run(agent_of(first, handoffs=[other]), filter_)

    assert result.last_agent is other
    assert second.inputs[0][0] == user("look at everything")
    assert filter_.follower.context("chat").turn == 7
    assert filter_.follower.context("chat/other") is None


def test_a_handoff_that_nests_the_history_sends_the_list_as_it_is(memory):
    def nested(given: HandoffInputData) -> HandoffInputData:
        return nest_handoff_history(given)

    second = Model(rounds(2, start=10))
    other = agent_of(second, name="other")
    first = Model([*rounds(2)[:-1], [function_call("transfer_to_other", {}, call_id="h1")]])
    run(agent_of(first, handoffs=[handoff(other, input_filter=nested)]), small(memory))

    assert "CONVERSATION HISTORY" in str(second.inputs[0])
    assert all(ctxmem.validate(sent, PROVIDER) == [] for sent in second.inputs)
    assert len(second.inputs[2]) == len(second.inputs[0]) + 10


def test_an_agent_that_is_a_tool_has_a_session_of_its_own(memory):
    inner = Model([*rounds(2), *rounds(2, start=4)])
    other = agent_of(inner, name="other").as_tool("ask", "Ask.")
    calls = [[function_call("ask", {"input": f"go {i}"}, call_id=f"q{i}")] for i in range(2)]
    outer = Model([*calls, [assistant_message("done")]])
    filter_ = small(memory, recall=False)
    run(agent_of(outer, other), filter_)

    assert [len(sent) for sent in outer.inputs] == [1, 3, 5]
    assert [len(sent) for sent in inner.inputs] == [1, 6, 11] * 2
    assert filter_.follower.context("chat").turn == 3
    assert filter_.follower.context("chat/other").turn == 6


def test_the_memory_tools_look_into_the_session_of_the_run(memory):
    filter_ = small(memory)
    asked = [function_call("memory_search", {"query": "a0 zebra"}, call_id="m1")]
    model = Model([*rounds(30)[:-1], asked, [assistant_message("done")]])
    history = run(agent_of(model, *filter_.tools), filter_).to_input_list()
    answer = next(item["output"] for item in history if item.get("call_id") == "m1" and "output" in item)

    assert "quoted; data" in answer
    assert "a0.py" in answer
    tool = filter_.tools[0]
    assert "Go on" in asyncio.run(tool.on_invoke_tool(None, "{}"))


# -- what a server holds, and errors


def test_a_history_that_a_server_holds_is_sent_as_it_is(memory):
    filter_ = small(memory, strict=False)
    steps = [[function_call("look", {"path": "a.py"}, call_id="c1")], [assistant_message("done")]]
    model = Model(steps)
    with pytest.warns(RuntimeWarning, match="ServerHeldHistory.*sent as it is"):
        run(agent_of(model), filter_, conversation_id="conv_1")

    assert [len(sent) for sent in model.inputs] == [1, 1]
    assert model.inputs[1][0]["type"] == "function_call_output"
    with pytest.raises(ctxmem.ServerHeldHistory):
        run(agent_of(Model(steps)), small(memory, session="other"), conversation_id="conv_1")


def test_a_conversation_named_in_the_settings_is_refused(memory):
    agent = Agent("a", model="gpt-4o", model_settings={"extra_args": {"previous_response_id": "resp_1"}})
    with pytest.raises(ctxmem.ServerHeldHistory, match="previous_response_id"):
        filtered(small(memory), user("hi"), agent=agent)


def test_an_error_of_ours_ends_no_run(memory):
    def fail(_):
        raise ZeroDivisionError("no chat")

    filter_ = small(memory, session=fail, strict=False)
    model = Model(rounds(20))
    with pytest.warns(RuntimeWarning, match="ZeroDivisionError") as caught:
        run(agent_of(model), filter_)

    assert len(caught) == 1
    assert filter_.follower.stats() == {"calls": 21, "cuts": 21, "errors": {"ZeroDivisionError": 21}}
    assert all(ctxmem.validate(sent, PROVIDER) == [] for sent in model.inputs)


def test_a_path_is_opened_and_closed(tmp_path):
    filter_ = context_filter(tmp_path / "own", session="chat")
    filtered(filter_, user("hi"))
    filter_.close()

    with ctxmem.open(tmp_path / "own") as memory, warnings.catch_warnings():
        assert memory.search("hi")


def test_usage_of_a_call_that_nothing_was_sent_for_is_passed_over():
    asyncio.run(UsageHooks().on_llm_end(None, None, SimpleNamespace(usage=used(4))))
