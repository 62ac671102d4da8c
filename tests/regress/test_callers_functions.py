"""What a caller gives a store to call, its clock and `facets_of_call`, may use the context that calls it.

And it is called once for each thing there is to ask, before anything is written.
"""

import threading
from dataclasses import replace

import pytest

import ctxmem
from tests.dialogues import FAST, assistant, text_of, tool, user
from tests.watched import in_child

HOW = {"model": "claude-sonnet-4-5", "window": 30_000}


def results(*rows):
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": t} for i, t in rows]}


def asked(path, facets_of_call, n=3):
    """Open a store with that function, and a context with n calls that wait."""
    memory = ctxmem.open(path, options=replace(FAST, facets_of_call=facets_of_call))
    context = memory.context("a", **HOW)
    context.append(user("hello"))
    context.append(assistant(None, *((f"c{i}", f"tool{i}", {"n": i}) for i in range(n))))
    return memory, context


def test_each_result_of_a_message_is_read_once(tmp_path):
    seen = []

    def facets_of_call(name, arguments):
        seen.append((name, dict(arguments)))
        return {"tag": name}

    memory, context = asked(tmp_path / "s", facets_of_call)
    with memory:
        last = context.append(results(("c0", "nought"), ("c1", "one"), ("c2", "two")))
        again = context.append(results(("c0", "nought"), ("c1", "one"), ("c2", "two")))

        assert seen == [(f"tool{i}", {"n": i}) for i in range(3)]
        assert again.id == last.id
        assert [memory.get(last.id - 2 + i).facets["tag"] for i in range(3)] == ["tool0", "tool1", "tool2"]
        assert context.open_calls == ()


@pytest.mark.parametrize("failing", range(6))
def test_a_message_whose_reading_fails_is_not_half_appended(tmp_path, failing):
    """The function fails at its n-th call: while there is anything left to ask, nothing is written."""
    n_calls = 0

    def facets_of_call(name, _):
        nonlocal n_calls
        n_calls += 1
        if n_calls == failing + 1:
            raise ZeroDivisionError(name)
        return {}

    memory, context = asked(tmp_path / "s", facets_of_call)
    with memory:
        message = results(("c0", "quagga"), ("c1", "quagga"), ("c2", "quagga"))
        if failing < 3:
            with pytest.raises(ZeroDivisionError):
                context.append(message)
            assert [call.id for call in context.open_calls] == ["c0", "c1", "c2"]
            assert "quagga" not in text_of(context.assemble())
        context.append(message)
        assert context.open_calls == ()
        assert text_of(context.assemble()).count("quagga") == 3


def test_a_message_that_answers_a_call_twice(tmp_path):
    memory, context = asked(tmp_path / "s", None, n=1)
    with memory:
        with pytest.raises(ctxmem.KeyConflict, match="in this message"):
            context.append(results(("c0", "one"), ("c0", "another")))
        assert [call.id for call in context.open_calls] == ["c0"]
        last = context.append(results(("c0", "one"), ("c0", "one")))
        assert last.id == context.append(results(("c0", "one"))).id
        assert text_of(context.assemble()).count("one") == 1


# --- back into the context


def acts(context):
    """What may be done with a context by whom it calls."""
    context.append(user("said meanwhile"))
    context.assemble()
    context.collect()
    assert context.tokens > 0


def elsewhere(context):
    """The same from another thread, which is waited for."""
    thread = threading.Thread(target=acts, args=(context,))
    thread.start()
    thread.join()


def scenario_clock(path, do, call):
    """Call the context from the clock that it asks for the time of a call."""
    state = {"is_on": False}

    def clock():
        if state["is_on"]:
            state["is_on"] = False
            globals()[do](state["context"])
        return 1_000.0

    with ctxmem.open(path, options=replace(FAST, clock=clock)) as memory:
        context = state["context"] = memory.context("a", **HOW)
        hidden = context.append(user("hello"))
        context.append(assistant(None, ("c0", "tool", {})))
        context.drop(hidden.id)
        state["is_on"] = True
        {
            "append": lambda: context.append(user("late")),
            "system": lambda: context.system("late"),
            "result": lambda: context.result("c0", "late"),
            "assemble": context.assemble,
            "restore": lambda: context.restore(hidden.id),
        }[call]()
        assert not state["is_on"]
        shown = text_of(context.assemble())
        assert "said meanwhile" in shown
        assert "late" in shown or call in {"assemble", "restore"}
        assert memory.check() == []


@pytest.mark.parametrize("do", ["acts", "elsewhere"])
@pytest.mark.parametrize("call", ["append", "system", "result", "assemble", "restore"])
def test_a_clock_may_use_the_context(tmp_path, do, call):
    in_child(scenario_clock, tmp_path / "s", do, call)


def scenario_facets(path, do):
    """Call the context from the function that it asks about a call; one of its calls is answered there."""
    waiting = []

    def facets_of_call(name, _):
        if waiting:
            context = waiting.pop()
            globals()[do](context)
            context.append(tool("c1", "answered meanwhile"))
        return {"tag": name}

    memory, context = asked(path, facets_of_call)
    with memory:
        waiting.append(context)
        with pytest.raises(ctxmem.KeyConflict):
            context.append(results(("c0", "late"), ("c1", "late"), ("c2", "late")))
        assert [call.id for call in context.open_calls] == ["c0", "c2"]
        waiting.append(context)
        context.append(results(("c0", "late"), ("c2", "late")))
        assert context.open_calls == ()
        assert text_of(context.assemble()).count("answered meanwhile") == 1
        assert memory.check() == []


@pytest.mark.parametrize("do", ["acts", "elsewhere"])
def test_a_reading_of_calls_may_use_the_context(tmp_path, do):
    in_child(scenario_facets, tmp_path / "s", do)
