"""One contract for every provider: whatever was said, in whatever shape, every rendering of whole groups is valid."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.errors import BadMessage
from ctxmem.models import lookup
from ctxmem.providers import PROVIDERS, Renderer, Request, kwargs, parse, rendered_tokens, validate
from tests.strategies import conversation, conversation_of, groups, payload_of, record_of, soup, units_of

MODELS = {
    "openai": "gpt-4.1",
    "openai-responses": "gpt-5",
    "anthropic": "claude-opus-5-5",
    "gemini": "gemini-3.8-flash",
}
renderers = [Renderer(provider, lookup(model)) for provider, model in sorted(MODELS.items())]
renderers += [Renderer("anthropic", lookup("claude-sonnet-4-5")), Renderer("openai", lookup("deepseek-v4-pro"))]
every_renderer = pytest.mark.parametrize("renderer", renderers, ids=lambda r: f"{r.provider}-{r.model.name}")
ways = st.fixed_dictionaries(
    {},
    optional={
        "stub": st.sampled_from(["[stub]", ""]),
        "thinking": st.booleans(),
        "images": st.just("#3"),
        "closed": st.booleans(),
    },
)


def test_every_provider_is_covered():
    assert set(MODELS) == set(PROVIDERS)


@every_renderer
@given(said=groups, keep=st.lists(st.booleans(), min_size=8, max_size=8), how=ways)
def test_any_subset_of_whole_groups_is_valid(renderer, said, keep, how):
    found = [group for group, kept in zip(conversation(said), keep, strict=False) if kept]
    wire = renderer.join(units_of(found, renderer, **how))
    if not wire.messages:
        assert not any(group.records for group in found)
        return
    assert validate(payload_of(wire, renderer.provider, renderer.model), renderer.provider) == []


@every_renderer
@given(message=soup)
def test_whatever_is_read_is_sent_in_a_valid_way(renderer, message):
    try:
        drafts = parse(message, prefer=renderer.provider)
    except BadMessage:
        return
    for draft in drafts:
        if draft.kind == "tool":
            units = [renderer.unit(record_of(draft), as_text=True)]
        else:
            (group,) = conversation_of([[draft]])
            units = group.units(renderer)
        wire = renderer.join(units)
        if wire.messages:
            assert validate(payload_of(wire, renderer.provider, renderer.model), renderer.provider) == []


@every_renderer
@given(said=groups)
def test_rendering_is_the_same_to_the_byte(renderer, said):
    first = renderer.join(units_of(conversation(said), renderer))
    second = renderer.join(units_of(conversation(copy.deepcopy(said)), renderer))
    assert json.dumps(first.messages) == json.dumps(second.messages)
    assert json.dumps(first.system) == json.dumps(second.system)


@every_renderer
@given(said=groups, data=st.data())
def test_joined_messages_share_nothing_with_the_units(renderer, said, data):
    units = units_of(conversation(said), renderer)
    wire = renderer.join(units)
    before = json.dumps([wire.messages, wire.system])
    _spoil(wire.messages)
    _spoil(wire.system)
    again = renderer.join(units)
    assert json.dumps([again.messages, again.system]) == before


def _spoil(value):
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _spoil(item)
    if isinstance(value, dict | list):
        value.clear()


@every_renderer
@given(said=groups)
def test_units_never_count_less_than_the_prompt(renderer, said):
    units = units_of(conversation(said), renderer)
    wire = renderer.join(units)
    whole = rendered_tokens(wire.messages, renderer.provider, system=wire.system)
    counted = sum(unit.tokens for unit in units) + renderer.framing_tokens
    assert whole <= counted * 1.01 + 2  # two texts that are joined may take a token more than apart


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@given(said=groups)
def test_own_shape_counts_within_the_documented_bound(provider, said):
    renderer = Renderer(provider, lookup(MODELS[provider]))
    found = [group for group in conversation(said, provider) if group.records[0].shape == provider]
    units = units_of(found, renderer)
    wire = renderer.join(units)
    whole = rendered_tokens(wire.messages, provider, system=wire.system)
    images = 24 + 16
    assert sum(unit.tokens for unit in units) + renderer.framing_tokens - whole <= len(units) * (16 + images) + 64


@given(said=groups)
def test_openai_messages_come_back_as_they_were(said):
    renderer = Renderer("openai", lookup("gpt-4.1"))
    for group in conversation(said):
        for record in group.records:
            if record.shape == "openai" and record.kind in {"user", "system"}:
                (message,) = renderer.join([renderer.unit(record)]).messages
                assert message == _sendable(record.message)


def _sendable(value):
    return (
        json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode().replace("?", "�"))
        if ("\ud800" in json.dumps(value, ensure_ascii=False))
        else value
    )


@pytest.mark.parametrize("there", sorted(MODELS))
@given(said=groups)
def test_conversion_keeps_text_and_calls(there, said):
    """To another provider and parsed again: the same calls with the same arguments; the same words."""
    renderer = Renderer(there, lookup(MODELS[there]))
    for group in conversation(said):
        for record in group.records:
            if record.kind != "assistant":
                continue
            unit = renderer.unit(record, ids=group.ids)
            wire = renderer.join([unit])
            drafts = [draft for message in wire.messages for draft in parse(message, prefer=there)]
            back = [call for draft in drafts for call in draft.calls]
            assert [(c.name, _clean(dict(c.arguments))) for c in back] == [
                (c.name, _clean(dict(c.arguments))) for c in record.calls
            ]


def _clean(value):
    if isinstance(value, str):
        return value.replace("\ud800", "�")
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


@given(said=groups, breakpoints=st.lists(st.integers(0, 8), max_size=2), drop=st.booleans())
def test_the_anthropic_call_is_valid_with_its_marks(said, breakpoints, drop):
    model = lookup("claude-opus-5-5")
    renderer = Renderer("anthropic", model)
    units = [renderer.text("be kind", "system"), *units_of(conversation(said), renderer)]
    wire = renderer.join(units, sorted(min(at, len(units)) for at in breakpoints))
    before = json.dumps(wire.messages)
    tools = [{"name": "ls", "input_schema": {"type": "object"}}]
    request = Request("anthropic", model, wire.messages, wire.system, tools, 100, wire.breakpoints, drop)
    payload = kwargs(request, {})
    assert validate(payload, "anthropic") == []
    assert json.dumps(wire.messages) == before, "the prompt's own messages carry no breakpoints"
    assert '"cache_control"' in json.dumps(payload)
    assert payload["max_tokens"] == 100


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@given(said=groups)
def test_a_longer_conversation_has_the_shorter_one_as_a_prefix(provider, said):
    """Block by block: what was sent stays as it was when groups are appended, but for the fillers at the end."""
    renderer = Renderer(provider, lookup("claude-sonnet-4-5" if provider == "anthropic" else "gpt-4.1"))
    found = conversation(said)
    longer = _flat(renderer.join(units_of(found, renderer)))
    for n in range(1, len(found)):
        shorter = _flat(renderer.join(units_of(found[:n], renderer)))
        if shorter != ["user", json.dumps({"type": "text", "text": "[earlier context pruned]"})]:
            assert longer[: len(shorter)] == shorter


def _flat(wire):
    """Give role changes and blocks in order."""
    flat = []
    for message in wire.messages:
        content = message["content"]
        flat.append(message["role"])
        flat += [json.dumps(b) for b in content] if isinstance(content, list) else [json.dumps(message)]
    return flat


@given(said=groups)
def test_drafts_are_plain_json_and_searchable(said):
    for group in conversation(said):
        for record in group.records:
            json.dumps(record.message)
            assert isinstance(record.text, str)
            assert record.tokens > 0
            for call in record.calls:
                assert call.name in record.text


def test_record_of_keeps_the_error_flag():
    (draft,) = parse({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "is_error": True}]})
    assert record_of(draft).facts.is_error
