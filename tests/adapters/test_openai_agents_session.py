"""`MemorySession` keeps a session of the OpenAI Agents SDK: the protocol, the SDK's runner, cancellation, processes."""

import asyncio
import subprocess
import sys

import pytest

import ctxmem

pytest.importorskip("agents")

from agents import Agent, RunConfig, Runner, function_tool
from agents.memory import Session, SessionSettings, SQLiteSession
from agents.testing import ScriptedModel, assistant_message, function_call

from ctxmem.adapters.openai_agents import MemorySession

ITEMS = [
    {"role": "user", "content": "Where is\nthe red cat?"},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
    {"type": "function_call", "call_id": "c1", "name": "find_pet", "arguments": '{"kind": "cat"}', "id": "fc_1"},
    {"type": "function_call_output", "call_id": "c1", "output": "under the sofa"},
    {"role": "assistant", "type": "message", "id": "m1", "status": "completed",
     "content": [{"type": "output_text", "text": "It hides, é \ud83d\ude00.", "annotations": [], "logprobs": []}]},
    {"type": "unheard_of", "data": [1, None, 2**70, 1.5]},
]  # fmt: skip


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        yield memory


@pytest.fixture
def session(memory):
    return MemorySession(memory, "chat-17")


def run(coroutine):
    return asyncio.run(coroutine)


def test_it_is_a_session(session):
    assert isinstance(session, Session)
    assert not hasattr(session, "run_compaction")


def test_items_come_back_equal_and_in_order(session, memory):
    async def steps():
        await session.add_items(ITEMS[:2])
        await session.add_items([])
        await session.add_items(ITEMS[2:])
        return await session.get_items(), await MemorySession(memory, "chat-17").get_items()

    assert run(steps()) == (ITEMS, ITEMS)


@pytest.mark.parametrize(
    ("limit", "settings", "found"),
    [
        (None, None, ITEMS),
        (2, None, ITEMS[-2:]),
        (0, None, []),
        (-1, None, ITEMS),
        (99, None, ITEMS),
        (None, 3, ITEMS[-3:]),
        (1, 3, ITEMS[-1:]),
        (5, 3, ITEMS[-5:]),
    ],
)
def test_a_limit_gives_the_newest_and_stands_before_the_settings(memory, limit, settings, found):
    session = MemorySession(memory, "s", session_settings=SessionSettings(limit=settings) if settings else None)
    run(session.add_items(ITEMS))

    assert run(session.get_items(limit)) == found


def test_pop_takes_the_newest_for_good(session, memory):
    run(session.add_items(ITEMS))
    popped = [run(session.pop_item()) for _ in range(7)]

    assert popped == [*reversed(ITEMS), None]
    assert run(session.get_items()) == []
    assert memory.search("sofa") == []
    run(session.add_items(ITEMS[:1]))
    assert run(session.get_items()) == ITEMS[:1]


def test_equal_items_are_several(session):
    run(session.add_items([ITEMS[0], ITEMS[0]]))
    run(session.add_items([ITEMS[0]]))

    assert run(session.get_items()) == [ITEMS[0]] * 3


def test_clear_erases_this_session_alone(session, memory):
    other = MemorySession(memory, "chat-18")
    run(session.add_items(ITEMS))
    run(other.add_items(ITEMS[:1]))
    run(session.clear_session())
    run(session.clear_session())

    assert run(session.get_items()) == []
    assert run(other.get_items()) == ITEMS[:1]


def test_what_was_said_is_found(session, memory):
    run(session.add_items(ITEMS))

    assert [h.segment.text for h in memory.search("red cat", limit=1)] == ["Where is\nthe red cat?"]
    assert [h.segment.text for h in memory.search("sofa", limit=1, thread="chat-17")] == ["under the sofa"]
    assert memory.search("find_pet", limit=1)[0].segment.session == "chat-17/items"
    assert memory.search("encrypted_content") == []


def test_an_item_that_is_no_json_adds_none(session):
    with pytest.raises(ctxmem.BadInput):
        run(session.add_items([ITEMS[0], {"role": "user", "content": object()}]))

    assert run(session.get_items()) == []


@pytest.mark.parametrize("name", ["", None, "x" * 401, "a\0b"])
def test_a_name_that_is_none_is_refused(memory, name):
    with pytest.raises(ctxmem.BadInput, match="session_id"):
        MemorySession(memory, name)


def test_a_long_name(memory):
    session = MemorySession(memory, "x" * 399)
    run(session.add_items(ITEMS))

    assert run(session.get_items()) == ITEMS


def test_a_cancelled_write_is_written(session, memory):
    async def steps():
        task = asyncio.create_task(session.add_items(ITEMS))
        await asyncio.sleep(0)  # it has appended, and waits for the disk
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        early = asyncio.create_task(session.add_items(ITEMS))
        early.cancel()  # it has not begun
        with pytest.raises(asyncio.CancelledError):
            await early
        return await session.get_items()

    assert run(steps()) == ITEMS


@function_tool
def find_pet(kind: str) -> str:
    """Find a pet."""
    return f"the {kind} is under the sofa"


def model():
    return ScriptedModel(
        [
            [function_call("find_pet", {"kind": "cat"}, call_id="c1")],
            [assistant_message("It is under the sofa.")],
            [assistant_message("As I said: the sofa.")],
        ]
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_the_runner_keeps_the_same_history_as_with_its_own_session(memory, streamed):
    async def turns(session):
        scripted = model()
        agent = Agent(name="a", model=scripted, tools=[find_pet])
        for said in ("Where is the cat?", "Again?"):
            if streamed:
                result = Runner.run_streamed(agent, said, session=session, run_config=RunConfig(tracing_disabled=True))
                async for _ in result.stream_events():
                    pass
            else:
                await Runner.run(agent, said, session=session, run_config=RunConfig(tracing_disabled=True))
        return await session.get_items(), [call.input for call in scripted.calls]

    def plain(found):
        return [[{**item, "id": None} for item in items] for items in (found[0], *found[1])]

    theirs = SQLiteSession("s")
    ours = plain(run(turns(MemorySession(memory, "s"))))

    assert ours == plain(run(turns(theirs)))
    assert len(ours[-1]) == 5
    theirs.close()


_OTHER = """
import asyncio, sys, ctxmem
from ctxmem.adapters.openai_agents import MemorySession
async def main(memory):
    session = MemorySession(memory, "chat-17")
    print(len(await session.get_items()), (await session.pop_item())["type"])
    await session.add_items([{"role": "user", "content": "from afar"}])
with ctxmem.open(sys.argv[1]) as memory:
    asyncio.run(main(memory))
"""


def test_another_process_goes_on_with_a_session(session, tmp_path):
    run(session.add_items(ITEMS))
    done = subprocess.run([sys.executable, "-c", _OTHER, str(tmp_path / "s")], capture_output=True, text=True)

    assert (done.returncode, done.stdout.strip()) == (0, "6 unheard_of"), done.stderr
    assert run(session.get_items()) == [*ITEMS[:-1], {"role": "user", "content": "from afar"}]
