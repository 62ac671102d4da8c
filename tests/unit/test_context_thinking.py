"""Reasoning, images and system messages in mid-conversation, on models that bind reasoning to what stood before it."""

import pytest

import ctxmem
from tests.dialogues import FAST, seen, user
from tests.strategies import PNG

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
BOUND, MIDDLE = "claude-haiku-5-5", "claude-opus-4-8"


def thought(number, *blocks):
    thinking = {"type": "thinking", "thinking": f"hmm {number} " * 20, "signature": "s" * 60}
    return {"role": "assistant", "content": [thinking, *blocks]}


@pytest.mark.parametrize("model", [BOUND, MIDDLE, "claude-sonnet-4-5"])
def test_every_prompt_is_valid_and_replayed(tmp_path, model):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", model=model, window=3_000, reserve=0)
        sent = {}

        def turn():
            prompt = context.assemble()
            assert ctxmem.validate(prompt.kwargs(), context.provider) == []
            assert prompt.tokens <= prompt.budget
            sent[prompt.turn] = seen(prompt)
            return prompt

        for number in range(30):
            context.append(user(f"question {number} " * 20))
            if number % 7 == 3:
                context.append({"role": "system", "content": f"note {number}"})
            turn()
            if number % 3 == 0:
                use = {"type": "tool_use", "id": f"t{number}", "name": "look", "input": {}}
                context.append(thought(number, use))
                turn()
                context.result(f"t{number}", [IMAGE] if number % 2 else "result " * 60)
                prompt = turn()
                if model == BOUND:
                    assert prompt.collection is None or prompt.tokens > 0.4 * prompt.budget
            context.append(thought(number, {"type": "text", "text": f"answer {number} " * 30}))
        assert {number: seen(context.replay(number)) for number in sent} == sent
        assert context._session.now.row.collections > 2
        for other in ("gpt-4.1", model, "gemini-2.5-pro"):
            context.switch(other, window=4_000)
            turn()
            if other != model:
                assert "hmm" not in str(sent[context.turn]["kwargs"])  # reasoning of another provider is left out
