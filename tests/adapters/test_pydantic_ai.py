"""The capability of a Pydantic AI agent: its own messages back, its history whole, what it notes for itself kept."""

import asyncio
import copy
import warnings
from itertools import pairwise
from types import SimpleNamespace

import pytest

pytest.importorskip("pydantic_ai")
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    InstructionBaselinePart,
    InstructionDeltaPart,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext as Context
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.usage import RequestUsage, UsageLimits

import ctxmem
from ctxmem.adapters.pydantic_ai import ContextCapability
from ctxmem.adapters.pydantic_ai.messages import finished, make, read
from ctxmem.providers import rendered_tokens
from tests.dialogues import fast

PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x04\x00\x00\x00\xb5\x1c\x0c\x02"
    b"\x00\x00\x00\x0bIDATx\xdacd\xf8\x0f\x00\x01\x05\x01\x01\x18\xe3f\x00\x00\x00\x00IEND\xaeB`\x82"
)


class Script:
    """A model that makes two calls at once, then says that it is done; it keeps the messages that it was given."""

    def __init__(self, rounds: int, usage: int = 0):
        self.rounds, self.usage, self.seen, self.step = rounds, usage, [], 0

    def calls(self) -> list:
        i, self.step = self.step, self.step + 1
        if i >= self.rounds:
            return []
        return [("look", f"{'bad' if i % 10 == 9 else 'a'}{i}.py", f"a{i}"), ("look", f"b{i}.py", f"b{i}")]

    def answer(self, messages, _) -> ModelResponse:
        self.seen.append(list(messages))
        thinking = ThinkingPart("hm " * 20, signature="sig", provider_name="function")
        calls = [ToolCallPart(name, {"path": path}, call_id) for name, path, call_id in self.calls()]
        usage = RequestUsage(input_tokens=self.usage, cache_read_tokens=7 if self.usage else 0)
        return ModelResponse(parts=[thinking, *(calls or [TextPart("done")])], usage=usage)

    async def stream(self, messages, _):
        self.seen.append(list(messages))
        calls = self.calls()
        if not calls:
            yield "done"
        for at, (name, path, call_id) in enumerate(calls):
            yield {at: DeltaToolCall(name, f'{{"path": "{path}"}}', tool_call_id=call_id)}

    def model(self, name="gpt-4o") -> FunctionModel:
        return FunctionModel(self.answer, stream_function=self.stream, model_name=name)


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=fast()) as memory:
        yield memory


