"""Budgets in dollars: a warning, an earlier collection where that is cheaper, a refusal before the call."""

import asyncio
import logging
import math

import pytest

import ctxmem
from ctxmem import BadInput, BudgetExceeded, Policy

NOON, DAY = 1_700_000_000.0, 86_400
MODEL = "gpt-4.1"  # $2 in, $8 out, $0.50 read from the cache, a million tokens
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 1_000}  # one cent


class Clock:
    def __init__(self):
        self.at = NOON

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def memory(tmp_path, clock):
    with ctxmem.open(tmp_path / "a.ctxmem", options=ctxmem.Options(clock=clock)) as opened:
        yield opened


def turn(context, text="Go on."):
    context.append({"role": "user", "content": text})
    prompt = context.assemble()
    context.observe(USAGE)
    return prompt


def until_refused(context, most=50):
    for taken in range(most):
        try:
            turn(context)
        except BudgetExceeded as refused:
            return taken, refused
    raise AssertionError("never refused")


def test_a_session_is_refused_before_it_passes_its_budget(memory):
    context = memory.context("a", model=MODEL, policy=Policy(budget_usd=0.055))
    taken, refused = until_refused(context)

    assert taken == 5  # a cent each; the sixth would pass
    assert (refused.budget_usd, refused.per) == (0.055, "session")
    assert refused.spent_usd == pytest.approx(0.05)
    assert refused.spent_usd + refused.expected_usd > refused.budget_usd
    assert context.turn == 5
    assert memory.costs(())[0].dollars == pytest.approx(0.05)
    other = memory.context("b", model=MODEL, policy=Policy(budget_usd=0.055))
    assert turn(other).turn == 1  # a session of its own


def test_nothing_is_written_by_a_refusal_and_the_turn_can_be_taken_later(memory):
    context = memory.context("a", model=MODEL, policy=Policy(budget_usd=0.0001))
    context.append({"role": "user", "content": "The harbour password is tulip."})
    before = memory.stats()["segments"]
    for _ in range(2):
        with pytest.raises(BudgetExceeded, match=r"raise Policy\.budget_usd"):
            context.assemble(recall="harbour password")
        with pytest.raises(BudgetExceeded):
            asyncio.run(context.aassemble())
    memory.flush()
    assert (context.turn, memory.costs(), memory.stats()["segments"]) == (0, [], max(before, 1))
    memory.context("a", model=MODEL, policy=Policy(budget_usd=1))
    assert context.assemble().turn == 1
    assert memory.check() == []


def test_a_turn_has_a_budget_of_its_own(memory):
    context = memory.context("a", model=MODEL, policy=Policy(budget_usd=0.02, budget_per="turn"))
    for _ in range(5):
        turn(context)
    with pytest.raises(BudgetExceeded) as refused:
        turn(context, "word " * 20_000)
    assert (refused.value.spent_usd, refused.value.per) == (0.0, "turn")


def test_a_day_is_that_of_the_whole_store(memory, clock):
    policy = Policy(budget_usd=0.035, budget_per="day")
    first, second = (memory.context(name, model=MODEL, policy=policy) for name in ("a", "b"))
    turn(first)
    turn(second)
    memory.costs()  # what the other session reported is on disk
    taken, _ = until_refused(first)
    assert taken == 1
    clock.at += DAY
    assert turn(second).turn == 2


def test_a_budget_holds_after_a_reopening(tmp_path):
    policy = Policy(budget_usd=0.025)
    with ctxmem.open(tmp_path / "r") as memory:
        turn(memory.context("a", model=MODEL, policy=policy))
    with ctxmem.open(tmp_path / "r") as memory:
        assert until_refused(memory.context("a", model=MODEL, policy=policy))[0] == 1


def test_a_warning_is_given_once(memory, caplog):
    told = []
    policy = Policy(budget_usd=0.055, on_budget=lambda spent, budget: told.append((spent, budget)))
    context = memory.context("a", model=MODEL, policy=policy)
    with caplog.at_level(logging.WARNING, logger="ctxmem"):
        until_refused(context)
    assert len(caplog.records) == len(told) == 1
    assert "'a'" in caplog.text
    assert told[0][0] > 0.8 * told[0][1] == 0.8 * 0.055


def test_a_warning_may_ask_the_store(memory):
    policy = Policy(budget_usd=0.01, on_budget=lambda *_: memory.costs())
    context = memory.context("a", model=MODEL, policy=policy)
    context.append({"role": "user", "content": "word " * 2_300})
    assert context.assemble().turn == 1


def test_it_collects_earlier_where_that_is_cheaper(memory):
    """A prompt that is cold to the provider costs all of itself: a short one is cheaper."""
    how = {"model": MODEL, "window": 20_000, "reserve": 0}
    free = memory.context("free", **how)
    bound = memory.context("bound", **how, policy=Policy(budget_usd=0.03, budget_per="turn"))
    for number in range(160):
        for context in (free, bound):
            context.append({"role": "user", "content": f"Step {number}. " + "Look at src/app/login.py again. " * 12})
    assert free.assemble().collection is None
    prompt = bound.assemble()
    assert prompt.collection is not None
    assert prompt.tokens < 0.75 * free.tokens


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget_usd": -1},
        {"budget_usd": math.nan},
        {"budget_usd": math.inf},
        {"budget_usd": "5"},
        {"budget_usd": 1, "budget_per": "week"},
        {"on_budget": 3},
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(wrong):
    with pytest.raises(BadInput, match="budget"):
        Policy(**wrong)


def test_a_model_without_prices_has_no_budget(memory):
    with pytest.raises(BadInput, match="prices of 'no-such-model'"):
        memory.context("a", model="no-such-model", policy=Policy(budget_usd=1))
    context = memory.context("b", model=MODEL, policy=Policy(budget_usd=1))
    with pytest.raises(BadInput, match="prices"):
        context.switch("no-such-model")
    assert context.model == MODEL
