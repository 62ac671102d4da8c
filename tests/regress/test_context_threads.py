"""A context used by several threads while it is forked, closed or asked for again: nobody waits for ever, nothing is late.

Each test holds one thread inside a call while another does what used to come between. The seams are those that a
context is made of: the log's methods and the caller's own clock. What is met depends on no time: where a thread has to
wait, its line is looked at until it stays.
"""

import asyncio
from concurrent.futures import Future
from dataclasses import replace

import pytest

import ctxmem
from ctxmem.log import Log
from ctxmem.tables import turns
from tests.dialogues import FAST, seen, user
from tests.watched import Doing, Meeting, done, in_child

HOW = {"model": "claude-sonnet-4-5", "window": 30_000}


# --- a fork, and whoever holds what the fork needs next


def scenario_fork(path, other):
    """Begin a fork, begin something else while the fork is reading, and see both end."""
    memory = ctxmem.open(path, options=FAST)
    context = memory.context("a", **HOW)
    first = context.append(user("hello"))
    context.assemble()
    acts = {
        "context": lambda: memory.context("a", **{**HOW, "window": 20_000}),
        "close": memory.close,
        "forget": lambda: memory.forget(first.id),
        "stats": memory.stats,
    }
    meeting = Meeting("forking", acts[other])
    meeting.at(Log, "get")
    forking = Doing(lambda: context.fork("b", at=first.id), name="forking")
    done([forking])
    done([meeting.other])
    for doing in (forking, meeting.other):
        if not (other == "close" and isinstance(doing.error, ctxmem.StoreClosed)):
            doing.result()
    memory.close()


@pytest.mark.parametrize("other", ["context", "close", "forget", "stats"])
def test_a_fork_waits_for_nobody_that_waits_for_it(tmp_path, other):
    in_child(scenario_fork, tmp_path / "s", other)


# --- a context that is closed while a call is on its way


def in_turn(context):
    return context.assemble().turn


def in_awaited_turn(context):
    return asyncio.run(context.aassemble()).turn


CALLS = {
    "append": lambda context: context.append(user("late")),
    "result": lambda context: context.result("call", "late"),
    "system": lambda context: context.system("late"),
    "assemble": in_turn,
    "aassemble": in_awaited_turn,
}


def scenario_close(path, call):
    for closer in ("context", "memory"):
        for seam in ("early", "late"):
            closed_during(f"{path}-{closer}-{seam}", call, closer, seam)


def closed_during(path, call, closer, seam):
    """Begin a call, close the context once the call has begun, and let the call go on."""
    meeting = Meeting("calling", lambda: closing())  # noqa: PLW0108 - it is known later

    def clock():
        meeting.meet()
        return 1_000.0

    memory = ctxmem.open(path, options=replace(FAST, clock=clock))
    memory.context("other", **HOW).append(user("something else"))
    context = memory.context("a", reads=["other"], **HOW)
    context.append(user("hello"))
    context.assemble()
    context.append(user("more"))
    closing = memory.close if closer == "memory" else context.close
    meeting.at(Log, "ensure_open" if seam == "early" else "session")
    calling = Doing(CALLS[call], context, name="calling")
    done([calling])
    done([meeting.other])
    meeting.other.result()
    if meeting.was_done or calling.error is not None:  # closed before the call did anything
        assert isinstance(calling.error, ctxmem.StoreClosed), f"{call} gave {calling.value or calling.error!r}"
    memory.close()
    with ctxmem.open(path, options=FAST) as memory:
        context = memory.context("a", **HOW)
        if calling.error is not None:
            assert context.turn == 1
        elif isinstance(calling.value, int):
            assert context.turn == calling.value == 2
        else:
            assert memory.get(calling.value.id).text == "late"
        assert memory.check() == []


@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_done_after_close_has_returned(tmp_path, call):
    in_child(scenario_close, tmp_path / "s", call)


# --- what is said while a turn is being committed


class Held:
    """Commits turns as ever, and says so only when it is let go."""

    def __init__(self, monkeypatch):
        self.waits: list[tuple[Future, Future]] = []
        commit, soon = Log.commit, Log.commit_soon

        def held_soon(log, write=None):
            real, shown = soon(log, write), Future()
            shown.set_running_or_notify_cancel()
            self.waits.append((real, shown))
            return shown

        self._back = lambda: (monkeypatch.setattr(Log, "commit", commit), monkeypatch.setattr(Log, "commit_soon", soon))
        monkeypatch.setattr(Log, "commit_soon", held_soon)
        monkeypatch.setattr(Log, "commit", lambda log, write=None: held_soon(log, write).result())

    def release(self):
        """Let everything end that was held; commits are as ever from now on."""
        self._back()
        for real, shown in self.waits:
            real.result(60)
            shown.set_result(None)


def talk(context):
    """What comes between: a message, and what the provider counted of the first turn."""
    context.append(user("meanwhile " * 300))
    context.observe({"input_tokens": 900}, turn=1)


async def awaited(context, monkeypatch):
    held = Held(monkeypatch)
    turn = asyncio.create_task(context.aassemble())
    while not held.waits:  # noqa: ASYNC110 - it is the turn that goes on
        await asyncio.sleep(0)
    talk(context)
    held.release()
    return await turn


def in_thread(context, monkeypatch):
    held = Held(monkeypatch)
    turn = Doing(context.assemble)
    while not held.waits:
        turn.settle()
    talking = Doing(talk, context)
    talking.settle()
    held.release()
    talking.result()
    return turn.result()


def after(context, _):
    prompt = context.assemble()
    talk(context)
    return prompt


def played(path, monkeypatch, how):
    """Two turns, the second with something said during or after its commit; then all that depends on what was said."""
    with ctxmem.open(path, options=replace(FAST, clock=lambda: 1_000.0)) as memory:
        context = memory.context("a", **HOW)
        context.append(user("hello " * 200))
        told = [seen(context.assemble())]
        context.append(user("more " * 200))
        told.append(
            seen(
                asyncio.run(awaited(context, monkeypatch))
                if how == "aassemble"
                else MEANWHILE[how](context, monkeypatch)
            )
        )
        context.observe({"input_tokens": 500}, turn=1)  # replaces what was observed of this turn
        told.append(context.tokens)
        told.append(seen(context.assemble()))
        memory.flush()
        with memory._log.snapshot() as snapshot:
            row = turns.context(snapshot, memory._log.session("a"))
        told += [row.mean_turn_tokens, row.calibrations, row.observed]
        context.close()
        told.append(memory.context("a", **HOW).tokens)
        return told


MEANWHILE = {"assemble": in_thread, "after": after}


@pytest.mark.parametrize("how", ["assemble", "aassemble"])
def test_what_is_said_during_a_commit_counts_as_if_it_was_said_after(tmp_path, monkeypatch, how):
    expected = played(tmp_path / "after", monkeypatch, "after")
    assert played(tmp_path / "during", monkeypatch, how) == expected