class Spied(ContextCapability):
    """Keeps what it was given, and what it sent."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.seen = []

    async def prepare_model_request(self, ctx, request_context):
        made = await super().prepare_model_request(ctx, request_context)
        self.seen.append((request_context, list(made.messages)))
        return made


def small(memory, **options):
    return Spied(memory, **{"window": 6_000, "reserve": 0, "strict": True, **options})


def agent_of(model, *capabilities, **beside):
    agent = Agent(model, instructions="Be kind.", capabilities=capabilities, retries=3, **beside)

    @agent.tool_plain
    def look(path: str) -> str:
        """Return what a file holds."""
        if path.startswith("bad"):
            raise ModelRetry(f"no file {path}")
        return f"{path} holds " + "zebra lion " * 80

    return agent


def ran(agent, given, **named):
    limits = UsageLimits(request_limit=None)
    return asyncio.run(agent.run(given, usage_limits=limits, **named))


def wire(messages) -> list:
    return [each for message in messages for each in read(message)]


def request(*parts) -> ModelRequest:
    return ModelRequest(parts=list(parts))


def call(call_id, name="look") -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart(name, {}, call_id)])


def back(call_id, text="fine") -> ToolReturnPart:
    return ToolReturnPart("look", text, call_id)


# -- what is sent


def test_two_hundred_requests_are_valid_fit_and_leave_the_history_whole(memory):
    script, capability = Script(200), small(memory)
    agent = agent_of(script.model(), capability, system_prompt="You are careful.")
    given = ["look at everything", BinaryContent(PIXEL, media_type="image/png"), ImageUrl("https://x.y/a.png")]
    result = ran(agent, given, conversation_id="chat")
    history = result.all_messages()

    assert len(script.seen) == 201
    assert len(history) == 402
    assert capability.follower.stats() == {"calls": 201, "cuts": 0, "errors": {}}
    for sent in script.seen:
        assert ctxmem.validate(wire(sent), "openai") == []
        assert rendered_tokens(wire(sent), "openai", system="Be kind.") < 6_000
        assert sent[0].parts[0].content == "You are careful."
        assert isinstance(sent[-1], ModelRequest)
    for given, sent in capability.seen:
        own = {id(message) for message in given.messages}
        assert sent[-1] is given.messages[-1]
        assert sum(id(message) in own for message in sent) >= min(len(own), 2)
    assert any("[ctxmem record" in str(message) for message in script.seen[-1])


def test_no_message_of_the_history_is_changed(memory):
    script = Script(40)
    agent = agent_of(script.model(), small(memory))
    history = ran(agent, "look at everything", conversation_id="chat").all_messages()
    before = copy.deepcopy(history)
    ran(agent, "again", message_history=history, conversation_id="chat")

    assert history == before


def test_streamed_is_as_not_streamed(memory, tmp_path):
    plain, streamed = Script(40), Script(40)

    async def run(agent):
        async with agent.run_stream(
            "look", conversation_id="chat", usage_limits=UsageLimits(request_limit=None)
        ) as result:
            await result.get_output()

    with ctxmem.open(tmp_path / "other", options=fast()) as other:
        asyncio.run(run(agent_of(streamed.model(), small(other))))
    plain.answer = lambda messages, info: ModelResponse(
        parts=[part for part in Script.answer(plain, messages, info).parts if not isinstance(part, ThinkingPart)]
    )
    ran(agent_of(plain.model(), small(memory)), "look", conversation_id="chat")

    assert [wire(sent) for sent in streamed.seen] == [wire(sent) for sent in plain.seen]


def test_a_process_that_goes_on_sends_the_same(memory, tmp_path):
    capability = small(memory)
    ran(agent_of(Script(60).model(), capability), "look", conversation_id="chat")
    resumed = []
    for seen in (capability.seen[:30], capability.seen[30:]):
        with ctxmem.open(tmp_path / "other", options=fast()) as other:
            again = small(other)
            for given, _ in seen:
                asyncio.run(again.prepare_model_request(SimpleNamespace(conversation_id="chat"), given))
            resumed += again.seen

    assert [wire(sent) for _, sent in resumed] == [wire(sent) for _, sent in capability.seen]


async def prepared(capability, messages, model="gpt-4o", **parameters):
    """What is sent of messages, by the capability's own hook."""
    tools = ModelRequestParameters(**parameters)
    named = SimpleNamespace(model_name=model)
    context = Context(model=named, messages=list(messages), model_settings=None, model_request_parameters=tools)
    made = await capability.prepare_model_request(SimpleNamespace(conversation_id="chat"), context)
    return made.messages


def sent_of(memory, *messages, **options):
    return asyncio.run(prepared(small(memory, **options), messages))


def test_a_request_with_results_and_a_prompt_is_one_message(memory):
    given = [
        request(UserPromptPart("go")),
        call("c1"),
        request(back("c1"), UserPromptPart("and then")),
        ModelResponse(parts=[TextPart("well")]),
        request(UserPromptPart("on")),
    ]

    assert [id(message) for message in sent_of(memory, *given)] == [id(message) for message in given]


