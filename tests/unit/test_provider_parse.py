"""Reading messages: every shape, dicts and the SDKs' own objects, and every refusal."""

import contextlib
import math

import anthropic.types as at
import openai.types.chat as oc
import openai.types.responses as orr
import pytest
from hypothesis import given, settings

from ctxmem.errors import BadMessage
from ctxmem.models import lookup
from ctxmem.providers import Renderer, parse, result_message
from tests.strategies import PNG, record_of, soup

CALL = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": '{"p": null}'}}


def one(message, **how):
    (draft,) = parse(message, **how)
    return draft


# ---- OpenAI chat


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        ({"role": "system", "content": "be kind"}, "system", "be kind"),
        ({"role": "developer", "content": [{"type": "text", "text": "a"}]}, "system", "a"),
        ({"role": "user", "content": "hi"}, "user", "hi"),
        ({"role": "user", "content": ""}, "user", ""),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "user", "a\nb"),
        ({"role": "assistant", "content": "yes"}, "assistant", "yes"),
        ({"role": "assistant", "content": None, "refusal": "no"}, "assistant", "no"),
        ({"role": "assistant"}, "assistant", ""),
        ({"role": "tool", "tool_call_id": "c1", "content": "out"}, "tool", "out"),
        ({"role": "function", "name": "ls", "content": "out"}, "tool", "out"),
    ],
)
def test_chat_messages(message, kind, text):
    draft = one(message)
    assert (draft.shape, draft.kind, draft.text, draft.message) == ("openai", kind, text, message)
    assert draft.message is not message, "the caller may change its dict afterwards"


def test_parallel_calls():
    other = {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}}
    draft = one({"role": "assistant", "content": "look", "tool_calls": [CALL, other]})
    assert [(c.id, c.name, c.arguments) for c in draft.calls] == [
        ("c1", "ls", {"p": None}),
        ("c2", "sh", {"input": "ls -l"}),
    ]
    assert draft.text == 'look\nls {"p": null}\nsh ls -l'


@pytest.mark.parametrize("arguments", ["{", "[1]", "1", "null", '{"a": NaN}', "x", '{"a":' * 200])
def test_a_call_that_does_not_parse_is_text(arguments):
    broken = {"id": "c9", "type": "function", "function": {"name": "ls", "arguments": arguments}}
    draft = one({"role": "assistant", "content": None, "tool_calls": [broken, CALL]})
    assert [call.id for call in draft.calls] == ["c1"]
    assert arguments in draft.text
    (wire,) = Renderer("openai", lookup("gpt-4.1")).join([_unit(draft)]).messages
    assert [call["id"] for call in wire["tool_calls"]] == ["c1"]
    assert arguments in wire["content"]


def _unit(draft, provider="openai", model="gpt-4.1", **how):
    return Renderer(provider, lookup(model)).unit(record_of(draft), **how)


def test_empty_arguments_are_an_empty_object():
    call = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": ""}}
    draft = one({"role": "assistant", "content": None, "tool_calls": [call]})
    assert draft.calls[0].arguments == {}
    (wire,) = _unit(draft).parts
    assert wire["tool_calls"][0]["function"]["arguments"] == "{}"


def test_the_legacy_function_call_becomes_a_tool_call():
    draft = one({"role": "assistant", "content": None, "function_call": {"name": "ls", "arguments": "{}"}})
    assert draft.calls[0].id == "ls"
    (wire,) = _unit(draft, ids={0: "c5x0"}).parts
    assert wire == {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c5x0", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    ]}  # fmt: skip
    (wire,) = _unit(one({"role": "function", "name": "ls", "content": "x"}), call_id="c5x0").parts
    assert wire == {"role": "tool", "tool_call_id": "c5x0", "content": "x"}


def test_unknown_fields_are_carried():
    message = {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "u"}}], "vendor": {"a": [1]}}
    draft = one(message)
    assert not draft.exact
    assert _unit(draft).parts == (message,)


