"""`TranscriptStore` passes the SDK's published suite and finds what was said; `make test-adapters-heavy` installs the SDK."""

import asyncio
import subprocess
import sys

import pytest

import ctxmem

pytest.importorskip("claude_agent_sdk")

from claude_agent_sdk import get_session_messages_from_store, list_sessions_from_store
from claude_agent_sdk.testing import run_session_store_conformance

from ctxmem.adapters.claude_agent import TranscriptStore

KEY = {"project_key": "-work-shop", "session_id": "0c1d5a0e-58b5-4f0e-8b5e-3c8b6a0f2f11"}


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        yield memory


@pytest.fixture
def store(memory):
    return TranscriptStore(memory)


def user(text, uuid, parent=None, **more):
    return {
        "type": "user",
        "uuid": uuid,
        "parentUuid": parent,
        "sessionId": KEY["session_id"],
        "timestamp": "2026-11-01T10:00:00.000Z",
        "cwd": "/work/shop",
        "isSidechain": False,
        "message": {"role": "user", "content": text},
        **more,
    }


def reply(blocks, uuid, parent):
    message = {"id": f"msg_{uuid}", "role": "assistant", "model": "claude-opus-5-5", "content": blocks}
    return {**user("", uuid, parent), "type": "assistant", "message": message}


def test_the_published_suite_passes(tmp_path_factory):
    opened = []

    def made():
        path = tmp_path_factory.mktemp("c") / "s"
        opened.append(ctxmem.open(path, options=ctxmem.Options(durability="unsafe")))
        return TranscriptStore(opened[-1])

    asyncio.run(run_session_store_conformance(made))
    for memory in opened:
        memory.close()


ENTRIES = [
    {"type": "mode", "mode": "normal"},
    user("Why does the\nlogin race?", "u1"),
    reply([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Let me look."},
           {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "pytest -k token"}}], "a1", "u1"),
    user([{"type": "tool_result", "tool_use_id": "t1", "content": "FAILED test_refresh"}], "u2", "a1"),
    reply([{"type": "text", "text": "Take the lock before the refresh."}], "a2", "u2"),
    user("internal caveat", "m1", "a2", isMeta=True),
    {"type": "x", "odd": [1, 2**70, 1.5, None, {"é": "\n\0"}], "uuid": 7, "timestamp": "soon"},
    {"type": "user", "uuid": "bad", "message": "no message"},
]  # fmt: skip


def test_entries_come_back_equal_and_what_was_said_is_found(store, memory):
    async def run():
        await store.append(KEY, ENTRIES[:3])
        await store.append(KEY, ENTRIES[3:])
        return await store.load(KEY)

    assert asyncio.run(run()) == ENTRIES
    found = {
        w: [h.segment.text for h in memory.search(w, limit=1)] for w in ("race", "FAILED", "refresh lock", "token")
    }
    assert found["race"] == ["Why does the\nlogin race?"]
    assert found["FAILED"] == ["FAILED test_refresh"]
    assert found["refresh lock"] == ["Take the lock before the refresh."]
    assert "pytest -k token" in found["token"][0]
    assert memory.search("caveat") == []
    assert memory.search("parentUuid") == []
    (hit,) = memory.search("race", limit=1, project="-work-shop", session=f"{KEY['session_id']}/entries")
    assert hit.segment.at == 1793527200.0


def test_a_batch_that_is_sent_again_adds_nothing(store):
    async def run():
        await store.append(KEY, ENTRIES[1:4])
        await store.append(KEY, ENTRIES[1:5])
        await store.append(KEY, [ENTRIES[4], ENTRIES[4]])
        return await store.load(KEY)

    assert asyncio.run(run()) == ENTRIES[1:5]


def test_the_order_is_that_of_the_appends_where_times_go_back(store):
    entries = [user(f"word{n}", f"u{n}", timestamp=f"2026-11-01T10:00:{59 - n}.000Z") for n in range(20)]

    async def run():
        for entry in entries:
            await store.append(KEY, [entry])
        return await store.load(KEY)

    assert asyncio.run(run()) == entries


def test_the_sdk_lists_and_reads_sessions_from_it(store):
    async def run():
        await store.append(KEY, ENTRIES[:-1])
        listed = await list_sessions_from_store(store, directory="/work/shop")
        return listed, await get_session_messages_from_store(store, KEY["session_id"], directory="/work/shop")

    listed, messages = asyncio.run(run())

    assert [one.session_id for one in listed] == [KEY["session_id"]]
    assert listed[0].first_prompt.startswith("Why does the")
    assert [one.uuid for one in messages] == ["u1", "a1", "u2", "a2"]


def test_what_is_deleted_is_not_found_and_may_be_written_again(store, memory):
    async def run():
        await store.append(KEY, ENTRIES)
        await store.append({**KEY, "subpath": "subagents/agent-1"}, [user("a subagent's word", "s1")])
        await store.delete(KEY)
        gone = await store.load(KEY), memory.search("race"), memory.search("subagent"), await store.list_subkeys(KEY)
        await store.append(KEY, ENTRIES)
        return gone, await store.load(KEY)

    assert asyncio.run(run()) == ((None, [], [], []), ENTRIES)


_OTHER = """
import asyncio, sys, ctxmem
from ctxmem.adapters.claude_agent import TranscriptStore
KEY = {"project_key": "-work-shop", "session_id": "0c1d5a0e-58b5-4f0e-8b5e-3c8b6a0f2f11"}
with ctxmem.open(sys.argv[1]) as memory:
    store = TranscriptStore(memory)
    print(len(asyncio.run(store.load(KEY))))
    asyncio.run(store.append(KEY, [{"type": "x", "uuid": "other"}]))
"""


def test_another_process_goes_on_with_a_session(store, tmp_path):
    asyncio.run(store.append(KEY, ENTRIES))
    done = subprocess.run([sys.executable, "-c", _OTHER, str(tmp_path / "s")], capture_output=True, text=True)

    assert (done.returncode, done.stdout.strip()) == (0, "8"), done.stderr
    assert asyncio.run(store.load(KEY)) == [*ENTRIES, {"type": "x", "uuid": "other"}]
