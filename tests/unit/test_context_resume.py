"""A context that was interrupted, by a close or a kill, goes on as one that was not; a re-run script doubles nothing."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctxmem
from ctxmem.prompt.state import State
from tests.dialogues import FAST, MODELS, assistant, exchange, fast, seen, tool, user
from tests.strategies import groups


class Clock:
    """A clock that both twins can be given: it moves a second a look."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@settings(max_examples=40)
@given(
    groups,
    st.sampled_from(["openai", "anthropic"]),
    st.sampled_from([900, 2_500]),
    st.lists(st.sampled_from(["go", "go", "reopen", "twice", "half"]), min_size=4, max_size=30),
)
def test_the_next_prompts_equal_those_of_an_uninterrupted_twin(conversation, provider, window, steps):
    clock = Clock()
    how = {"model": MODELS[provider], "provider": provider, "window": window, "reserve": 0}
    messages = [message for group in conversation * 2 for message in group]
    with tempfile.TemporaryDirectory() as folder:
        options = fast(clock=clock)
        twin = ctxmem.open(folder + "/twin", options=options)
        memory = ctxmem.open(folder + "/s", options=options)
        try:
            for number, message in enumerate(messages):
                step = steps[number % len(steps)]
                clock.now += 1
                whole, broken = twin.context("a", **how), memory.context("a", **how)
                assert outcome(lambda c=whole, m=message: c.append(m).id) == outcome(
                    lambda c=broken, m=message: c.append(m).id
                )
                if step == "half":  # interrupted before the turn
                    memory.close()
                    memory = ctxmem.open(folder + "/s", options=options)
                    broken = memory.context("a", **how)
                assert outcome(lambda c=whole: seen(c.assemble())) == outcome(lambda c=broken: seen(c.assemble()))
                if step in {"reopen", "twice"}:
                    memory.close()
                    memory = ctxmem.open(folder + "/s", options=options)
                    broken = memory.context("a", **how)
                if step == "twice":  # interrupted before it knew that the turn was taken
                    assert outcome(lambda c=whole: seen(c.assemble())) == outcome(lambda c=broken: seen(c.assemble()))
                assert whole.tokens == broken.tokens
                assert whole.open_calls == broken.open_calls
            assert memory.check() == []
        finally:
            memory.close()
            twin.close()


def outcome(ask):
    """What came of it, errors included."""
    try:
        return ask()
    except ctxmem.CtxMemError as error:
        return type(error)


