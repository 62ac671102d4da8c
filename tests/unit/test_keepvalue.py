"""Keep-values: the order of two groups never changes as turns pass, and every factor pulls the way it should."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.collector.keepvalue import HALF_LIFE_TURNS, SIZE_EXPONENT, keep_values

GROUP = st.tuples(
    st.sampled_from([0.0625, 0.25, 1.0, 4.0]),
    st.floats(1.0, 4.0),
    st.integers(0, 9),
    st.integers(0, 10_000),
    st.integers(1, 50_000),
)


def value(weight=1.0, importance=1.0, hits=0, turn=0, tokens=100) -> int:
    columns = (np.array([x]) for x in (weight, importance, hits, turn, tokens))
    return int(keep_values(*columns, half_life_turns=HALF_LIFE_TURNS, size_exponent=SIZE_EXPONENT)[0])


@given(GROUP, GROUP, st.integers(0, 100_000))
def test_the_order_of_two_groups_does_not_change_as_turns_pass(a, b, later):
    def moved(group):
        return value(group[0], group[1], group[2], group[3] + later * int(HALF_LIFE_TURNS), group[4])

    assert moved(a) - moved(b) == value(*a) - value(*b)


def test_newer_more_used_heavier_and_smaller_is_worth_more():
    assert value(turn=9) > value(turn=8)
    assert value(hits=1) > value()
    assert value(weight=4.0) > value()
    assert value(importance=2.0) > value()
    assert value(tokens=50) > value()


def test_one_half_life_is_one_bit():
    assert value(turn=int(HALF_LIFE_TURNS)) - value() == 4096