def test_a_cut_inside_a_request_is_a_new_request(memory):
    long = [
        part
        for i in range(8)
        for part in (call(f"c{i}"), request(back(f"c{i}", f"zebra {i} " * 400), UserPromptPart(f"task {i}")))
    ]
    given = [request(UserPromptPart("go")), *long]
    sent, capability = [], small(memory)
    for n in range(1, len(given) + 1, 2):
        sent = asyncio.run(prepared(capability, given[:n]))
    own = {id(message) for message in given}
    new = [message for message in sent if id(message) not in own]

    assert any(isinstance(part, ToolReturnPart) and "cut:" in str(part.content) for m in new for part in m.parts)
    assert all(part.tool_name == "look" for m in new for part in m.parts if isinstance(part, ToolReturnPart))
    assert {f"task {i}" for i in range(8)} <= {
        part.content for m in sent for part in m.parts if isinstance(part, UserPromptPart)
    }
    assert ctxmem.validate(wire(sent), "openai") == []


def test_a_retry_feedback_and_a_failed_call_are_read(memory):
    script = Script(10)
    history = ran(agent_of(script.model(), small(memory)), "look", conversation_id="chat").all_messages()
    retried = [part for message in history for part in message.parts if getattr(part, "outcome", "") == "retried"]

    assert [part.tool_call_id for part in retried] == ["a9"]
    assert "no file bad9.py" in str(read(request(*retried)))
    feedback = RetryFeedbackPart("make it shorter", retry=RetryInfo(cause="model_retry"))
    assert read(request(feedback))[0]["role"] == "user"


def test_an_edited_history_rewinds(memory):
    capability = small(memory)
    first = [
        request(UserPromptPart("which colour")),
        ModelResponse(parts=[TextPart("blue")]),
        request(UserPromptPart("why")),
    ]
    edited = [*first[:2], request(UserPromptPart("why not red"))]
    asyncio.run(prepared(capability, first))

    assert asyncio.run(prepared(capability, edited)) == edited


def test_what_the_framework_notes_for_itself_is_kept(memory):
    baseline = InstructionBaselinePart(instructions=[])
    delta = InstructionDeltaPart(id="run:style", content="Be brief.")
    given = [request(UserPromptPart("go"))]
    for i in range(30):
        given += [call(f"c{i}"), request(back(f"c{i}", f"zebra {i} " * 60), *([baseline, delta] if i == 1 else []))]
    sent, capability = [], small(memory)
    for n in range(1, len(given) + 1, 2):
        sent = asyncio.run(prepared(capability, given[:n]))
    parts = [part for message in sent for part in message.parts]

    assert given[4] not in sent
    assert [part for part in parts if part is baseline or part is delta] == [baseline, delta]
    assert "pyai" not in str([part for part in parts if isinstance(part, SystemPromptPart)])
    for one, after in pairwise(sent):
        assert not isinstance(one, ModelResponse) or isinstance(after.parts[0], ToolReturnPart)


def test_thinking_that_cannot_stay_is_left_out_of_a_copy():
    thinking = ThinkingPart("hm", signature="s", provider_name="anthropic")
    own = ModelResponse(parts=[thinking, TextPart("well"), ToolCallPart("look", {}, "c1")], model_name="claude")
    stripped = {key: value for key, value in read(own)[0].items() if key != "reasoning_content"}
    (made,) = make([stripped], "stub", [own])

    assert made.parts == own.parts[1:]
    assert made.model_name == "claude"
    assert own.parts[0] is thinking


def test_the_list_ends_with_a_request_and_results_have_their_tools_name():
    last = request()
    given = [request(UserPromptPart("go")), call("c1", "jump"), last]
    (closing,) = make([{"role": "tool", "tool_call_id": "c1", "content": "[no result recorded]"}], "closed", [])
    (more,) = make([{"role": "user", "content": "notes"}], "recall", [])
    sent = finished([given[0], given[1], closing, more], given)

    assert [type(part) for part in sent[-1].parts] == [ToolReturnPart, UserPromptPart]
    assert sent[-1].parts[0].tool_name == "jump"
    assert finished(given[:2], given)[-1] is last


# -- the model, its tools and what it used


