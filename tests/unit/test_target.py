"""What a context asks of its tools: schemas in the shape of the provider that the call goes to."""

import pytest

import ctxmem

MODELS = {
    "openai": "gpt-4.1",
    "openai-responses": "gpt-4.1",
    "anthropic": "claude-opus-5-5",
    "gemini": "gemini-2.5-pro",
}
BUILT_IN = {
    "openai": {"type": "custom", "custom": {"name": "grep"}},
    "openai-responses": {"type": "web_search"},
    "anthropic": {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    "gemini": {"google_search": {}},
}


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as opened:
        yield opened


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("shape", MODELS)
def test_tools_of_another_provider_are_refused_with_the_remedy(memory, provider, shape):
    tools = [BUILT_IN[provider], *ctxmem.tools(shape)]
    chosen = {"model": MODELS[provider], "provider": provider, "tools": tools}
    if shape == provider:
        memory.context("s", **chosen).close()
        return

    with pytest.raises(
        ctxmem.BadInput, match=rf"tools\[1\] has the shape of {shape}.*speaks {provider}.*pass"
    ) as caught:
        memory.context("s", **chosen)
    assert f"provider={shape!r}" in str(caught.value)


def test_a_switch_to_another_provider_needs_its_tools(memory):
    context = memory.context("s", model="gpt-4.1", tools=ctxmem.tools("openai"))
    context.append({"role": "user", "content": "hello"})
    with pytest.raises(ctxmem.BadInput, match="speaks anthropic"):
        context.switch("claude-opus-5-5")
    assert context.assemble().provider == "openai"

    context.switch("claude-opus-5-5", tools=ctxmem.tools("anthropic"))
    assert [tool["name"] for tool in context.assemble().kwargs()["tools"]] == ["memory_search", "memory_read"]


def test_declarations_of_gemini_are_known_by_their_name(memory):
    tools = [{"function_declarations": ctxmem.tools("gemini")}]
    memory.context("s", model="gemini-2.5-pro", provider="gemini", tools=tools)
    with pytest.raises(ctxmem.BadInput, match="shape of gemini"):
        memory.context("t", model="gpt-4.1", tools=tools)


def test_stats_count_all_segments(memory):
    ids = [memory.add(f"note {n}").id for n in range(5)]
    assert memory.stats()["segments"] == 5
    memory.forget(ids[0])
    memory._log.flush()
    found = memory.stats()

    assert found["segments"] == found["sealed_segments"] + found["tail_segments"] == 5
    assert found["forgotten_segments"] == 1
