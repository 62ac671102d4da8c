"""Hot tier: a value leaves it only when it is on disk, and what is kept stays within its bound."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.log.hot import ENTRY_BYTES, Hot


def cost(*sizes):
    return sum(sizes) + ENTRY_BYTES * len(sizes)


def test_a_held_value_stays_whatever_the_bound():
    hot = Hot(10)
    for number in range(50):
        hot.hold(number, b"x" * 100)

    assert all(hot.get(number) == b"x" * 100 for number in range(50))
    assert hot.stats()["held_bytes"] == cost(*[100] * 50)


def test_a_settled_value_may_go():
    hot = Hot(cost(100, 100))
    for number in range(3):
        hot.hold(number, b"x" * 100)
    hot.settle([0, 1, 2])

    assert [hot.get(number) is not None for number in range(3)] == [False, True, True]
    assert hot.stats()["held_bytes"] == 0


def test_the_least_recently_read_goes_first():
    hot = Hot(cost(10, 10))
    hot.promote(1, b"a" * 10)
    hot.promote(2, b"b" * 10)
    hot.get(1)
    hot.promote(3, b"c" * 10)

    assert hot.get(1) is not None
    assert hot.get(2) is None


def test_overwriting_with_a_larger_value_keeps_the_new_one():
    hot = Hot(cost(10, 10))
    hot.promote(1, b"a" * 4)
    hot.promote(2, b"b" * 4)
    hot.promote(1, b"A" * 16)

    assert hot.get(1) == b"A" * 16
    assert hot.check() == []


def test_a_value_above_the_bound_is_not_kept():
    hot = Hot(100)
    hot.promote(1, b"x" * 101)

    assert hot.get(1) is None


def test_clearing_spares_what_is_held():
    hot = Hot(10_000)
    hot.hold(1, b"held")
    hot.promote(2, b"kept")
    hot.clear()

    assert (hot.get(1), hot.get(2)) == (b"held", None)


def test_a_stale_read_does_not_replace_what_is_held():
    hot = Hot(10_000)
    hot.hold(1, b"new")
    hot.promote(1, b"old")

    assert hot.get(1) == b"new"
    assert hot.check() == []


@given(st.lists(st.tuples(st.sampled_from("hpsdg"), st.integers(0, 8), st.integers(0, 400))))
def test_invariants_hold_after_every_step(steps):
    hot, held = Hot(1500), {}
    for step, number, size in steps:
        if step == "h" and number not in held:
            hot.clear()
            held[number] = b"h" * size
            hot.hold(number, held[number])
        elif step == "p":
            hot.promote(number, b"p" * size)
        elif step == "s" and number in held:
            hot.settle([number])
            del held[number]
        elif step == "d":
            hot.clear()
        else:
            hot.get(number)
        assert hot.check() == []
        assert all(hot.get(number) == packed for number, packed in held.items())


@pytest.mark.parametrize("n_threads", [4])
def test_threads_do_not_break_it(n_threads):
    hot = Hot(50_000)

    def work(base):
        for number in range(base, base + 500):
            hot.hold(number, b"x" * (number % 300))
            hot.settle([number])
            hot.get(number - 3)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert hot.check() == []