_CHILD = """
import os, sys
import ctxmem
from tests.dialogues import assistant, exchange, user
path, turns = sys.argv[1], int(sys.argv[2])
memory = ctxmem.open(path)
context = memory.context("a", model="gpt-4.1", window=2500, reserve=0)
context.system("Be brief.")
for number in range(turns):
    exchange(context, number)
    context.assemble()
context.append(user("look at both"))
context.append(assistant(None, ("x", "look", {"n": 1}), ("y", "look", {"n": 2})))
context.result("x", "found one")
if sys.argv[3] == "flush":
    memory.flush()
else:
    context.assemble()
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("barrier", ["flush", "assemble"])
def test_killed_after_a_barrier_in_mid_tool_call(tmp_path, barrier):
    root = str(Path(__file__).parents[2])
    run = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path / "s"), "9", barrier], cwd=root, env={**os.environ}, check=False
    )
    assert run.returncode == -9
    how = {"model": "gpt-4.1", "window": 2_500, "reserve": 0}
    with ctxmem.open(tmp_path / "twin", options=FAST) as twin, ctxmem.open(tmp_path / "s") as memory:
        whole = twin.context("a", **how)
        whole.system("Be brief.")
        for number in range(9):
            exchange(whole, number)
            whole.assemble()
        whole.append(user("look at both"))
        whole.append(assistant(None, ("x", "look", {"n": 1}), ("y", "look", {"n": 2})))
        whole.result("x", "found one")
        if barrier == "assemble":
            whole.assemble()
        broken = memory.context("a", **how)
        assert broken.turn == whole.turn
        assert [call.id for call in broken.open_calls] == ["y"]
        for context in (whole, broken):
            context.result("y", "found two")
        for number in range(20, 26):
            assert seen(whole.assemble()) == seen(broken.assemble())
            exchange(whole, number)
            exchange(broken, number)
        for turn in range(1, whole.turn + 1):
            assert seen(whole.replay(turn)) == seen(broken.replay(turn))


def test_a_script_that_is_run_again_doubles_nothing(tmp_path):
    def script(context):
        context.system("Be brief.")
        ids = [context.append(user("build it"), key="task").id]
        ids.append(context.append(assistant(None, ("a", "look", {}), ("b", "memory_read", {"id": 0})), key="1").id)
        ids.append(context.result("a", "one", key="1a").id)
        ids.append(context.result("b", [{"type": "text", "text": "two"}], error=True, key="1b").id)
        return ids

    before = None
    for model in ("gpt-4.1", "gpt-4.1", "claude-sonnet-4-5", "gpt-4.1"):
        with ctxmem.open(tmp_path / "s", options=FAST) as memory:
            context = memory.context("a", model=model)
            ids = script(context)
            assert script(context) == ids
            assert before is None or ids == before
            before = ids
            note = memory.add("a note", key="n", session="notes")
            assert memory.add("a note", key="n", session="notes").id == note.id
            assert len(memory.search(limit=100)) == 6 - 1  # the memory tool's result is no hit
            for key in ("task", "1"):
                with pytest.raises(ctxmem.KeyConflict) as raised:
                    context.append(user("other"), key=key)
                assert raised.value.segment_id in ids
            with pytest.raises(ctxmem.KeyConflict):
                context.result("a", "other")
            with pytest.raises(ctxmem.KeyConflict):
                memory.add("other", key="n", session="notes")
            assert context.result("a", "one").id == ids[2]
            assert context.open_calls == ()
            prompt = context.assemble()
            assert len(prompt.segments) == 4


def test_a_key_is_of_one_session_and_free_after_forget(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        one, two = (memory.context(name, model="gpt-4.1") for name in "ab")
        assert one.append(user("hi"), key="k").id != two.append(user("other"), key="k").id
        said = one.append(user("secret"), key="s")
        one.append(assistant(None, ("c", "look", {})))
        found = one.append(tool("c", "secret result"))
        memory.forget(said.id)
        memory.forget(found.id)
        memory.compact()
        again = one.append(user("secret"), key="s")
        assert (again.id != said.id, again.text) == (True, "secret")
        assert one.append(tool("c", "secret result")).id == found.id


def test_a_turn_is_given_again_after_a_reopening_and_recalls_nothing_twice(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", model="gpt-4.1", window=2_000, reserve=0)
        for number in range(12):
            exchange(context, number)
            context.assemble()
        context.append(user("what was part1?"))
        first = context.assemble(recall="part1 value1", recall_tokens=300, extra=[user("today")])
        assert "def part1" in str(first.messages)
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", model="gpt-4.1", window=2_000, reserve=0)
        again = context.assemble(recall="part1 value1", recall_tokens=300, extra=[user("today")])
        assert seen(again) == seen(first)
        assert context.turn == first.turn
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:  # what was changed otherwise than by an append is seen
        context = memory.context("a", model="gpt-4.1", window=2_000, reserve=0)
        context.drop(context._session.now.state.working.group_ids()[-3])
        other = context.assemble(recall="part1 value1", recall_tokens=300, extra=[user("today")])
        assert other.turn == first.turn + 1
        assert seen(context.replay(first.turn)) == seen(first)


@pytest.mark.parametrize("version", [1, 3])
def test_a_state_of_another_version_is_refused_with_what_can_be_done(version):
    packed = {**State().pack(), "v": version}

    with pytest.raises(ctxmem.FormatMismatch, match=f"version {version}.*new session.*read and searched"):
        State.unpack(packed, 0)
