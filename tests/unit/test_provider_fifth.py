"""A fifth provider is one class and one row: a made-up wire shape goes through the whole public surface.

The shape has its own roles, its own names for everything, and no field like anyone else's.
"""

from typing import Any

import pytest
from hypothesis import given

import ctxmem
from ctxmem.context.context import Context
from ctxmem.models import lookup
from ctxmem.providers import Draft, Fit, Renderer, Shape, Text, Violation, rendered_tokens, validate
from ctxmem.providers.neutral import KINDS, Tally
from ctxmem.providers.plain import dumps
from ctxmem.providers.registry import SHAPES
from ctxmem.providers.texts import call_line, join_text, labelled, searched
from ctxmem.segment import Call
from tests.strategies import conversation, groups, units_of

WHO = {"system": "rules", "user": "human", "assistant": "machine", "tool": "world"}
KIND = {who: kind for kind, who in WHO.items()}


class Telegraph(Shape):
    """Lines such as `{"who": "machine", "say": "I look.", "do": [{"ref": "r1", "act": "ls", "with": {}}]}`."""

    __slots__ = ()

    name = "telegraph"
    payload_key = "lines"
    tool_example = '{"act": ..., "takes": ...}'
    cache_ttl_s = 60.0

    def fit(self, message, role, types):  # noqa: ARG002 -- the signature of `Shape`, here and below
        return Fit.WHOLE if "who" in message or "line" in message else Fit.NONE

    def parse(self, message):
        usage = message.get("spent")
        line = message.get("line", message)
        if line.get("who") not in KIND:
            raise ctxmem.BadMessage(f"message.who: {line.get('who')!r}; pass one of {', '.join(KIND)}")
        calls = [Call(one["ref"], one["act"], one["with"]) for one in line.get("do", ())]
        lines = [call_line(call.name, dumps(call.arguments), is_read=True) for call in calls]
        return [
            Draft(
                shape=self.name,
                role=line["who"],
                kind=KIND[line["who"]],
                message=line,
                text=searched(self.content(line), lines),
                calls=tuple(calls),
                call_id=line.get("ref"),
                tokens=self.count_parts([line]) + 16,
                usage=usage,
            )
        ]

    def content(self, message):
        return [Text(message["say"])] if message.get("say") else []

    def own(self, kind, message, variant):  # noqa: ARG002
        line = dict(message)
        if "ref" in line and variant.call_id:
            line["ref"] = variant.call_id
        if "do" in line:
            line["do"] = [{**one, "ref": variant.ids.get(i, one["ref"])} for i, one in enumerate(line["do"])]
        return (line,)

    def write(self, said):
        line: dict[str, Any] = {"who": WHO[said.kind], "say": join_text(labelled(said.parts))}
        if said.calls:
            line["do"] = [{"ref": call.id, "act": call.name, "with": call.arguments} for call in said.calls]
        if said.kind == "tool":
            line["ref"] = said.call_id
        return (line,)

    def count_parts(self, parts):
        tally = Tally(4 * len(parts))
        for line in parts:
            tally.text(line.get("say", ""))
            for one in line.get("do", ()):
                tally.call(one["act"], dumps(one["with"]))
        return tally.tokens

    def input_tokens(self, usage):
        return usage.get("read")

    def check(self, payload, messages):  # noqa: ARG002
        waiting: set[str] = set()
        for index, line in enumerate(messages):
            if line.get("who") not in KIND:
                yield Violation("who", f"lines[{index}].who", f"{line.get('who')!r} is nobody")
            if line.get("who") == "world" and line.get("ref") not in waiting:
                yield Violation("orphan-result", f"lines[{index}]", "nothing was done that this follows from")
            waiting |= {one["ref"] for one in line.get("do", ())}

    def tool(self, name, text, parameters):
        return {"act": name, "for": text, "takes": parameters}

    def tool_name(self, schema):
        return schema.get("act")

    def owns_tool(self, schema):
        return "act" in schema


@pytest.fixture(autouse=True)
def row(monkeypatch):
    monkeypatch.setitem(SHAPES, Telegraph.name, Telegraph())


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as opened:
        yield opened


def context_of(memory, name="a", **chosen) -> Context:
    return memory.context(name, **{"model": "gpt-4.1", "provider": "telegraph", **chosen})


def talk(context):
    """Say the same in this shape and in others, with a call and its result each."""
    context.system("Answer briefly.")
    context.append({"who": "human", "say": "What is in src?"})
    context.append({"who": "machine", "say": "I look.", "do": [{"ref": "r1", "act": "ls", "with": {"path": "src"}}]})
    context.result("r1", "app.py")
    context.append({"role": "user", "content": "And in app.py?"})
    call = {"id": "c2", "type": "function", "function": {"name": "cat", "arguments": '{"path":"src/app.py"}'}}
    context.append({"role": "assistant", "content": None, "tool_calls": [call]})
    context.append({"who": "world", "say": "print(1)", "ref": "c2"})
    return context.assemble()


