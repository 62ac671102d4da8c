"""`Checkpointer` passes LangGraph's published suite, and a graph runs on it as on LangGraph's own."""

import asyncio
import operator
import subprocess
import sys
from typing import Annotated, TypedDict

import pytest

import ctxmem

pytest.importorskip("langgraph")

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from ctxmem.adapters.langgraph import Checkpointer
from ctxmem.log import Log


class State(TypedDict):
    said: Annotated[list[str], operator.add]
    n: int


def graph(saver):
    def think(state):
        return {"said": [f"thought {state['n']}"], "n": state["n"] + 1}

    def ask(state):
        return {"said": [f"answer {interrupt('really?')}"]}

    def side(state):
        return {"said": ["aside"]}

    built = StateGraph(State)
    built.add_node("think", think).add_node("ask", ask).add_node("side", side)
    built.add_edge(START, "think").add_edge(START, "side").add_edge("think", "ask").add_edge("ask", END)
    return built.compile(checkpointer=saver)


def on(thread: str, **more):
    return {"configurable": {"thread_id": thread, **more}}


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        yield memory


@pytest.fixture
def saver(memory):
    return Checkpointer(memory)


def test_the_published_suite_passes(tmp_path_factory):
    @checkpointer_test(name="ctxmem")
    async def made():
        with ctxmem.open(tmp_path_factory.mktemp("c") / "s", options=ctxmem.Options(durability="unsafe")) as memory:
            yield Checkpointer(memory)

    report = asyncio.run(validate(made))

    assert report.passed_all()


def shown(snapshots):
    return [(one.values, one.next, one.metadata["step"], [t.name for t in one.tasks]) for one in snapshots]


def test_a_graph_is_interrupted_resumed_and_forked_as_on_the_saver_in_memory(saver):
    seen = []
    for one in (saver, InMemorySaver()):
        app, config = graph(one), on("t")
        first = app.invoke({"said": ["hi"], "n": 0}, config)
        halted = app.get_state(config)
        second = app.invoke(Command(resume="yes"), config)
        history = shown(app.get_state_history(config))
        past = [*app.get_state_history(config)][-2]
        fork = app.update_state(past.config, {"said": ["instead"]}, as_node="side")
        forked = app.invoke(None, fork)
        seen.append(
            (
                first["said"],
                halted.next,
                [i.value for i in halted.interrupts],
                second,
                history,
                forked["said"],
                shown(app.get_state_history(config)),
                shown(app.get_state_history(config, filter={"source": "update"})),
                shown(app.get_state_history(config, before=past.config)),
                shown(app.get_state_history(config, limit=2)),
            )
        )

    assert seen[0] == seen[1]


def test_a_graph_runs_async(saver):
    async def run():
        app = graph(saver)
        await app.ainvoke({"said": [], "n": 5}, on("t"))
        done = await app.ainvoke(Command(resume="now"), on("t"))
        n = len([one async for one in saver.alist(on("t"))])
        await saver.adelete_thread("t")
        return done["said"], n, await saver.aget_tuple(on("t"))

    said, n, after = asyncio.run(run())

    assert sorted(said) == ["answer now", "aside", "thought 5"]
    assert n == 4
    assert after is None


_RESUME = """
import sys, ctxmem
sys.path.insert(0, sys.argv[2])
from test_langgraph_checkpointer import Checkpointer, Command, graph, on
with ctxmem.open(sys.argv[1]) as memory:
    print(graph(Checkpointer(memory)).invoke(Command(resume="from afar"), on("t"))["said"][-1])
"""


def test_another_process_resumes_a_thread_while_this_one_has_the_store_open(saver, tmp_path, request):
    graph(saver).invoke({"said": [], "n": 0}, on("t"))
    command = [sys.executable, "-c", _RESUME, str(tmp_path / "s"), str(request.path.parent)]
    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, done.stdout.strip()) == (0, "answer from afar"), done.stderr
    assert graph(saver).get_state(on("t")).values["said"][-1] == "answer from afar"


def put(saver, thread="t", values=None, **metadata):
    checkpoint = {**empty_checkpoint(), "channel_values": values or {}}
    config = saver.put(on(thread, checkpoint_ns=""), checkpoint, {"source": "loop", "step": 1, **metadata}, {})
    return config, checkpoint


def test_no_search_for_text_finds_a_checkpoint(saver, memory):
    config, _ = put(saver, values={"messages": ["the password is swordfish"]})
    saver.put_writes(config, [("messages", "swordfish again")], "task")

    assert memory.search("swordfish") == []
    assert memory.search("checkpoint") == []
    assert len(memory.search(kind="checkpoint")) == 1


