"""What a context must not mix up: two states of one session, what is on disk and what is not, who closes what."""

import asyncio
from dataclasses import replace

import pytest

import ctxmem
from ctxmem.context.session import Session
from ctxmem.errors import StoreFull
from ctxmem.log.lease import Lease
from tests.dialogues import FAST, seen, text_of, user

HOW = {"model": "claude-sonnet-4-5", "window": 30_000}


class Interrupt(KeyboardInterrupt):
    """What a signal handler raises."""


def interrupted(monkeypatch, owner, name, act):
    """Do something with a method that raises once it is called, as a signal handler does."""

    def raising(*_, **__):
        raise Interrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, raising)
        with pytest.raises(Interrupt):
            act()


def test_a_system_prompt_set_after_a_long_pause_is_the_one_that_is_sent(tmp_path):
    moment = 1_000.0
    options = replace(FAST, clock=lambda: moment)
    with ctxmem.open(tmp_path / "s", options=options) as memory:
        context = memory.context("a", **HOW)
        context.system("You are brief.")
        context.append(user("hello"))
        assert "brief" in str(context.assemble().system)
    moment += 24 * 3_600  # the provider's cache has nothing left
    with ctxmem.open(tmp_path / "s", options=options) as memory:
        context = memory.context("a", **HOW)
        context.system("You are verbose.")
        prompt = context.assemble()
        assert "verbose" in str(prompt.system)
        assert seen(context.replay(prompt.turn)) == seen(prompt)


def test_what_an_interrupted_append_left_is_in_the_next_prompt(tmp_path, monkeypatch):
    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", **HOW)
        context.append(user("one"))
        context.append(user("two"))
        context.assemble()
        interrupted(monkeypatch, Session, "_admit", lambda: context.append(user("three")))

        assert "three" in text_of(context.assemble())


def test_an_append_during_a_commit_does_not_hide_an_interrupted_one(tmp_path, monkeypatch):
    async def turn(context):
        task = asyncio.create_task(context.aassemble())
        await asyncio.sleep(0)
        interrupted(monkeypatch, Session, "_admit", lambda: context.append(user("interrupted")))
        context.append(user("after it"))
        await task

    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", **HOW)
        context.append(user("hello"))
        asyncio.run(turn(context))

        shown = text_of(context.assemble())
        assert "interrupted" in shown
        assert "after it" in shown


@pytest.mark.parametrize("error", [StoreFull("no room left on the device; make some"), Interrupt()])
def test_a_lease_that_could_not_be_given_back_is_at_the_next_close(tmp_path, monkeypatch, error):
    def failing(*_):
        raise error

    with ctxmem.open(tmp_path / "s", options=FAST) as memory:
        context = memory.context("a", **HOW)
        with monkeypatch.context() as patch:
            patch.setattr(Lease, "release", failing)
            with pytest.raises(type(error)):
                context.close()
        assert context.is_closed
        context.close()
        assert not context._session._lease.is_held
        assert memory.stats()["contexts"] == 0


@pytest.mark.unchecked
def test_a_memory_that_cannot_commit_any_more_can_be_closed(tmp_path, monkeypatch):
    def fenced(*_):
        raise ctxmem.WriterFenced("another process took this writer's slot; open the store again")

    memory = ctxmem.open(tmp_path / "s", options=FAST)
    context = memory.context("a", **HOW)
    context.append(user("hello"))
    with monkeypatch.context() as patch:
        patch.setattr(memory._log._writer, "commit", fenced)
        with pytest.raises(ctxmem.WriterFenced):
            memory.close()
    memory.close()
    with pytest.raises(ctxmem.StoreClosed):
        context.append(user("late"))
    ctxmem.open(tmp_path / "s", options=FAST).close()
