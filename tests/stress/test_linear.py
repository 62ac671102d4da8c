"""The checker finds what is wrong, and nothing that is not: known violations, and small histories against brute force."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stress.linear import Call, NotLinear, order
from tests.stress.sessionmodel import CLOSED, Standing, step


def told(*rows):
    """Calls in a row, or with moments of their own: (name, given, answer) or (begun, ended, name, given, answer)."""
    return [Call(*row) if isinstance(row[0], int) else Call(2 * n, 2 * n + 1, *row) for n, row in enumerate(rows)]


OPENED = ("open", (), 1)
SAID = ("append", (1,), (5, 5))

RIGHT = {
    "one after another": told(OPENED, SAID, ("assemble", (1,), (1, frozenset({5}), ()))),
    "the same turn again": told(OPENED, SAID, *[("assemble", (1,), (1, frozenset({5}), ()))] * 2),
    "a turn that missed what was said meanwhile": told(
        (0, 1, *OPENED),
        (2, 3, *SAID),
        (4, 9, "append", (1,), (6, 6)),
        (5, 8, "assemble", (1,), (1, frozenset({5}), ())),
    ),
    "closed while something was said": told(
        (0, 1, *OPENED), (2, 9, "close", (1,), None), (3, 8, "append", (1,), (5, 5)), (4, 7, "append", (1,), CLOSED)
    ),
    "opened again by two": told(
        (0, 1, *OPENED), (2, 3, "close", (1,), None), (4, 9, "open", (), 2), (5, 8, "open", (), 2)
    ),
    "what was dropped": told(
        OPENED, SAID, ("append", (1,), (6, 6)), ("collect", (1,), (5,)), ("assemble", (1,), (1, frozenset({6}), ()))
    ),
    "rewound and forked": told(
        OPENED, SAID, ("append", (1,), (6, 6)), ("rewind", (1, 6), None), ("fork", (1,), frozenset({5}))
    ),
}

WRONG = {
    "a lost append": told(OPENED, SAID, ("append", (1,), (6, 6)), ("assemble", (1,), (1, frozenset({5}), ()))),
    "an append lost later": told(
        OPENED,
        SAID,
        ("assemble", (1,), (1, frozenset({5}), ())),
        ("append", (1,), (6, 6)),
        ("assemble", (1,), (2, frozenset({5}), ())),
    ),
    "a turn after close": told(OPENED, SAID, ("close", (1,), None), ("assemble", (1,), (1, frozenset({5}), ()))),
    "an append after close": told(OPENED, ("close", (1,), None), SAID),
    "an append after a close that began before it": told(
        (0, 1, *OPENED), (2, 4, "close", (1,), None), (5, 8, *SAID), (3, 7, "open", (), 2)
    ),
    "refused though open": told(OPENED, ("append", (1,), CLOSED)),
    "a turn's number twice": told(
        OPENED,
        SAID,
        ("assemble", (1,), (1, frozenset({5}), ())),
        ("append", (1,), (6, 6)),
        ("assemble", (1,), (1, frozenset({5, 6}), ())),
    ),
    "a turn's number left out": told(OPENED, SAID, ("assemble", (1,), (2, frozenset({5}), ()))),
    "two contexts of one session": told(OPENED, ("open", (), 2)),
    "a closed context again": told(OPENED, ("close", (1,), None), OPENED),
    "ids that fall": told(OPENED, ("append", (1,), (6, 6)), SAID),
    "not found": told(OPENED, SAID, ("search", (), frozenset())),
    "found though forgotten": told(OPENED, SAID, ("forget", (5,), None), ("search", (), frozenset({5}))),
    "read though forgotten": told(OPENED, SAID, ("forget", (5,), None), ("get", (5,), "hello")),
    "what was dropped came back": told(
        OPENED, SAID, ("drop", (1, 5), None), ("assemble", (1,), (1, frozenset({5}), ()))
    ),
    "a fork that lost something": told(OPENED, SAID, ("fork", (1,), frozenset())),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_can_have_happened_has_an_order(name):
    assert len(order(RIGHT[name], Standing(), step)) == len(RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_have_happened_has_none(name):
    with pytest.raises(NotLinear):
        order(WRONG[name], Standing(), step)


def register(value, call):
    """A cell that is written and read."""
    if call.name == "write":
        return call.given[0]
    return value if call.answer == value else None


@st.composite
def histories(draw):
    moments = draw(st.permutations(range(10)))
    calls = []
    for begun, ended in zip(moments[::2], moments[1::2], strict=True):
        value = draw(st.integers(0, 2))
        name = draw(st.sampled_from(["read", "write"]))
        calls.append(Call(min(begun, ended), max(begun, ended), name, (value,), value if name == "read" else None))
    return calls


def by_force(calls):
    for candidate in permutations(calls):
        value = 0
        is_timely = all(
            later.ended > earlier.begun for n, earlier in enumerate(candidate) for later in candidate[n + 1 :]
        )
        if is_timely:
            for call in candidate:
                value = None if value is None else register(value, call)
            if value is not None:
                return True
    return False


@given(histories())
def test_it_agrees_with_trying_every_order(calls):
    try:
        found = order(calls, 0, register)
    except NotLinear:
        assert not by_force(calls)
    else:
        assert by_force(calls)
        assert sorted(found, key=id) == sorted(calls, key=id)