def test_the_newest_is_that_of_the_greatest_id_in_whatever_order_they_came(saver):
    checkpoints = [empty_checkpoint() for _ in range(3)]
    for one in (checkpoints[1], checkpoints[2], checkpoints[0]):
        saver.put(on("t", checkpoint_ns=""), one, {"source": "loop", "step": 1}, {})

    assert saver.get_tuple(on("t")).checkpoint["id"] == checkpoints[2]["id"]
    assert [one.checkpoint["id"] for one in saver.list(on("t"))] == [c["id"] for c in reversed(checkpoints)]


def test_ids_that_are_no_uuids_are_taken_in_the_order_they_came(saver):
    for name in ("one", "two"):
        saver.put(on("t", checkpoint_ns=""), {**empty_checkpoint(), "id": name}, {"source": "loop", "step": 1}, {})

    assert saver.get_tuple(on("t")).checkpoint["id"] == "two"
    assert saver.get_tuple(on("t", checkpoint_id="one")).checkpoint["id"] == "one"


def test_a_checkpoint_that_is_put_again_is_one(saver):
    _, checkpoint = put(saver, values={"n": 1})
    saver.put(on("t", checkpoint_ns=""), {**checkpoint, "channel_values": {"n": 2}}, {"source": "loop", "step": 1}, {})

    assert [one.checkpoint["channel_values"] for one in saver.list(on("t"))] == [{"n": 2}]


def test_a_task_that_runs_again_keeps_its_first_writes_and_its_last_error(saver):
    config, _ = put(saver)
    for word in ("first", "second"):
        saver.put_writes(config, [("channel", word), ("__error__", word)], "task")
    saver.put_writes(config, [("channel", "before")], "other", task_path="0")
    saver.put_writes(config, [("channel", "after")], "aaa", task_path="1")

    assert saver.get_tuple(config).pending_writes == [
        ("task", "__error__", "second"),
        ("task", "channel", "first"),
        ("other", "channel", "before"),
        ("aaa", "channel", "after"),
    ]


def test_namespaces_of_a_thread_are_apart(saver):
    put(saver, values={"n": 1})
    saver.put(
        on("t", checkpoint_ns="sub|1"),
        {**empty_checkpoint(), "channel_values": {"n": 2}},
        {"source": "loop", "step": 1},
        {},
    )

    assert saver.get_tuple(on("t")).checkpoint["channel_values"] == {"n": 1}
    assert saver.get_tuple(on("t", checkpoint_ns="sub|1")).checkpoint["channel_values"] == {"n": 2}
    assert len([*saver.list(on("t"))]) == 2
    assert len([*saver.list(on("t", checkpoint_ns=""))]) == 1
    assert len([*saver.list(None)]) == 2


def test_threads_with_odd_names(saver):
    names = ['a"], ["', "a", "", "x" * 2000, "nul\0", "é"]
    for n, name in enumerate(names):
        put(saver, name, {"n": n})

    assert [saver.get_tuple(on(name)).checkpoint["channel_values"]["n"] for name in names] == [*range(6)]


def test_pruning_leaves_a_thread_whole_whose_state_spans_checkpoints(saver):
    for _ in range(3):
        put(saver, "delta", counters_since_delta_snapshot={"messages": (1, 1)})
        put(saver, "plain")
    saver.prune(["delta", "plain"])

    assert len([*saver.list(on("delta"))]) == 3
    assert len([*saver.list(on("plain"))]) == 1
    with pytest.raises(ctxmem.BadInput, match="keep_latest"):
        saver.prune(["plain"], strategy="oldest")


def test_deleting_takes_one_commit_and_is_for_good(saver, memory):
    for _ in range(20):
        config, _ = put(saver, values={"n": 1})
        saver.put_writes(config, [("c", 1)], "task")
    put(saver, "other")
    before = memory.stats()["forgotten_segments"]
    saver.delete_thread("t")

    assert memory.stats()["forgotten_segments"] - before == 40
    assert [*saver.list(on("t"))] == []
    assert len([*saver.list(None)]) == 1
    assert put(saver, "t")[0] == saver.get_tuple(on("t")).config


def test_reading_the_newest_reads_no_other_checkpoint(saver, monkeypatch):
    for n in range(50):
        config, _ = put(saver, values={"n": n})
        saver.put_writes(config, [("c", n)], "task")
    taken = []
    each = Log.each
    monkeypatch.setattr(Log, "each", lambda log, ids: (taken.append(1) or one for one in each(log, ids)))

    assert saver.get_tuple(on("t")).pending_writes == [("task", "c", 49)]
    assert len(taken) == 2
    taken.clear()
    assert [one.checkpoint["channel_values"]["n"] for one in saver.list(on("t"), limit=3)] == [49, 48, 47]
    assert len(taken) <= 8
