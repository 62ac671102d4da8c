"""The model table: aliases, defaults, overrides."""

import pytest

from ctxmem.errors import BadInput
from ctxmem.models import UNKNOWN_PRIOR, UNKNOWN_WINDOW, lookup, table


def test_every_row_makes_a_model():
    assert len(table()) == 373
    for name in table():
        model = lookup(name)
        assert model.known
        assert 0 < model.max_input_tokens <= model.window
        assert model.prior > 0
        assert model.provider in {"openai", "anthropic", "gemini"}


@pytest.mark.parametrize(
    ("name", "window", "max_input", "provider", "exact"),
    [
        ("gpt-6.1-sol", 1_050_000, 922_000, "openai", True),
        ("gpt-5-mini", 400_000, 272_000, "openai", True),
        ("gpt-4o", 128_000, 128_000, "openai", True),
        ("gpt-4-0613", 8_192, 8_192, "openai", False),
        ("openai/gpt-4o", 128_000, 128_000, "openai", True),
        ("gpt-4o-2031-01-01", 128_000, 128_000, "openai", True),
        ("claude-opus-5-5", 1_000_000, 1_000_000, "anthropic", False),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", 200_000, 200_000, "anthropic", False),
        ("claude-haiku-4-5@20251001", 200_000, 200_000, "anthropic", False),
        ("gemini-3.8-flash", 1_048_576, 1_048_576, "gemini", False),
        ("models/gemini-3.8-flash", 1_048_576, 1_048_576, "gemini", False),
        ("deepseek-v4-pro", 1_000_000, 1_000_000, "openai", False),
    ],
)
def test_names_and_aliases(name, window, max_input, provider, exact):
    model = lookup(name)
    assert (model.window, model.max_input_tokens, model.provider, model.exact) == (window, max_input, provider, exact)
    assert model.name == name
    assert model.known


@pytest.mark.parametrize("name", ["no-such-model", "gpt-5.7", "o", "x" * 500, "日本", "a/b/c"])
def test_an_unknown_name_gets_the_default(name):
    model = lookup(name)
    assert not model.known
    assert not model.exact
    assert (model.window, model.prior, model.provider) == (UNKNOWN_WINDOW, UNKNOWN_PRIOR, "openai")


@pytest.mark.parametrize(
    ("name", "prior"),
    [
        ("gpt-4.1", 1.0),
        ("claude-3-5-sonnet-20241022", 1.20),
        ("claude-sonnet-4-5", 1.20),
        ("claude-opus-4-6", 1.20),
        ("claude-opus-4-7", 1.45),
        ("claude-sonnet-5", 1.45),
        ("claude-fable-5-1", 1.45),
        ("gemini-3.8-flash", 1.10),
        ("deepseek-v4-flash", 1.10),
        ("xai/grok-4.7", 1.20),
    ],
)
def test_priors(name, prior):
    assert lookup(name).prior == prior


def test_thinking_is_bound_on_the_newest_claude_models_only():
    bound = {"claude-fable-5-1", "claude-mythos-5-1", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"}
    assert {name for name in table() if lookup(name).thinking_bound} == bound
    assert lookup("claude-fable-5-2").thinking_bound
    assert lookup("us.anthropic.claude-opus-5-5-20260901-v1:0").thinking_bound


def test_sonnet_5_is_read_the_safe_way():
    assert not lookup("claude-sonnet-5").mid_conversation_system
    assert lookup("claude-opus-5-5").mid_conversation_system


def test_no_cache_write_price_means_no_surcharge():
    model = lookup("deepseek-v4-pro")
    assert model.cache_write_price == model.input_price


def test_overrides_are_laid_over_the_row():
    model = lookup("gpt-4o", {"gpt-4o": {"window": 64_000, "exact": False, "prior": 1.3}})
    assert (model.window, model.exact, model.prior, model.max_output_tokens) == (64_000, False, 1.3, 16_384)
    own = lookup("my-llm", {"my-llm": {"max_input_tokens": 32_000, "provider": "anthropic"}})
    assert (own.known, own.window, own.provider) == (True, 32_000, "anthropic")


def test_a_model_without_a_name_is_refused():
    with pytest.raises(BadInput, match="model must be a name"):
        lookup("")
