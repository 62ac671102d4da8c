"""The working set: its sums, supersession, what leaves it, and that it resumes from its packed form alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.collector.working import SHORT, STUB, FileUse, Form, Item, WorkingSet


def call(working: WorkingSet, group: int, *, files=(), tokens=100, digest=None, error=False) -> int:
    """Append a call and its result; return the result's id."""
    working.append(Item(group, group, "assistant", 20, group, calls=1))
    working.append(
        Item(group + 1, group, "result", tokens, group, is_result=True, files=files, digest=digest, is_error=error)
    )
    return group + 1


def superseder(working: WorkingSet, segment_id: int) -> int | None:
    segments = working.segments
    row = segments["superseded_by"][segments["id"].tolist().index(segment_id)]
    return None if row < 0 else int(segments["id"][row])


def sums_hold(working: WorkingSet) -> bool:
    shown = [int(n) for n in working.segments["shown_tokens"]]
    return working.tokens == sum(shown) == int(working.groups["tokens"].sum())


def test_a_group_is_a_call_and_its_results_wherever_they_come():
    working = WorkingSet()
    working.append(Item(1, 1, "assistant", 20, 0, calls=2))
    working.append(Item(2, 1, "result", 30, 0, is_result=True))
    working.append(Item(3, 3, "user", 10, 0))
    assert working.groups["open_calls"].tolist() == [1, 0]

    working.append(Item(4, 1, "result", 40, 1, is_result=True))

    assert working.segments_of(1) == [1, 2, 4]
    assert [shown.segment_id for shown in working.shown()] == [1, 2, 4, 3]
    assert working.groups["open_calls"].tolist() == [0, 0]
    assert working.row_of(4) == 0
    assert working.tokens == 100


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        (FileUse("a", 1, 50), FileUse("a", 1, 80), True),
        (FileUse("a", 1, 50), FileUse("a"), True),
        (FileUse("a"), FileUse("a", 1, 80), False),
        (FileUse("a", 1, 50), FileUse("a", 10, 80), False),
        (FileUse("a", 1, 50), FileUse("b", 1, 80), False),
        (FileUse("a", 1, 50), FileUse("a", op="edit"), False),
        (FileUse("a", 1, 50), FileUse("a", op="write"), True),
    ],
)
def test_a_later_result_supersedes_what_it_contains(earlier, later, expected):
    working = WorkingSet()
    first, second = call(working, 1, files=(earlier,)), call(working, 3, files=(later,))

    assert (superseder(working, first) == second) is expected
    assert superseder(working, second) is None


def test_equal_content_supersedes():
    working = WorkingSet()
    first, second, third = (call(working, g, digest=d) for g, d in ((1, 7), (3, 7), (5, 8)))

    assert superseder(working, first) == second
    assert superseder(working, third) is None


def test_when_the_superseder_goes_the_earlier_one_is_the_newest_again():
    working = WorkingSet()
    first = call(working, 1, files=(FileUse("a"),))
    call(working, 3, files=(FileUse("a"),))
    working.rewind(3)

    assert superseder(working, first) is None
    second = call(working, 5, files=(FileUse("a"),))
    assert superseder(working, first) == second


def test_rewind_to_a_result_opens_its_call_again():
    working = WorkingSet()
    call(working, 1)
    call(working, 3)

    working.rewind(4)

    assert working.segments_of(3) == [3]
    assert working.groups["open_calls"].tolist() == [0, 1]
    assert sums_hold(working)


def test_pins_hits_and_holds_are_noted():
    working = WorkingSet()
    call(working, 1)
    working.pin(2, on=True)
    working.pin(2, on=True)
    working.hit(2)
    working.hold(1, 9)
    working.pin(99, on=True)  # not shown: nothing to do

    row = {name: int(working.groups[name][0]) for name in ("pins", "hits", "restored_until")}
    assert row == {"pins": 1, "hits": 1, "restored_until": 9}
    working.pin(2, on=False)
    assert int(working.groups["pins"][0]) == 0


def test_a_newer_packed_form_is_refused():
    with pytest.raises(ValueError, match="version 99"):
        WorkingSet.unpack({**WorkingSet().pack(), "v": 99})


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["call", "user", "drop", "cut", "rewind", "task"]), st.integers(0, 30)), max_size=40
)


@given(ACTIONS)
def test_sums_hold_and_nothing_but_the_packed_form_is_needed(actions):
    working, next_id = WorkingSet(), 1
    for action, n in actions:
        ids = working.group_ids()
        if action == "call":
            call(working, next_id, files=(FileUse(f"f{n % 3}", 0, n),), tokens=40 + n, digest=n % 4 or None)
            next_id += 2
        elif action in {"user", "task"}:
            working.append(
                Item(next_id, next_id, "user", 10 + n, next_id, task=f"t{n % 2}" if action == "task" else None)
            )
            next_id += 1
        elif ids and action == "drop":
            working.drop(ids[n % len(ids)])
        elif ids and action == "rewind":
            working.rewind(ids[n % len(ids)])
        elif ids:
            group = ids[n % len(ids)]
            forms = dict.fromkeys(working.segments_of(group)[1:], Form(STUB if n % 2 else SHORT, n, 9))
            working.apply([], forms, {})
        assert sums_hold(working)
    twin, again = working.copy(), WorkingSet.unpack(working.pack())
    assert list(working.shown()) == list(twin.shown()) == list(again.shown())
    assert working.tokens == twin.tokens == again.tokens
    for other in (twin, again):
        call(other, 10_001, files=(FileUse("f1"),), digest=2)
    assert twin.segments["superseded_by"].tolist() == again.segments["superseded_by"].tolist()
    assert len(working.segments) == len(twin.segments) - 2