def test_any_message_is_read_and_written_in_the_shape(memory):
    prompt = talk(context_of(memory))

    assert prompt.provider == "telegraph"
    assert prompt.messages == [
        {"who": "rules", "say": "Answer briefly."},
        {"who": "human", "say": "What is in src?"},
        {"who": "machine", "say": "I look.", "do": [{"ref": "r1", "act": "ls", "with": {"path": "src"}}]},
        {"who": "world", "say": "app.py", "ref": "r1"},
        {"who": "human", "say": "And in app.py?"},
        {"who": "machine", "say": "", "do": [{"ref": "c2", "act": "cat", "with": {"path": "src/app.py"}}]},
        {"who": "world", "say": "print(1)", "ref": "c2"},
    ]
    assert prompt.tokens >= rendered_tokens(prompt.messages, "telegraph")


def test_the_call_takes_messages_and_tools_under_the_shape_s_names(memory):
    tools = ctxmem.tools("telegraph")
    prompt = talk(context_of(memory, tools=tools))
    sent = prompt.kwargs(heat=0)

    assert sent == {"model": "gpt-4.1", "lines": prompt.messages, "tools": tools, "heat": 0}
    assert [tool["act"] for tool in tools] == ["memory_search", "memory_read"]
    assert ctxmem.validate(sent, "telegraph") == []


def test_its_rules_are_checked():
    broken = [{"who": "ghost", "say": "boo"}, {"who": "world", "say": "x", "ref": "r9"}]

    assert [one.code for one in ctxmem.validate({"lines": broken}, "telegraph")] == ["who", "orphan-result"]
    with pytest.raises(ctxmem.BadInput, match="'lines'"):
        ctxmem.validate({"messages": broken}, "telegraph")


def test_tools_of_another_shape_are_refused_either_way(memory):
    with pytest.raises(ctxmem.BadInput, match=r"shape of openai, and this context speaks telegraph: pass \{\"act\""):
        context_of(memory, tools=ctxmem.tools("openai"))
    with pytest.raises(ctxmem.BadInput, match="provider='telegraph'"):
        memory.context("b", model="gpt-4.1", tools=ctxmem.tools("telegraph"))


def test_what_it_cannot_read_is_refused_by_its_own_words(memory):
    with pytest.raises(ctxmem.BadMessage, match=r"message\.who: 'ghost'; pass one of rules, human"):
        context_of(memory).append({"who": "ghost"})


def test_the_usage_of_a_reply_is_observed(memory):
    context = context_of(memory, model="claude-opus-5-5")
    context.append({"who": "human", "say": "How many? " * 200})
    before = context.assemble().tokens
    context.append({"line": {"who": "machine", "say": "Two."}, "spent": {"read": 2 * before}})

    assert context.tokens > 1.3 * before


def test_a_collection_stubs_and_drops_in_the_shape_and_the_model_reads_on(memory):
    context = context_of(memory, window=3_000, reserve=0, tools=ctxmem.tools("telegraph"))
    told = 0
    for number in range(60):
        ask = {"ref": f"r{number}", "act": "cat", "with": {"path": f"src/mod{number}.py"}}
        context.append({"who": "human", "say": f"Read module {number}."})
        context.append({"who": "machine", "do": [ask]})
        context.append({"who": "world", "say": f"def function_{number}(): ...\n" * 40, "ref": f"r{number}"})
        prompt = context.assemble()
        assert validate(prompt.kwargs(), "telegraph") == []
        assert prompt.tokens <= prompt.budget
        assert context.replay(prompt.turn).messages == prompt.messages
        told += sum("memory_read(" in line["say"] for line in prompt.messages if line["who"] == "world")
    assert told, "a stub names the tool that this shape's schemas name"
    assert "function_3" in context.dispatch("memory_search", {"query": "function_3"})


def test_a_session_is_resumed_and_goes_on_with_another_provider(memory):
    first = talk(context_of(memory))
    memory.context("a", model="gpt-4.1", provider="telegraph").close()
    context = context_of(memory)
    assert context.assemble().messages == first.messages

    context.switch("claude-opus-5-5", provider="anthropic")
    prompt = context.assemble()
    assert ctxmem.validate(prompt.kwargs(), "anthropic") == []
    assert prompt.messages[1]["content"][-1] == {"type": "tool_use", "id": "r1", "name": "ls", "input": {"path": "src"}}


@given(groups)
def test_any_conversation_is_valid_and_counted(said):
    renderer = Renderer("telegraph", lookup("gpt-4.1"))
    units = units_of(conversation(said), renderer)
    wire = renderer.join(units)

    assert validate({"lines": wire.messages}, "telegraph") == []
    most = renderer.framing_tokens + sum(unit.tokens for unit in units)
    assert rendered_tokens(wire.messages, "telegraph") <= most
    assert set(KIND) >= {line["who"] for line in wire.messages}
    assert set(KINDS.values()) == set(WHO)
