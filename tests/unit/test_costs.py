"""What calls cost: estimated, reported, added up, kept; and what is refused."""

import asyncio
import math
from datetime import datetime, timezone

import pytest

import ctxmem
from ctxmem import BadInput, FormatMismatch, prices
from ctxmem.codec import pack
from ctxmem.models import lookup
from ctxmem.prices import Counts
from ctxmem.store.localstore import LocalStore
from ctxmem.tables import spending

NOON = 1_700_000_000.0  # 2023-11-14, 22:13 UTC
DAY = 86_400
MODEL = "claude-sonnet-5"  # $2 in, $10 out, $0.20 read from the cache, $2.50 written to it, each a million tokens
USAGE = {
    "input_tokens": 1_000,
    "cache_read_input_tokens": 6_000,
    "cache_creation_input_tokens": 2_000,
    "output_tokens": 500,
}
USAGE_DOLLARS = (1_000 * 2 + 6_000 * 0.2 + 2_000 * 2.5 + 500 * 10) / 1e6


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


def turn(context, text="Why does login fail?"):
    context.append({"role": "user", "content": text})
    return context.assemble()


def only(memory, by=(), **wanted):
    (found,) = memory.costs(by, **wanted)
    return found


def test_a_store_without_a_call_cost_nothing(memory):
    memory.add("A note.")
    assert memory.costs() == memory.costs(()) == memory.costs("turn") == []


def test_a_call_is_estimated_until_its_usage_is_reported(memory):
    context = memory.context("a", model=MODEL)
    prompt = turn(context, "word " * 3_000)
    first = only(memory)
    assert (first.calls, first.estimated, first.input_tokens, first.output_tokens) == (1, 1, prompt.tokens, 0)
    assert first.cache_write_tokens == prompt.tokens  # the prompt is above the least that is cached
    assert first.dollars == pytest.approx(prompt.tokens * 2.5e-6)

    context.observe(USAGE)
    found = only(memory, ("session", "model", "day", "turn"))
    assert (found.session, found.model, found.day, found.turn) == ("a", MODEL, "2023-11-14", 1)
    assert (found.input_tokens, found.cached_tokens, found.cache_write_tokens) == (9_000, 6_000, 2_000)
    assert (found.output_tokens, found.reasoning_tokens, found.estimated) == (500, 0, 0)
    assert found.dollars == pytest.approx(USAGE_DOLLARS, abs=1e-9)


def test_an_answer_without_usage_completes_the_estimate_at_the_next_turn(memory):
    context = memory.context("a", model="gpt-4.1")
    turn(context)
    answer = context.append({"role": "assistant", "content": "The token has expired. " * 50})
    turn(context)
    first, second = memory.costs("turn")
    assert (first.output_tokens, second.output_tokens) == (answer.tokens, 0)
    assert first.dollars == pytest.approx((first.input_tokens * 2 + answer.tokens * 8) / 1e6, abs=1e-9)


def test_what_the_last_prompt_began_with_is_estimated_as_cached(memory):
    context = memory.context("a", model="gpt-4.1")
    first = turn(context, "word " * 3_000)
    turn(context)
    _, second = memory.costs("turn")
    assert 3_000 < second.cached_tokens <= first.tokens
    assert second.cache_write_tokens == 0  # OpenAI charges nothing for it


def test_a_second_usage_of_a_turn_replaces_the_first(memory):
    context = memory.context("a", model=MODEL)
    turn(context)
    for _ in range(2):
        context.observe(USAGE)
    assert (only(memory).calls, only(memory).dollars) == (1, pytest.approx(USAGE_DOLLARS, abs=1e-9))


def test_the_same_prompt_again_is_the_same_call(memory):
    context = memory.context("a", model=MODEL)
    turn(context)
    context.assemble()
    assert only(memory).calls == 1


