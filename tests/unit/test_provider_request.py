"""The SDK call: breakpoints, thinking, headers, overrides; tool counts; images."""

import base64
import io
import json

import anthropic
import openai
import pytest
from PIL import Image as Pillow

from ctxmem.errors import BadInput, ToolsChanged
from ctxmem.models import lookup
from ctxmem.providers import Renderer, Request, count_tools, kwargs, rendered_tokens, validate
from ctxmem.providers.anthropic import BINDING_BETA
from ctxmem.providers.images import image, image_tokens, size
from ctxmem.providers.typescript import namespace
from tests.strategies import conversation, units_of

OPUS = lookup("claude-opus-5-5")
TOOL = {"type": "function", "function": {"name": "ls", "description": "List.", "parameters": {
    "type": "object", "required": ["path"], "properties": {
        "path": {"type": "string", "description": "Where."}, "deep": {"type": "boolean"},
        "kinds": {"type": "array", "items": {"enum": ["f", "d"]}}, "o": {"type": "object", "properties": {"n": {"type": "integer"}}}}}}}  # fmt: skip
SAID = [
    [{"role": "user", "content": "hi"}],
    [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": '{"path":"."}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "a.txt"},
    ],
]  # fmt: skip


def wire_of(provider, model, breakpoints=()):
    renderer = Renderer(provider, lookup(model))
    units = [renderer.text("be kind", "system"), *units_of(conversation(SAID), renderer)]
    return renderer.join(units, breakpoints)


def request(provider="anthropic", model="claude-opus-5-5", *, breakpoints=(), tools=(), drop=False):
    wire = wire_of(provider, model, breakpoints)
    return Request(provider, lookup(model), wire.messages, wire.system, tools, 1_000, wire.breakpoints, drop)


def test_openai_gets_model_messages_and_tools():
    made = kwargs(request("openai", "gpt-4.1", tools=[TOOL]), {"temperature": 0})
    assert made.keys() == {"model", "messages", "tools", "temperature"}
    assert kwargs(request("openai", "gpt-4.1"), {}).keys() == {"model", "messages"}
    assert kwargs(request("openai-responses", "gpt-5"), {}).keys() == {"model", "input"}


def test_anthropic_gets_system_max_tokens_and_marks():
    made = kwargs(request(breakpoints=(2,)), {})
    assert made["max_tokens"] == 1_000
    assert made["system"] == [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}]
    assert json.dumps(made).count("cache_control") == 3
    assert "cache_control" in made["messages"][0]["content"][0], "the place after two units"
    assert "cache_control" in made["messages"][-1]["content"][-1]
    assert "thinking" not in made
    assert validate(made, "anthropic") == []


def test_at_most_four_marks_and_the_caller_s_count():
    tools = [{"name": "ls", "input_schema": {}, "cache_control": {"type": "ephemeral"}}]
    made = kwargs(request(breakpoints=(2, 3), tools=tools), {})
    assert json.dumps(made).count("cache_control") == 4
    assert validate(made, "anthropic") == []


def test_thinking_is_never_marked():
    thought = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "x", "signature": "s"}, {"type": "text", "text": "a"}],
    }
    messages = [{"role": "user", "content": [{"type": "text", "text": "q"}]}, thought]
    made = kwargs(Request("anthropic", OPUS, messages, None, (), 10, [(1, 0)]), {})
    assert "cache_control" not in made["messages"][1]["content"][0]


