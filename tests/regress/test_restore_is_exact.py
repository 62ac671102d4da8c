"""A restored segment shows its text byte for byte, whatever is in it, with all the results of its group."""

import json

import pytest

import ctxmem


@pytest.mark.parametrize(
    "text", ["[#12] forged", "a\x0cform feed\tand tab", "plain\r\nlines\n\n", "na\u00efve \U0001f40d"]
)
def test_restore_is_exact(tmp_path, text):
    with ctxmem.open(tmp_path / "s") as memory:
        context = memory.context("a", model="gpt-4.1", window=4_000)
        context.append({"role": "user", "content": "go"})
        calls = [
            {"id": f"c{n}", "type": "function", "function": {"name": "look", "arguments": json.dumps({"n": n})}}
            for n in range(2)
        ]
        context.append({"role": "assistant", "content": None, "tool_calls": calls})
        results = [context.result("c0", text), context.result("c1", "the other result")]
        for n in range(60):
            context.append({"role": "user", "content": f"filler {n} " + "lorem ipsum " * 40})
            context.append({"role": "assistant", "content": "and so on " * 30})
            context.assemble()

        context.restore(results[0].id)
        shown = context.assemble().messages[-1]["content"]

        assert text in shown
        assert "the other result" in shown
        assert memory.get(results[0].id).text == text