def test_a_reply_of_an_sdk_is_accounted_for(memory):
    context = memory.context("a", model="gpt-4.1")
    turn(context)
    details = {"prompt_tokens_details": {"cached_tokens": 6}, "completion_tokens_details": {"reasoning_tokens": 4}}
    reply = {"id": "r", "object": "chat.completion", "created": 1, "model": "gpt-4.1"}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Because."}}
    context.append(reply | {"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 9} | details})
    found = only(memory)
    assert (found.input_tokens, found.cached_tokens, found.output_tokens, found.reasoning_tokens) == (20, 6, 9, 4)
    assert found.estimated == 0


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}, (9, 0, 0, 5, 2)),
        (
            {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens": 3,
                "output_tokens_details": {"reasoning_tokens": 1},
            },
            (9, 4, 0, 3, 1),
        ),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 99}}, (9, 9, 0, 0, 0)),  # no more than all
        ({"prompt_tokens": 9, "completion_tokens": 2, "cache_creation_input_tokens": 5}, (9, 0, 5, 2, 0)),
    ],
)
def test_every_shape_of_usage_is_read(memory, usage, counts):
    context = memory.context("a", model="gpt-4.1")
    turn(context)
    context.observe(usage)
    found = only(memory)
    read = found.input_tokens, found.cached_tokens, found.cache_write_tokens
    assert (*read, found.output_tokens, found.reasoning_tokens) == counts


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": 5, "output_tokens": -1},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": -2}},
        {"prompt_tokens": math.nan, "completion_tokens": 3},
        {"prompt_tokens": 5, "completion_tokens": math.inf},
        {"prompt_tokens": 5, "completion_tokens": 10**30},
    ],
)
def test_impossible_usage_is_refused_and_nothing_is_written(memory, usage):
    context = memory.context("a", model="gpt-4.1")
    turn(context)
    before = memory.costs("turn")
    with pytest.raises(BadInput, match="usage"):
        context.observe(usage)
    assert memory.costs("turn") == before


@pytest.mark.parametrize("price", [math.nan, -1.0, math.inf, "2", True, 1e9])
def test_impossible_prices_are_refused(price):
    for row in (
        {"input_cost_per_token": price},
        {"prices_since": {"2026-01-01": {"output_cost_per_token": price}}},
    ):
        with pytest.raises(BadInput, match="cost_per_token"):
            ctxmem.Options(models={"m": row})


@pytest.mark.parametrize(
    "since", [3, {"soon": {}}, {"2026-13-01": {}}, {"2026-01-01": 2.0}, {"2026-01-01": {"window": 3}}]
)
def test_impossible_dates_of_prices_are_refused(since):
    with pytest.raises(BadInput, match="prices_since"):
        ctxmem.Options(models={"m": {"prices_since": since}})


