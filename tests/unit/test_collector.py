"""Plans: roots stay, groups stay whole, the budget holds, and equal input gives an equal plan."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.collector import Plan, is_due, levels, plan
from ctxmem.collector.sweep import FEW, NEVER, Step, cheapest, give_back, sweep
from ctxmem.collector.working import FULL, SHORT, STUB, FileUse, Form, Item, WorkingSet
from ctxmem.errors import WindowOverflow
from ctxmem.options import Policy


def built(sizes, *, pins=(), users=(0,), files=None) -> WorkingSet:
    """Make a working set: user messages at `users`, elsewhere calls (20 tokens) with a result."""
    working = WorkingSet()
    for n, tokens in enumerate(sizes):
        group = 10 * n
        if n in users:
            working.append(Item(group, group, "user", tokens, n, pinned=n in pins))
            continue
        working.append(Item(group, group, "assistant", 20, n, calls=1, pinned=n in pins))
        uses = (files[n],) if files and n in files else ()
        working.append(Item(group + 1, group, "result", tokens, n, is_result=True, files=uses))
    return working


def planned(working: WorkingSet, budget=10_000, target=5_000, **more) -> Plan:
    given_ = {"overhead_tokens": 0, "ledger_tokens": 0, "turn": len(working.groups), "policy": Policy(), **more}
    return plan(working, budget_tokens=budget, target_tokens=target, **given_)


def test_what_fits_is_left_alone():
    made = planned(built([50] * 10))

    assert made.kept == [10 * n for n in range(10)]
    assert made.freed_tokens == 0


def test_the_task_the_newest_user_message_pins_and_the_newest_group_stay():
    working = built([100, *[400] * 20, 100, *[400] * 20], users=(0, 21), pins=(5,))
    made = planned(working, target=3_000)

    assert {0, 210, 50, 410} <= set(made.kept)
    rules = {d.group: d.rule for d in made.decisions()}
    assert (rules[0], rules[210], rules[50], rules[410]) == ("task", "newest user message", "pinned", "newest group")


def test_results_are_cut_before_calls_are_dropped():
    made = planned(built([100, *[400] * 30]), target=8_000)

    assert made.stubbed
    assert not made.dropped
    assert {form.code for form in made.forms.values()} == {STUB, SHORT}  # the newest cut to the room that is left
    assert int(made.tokens_after.sum()) <= 8_000 - 1_300


def test_what_a_large_last_step_freed_brings_back_what_went_before_it():
    working = WorkingSet()
    working.append(Item(0, 0, "user", 100, 0, is_request=True))
    for n in range(1, 30):
        working.append(Item(10 * n, 10 * n, "note", 60, n))
    working.append(Item(300, 300, "note", 3_000, 30))
    working.append(Item(310, 310, "assistant", 100, 31))
    for _ in range(30):
        working.hit(300)
    made = planned(working, budget=6_000, target=3_000, ledger_tokens=0, policy=Policy(ledger_share=0))

    assert made.dropped == [300]  # enough alone: what went before it is back
    assert int(made.tokens_after.sum()) <= 3_000


def test_an_agreement_does_not_come_back_without_what_was_agreed_to():
    working = WorkingSet()
    working.append(Item(0, 0, "user", 100, 0, is_request=True))
    working.append(Item(10, 10, "assistant", 1_000, 1, text_tokens=1_000))
    working.append(Item(20, 20, "user", 20, 2))
    for n in range(3, 30):
        working.append(Item(10 * n, 10 * n, "note", 60, n))
    working.append(Item(300, 300, "note", 3_000, 30))
    working.append(Item(310, 310, "user", 100, 31, is_request=True))
    for _ in range(30):
        working.hit(300)
    made = planned(working, budget=3_000, target=1_040, policy=Policy(ledger_share=0))

    assert {10, 20, 300} < set(made.dropped)  # #20 alone would fit
    assert 290 in made.kept


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 300)), max_size=60), st.integers(0, 2_000))
def test_steps_are_undone_only_while_what_they_freed_fits(rows, spare):
    n = len(rows)
    cut, drop = (
        Step(np.array([v + 9 * k for v, _ in rows], np.int64), np.array([s * (1 + k) for _, s in rows], np.int64))
        for k in (0, 1)
    )
    is_root = np.zeros(n, bool)
    last = sweep((cut, drop), is_root, sum(2 * s for _, s in rows) * 2 // 3)
    back = give_back((cut, drop), is_root, last, spare, -40)

    def freed(steps):
        return sum((0, rows[at][1], 2 * rows[at][1])[step + 1] for at, step in enumerate(steps.tolist()))

    assert (back <= last).all()
    assert 0 <= freed(last) - freed(back) <= spare
    assert (back[cut.values < -40] >= np.minimum(last[cut.values < -40], 0)).all()  # those stay taken


def test_superseded_results_go_first():
    files = {5: FileUse("a", 1, 9), 29: FileUse("a", 1, 99)}
    made = planned(built([100, *[400] * 30], files=files), target=9_000)

    assert made.decision(50).rule == "superseded"
    assert made.decision(50).action == "stub"


def test_what_a_root_names_is_worth_more_and_says_why():
    working = built([100, *[400] * 30])
    working.append(Item(1_000, 1_000, "user", 20, 31, refs=(31,)))
    made = planned(working, target=6_000)

    assert made.decision(30).rule == "referenced"
    assert made.decision(30).path == (1_000, 30)
    assert made.decision(30).score > made.decision(40).score


def test_references_in_a_cycle_end():
    working = built([100, *[400] * 20])
    working.append(Item(1_000, 1_000, "user", 20, 21, refs=(1_001,)))
    working.append(Item(1_001, 1_001, "assistant", 20, 21, refs=(1_000,)))

    assert planned(working, target=3_000).freed_tokens > 0


def test_an_oversized_root_is_shortened_not_refused():
    made = planned(built([100, 100, 50_000]))

    assert made.forms[21].code == SHORT
    assert int(made.tokens_after.sum()) <= 10_000


def test_a_user_message_that_is_larger_than_the_budget_is_shortened():
    made = planned(built([30_000, 400, 400]))

    assert made.forms[0].code == SHORT
    assert 1_000 < int(made.tokens_after[0]) < 10_000
    assert 0 in made.stubbed


def test_a_user_message_that_cannot_fit_is_an_overflow_that_lists_the_roots():
    with pytest.raises(WindowOverflow) as caught:
        planned(built([30_000, 400, 400]), policy=Policy(oversized="raise"))

    assert caught.value.roots[0] == (0, 30_000, "newest user message")
    assert caught.value.needed > caught.value.budget == 10_000


def test_an_older_task_is_shortened_before_the_newest_message_is():
    made = planned(built([6_000, 400, 6_000], users=(0, 2)))

    assert made.forms[0].code == SHORT
    assert 20 in made.kept


def test_an_older_task_gives_way_where_users_are_not_shortened():
    made = planned(built([6_000, 400, 6_000], users=(0, 2)), policy=Policy(oversized="raise"))

    assert 0 in made.dropped
    assert 20 in made.kept


def test_a_task_that_was_shortened_is_whole_again_when_there_is_room():
    working = built([3_000, 7_500], users=(0, 1))
    made = planned(working)
    working.apply(made.dropped, made.forms, {})
    assert made.forms[0].code == SHORT

    working.drop(10)
    working.append(Item(20, 20, "user", 100, 3))
    made = planned(working)

    assert made.forms == {0: Form(FULL, 0, 3_000)}
    assert (made.decision(0).action, made.decision(0).tokens_after) == ("keep", 3_000)


def test_a_call_that_is_never_answered_does_not_hold_for_ever():
    working = WorkingSet()
    working.append(Item(0, 0, "user", 10, 0))
    working.append(Item(1, 1, "assistant", 900, 0, calls=1))
    for n in range(2, 100):
        working.append(Item(n, n, "assistant", 100, n))

    assert (
        plan(
            working,
            budget_tokens=9_000,
            target_tokens=4_000,
            overhead_tokens=0,
            ledger_tokens=0,
            turn=20,
            policy=Policy(),
        )
        .decision(1)
        .rule
        == "open call"
    )
    assert planned(working, 9_000, 4_000, turn=100).decision(1).action == "line"


def test_an_empty_working_set_has_an_empty_plan():
    assert planned(WorkingSet()).kept == []


SIZES = st.lists(st.integers(30, 3_000), min_size=1, max_size=60)


@given(SIZES, st.sets(st.integers(0, 59), max_size=6), st.integers(2_000, 40_000), st.floats(0.2, 0.9))
def test_a_plan_keeps_roots_groups_and_budget_or_overflows(sizes, users, budget, share):
    working = built(sizes, users=users)
    before = working.pack()
    try:
        made = planned(working, budget, int(share * budget))
    except WindowOverflow:
        least = working.groups["tokens"] - working.groups["result_tokens"]  # of the newest group and user message
        assert int(least.max()) + 60 > budget - int(least[-1]) - 100
        return
    assert working.pack() == before  # pure
    again = planned(working, budget, int(share * budget))
    assert made.pack() == again.pack()
    assert made.forms == again.forms
    assert sorted([*made.kept, *made.stubbed, *made.worded, *made.dropped]) == working.group_ids()
    assert working.group_ids()[-1] not in made.dropped
    working.apply(made.dropped, made.forms, {})
    assert working.tokens == int(made.tokens_after.sum())
    assert working.tokens <= budget
    calls, results = working.segments["calls"].sum(), working.segments["is_result"].sum()
    assert calls == results
    unpacked = Plan.unpack(made.pack())
    assert [unpacked.decision(g) for g in working.group_ids()] == [made.decision(g) for g in working.group_ids()]


@given(st.data(), st.integers(1, 300))
def test_the_cheapest_steps_are_those_of_a_sort(data, n):
    values = np.array(data.draw(st.lists(st.integers(-(1 << 41), 1 << 41), min_size=n, max_size=n)))
    freed = np.array(data.draw(st.lists(st.integers(0, 50), min_size=n, max_size=n)))
    need = data.draw(st.integers(0, 6_000))

    taken = cheapest(values, freed, need)

    order = np.argsort(values, kind="stable")
    expected, total = [], 0
    for row in order.tolist():
        if total >= need:
            break
        expected.append(row)
        total += int(freed[row])
    assert taken.tolist() == expected


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 40)), min_size=1, max_size=64), st.integers(0, 900))
def test_a_heap_and_arithmetic_take_the_same_steps(steps, need):
    values, freed = (np.array(column, np.int64) for column in zip(*steps, strict=True))

    few = cheapest(values, freed, need).tolist()
    many = cheapest(np.append(values, [NEVER] * FEW), np.append(freed, [0] * FEW), need).tolist()
    assert few == many


def test_many_steps_are_bucketed_and_free_just_enough():
    rng = np.random.default_rng(1)
    n = 50_000
    values, tokens = rng.integers(-(1 << 20), 1 << 20, n), rng.integers(1, 100, n)
    values[:100] += 1 << 40
    is_dropped = sweep([Step(values, tokens)], np.zeros(n, bool), int(tokens.sum()) // 2) == 0

    freed = int(tokens[is_dropped].sum())
    assert int(tokens.sum()) // 2 <= freed < int(tokens.sum()) // 2 + 100
    assert values[is_dropped].max() <= values[~is_dropped].min()


@given(st.integers(100, 1_000_000), st.floats(0, 5_000), st.floats(0.01, 1), st.floats(0.01, 2))
def test_marks_are_in_order_and_within_the_budget(budget, turn_tokens, read, write):
    water = levels(budget, Policy(), turn_tokens=turn_tokens, read_price=read, write_price=write)

    assert 0 < water.low_tokens < water.high_tokens <= budget


def test_when_a_collection_is_due():
    water = levels(10_000, Policy(high=0.9))
    assert not is_due(8_900, 10_000, water)
    assert is_due(9_100, 10_000, water)
    assert is_due(7_000, 10_000, water, is_cold=True)
    assert not is_due(6_000, 10_000, water, is_cold=True)
    assert not is_due(9_600, 10_000, water, is_thinking_bound=True)
    assert is_due(9_800, 10_000, water, is_thinking_bound=True)
    assert is_due(10_001, 10_000, water, is_thinking_bound=True)


def test_small_user_messages_are_swept_last():
    working = built([100, *[400] * 12, 60, *[400] * 12, 60, *[400] * 6], users=(0, 13, 26))
    made = planned(working, target=6_500)

    assert 130 in made.kept
    assert made.decision(130).rule == "user message"