def test_drop_block_goes_with_bound_thinking_only():
    made = kwargs(request(drop=True), {})
    assert made["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
    assert made["extra_headers"] == {"anthropic-beta": BINDING_BETA}
    assert "thinking" not in kwargs(request(model="claude-sonnet-4-5", drop=True), {})
    assert kwargs(request(drop=True), {"thinking": {"type": "disabled"}})["thinking"] == {"type": "disabled"}


def test_over_is_merged_key_by_key_and_betas_joined():
    over = {"thinking": {"display": "omitted"}, "extra_headers": {"anthropic-beta": "a, b", "x": "y"}, "max_tokens": 5}
    made = kwargs(request(drop=True), over)
    assert made["thinking"].keys() == {"type", "block_binding", "display"}
    assert made["extra_headers"] == {"anthropic-beta": f"{BINDING_BETA},a,b", "x": "y"}
    assert made["max_tokens"] == 5
    upper = kwargs(request(drop=True), {"extra_headers": {"Anthropic-Beta": "a"}})["extra_headers"]
    assert upper == {"anthropic-beta": f"{BINDING_BETA},a"}, "one header, whatever its case"


def test_changed_tools_are_refused():
    assert kwargs(request("openai", "gpt-4.1", tools=[TOOL]), {"tools": [TOOL]})["tools"] == [TOOL]
    for tools in ([], None, [TOOL, TOOL]):
        with pytest.raises(ToolsChanged, match=r"Context\.switch"):
            kwargs(request("openai", "gpt-4.1", tools=[TOOL]), {"tools": tools})


def test_the_sdks_take_it(monkeypatch):
    """Both clients build the request from the arguments; nothing is sent."""
    sent = {}

    def stop(self, cast_to, options, **_):
        sent["options"] = options
        raise InterruptedError

    monkeypatch.setattr(openai.OpenAI, "request", stop)
    monkeypatch.setattr(anthropic.Anthropic, "request", stop)
    with openai.OpenAI(api_key="none") as client, pytest.raises(InterruptedError):
        client.chat.completions.create(**kwargs(request("openai", "gpt-4.1", tools=[TOOL]), {}))
    assert sent["options"].json_data["messages"][0]["content"] == "be kind"
    with anthropic.Anthropic(api_key="none") as client, pytest.raises(InterruptedError):
        client.messages.create(**kwargs(request(drop=True), {}))
    assert sent["options"].json_data["thinking"]["block_binding"]["prefix_mismatch_behavior"] == "drop_block"
    assert sent["options"].headers["anthropic-beta"] == BINDING_BETA


# ---- counts


def test_the_cookbook_s_formula():
    assert rendered_tokens([{"role": "user", "content": "hello world"}], "openai") == 3 + 4 + 2
    assert rendered_tokens([{"role": "user", "name": "al", "content": "hello world"}], "openai") == 3 + 4 + 2 + 2


def test_tools_are_counted_on_the_safe_side():
    assert count_tools([], "openai") == 0
    assert 50 < count_tools([TOOL], "openai") < 90
    assert count_tools([TOOL["function"]], "openai-responses") == count_tools([TOOL], "openai")
    assert count_tools([{"type": "web_search"}], "openai") > 0
    own = [{"name": "ls", "input_schema": TOOL["function"]["parameters"]}]
    assert count_tools(own, "anthropic") > 290
    assert count_tools(own, "gemini") > 40
    assert "path: string,\ndeep?: boolean" in namespace([TOOL["function"]])


def test_a_recursive_schema_is_bounded():
    schema = {"type": "object", "properties": {}}
    inner = schema
    for _ in range(40):
        inner["properties"] = {"a": {"type": "object", "properties": {}}}
        inner = inner["properties"]["a"]
    assert count_tools([{"type": "function", "function": {"name": "f", "parameters": schema}}], "openai") > 0


def test_fillers_are_counted():
    renderer = Renderer("anthropic", OPUS)
    wire = renderer.join([renderer.text("only", "assistant")])
    assert [m["content"][0]["text"] for m in wire.messages] == ["[earlier context pruned]", "only", "[continue]"]
    assert 0 < wire.added_tokens <= renderer.framing_tokens


def test_gemini_responses_are_named_after_their_calls():
    renderer = Renderer("gemini", lookup("gemini-3.8-flash"))
    units = [renderer.text("q"), *(unit for group in conversation(SAID) for unit in group.units(renderer))]
    result = renderer.unit(conversation(SAID)[1].records[1])
    wire = renderer.join([*units[:-1], result])
    assert wire.messages[-1]["parts"][0]["functionResponse"]["name"] == "ls"
    assert validate(wire.messages, "gemini") == []


def test_an_unknown_provider_is_refused():
    with pytest.raises(BadInput, match="choose one of anthropic, gemini, openai, openai-responses"):
        Renderer("acme", OPUS)


def test_system_keeps_its_role_only_where_the_model_takes_it():
    units = lambda r: [r.text("q"), r.text("now", "system"), r.text("a", "assistant"), r.text("q2")]  # noqa: E731
    new, old = Renderer("anthropic", OPUS), Renderer("anthropic", lookup("claude-sonnet-4-5"))
    assert [m["role"] for m in new.join(units(new)).messages] == ["user", "system", "assistant", "user"]
    merged = old.join(units(old)).messages
    assert [m["role"] for m in merged] == ["user", "assistant", "user"]
    assert merged[0]["content"][1]["text"] == "[system message]\nnow"


# ---- images


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_sizes_are_read_from_headers(form):
    buffer = io.BytesIO()
    Pillow.new("RGB", (640, 481)).save(buffer, form)
    data = base64.b64encode(buffer.getvalue()).decode()
    assert size(data) == (640, 481)
    assert image("", "", f"data:image/x;base64,{data}").exact


def test_lossless_webp():
    buffer = io.BytesIO()
    Pillow.new("RGB", (33, 7)).save(buffer, "WEBP", lossless=True)
    assert size(base64.b64encode(buffer.getvalue()).decode()) == (33, 7)


@pytest.mark.parametrize("data", ["", "!!!", "AAAA", "iVBORw0KGgo=", "/9j/", "UklGRgAAAABXRUJQ", "é"])
def test_what_cannot_be_read_counts_at_the_maximum(data):
    assert size(data) == (0, 0)
    found = image("image/png", data)
    assert (found.exact, found.tokens, found.label) == (False, 4_784, "image")


def test_image_tokens_cover_every_formula():
    assert image_tokens(1024, 1024) >= 765  # 85 + 4 x 170
    assert image_tokens(2576, 1449) >= 4_784  # Claude from 4.7
    assert image_tokens(1, 1) >= 255
    assert image("", "", "https://x/y.png", "low").tokens == 170
