"""One test for each family of complaints about other systems, where a unit test can express it.

The families are those of our survey of like systems; each test names what users met there.
"""

import json
import os
import subprocess
import sys
import threading

import pytest

import ctxmem
from ctxmem.providers import rendered_tokens
from tests.dialogues import FAST, assistant, blocks, exchange, fill, seen, text_of, tool, user

HOW = {"model": "gpt-4.1", "window": 3_000, "reserve": 0}


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as opened:
        yield opened


def test_after_a_switch_sizes_are_the_new_models(memory):
    """The old model's token count was used for the new window."""
    context = memory.context("a", model="gpt-4.1", window=30_000, policy=ctxmem.Policy(oversized="raise"))
    context.append(user("word " * 2_000))
    old = context.assemble()
    context.switch("claude-opus-4-5", window=20_000)
    new = context.assemble()
    assert new.tokens > 1.1 * old.tokens
    assert new.budget < old.budget
    assert not new.exact
    with pytest.raises(ctxmem.WindowOverflow):
        context.switch("gpt-4.1", window=1_500)


def test_a_collection_that_frees_nothing_does_not_go_round(memory):
    """Endless condensation: the threshold could not be reached."""
    context = memory.context("a", **HOW)
    context.append(user("the task " * 700), pinned=True)
    before = context._session.now.row.collections
    for number in range(12):
        context.append(user(f"short {number}"))
        assert context.assemble().tokens <= 3_000
    assert context._session.now.row.collections - before <= 6
    context.append(user("too much " * 1_500), pinned=True)
    for _ in range(3):
        with pytest.raises(ctxmem.WindowOverflow):
            context.assemble()


def test_what_was_dropped_is_told(memory):
    """Silent truncation: users want to know what went."""
    context = memory.context("a", **HOW)
    told = []
    for number in range(20):
        exchange(context, number)
        done = context.assemble().collection
        told += [] if done is None else [*done.dropped, *done.stubbed]
        for group in () if done is None else done.dropped:
            assert done.reasons[group].action == "line"
            assert done.reasons[group].rule
    assert told
    assert all(
        context.explain(group).state != "shown" for group in told if group in {*told} - {*context.assemble().segments}
    )


def test_no_window_splits_a_pair(memory):
    """Trimming left a result without its call, and the provider refused the conversation for good."""
    for window in range(700, 2_600, 300):
        context = memory.context(f"w{window}", model="gpt-4.1", window=window, reserve=0)
        context.append(user("go"))
        for number in range(12):
            calls = [(f"c{n}", "look", {"n": n}) for n in range(number % 4)]  # the ids repeat
            context.append(assistant("so", *calls))
            for call_id, _, _ in reversed(calls):
                context.append(tool(call_id, f"result {number} " * 20))
            prompt = context.assemble()
            assert ctxmem.validate(prompt.kwargs(), "openai") == []


def test_an_orphaned_call_blocks_no_collection(memory):
    """One call without an answer disabled compaction for ever."""
    context = memory.context("a", **HOW)
    context.append(user("go"))
    context.append(assistant(None, ("never", "look", {"for": "a needle in this haystack " * 40})))
    fill(context, 80)
    assert context.assemble().tokens <= 3_000
    assert context._session.now.row.collections > 3
    assert context.explain(1).state == "ledger"
    assert context.open_calls == ()
    context.append(tool("never", "a very late answer"))
    assert "a very late answer" in text_of(context.assemble())
    assert ctxmem.validate(context.assemble().kwargs(), "openai") == []


def test_a_collection_between_call_and_result_keeps_both(memory):
    """Compaction ran between a call and its output."""
    context = memory.context("a", **HOW)
    fill(context, 8)
    context.append(assistant(None, ("x", "look", {}), ("y", "look", {})))
    context.result("x", "found x")
    context.collect(1)
    assert [call.id for call in context.open_calls] == ["y"]
    context.result("y", "found y")
    prompt = context.assemble()
    assert [m["content"] for m in prompt.messages[-2:]] == ["found x", "found y"]
    assert ctxmem.validate(prompt.kwargs(), "openai") == []


def test_calls_thinking_and_cjk_are_counted(memory):
    """Tool calls and thinking counted as nothing; CJK text by characters over four."""
    context = memory.context("a", model="claude-sonnet-4-5", window=100_000)
    context.append(user("go"))
    arguments = {"code": "x = 1\n" * 400}
    thinking = {"type": "thinking", "thinking": "let me think " * 300, "signature": "s" * 400}
    use = {"type": "tool_use", "id": "t1", "name": "run", "input": arguments}
    said = context.append({"role": "assistant", "content": [thinking, use]})
    assert said.tokens > 1_800
    cjk = context.append(user("日本語の文章です。" * 500))
    assert cjk.tokens > len(cjk.text) / 4 * 1.5
    prompt = context.assemble()
    assert prompt.tokens >= 1.2 * rendered_tokens(prompt.messages, "anthropic")


