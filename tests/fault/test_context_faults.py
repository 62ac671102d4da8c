"""A commit that fails, a caller that is cancelled, threads that append meanwhile: nothing half done, nothing lost."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import ctxmem
from ctxmem.log.writer import Writer
from tests.dialogues import FAST, assistant, exchange, fill, seen, text_of, user
from tests.waiting import WATCHDOG_S

HOW = {"model": "gpt-4.1", "window": 2_500, "reserve": 0}


class Failing:
    """Makes the n-th commit from now on raise, once; or each write in it, after it has put its rows."""

    def __init__(self, monkeypatch):
        self.left = -1
        self.is_late = False
        commit = Writer.commit

        def failing(writer, writes):
            self.left -= 1
            if self.left != 0:
                return commit(writer, writes)
            if not self.is_late:
                raise ctxmem.StoreFull("no room left on the device; make some")
            return commit(writer, [*writes, self._fail])

        monkeypatch.setattr(Writer, "commit", failing)

    def _fail(self, _):
        raise ctxmem.StoreFull("no room left on the device; make some")


@pytest.fixture(params=["before", "after"])
def failing(monkeypatch, request):
    made = Failing(monkeypatch)
    made.is_late = request.param == "after"
    return made


ACTIONS = {
    "assemble": lambda c: seen(c.assemble(extra=[user("today")])),
    "aassemble": lambda c: seen(asyncio.run(c.aassemble(extra=[user("today")]))),
    "assemble, recalling": lambda c: seen(c.assemble(recall="value1 part1")),
    "collect": lambda c: c.collect(900).dropped,
    "switch": lambda c: c.switch("claude-sonnet-4-5", window=1_500),
    "rewind": lambda c: c.rewind(28),
    "drop": lambda c: c.drop(20),
    "fork": lambda c: c.fork("branch", at=21).open_calls,
}


def standing(context):
    """What a context is, as far as anyone can see."""
    shown = context.plan()
    return (context.turn, context.model, context.budget, context.open_calls, shown.kept, shown.dropped)


@pytest.mark.parametrize("action", ACTIONS)
def test_whatever_commit_fails_nothing_has_happened(tmp_path, failing, action):
    act = ACTIONS[action]
    expected = None
    for k in range(5):
        with ctxmem.open(tmp_path / str(k), options=FAST) as memory:
            context = memory.context("a", **HOW)
            context.system("Be brief.")
            fill(context, 7)
            exchange(context, 7)
            memory.flush()
            before, tokens, sessions = standing(context), context.tokens, len(memory._contexts)
            failing.left = k
            try:
                done = act(context)
            except ctxmem.StoreFull:
                assert k > 0
                failing.left = -1
                if "recalling" not in action:  # a recalled segment stays, as any append does
                    assert standing(context) == before
                    assert context.tokens == tokens
                assert memory.stats()["contexts"] == sessions
                done = act(context)
            failing.left = -1
            expected = done if expected is None else expected
            assert done == expected
            after = done if "assemble" in action else seen(context.assemble())
            assert ctxmem.validate(after["kwargs"], context.provider) == []
            assert seen(context.replay(context.turn)) == after
            if action == "fork":
                assert len(memory.context("branch", **HOW).assemble().messages) > 5
            assert memory.check() == []


def test_a_turn_that_cannot_be_laid_out_leaves_no_trace(tmp_path, monkeypatch):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", **HOW)
        fill(context, 8)
        exchange(context, 8)
        expected = standing(context)
        many, n_reads = memory._log.get_many, 0

        def reading(ids):
            nonlocal n_reads
            n_reads += 1
            if n_reads == fail_at:
                raise ctxmem.CorruptSegment("a checksum fails", 3)
            return many(ids)

        for fail_at in range(1, 12):
            n_reads = 0
            monkeypatch.setattr(memory._log, "get_many", reading)
            context._session._view = None
            try:
                context.collect(1_000) if fail_at % 2 else context.assemble()
                break
            except ctxmem.CorruptSegment:
                monkeypatch.setattr(memory._log, "get_many", many)
                assert context._session._next is None
                assert standing(context) == expected
        monkeypatch.setattr(memory._log, "get_many", many)
        prompt = context.assemble()
        assert seen(context.replay(prompt.turn)) == seen(prompt)


def test_an_overflow_lists_the_roots_and_changes_nothing(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", policy=ctxmem.Policy(oversized="raise"), **HOW)
        fill(context, 3)
        small = context.append(user("pinned " * 300), pinned=True)
        large = context.append(user("huge " * 2_400))
        turn, epochs = context.turn, context._session.now.state.epoch
        for _ in range(3):
            with pytest.raises(ctxmem.WindowOverflow) as raised:
                context.assemble(recall="value1")
            roots = raised.value.roots
            assert [i for i, _, _ in roots[:2]] == [large.id, small.id]
            assert raised.value.needed > raised.value.budget == 2_500
            assert (context.turn, context._session.now.state.epoch) == (turn, epochs)
        memory.unpin(small.id)
        context.drop(large.id)
        assert context.assemble().turn == turn + 1


def test_a_cancelled_turn_took_place_or_did_not(tmp_path):
    async def cancelled(context, steps):
        task = asyncio.create_task(context.aassemble())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return False
        return True

    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", **HOW)
        for number in range(12):
            exchange(context, number)
            before = context.turn
            is_done = asyncio.run(cancelled(context, number % 4))
            assert context.turn in ({before + 1} if is_done else {before, before + 1})
            prompt = context.assemble()
            assert prompt.turn == max(context.turn, before + 1)
            assert seen(context.replay(prompt.turn)) == seen(prompt)


def test_many_contexts_on_one_loop_and_sync_calls_between(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        contexts = [memory.context(f"s{n}", **HOW) for n in range(20)]

        async def work(context):
            for number in range(4):
                exchange(context, number)
                first = asyncio.create_task(context.aassemble())
                await asyncio.sleep(0)
                context.collect()  # must not wait for the loop that it stands on
                assert context.assemble().turn >= (await first).turn
            return context.turn

        async def everyone():
            return await asyncio.wait_for(asyncio.gather(*map(work, contexts)), WATCHDOG_S)

        turns = asyncio.run(everyone())
        assert min(turns) >= 4
        for context in contexts:
            assert ctxmem.validate(context.assemble().kwargs(), "openai") == []


def test_results_from_threads_while_another_assembles(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", model="gpt-4.1", window=60_000)
        context.append(user("go"))
        names = [f"c{n}" for n in range(48)]
        context.append(assistant(None, *((name, "look", {"n": name}) for name in names)))
        failures = []

        def answer(mine):
            try:
                for name in mine:
                    context.result(name, f"answer of {name}")
                    context.result(name, f"answer of {name}")  # a retry
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=answer, args=(names[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        sent = [context.assemble()]
        while any(thread.is_alive() for thread in threads):
            sent.append(context.assemble())
        for thread in threads:
            thread.join()
        sent.append(context.assemble())
        assert failures == []
        assert [m["content"] for m in sent[-1].messages[2:]] == [f"answer of {name}" for name in names]
        for prompt in sent[:: max(1, len(sent) // 10)]:
            assert ctxmem.validate(prompt.kwargs(), "openai") == []
            assert seen(context.replay(prompt.turn)) == seen(prompt)
        assert len(memory.search(limit=1_000)) == 50


_HOLDER = """
import sys, ctxmem
memory = ctxmem.open(sys.argv[1])
context = memory.context("a", model="gpt-4.1")
context.append({"role": "user", "content": "mine"}, key="k")
context.assemble()
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_session_has_one_owner_and_a_dead_one_is_noticed(tmp_path):
    root = str(Path(__file__).parents[2])
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "s")],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with ctxmem.open(tmp_path / "s", options=FAST) as memory:
            with pytest.raises(ctxmem.ContextBusy) as raised:
                memory.context("a", model="gpt-4.1")
            assert raised.value.pid == holder.pid
            memory.forget(0)
            os.kill(holder.pid, 9)
            holder.wait()
            context = memory.context("a", model="gpt-4.1")
            assert "mine" not in text_of(context.assemble())
    finally:
        holder.kill()
        holder.communicate()


