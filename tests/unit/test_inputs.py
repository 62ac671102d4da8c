"""Bad input is refused with a sentence that names the argument, before anything is written."""

import math
from contextlib import suppress
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem import inputs
from ctxmem.errors import BadInput


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e18, 10**400, True, "now", datetime(2026, 1, 1)])  # noqa: DTZ001
def test_time_refuses_what_is_no_moment(value):
    with pytest.raises(BadInput, match="at"):
        inputs.time_s(value)


def test_time_takes_seconds_and_aware_datetimes():
    assert inputs.time_s(None) is None
    assert inputs.time_s(5) == 5.0
    assert inputs.time_s(datetime(1970, 1, 2, tzinfo=timezone.utc)) == 86_400.0


@pytest.mark.parametrize("value", [-1, 2**48, True, "7", 1.5, None])
def test_segment_id_refuses_what_is_no_id(value):
    with pytest.raises(BadInput, match="id"):
        inputs.segment_id(value)


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "x"},
        {"f": 1.5},
        {"f": True},
        {"f": ""},
        {"f": "a\0b"},
        {"f": "\ud800"},
        {"f": "x" * 300},
        {"f": [[1]]},
        {"f": 2**63},
        {"f": {"a": 1}},
        {"": "x"},
        {f"f{i}": i for i in range(65)},
        {"f": list(range(2000))},
    ],
)
def test_facets_refuse_what_cannot_be_indexed(given):
    with pytest.raises(BadInput):
        inputs.facets(given)


def test_facets_take_strings_ints_and_lists():
    assert inputs.facets({"a": "x", "b": 3, "c": ("y", 4), "d": None, "e": {"q", "p"}}) == {
        "a": "x",
        "b": 3,
        "c": ["y", 4],
        "e": ["p", "q"],
    }


@given(st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers())))
def test_any_value_passes_or_raises_bad_input(value):
    for check in (
        inputs.time_s,
        inputs.segment_id,
        inputs.text,
        lambda v: inputs.short(v, "x"),
        lambda v: inputs.facets({"f": v}),
    ):
        with suppress(BadInput):  # any other error fails the test
            check(value)


def test_refs_keep_order_and_drop_repeats():
    assert inputs.refs([3, 1, 3]) == (3, 1)
    for bad in ("12", {1: 2}, [-1], ["1"]):
        with pytest.raises(BadInput):
            inputs.refs(bad)