def test_prices_change_on_their_day(tmp_path, clock):
    since = {"2023-11-15": {"input_cost_per_token": 3e-6}, "2023-11-16": {"input_cost_per_token": 5e-6}}
    row = {"input_cost_per_token": 1e-6, "output_cost_per_token": 0.0, "prices_since": since}
    with ctxmem.open(tmp_path / "p", options=ctxmem.Options(clock=clock, models={"mine": row})) as memory:
        context = memory.context("a", model="mine")
        for _ in range(3):
            turn(context)
            context.observe({"prompt_tokens": 1_000_000 // 1_000})
            memory.flush()
            clock.at += DAY
        found = memory.costs("day")
    assert [one.dollars for one in found] == pytest.approx([0.001, 0.003, 0.005])
    assert [one.day for one in found] == ["2023-11-14", "2023-11-15", "2023-11-16"]


def test_a_model_without_a_price_is_counted_as_such(memory):
    turn(memory.context("a", model="no-such-model"))
    found = only(memory)
    assert (found.unpriced, found.dollars) == (1, 0.0)


def test_without_a_price_for_the_cache_reads_cost_the_same():
    model = lookup("mine", {"mine": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}})
    assert prices.nanos(Counts(input=1_000, cached=900, output=10), model) == 1_020_000


def test_groups_add_up_to_the_whole(memory, clock):
    for name, model in (("a", MODEL), ("b", "gpt-4.1"), ("a", "gpt-4.1")):
        context = memory.context(name, model=model)
        for _ in range(2):
            turn(context)
            context.observe({"prompt_tokens": 30, "completion_tokens": 7})
            clock.at += DAY
    whole = only(memory)
    assert whole.calls == 6
    for by in ("session", "model", "day", "turn", ("model", "day"), ("session", "model", "day", "turn")):
        parts = memory.costs(by)
        assert sum(part.calls for part in parts) == 6
        assert sum(part.dollars for part in parts) == pytest.approx(whole.dollars)
    assert [(one.session, one.calls) for one in memory.costs()] == [("a", 4), ("b", 2)]
    assert [one.calls for one in memory.costs("session", model="gpt-4.1")] == [2, 2]
    assert [one.turn for one in memory.costs("turn", session="a")] == [1, 2, 3, 4]
    assert only(memory, since=NOON + 2 * DAY, until=NOON + 3 * DAY).calls == 2
    assert only(memory, since=datetime.fromtimestamp(NOON + 5 * DAY, timezone.utc)).calls == 1
    assert memory.costs(session="nobody") == []


@pytest.mark.parametrize("by", ["hour", ("session", "hour"), 3, [3]])
def test_an_unknown_group_is_refused(memory, by):
    with pytest.raises(BadInput, match="by="):
        memory.costs(by)


def test_costs_are_there_after_a_reopening(tmp_path, clock):
    path, options = tmp_path / "r", ctxmem.Options(clock=clock)
    with ctxmem.open(path, options=options) as memory:
        context = memory.context("a", model=MODEL)
        turn(context)
        context.observe(USAGE)
        asyncio.run(_turn_awaited(context))
    with ctxmem.open(path, options=options) as memory:
        assert [one.estimated for one in memory.costs("turn")] == [0, 1]
        assert memory.check() == []
    with ctxmem.open(path, readonly=True, options=options) as memory:
        assert only(memory).calls == 2


async def _turn_awaited(context):
    context.append({"role": "user", "content": "And now?"})
    await context.aassemble()


def test_a_newer_row_is_refused(tmp_path):
    store = LocalStore.open(tmp_path / "n")
    with store.batch() as batch:
        batch.put("spending", b"d" + bytes(4), pack((2, [])))
    with store.snapshot() as snapshot, pytest.raises(FormatMismatch, match="upgrade"):
        spending.of_day(snapshot, 0)
    store.close()


def test_check_finds_a_sum_that_is_not_that_of_its_turns(tmp_path):
    store = LocalStore.open(tmp_path / "c")
    spent = spending.Spent(NOON, "m", Counts(3, 0, 0, 4, 0), 12, is_estimated=False)
    with store.batch() as batch:
        spending.put(batch, 1, 1, spent)
    with store.snapshot() as snapshot:
        assert list(spending.check(snapshot)) == []
    with store.batch() as batch:
        batch.delete("spending", b"t" + (1).to_bytes(4, "big") + (1).to_bytes(4, "big"))
    with store.snapshot() as snapshot:
        assert [session for session, _ in spending.check(snapshot)] == [1, 0]
    store.close()


def test_the_command_shows_them(memory, tmp_path, capsys):
    from ctxmem.cli import app

    context = memory.context("a", model=MODEL)
    turn(context)
    context.observe(USAGE)
    turn(memory.context("b", model="no-such-model"))
    memory.close()
    with pytest.raises(SystemExit) as ended:
        app.main(["costs", "--store", str(tmp_path / "a.ctxmem")])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"{USAGE_DOLLARS:.4f}" in shown
    assert "without a known price" in shown