_OTHER = """
import sys, ctxmem
memory = ctxmem.open(sys.argv[1])
memory.forget(int(sys.argv[2]))
memory.pin(int(sys.argv[3]))
memory.close()
"""


def test_what_another_process_forgets_and_pins_is_followed(tmp_path):
    with ctxmem.open(tmp_path / "s") as memory:
        context = memory.context("a", model="gpt-4.1", window=2_500, reserve=0)
        secret = context.append(user("the secret word is abracadabra"))
        kept = context.append(user("keep me: hocus pocus"))
        assert "abracadabra" in text_of(context.assemble())
        context.append(user("next"))
        arguments = [sys.executable, "-c", _OTHER, str(tmp_path / "s"), str(secret.id), str(kept.id)]
        subprocess.run(arguments, cwd=str(Path(__file__).parents[2]), check=True)
        prompt = context.assemble()
        assert "abracadabra" not in text_of(prompt)
        assert "[forgotten]" in text_of(prompt)
        assert not context.replay(1).is_complete
        fill(context, 12)
        assert "hocus pocus" in text_of(context.assemble())
        assert context.explain(kept.id).rule == "pinned"


def test_a_forked_process_hears_so(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", model="gpt-4.1")
        context.append(user("hello"))
        memory.flush()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            said = []
            for act in (lambda: context.append(user("x")), context.assemble, lambda: memory.search("hello")):
                try:
                    act()
                    said.append("nothing")
                except ctxmem.CtxMemError as error:
                    said.append(type(error).__name__)
            os.write(write, " ".join(said).encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        assert os.read(read, 1_000).decode().split() == ["StoreForked"] * 3
        os.close(read)
        assert context.assemble().turn == 1