def test_instructions_and_tools_are_counted(memory):
    capability = small(memory)
    agent = agent_of(Script(1).model(), capability)
    ran(agent, "look", conversation_id="chat")
    prompt = capability.follower.context("chat").replay(1)

    assert prompt.messages[0] == {"role": "system", "content": "Be kind."}
    assert [tool["function"]["name"] for tool in prompt.tools] == ["look", "memory_search", "memory_read"]


def test_the_model_that_serves_the_request_counts(memory):
    capability = small(memory)
    for name in ("gpt-4.1", "claude-sonnet-4-5"):
        ran(agent_of(Script(0).model(name), capability), "hi", conversation_id=name)
        assert capability.follower.context(name).model == name
    several = FallbackModel(Script(0).model("gpt-4.1"), Script(0).model("gpt-4o"))
    ran(agent_of(several, capability), "hi", conversation_id="several")
    assert capability.follower.context("several").model == "gpt-4o"


def test_usage_arrives_once(memory):
    capability = small(memory)
    ran(agent_of(Script(5, usage=900).model("claude-sonnet-4-5"), capability), "look", conversation_id="chat")
    row = capability.follower.context("chat")._session.now.row

    assert row.calibrations["claude-sonnet-4-5"]["observations"] == 6
    assert row.observed.turn == 6


def test_sessions_are_conversations_or_named(memory):
    capability = small(memory)
    ran(agent_of(Script(0).model(), capability), "hi", conversation_id="c7")
    assert capability.follower.context("c7").turn == 1
    named = small(memory, session=lambda ctx: f"mine-{ctx.conversation_id}")
    ran(agent_of(Script(0).model(), named), "hi", conversation_id="c7")
    assert named.follower.context("mine-c7").turn == 1


def test_the_memory_tools_look_into_the_session_of_the_run(memory):
    def answer(messages, _):
        if len(messages) > 1:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart("memory_search", {"query": "zebra"}, "m1")])

    memory.add("The zebra password rotates on Mondays.", session="notes")
    capability = small(memory, reads="*", recall=False)
    result = ran(agent_of(FunctionModel(answer, model_name="gpt-4o"), capability), "look", conversation_id="chat")

    assert "Mondays" in result.all_messages()[2].parts[0].content


# -- what a server holds, and errors


@pytest.mark.parametrize(
    ("settings", "is_held"),
    [
        ({"openai_previous_response_id": "resp_1"}, True),
        ({"openai_conversation_id": "conv_1"}, True),
        ({"openai_previous_response_id": "auto"}, False),
        ({}, False),
    ],
)
def test_a_history_that_a_server_holds_is_sent_as_it_is(memory, settings, is_held):
    capability = small(memory, strict=False)
    agent = agent_of(Script(2).model(), capability)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        ran(agent, "look", conversation_id="chat", model_settings=settings)

    assert capability.follower.stats()["errors"] == ({"ServerHeldHistory": 3} if is_held else {})
    assert len([one for one in caught if "sent as it is" in str(one.message)]) == is_held


def test_an_error_of_ours_ends_no_run(memory):
    def fail(_: RunContext) -> str:
        raise ZeroDivisionError("no chat")

    script, capability = Script(20), small(memory, session=fail, strict=False)
    with pytest.warns(RuntimeWarning, match="ZeroDivisionError") as caught:
        ran(agent_of(script.model(), capability), "look")

    assert len(caught) == 1
    assert capability.follower.stats() == {"calls": 21, "cuts": 21, "errors": {"ZeroDivisionError": 21}}
    assert all(ctxmem.validate(wire(sent), "openai") == [] for sent in script.seen)


def test_strict_raises(memory):
    with pytest.raises(ctxmem.BadInput, match="in no table"):
        ran(agent_of(Script(0).model("model-9"), ContextCapability(memory, strict=True)), "hi")


def test_a_path_is_opened_and_closed(tmp_path):
    capability = ContextCapability(tmp_path / "own")
    ran(agent_of(Script(0).model(), capability), "hi", conversation_id="chat")
    capability.close()

    with ctxmem.open(tmp_path / "own") as memory:
        assert memory.search("hi")
