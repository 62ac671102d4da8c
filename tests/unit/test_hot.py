"""Hot tier: what is kept stays within its bound, and what an exception leaves is dropped."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.log.hot import ENTRY_BYTES, Hot


def cost(*sizes):
    return sum(sizes) + ENTRY_BYTES * len(sizes)


def test_what_is_over_the_bound_goes():
    hot = Hot(cost(100, 100))
    hot.keep((number, b"x" * 100) for number in range(3))

    assert [hot.get(number) is not None for number in range(3)] == [False, True, True]


def test_a_change_that_is_cut_short_drops_the_cache():
    hot = Hot(1000)
    hot.keep([(1, b"a")])

    def values():
        yield 2, b"b"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hot.keep(values())

    assert (hot.get(1), hot.get(2), hot.check()) == (None, None, [])
    hot.keep([(1, b"a")])
    assert hot.get(1) == b"a"


def test_the_least_recently_read_goes_first():
    hot = Hot(cost(10, 10))
    hot.keep([(1, b"a" * 10)])
    hot.keep([(2, b"b" * 10)])
    hot.get(1)
    hot.keep([(3, b"c" * 10)])

    assert hot.get(1) is not None
    assert hot.get(2) is None


def test_overwriting_with_a_larger_value_keeps_the_new_one():
    hot = Hot(cost(10, 10))
    hot.keep([(1, b"a" * 4)])
    hot.keep([(2, b"b" * 4)])
    hot.keep([(1, b"A" * 16)])

    assert hot.get(1) == b"A" * 16
    assert hot.check() == []


def test_a_value_above_the_bound_is_not_kept():
    hot = Hot(100)
    hot.keep([(1, b"x" * 101)])

    assert hot.get(1) is None


@given(st.lists(st.tuples(st.sampled_from("kcg"), st.integers(0, 8), st.integers(0, 400))))
def test_invariants_hold_after_every_step(steps):
    hot = Hot(1500)
    for step, number, size in steps:
        if step == "k":
            hot.keep([(number, b"k" * size)])
        elif step == "c":
            hot.clear()
        else:
            hot.get(number)
        assert hot.check() == []


@pytest.mark.parametrize("n_threads", [4])
def test_threads_do_not_break_it(n_threads):
    hot = Hot(50_000)

    def work(base):
        for number in range(base, base + 500):
            hot.keep([(number, b"x" * (number % 300))])
            hot.get(number - 3)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert hot.check() == []
