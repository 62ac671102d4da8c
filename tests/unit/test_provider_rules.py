"""Every rule of `validate`: a payload that breaks it, beside one that does not."""

import pytest

from ctxmem.errors import BadInput
from ctxmem.providers import validate

USER = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "ok"}


def call(call_id="c1", arguments="{}"):
    return {"id": call_id, "type": "function", "function": {"name": "ls", "arguments": arguments}}


def asks(*calls):
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def out(call_id="c1", content="x"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def codes(payload, provider):
    return [violation.code for violation in validate(payload, provider)]


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [SAID],
        [{"role": "system", "content": "s"}, USER, SAID, {"role": "developer", "content": "s"}, USER],
        [USER, asks(call("a"), call("b")), out("b"), out("a"), USER],
        [asks(call("a")), out("a"), asks(call("a")), out("a")],
        [{"role": "assistant", "content": None, "refusal": "no"}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}],
    ],
)
def test_valid_chats(messages):
    assert validate(messages, "openai") == []
    assert validate({"messages": messages, "model": "gpt-4.1"}, "openai") == []


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "empty"),
        ([7], "not-a-message"),
        ([out()], "orphan-result"),
        ([asks(call())], "unanswered-call"),
        ([asks(call()), USER, out()], "unanswered-call"),
        ([asks(call("a"), call("b")), out("a"), SAID], "unanswered-call"),
        ([asks(call()), out(), out()], "repeated-result"),
        ([asks(call(), call()), out()], "id-repeated"),
        ([asks(call("x" * 41)), out("x" * 41)], "id-refused"),
        ([asks(call("")), out("")], "id-refused"),
        ([asks(call(arguments="{")), out()], "arguments"),
        ([{"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}], "call-shape"),
        ([{"role": "assistant", "content": "x", "tool_calls": []}], "calls-empty"),
        ([{"role": "robot", "content": "x"}], "role"),
        ([{"role": "user", "content": None}], "content-missing"),
        ([{"role": "assistant", "content": None}], "content-missing"),
        ([{"role": "user", "content": []}], "content-empty"),
        ([{"role": "user", "content": 7}], "content-type"),
        ([{"role": "user", "content": [{}]}], "content-type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "content-type"),
        ([asks(call()), out(content=[{"type": "image_url", "image_url": {}}])], "part-role"),
        ([{"role": "user", "content": "\ud800"}], "not-utf8"),
        ([{"role": "user", "content": "x", "n": float("nan")}], "not-json"),
        ([{"role": "user", "content": "x", "n": b"x"}], "not-json"),
    ],
)
def test_broken_chats(messages, code):
    assert code in codes(messages, "openai")


def test_broken_tools():
    assert codes({"messages": [USER], "tools": [{"name": "ls"}]}, "openai") == ["tool-shape"]


# ---- Anthropic


def use(call_id="t1", given=None):
    return {"type": "tool_use", "id": call_id, "name": "ls", "input": {} if given is None else given}


def said(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def got(*ids, text=None):
    blocks = [{"type": "tool_result", "tool_use_id": i, "content": "x"} for i in ids]
    return {"role": "user", "content": [*blocks, *([{"type": "text", "text": text}] if text else [])]}


THOUGHT = {"type": "thinking", "thinking": "so", "signature": "s"}
TEXT = {"type": "text", "text": "a"}
MARK = {"cache_control": {"type": "ephemeral"}}
SYSTEM = {"role": "system", "content": "s"}


@pytest.mark.parametrize(
    ("messages", "model"),
    [
        ([USER], ""),
        ([USER, SAID], "claude-sonnet-4-5"),
        ([USER, said(THOUGHT, TEXT, use("a"), use("b")), got("b", "a", text="go")], ""),
        ([USER, SYSTEM], "claude-opus-5-5"),
        ([USER, SYSTEM, SAID, USER], "claude-opus-5-5"),
    ],
)
def test_valid_messages(messages, model):
    assert validate({"messages": messages, "model": model}, "anthropic") == []


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "empty"),
        ([SAID, USER], "first-not-user"),
        ([USER, SAID], "last-assistant"),
        ([USER, USER], "same-role"),
        ([USER, SYSTEM], "system-role"),
        ([{"role": "tool", "content": "x"}], "role"),
        ([{"role": "user", "content": " "}], "text-empty"),
        ([{"role": "user", "content": []}], "content-empty"),
        ([{"role": "user", "content": 7}], "content-type"),
        ([{"role": "user", "content": [7]}], "content-type"),
        ([{"role": "user", "content": [{"type": "text", "text": "\n"}]}], "text-empty"),
        ([USER, said(use()), USER], "unanswered-call"),
        ([USER, said(use())], "unanswered-call"),
        ([USER, said(use("a"), use("b")), got("a")], "unanswered-call"),
        ([got("a")], "orphan-result"),
        ([USER, said(use("a")), got("a", "a")], "repeated-result"),
        ([USER, said(use("a")), {"role": "user", "content": [TEXT, *got("a")["content"]]}], "result-late"),
        ([USER, said(use("a")), got("a"), said(use("a")), got("a")], "id-repeated"),
        ([USER, said(use("a:1")), got("a:1")], "id-refused"),
        ([USER, said(use(given=[1])), got("t1")], "arguments"),
        ([USER, said({"type": "tool_use", "id": "a", "input": {}}), got("a")], "call-shape"),
        ([{"role": "user", "content": [use()]}, SAID, USER], "block-role"),
        ([{"role": "user", "content": [THOUGHT]}], "block-role"),
        ([USER, said(*got("a")["content"]), USER], "block-role"),
        ([USER, said(TEXT, THOUGHT), USER], "thinking-last"),
        ([USER, said({"type": "thinking", "thinking": "x"}, TEXT), USER], "signature"),
        ([USER, said({**THOUGHT, **MARK}, TEXT), USER], "breakpoint-on-thinking"),
        ([{"role": "user", "content": [{**TEXT, **MARK}] * 5}], "too-many-breakpoints"),
        (
            [USER, said(use("a")), {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": ""}]}]}],
            "text-empty",
        ),
    ],
)  # fmt: skip
def test_broken_messages(messages, code):
    assert code in codes(messages, "anthropic")


def test_system_and_placement():
    assert codes({"messages": [USER], "system": ""}, "anthropic") == ["system-text"]
    assert codes({"messages": [USER], "system": [{"type": "image"}]}, "anthropic") == ["system-text"]
    payload = {"messages": [USER, SYSTEM, USER], "model": "claude-opus-5-5"}
    assert codes(payload, "anthropic") == ["system-place"]
    broken = {"messages": [USER, {"role": "system", "content": [{"type": "image"}]}], "model": "claude-opus-5-5"}
    assert codes(broken, "anthropic") == ["block-role"]


# ---- Responses and Gemini


def fc(call_id="c1", arguments="{}"):
    return {"type": "function_call", "call_id": call_id, "name": "ls", "arguments": arguments}


def fo(call_id="c1"):
    return {"type": "function_call_output", "call_id": call_id, "output": "x"}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([USER, fc(), USER, fo()], []),
        ([{"type": "reasoning", "summary": []}, fc(), fo()], []),
        ([], ["empty"]),
        ([fo()], ["orphan-result"]),
        ([fc()], ["unanswered-call"]),
        ([fc(), fo(), fo()], ["repeated-result"]),
        ([fc(), fo(), fc(), fo()], ["id-repeated", "repeated-result"]),
        ([fc(""), fo("")], ["id-refused"]),
        ([fc(arguments="[")], ["arguments", "unanswered-call"]),
        ([USER, {"type": "reasoning", "summary": []}], ["reasoning-alone"]),
        ([{"type": "reasoning", "summary": []}, fo()], ["reasoning-alone", "orphan-result"]),
        ([{"role": "robot", "content": "x"}], ["role"]),
        ([{"role": "user", "content": None}], ["content-missing"]),
        ([{"role": "user", "content": [{"type": "output_text", "text": "x"}]}], ["part-role"]),
    ],
)
def test_responses(items, expected):
    assert codes(items, "openai-responses") == expected
    assert codes({"input": items}, "openai-responses") == expected


