"""Gemini reports its usage in camelCase, and its SDK's objects are dumped so: nothing was learned from either."""

import ctxmem


def test_the_usage_of_a_gemini_reply_is_observed(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        context = memory.context("a", model="gemini-2.5-pro")
        context.append({"role": "user", "parts": [{"text": "How many? " * 200}]})
        before = context.assemble().tokens
        context.append(
            {
                "candidates": [{"content": {"role": "model", "parts": [{"text": "Two."}]}}],
                "usageMetadata": {"promptTokenCount": 2 * before, "cachedContentTokenCount": 0},
            }
        )
        assert context.tokens > 1.3 * before


def test_both_spellings_are_read(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        learned = []
        for name, usage in (("a", {"prompt_token_count": 900}), ("b", {"promptTokenCount": 900})):
            context = memory.context(name, model="gemini-2.5-pro")
            context.append({"role": "user", "content": "How many? " * 200})
            context.assemble()
            context.observe(usage)
            learned.append(context.tokens)
        assert learned[0] == learned[1]
