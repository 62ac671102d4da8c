"""`perf/real_cache.py` beside a model that only counts and compares: what it claims holds, and it can fail."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from ctxmem.transcripts import Conversation

_spec = importlib.util.spec_from_file_location("real_cache", Path(__file__).parents[2] / "perf" / "real_cache.py")
real_cache = importlib.util.module_from_spec(_spec)
sys.modules["real_cache"] = real_cache  # a dataclass looks its module up
_spec.loader.exec_module(real_cache)

WINDOW = 3_000


class Counting:
    """Takes a word or a sign for a token, and keeps those of the last prompt; forgets them before prompt `cold`."""

    name = "gemma-3-270m"

    def __init__(self, cold=None):
        self.held, self.asked, self.cold = [], 0, cold

    def tokens(self, messages):
        said = [f"<{m['role']}>{m.get('content') or ''}{json.dumps(m.get('tool_calls') or '')}" for m in messages]
        return re.findall(r"\w+|\W", "".join(said) + "<assistant>")

    def ask(self, request):
        tokens = self.tokens(request["messages"])
        self.asked += 1
        known = [] if self.asked == self.cold else self.held
        cached = min(real_cache.common_prefix(known, tokens), len(tokens) - 1)
        self.held = tokens
        return {"prompt_tokens": len(tokens), "prompt_tokens_details": {"cached_tokens": cached}}


def transcript(n_steps=40):
    messages = [{"role": "system", "content": "You read files."}, {"role": "user", "content": "Read all modules."}]
    for n in range(n_steps):
        call = {"id": f"c{n}", "type": "function", "function": {"name": "read", "arguments": f'{{"path": "m{n}.py"}}'}}
        text = "\n".join(f"def f_{n}_{k}(x): return {n * k}" for k in range(12))
        messages += [
            {"role": "assistant", "content": f"Now module {n}.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{n}", "content": text},
        ]
    return Conversation("modules", messages)


def replayed(model):
    slot = real_cache.Slot(model)
    slot.begin("ctxmem", "made", "modules")
    real_cache.replay_ctxmem(slot, transcript(), WINDOW, 1_000)
    slot.begin("sliding window", "made", "modules")
    real_cache.replay_sliding(slot, transcript(), WINDOW, 1_000)
    return slot.sent


def test_between_two_collections_the_prompt_before_is_cached_and_a_sliding_window_fails():
    sent = replayed(Counting())

    ctxmem, sliding = (row for row in real_cache.rows_of(sent) if row.source == "all")
    assert real_cache.faults(sent) == []
    assert ctxmem.prompts == 40
    assert ctxmem.collections >= 2
    assert ctxmem.claimed == 39 - ctxmem.collections
    assert (ctxmem.not_held, ctxmem.not_as_computed, sliding.not_as_computed) == (0, 0, 0)
    assert sliding.not_held == real_cache.MOST_MISSES


def test_a_cache_that_is_lost_is_named():
    sent = replayed(Counting(cold=3))

    (fault,) = real_cache.faults(sent)
    assert fault.startswith("ctxmem, modules: 0 cached of ")
    assert not sent[2].is_as_computed


@pytest.mark.parametrize("sent", [[], [real_cache.Sent("ctxmem", "made", "modules", False, 9, 0, 0, 9, 0)]])
def test_too_little_to_show_anything_is_a_fault(sent):
    assert len(real_cache.faults(sent)) == 2