def turn(role, *parts):
    return {"role": role, "parts": list(parts)}


FC = {"functionCall": {"name": "ls", "args": {}}}
FR = {"functionResponse": {"name": "ls", "response": {}}}
HI = {"text": "hi"}


@pytest.mark.parametrize(
    ("contents", "code"),
    [
        ([turn("user", HI)], None),
        ([turn("user", HI), turn("model", FC, FC), turn("user", FR, FR, HI)], None),
        ([], "empty"),
        ([turn("model", HI), turn("user", HI)], "first-not-user"),
        ([turn("user", HI), turn("model", HI)], "last-assistant"),
        ([turn("user", HI), turn("user", HI)], "same-role"),
        ([turn("tool", HI)], "role"),
        ([turn("user")], "content-empty"),
        ([turn("user", {"text": ""})], "text-empty"),
        ([turn("user", FR)], "orphan-result"),
        ([turn("user", HI), turn("model", FC, FC), turn("user", FR)], "unanswered-call"),
        ([turn("user", HI), turn("model", FC)], "unanswered-call"),
        ([turn("user", HI), turn("model", {"functionCall": {"name": "ls", "args": 1}}), turn("user", FR)], "arguments"),
    ],
)
def test_gemini(contents, code):
    found = codes(contents, "gemini")
    assert found == [] if code is None else code in found


def test_what_is_no_payload():
    with pytest.raises(BadInput, match="choose one of anthropic"):
        validate([], "acme")
    for payload in (None, "x", {}, {"messages": "x"}):
        with pytest.raises(BadInput, match="pass a list of messages"):
            validate(payload, "openai")