def test_a_chat_completion_object():
    reply = oc.ChatCompletion.model_validate(
        {
            "id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4.1",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": {
                "role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [CALL]}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
        }
    )  # fmt: skip
    for form in (reply, reply.model_dump()):
        draft = one(form)
        assert draft.calls[0].arguments == {"p": None}, "a null among the arguments is no absent field"
        assert draft.usage["prompt_tokens"] == 5
        assert "annotations" not in draft.message
    assert one(reply.choices[0].message).usage is None
    assert "annotations" not in one(reply.choices[0].message).message
    (wire,) = _unit(one(reply.model_dump())).parts
    assert wire == {"role": "assistant", "content": None, "tool_calls": [CALL]}


# ---- Anthropic


def test_a_message_object():
    reply = at.Message.model_validate(
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "stop_reason": "tool_use",
            "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 100},
            "content": [
                {"type": "thinking", "thinking": "so", "signature": "sig"},
                {"type": "text", "text": "Hi", "citations": None},
                {"type": "tool_use", "id": "toolu_1", "name": "ls", "input": {"p": None}},
            ],
        }
    )  # fmt: skip
    for form in (reply, reply.model_dump()):
        draft = one(form)
        assert (draft.shape, draft.kind, draft.text) == ("anthropic", "assistant", 'Hi\nls {"p":null}')
        assert draft.calls[0].arguments == {"p": None}
        assert draft.usage["cache_read_input_tokens"] == 100
        assert draft.message.keys() == {"role", "content"}
        blocks = _unit(draft, "anthropic", "claude-opus-5-5").parts
        assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use"]
        assert blocks[0] == {"type": "thinking", "thinking": "so", "signature": "sig"}
        stripped = _unit(draft, "anthropic", "claude-opus-5-5", thinking=False)
        assert [block["type"] for block in stripped.parts] == ["text", "tool_use"]
        assert stripped.tokens < _unit(draft, "anthropic", "claude-opus-5-5").tokens


def test_a_message_with_results_makes_one_draft_each():
    results = [{"type": "tool_result", "tool_use_id": f"t{n}", "content": f"out {n}"} for n in range(3)]
    drafts = parse({"role": "user", "content": [*results, {"type": "text", "text": "go on"}]})
    assert [(d.kind, d.call_id, d.text) for d in drafts] == [
        ("tool", "t0", "out 0"),
        ("tool", "t1", "out 1"),
        ("tool", "t2", "out 2"),
        ("user", None, "go on"),
    ]
    assert drafts[1].message == {"role": "user", "content": [results[1]]}


def test_result_blocks():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    block = {
        "type": "tool_result",
        "tool_use_id": "t",
        "is_error": True,
        "content": [{"type": "text", "text": "a"}, image],
    }
    draft = one({"role": "user", "content": [block]})
    assert (draft.text, draft.is_error, draft.exact) == ("a", True, True)
    assert draft.tokens > 1_000
    stub = _unit(draft, "anthropic", "claude-opus-5-5", images="#7")
    assert stub.parts[0]["content"] == "a\n[image 1024x768, #7]"
    wire = Renderer("openai", lookup("gpt-4.1")).join([_unit(draft)])
    assert wire.messages[0] == {"role": "tool", "tool_call_id": "t", "content": "[error] a\n[image 1024x768]"}
    assert wire.messages[1]["content"][1]["type"] == "image_url", "its images follow in a user's message"


def test_unknown_and_server_blocks_are_carried():
    blocks = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result", "title": "T", "url": "u", "encrypted_content": "e"}]},
        {"type": "brand_new", "x": {"y": 1}},
        {"type": "text", "text": "done"},
    ]  # fmt: skip
    draft = one({"role": "assistant", "content": blocks})
    assert _unit(draft, "anthropic", "claude-opus-5-5").parts == tuple(blocks)
    assert "T" in draft.text
    assert "[brand_new]" in draft.text
    assert not draft.exact


def test_the_preferred_shape_decides_what_both_explain():
    assert one({"role": "user", "content": "hi"}, prefer="anthropic").shape == "anthropic"
    assert one({"role": "user", "content": "hi"}).shape == "openai"


# ---- Responses