def test_counting_needs_no_network_and_no_cache_directory(tmp_path):
    """Encodings were downloaded at first use: offline machines failed."""
    script = "import socket, ctxmem\nsocket.socket = None\nfrom ctxmem.tokens import count\nprint(count('hello world'))"
    env = {**os.environ, "TIKTOKEN_CACHE_DIR": str(tmp_path / "none"), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_most_transitions_keep_the_cache(memory):
    """A prune in place took the provider's cache to nothing, over and over."""
    context = memory.context("a", **HOW)
    before, kept, turns = None, 0, 0
    for number in range(60):
        exchange(context, number, words=20)
        prompt = context.assemble()
        if before is not None:
            turns += 1
            pieces = blocks(before)
            is_kept = blocks(prompt)[: len(pieces)] == pieces
            assert is_kept or prompt.collection is not None
            assert prompt.stable_prefix_tokens <= prompt.tokens
            kept += is_kept
        before = prompt
    assert kept / turns > 0.7


def test_a_prune_is_sticky_across_restarts(tmp_path):
    """What was pruned came back, or was pruned otherwise, after a restart."""
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", **HOW)
        fill(context, 12)
        expected = seen(context.assemble())
    for _ in range(2):
        with ctxmem.open(tmp_path / "s", options=FAST) as memory:
            assert seen(memory.context("a", **HOW).assemble()) == expected


def test_a_cleared_result_has_a_way_back_after_any_restart(tmp_path):
    """Results were cleared with no way back; originals lived in memory, and a restart voided every reference."""
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        ids = fill(memory.context("a", **HOW, tools=ctxmem.tools("openai")), 14)
        text = memory.get(ids[2]).text
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", **HOW, tools=ctxmem.tools("openai"))
        assert context.explain(ids[2]).state == "ledger"
        assert text in context.dispatch("memory_read", {"id": ids[2]})
        context.restore(ids[2])
        assert text in context.assemble().messages[-1]["content"]
        memory.forget(ids[2])
        assert "[forgotten]" in context.dispatch("memory_read", {"id": ids[2]})  # a miss says why


def test_what_comes_during_a_collection_is_kept(memory):
    """Items written while a compaction was in flight were deleted when it returned."""
    context = memory.context("a", **HOW)
    fill(context, 8)
    commit = memory._log.commit

    def meanwhile(write=None):
        memory._log.commit = commit
        other.start()
        other.join(0.05)  # it may have to wait for us
        return commit(write)

    for act in (lambda: context.collect(900), context.assemble, lambda: context.switch("gpt-4.1-mini", window=2_500)):
        exchange(context, 90)
        other = threading.Thread(target=context.append, args=(user("came meanwhile"),))
        memory._log.commit = meanwhile
        act()
        other.join()
        assert "came meanwhile" in context.assemble().messages[-1]["content"]


def test_a_pin_survives_everything_but_an_unpin(memory):
    """Users ask to mark what must survive."""
    context = memory.context("a", **HOW)
    kept = context.append(user("never use port 8081"), pinned=True)
    late = fill(context, 1)[2]
    memory.pin(late)
    fill(context, 25, start=1)
    prompt = context.assemble()
    assert {kept.id, late} <= {*prompt.segments}
    assert context.explain(kept.id).rule == context.explain(late).rule == "pinned"
    memory.unpin(late)
    fill(context, 12, start=40)
    assert late not in context.assemble().segments


def test_two_writers_wait_for_each_other(tmp_path):
    """Two writers met "database is locked", and one of them stopped."""
    script = (
        "import sys, ctxmem\n"
        "with ctxmem.open(sys.argv[1]) as memory:\n"
        "    context = memory.context(sys.argv[2], model='gpt-4.1')\n"
        "    for n in range(30):\n"
        "        context.append({'role': 'user', 'content': f'{sys.argv[2]} {n}'})\n"
        "        context.assemble()\n"
    )
    path = str(tmp_path / "s")
    ctxmem.open(path).close()
    running = [subprocess.Popen([sys.executable, "-c", script, path, name], stderr=subprocess.PIPE) for name in "ab"]
    assert [(p.communicate()[1], p.returncode) for p in running] == [(b"", 0)] * 2
    with ctxmem.open(path, options=FAST) as memory:
        assert len(memory.search(limit=100)) == 60
        assert len(memory.context("a", model="gpt-4.1").assemble().messages) == 30


def test_a_turn_reads_and_counts_only_what_is_new(memory, monkeypatch):
    """Trimming was quadratic: every turn counted everything again."""
    context = memory.context("a", model="gpt-4.1", window=200_000)
    fill(context, 100)
    from ctxmem import tokens

    count, counted = tokens.count, []
    for module in [
        m for name, m in sys.modules.items() if name.startswith("ctxmem") and getattr(m, "count", None) is count
    ]:
        monkeypatch.setattr(module, "count", lambda text: counted.append(len(text)) or count(text))
    exchange(context, 100)
    new = sum(counted)
    counted.clear()
    context.assemble()
    assert sum(counted) <= new
    counted.clear()
    json.dumps(context.assemble().kwargs())
    assert counted == []


def test_nothing_that_was_added_escapes_the_budget(memory):
    """Costs of the tool's own calls escaped the limit."""
    tools = ctxmem.tools("openai")
    context = memory.context("a", **HOW, tools=tools)
    context.system("Be brief. " * 20)
    fill(context, 12)
    context.append(user("what was part1?"))
    prompt = context.assemble(recall="value1 part1", extra=[user("todo: " + "item " * 50)])
    counted = rendered_tokens(prompt.messages, "openai", tools=prompt.tools)
    assert counted <= prompt.tokens <= prompt.budget == 3_000