def test_a_response_object():
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Hi", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "ls", "arguments": "{}", "status": "completed"},
    ]  # fmt: skip
    reply = orr.Response.model_construct(
        id="r", object="response", output=[orr.ResponseReasoningItem(**items[0]), orr.ResponseOutputMessage(**items[1]),
        orr.ResponseFunctionToolCall(**items[2])], usage={"input_tokens": 9},
    )  # fmt: skip
    draft = one(reply)
    assert (draft.shape, draft.kind, draft.text) == ("openai-responses", "assistant", "Hi\nls {}")
    assert draft.calls[0].id == "c1"
    assert draft.usage == {"input_tokens": 9}
    assert list(_unit(draft, "openai-responses", "gpt-5").parts) == items
    stripped = _unit(draft, "openai-responses", "gpt-5", thinking=False).parts
    assert [(item["type"], "id" in item) for item in stripped] == [("message", False), ("function_call", False)]


def test_single_items():
    draft = one({"type": "function_call", "call_id": "c1", "name": "ls", "arguments": '{"a":1}', "id": "fc_1"})
    assert (draft.kind, draft.calls[0].arguments) == ("assistant", {"a": 1})
    draft = one({"type": "function_call_output", "call_id": "c1", "output": "x"})
    assert (draft.kind, draft.call_id, draft.text) == ("tool", "c1", "x")
    draft = one({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]})
    assert (draft.kind, draft.text) == ("user", "hi")
    draft = one({"type": "local_shell_call", "call_id": "c1", "action": {"command": ["ls"]}, "status": "completed"})
    assert [(call.name, call.arguments) for call in draft.calls] == [("local_shell_call", {"command": ["ls"]})]
    shot = {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{PNG}"}
    draft = one({"type": "computer_call_output", "call_id": "c1", "output": shot})
    assert (draft.kind, draft.exact) == ("tool", True)
    alone = one({"type": "reasoning", "id": "rs_1", "summary": []})
    assert _unit(alone, "openai-responses", "gpt-5").parts == ()
    assert one({"role": "user", "content": [{"type": "input_text", "text": "x"}]}).shape == "openai-responses"


# ---- Gemini


def test_gemini_contents():
    reply = {
        "candidates": [{"content": {"role": "model", "parts": [
            {"text": "hm", "thought": True},
            {"text": "Hi"},
            {"function_call": {"name": "ls", "args": {"p": 1}}, "thought_signature": "sig"},
        ]}}],
        "usage_metadata": {"prompt_token_count": 4},
    }  # fmt: skip
    draft = one(reply)
    assert (draft.kind, draft.text, draft.usage) == ("assistant", 'Hi\nls {"p":1}', {"prompt_token_count": 4})
    parts = _unit(draft, "gemini", "gemini-3.8-flash", thinking=False).parts
    assert parts == ({"text": "Hi"}, {"functionCall": {"name": "ls", "args": {"p": 1}}, "thoughtSignature": "sig"})
    drafts = parse(
        {"role": "user", "parts": [{"functionResponse": {"name": "ls", "response": {"output": "x"}}}, {"text": "go"}]}
    )
    assert [(d.kind, d.call_id, d.text) for d in drafts] == [("tool", "ls", "x"), ("user", None, "go")]


# ---- what the model decides


def test_reasoning_goes_back_to_those_who_want_it():
    draft = one({"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]})
    assert "reasoning_content" not in _unit(draft).parts[0]
    assert _unit(draft, "openai", "deepseek-v4-pro").parts[0]["reasoning_content"] == "hm"
    assert _unit(draft, "openai", "deepseek-v4-pro", thinking=False).parts[0]["reasoning_content"] == ""
    assert _unit(draft, "openai", "xai/grok-4.7").parts[0]["reasoning_content"] == "hm"


def test_kinds_of_our_own_go_by_their_call_or_role():
    recalled = record_of(one({"role": "tool", "tool_call_id": "c1", "content": "x"}))
    recalled.kind = "recall"
    note = record_of(one({"role": "user", "content": "x"}))
    note.kind, note.role, note.message = "note", None, None
    renderer = Renderer("openai", lookup("gpt-4.1"))
    assert [renderer.unit(record).role for record in (recalled, note)] == ["tool", "user"]
    orphan = renderer.unit(recalled, as_text=True)
    assert orphan.parts[0]["role"] == "user"
    assert "c1" in orphan.parts[0]["content"]


# ---- refusals


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (None, "message"),
        ("hi", "message"),
        ([], "message"),
        ({}, "message.role"),
        ({"role": "robot", "content": "x"}, "message.role"),
        ({"role": 1, "content": "x"}, "message.role"),
        ({"role": "user"}, "message.content"),
        ({"role": "user", "content": None}, "message.content"),
        ({"role": "user", "content": []}, "message.content"),
        ({"role": "user", "content": 7}, "message.content"),
        ({"role": "user", "content": b"x"}, "message.content"),
        ({"role": "user", "content": {"type": "text"}}, "message.content"),
        ({"role": "user", "content": [7]}, r"message.content\[0\]"),
        ({"role": "user", "content": [{"type": "text"}]}, r"message.content\[0\].text"),
        ({"role": "user", "content": [{"text": "x"}]}, r"message.content\[0\]"),
        ({"role": "user", "content": "x", "n": math.nan}, "message.n"),
        ({"role": "user", "content": "x", "n": 2**70}, "message.n"),
        ({"role": "user", "content": "x", 1: 2}, "message"),
        ({"role": "user", "content": "x", "o": object()}, "message.o"),
        ({"role": "tool", "content": "x"}, "message.tool_call_id"),
        ({"role": "tool", "tool_call_id": "", "content": "x"}, "message.tool_call_id"),
        ({"role": "assistant", "content": None, "tool_calls": [7]}, r"message.tool_calls\[0\]"),
        ({"role": "assistant", "content": None, "tool_calls": {"a": 1}}, "message.tool_calls"),
        ({"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": None}]}, r"message.tool_calls\[0\].id"),
        ({"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {}}]}, r"message.tool_calls\[0\]"),
        ({"role": "user", "content": [{"type": "tool_result"}]}, r"message.content\[0\].tool_use_id"),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": 7}]}, r"message.content\[0\].content"),
        ({"role": "assistant", "content": [{"type": "tool_use", "name": "x"}]}, r"message.content\[0\].id"),
        ({"choices": []}, "message.choices"),
        ({"choices": [{"message": {}}, {"message": {}}]}, "message.choices"),
        ({"type": "function_call", "name": "x"}, "message.call_id"),
        ({"type": "function_call_output", "call_id": "x"}, "message"),
        ({"output": 7}, "message.output"),
        ({"role": "user", "parts": 7}, "message.parts"),
        ({"candidates": []}, "message.candidates"),
    ],
)  # fmt: skip
def test_a_bad_message_names_the_field_and_the_remedy(message, field):
    with pytest.raises(BadMessage, match=f"^{field}.*:.*") as caught:
        parse(message)
    assert any(word in str(caught.value) for word in ("pass", "append", "JSON", "needs", "name"))


def test_a_cycle_is_refused():
    message = {"role": "user", "content": "x"}
    message["self"] = message
    with pytest.raises(BadMessage, match="nested deeper"):
        parse(message)


@settings(max_examples=300)
@given(soup)
def test_parse_answers_or_refuses(message):
    with contextlib.suppress(BadMessage):
        assert parse(message)


def test_a_huge_message_is_read():
    draft = one({"role": "user", "content": "word " * 1_000_000})
    assert draft.tokens > 900_000


# ---- results


def test_result_messages():
    assert result_message("openai", "c1", "out") == {"role": "tool", "tool_call_id": "c1", "content": "out"}
    assert result_message("openai", "c1", {"a": 1})["content"] == '{"a":1}'
    assert result_message("anthropic", "t", "x", error=True)["content"][0]["is_error"] is True
    blocks = [{"type": "text", "text": "x"}]
    assert result_message("anthropic", "t", blocks)["content"][0]["content"] == blocks
    assert result_message("openai-responses", "c", 7)["output"] == "7"
    for provider in ("openai", "anthropic", "openai-responses", "gemini"):
        assert one(result_message(provider, "c", "x")).call_id == "c"
    with pytest.raises(BadMessage, match=r"^content"):
        result_message("openai", "c1", {"a": object()})
