"""Sets of segments: every form reads back, and set operations are set operations."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ctxmem.search import facets

SPAN = 9_000
members = st.one_of(
    st.sets(st.integers(0, SPAN - 1), max_size=30),
    st.tuples(st.integers(0, SPAN), st.integers(0, SPAN)).map(lambda ends: set(range(min(ends), max(ends)))),
    st.integers(1, 3).map(lambda step: set(range(0, SPAN, step))),
)


def as_set(chosen):
    return set(facets.offsets_of(chosen).tolist())


def chosen_of(drawn):
    return facets.decode_set(facets.encode_set(np.array(sorted(drawn), np.uint16), SPAN), SPAN)


@settings(deadline=None, max_examples=60)
@given(members.filter(bool))
def test_a_set_reads_back(drawn):
    chosen = chosen_of(drawn)
    assert as_set(chosen) == drawn
    assert facets.size(chosen) == len(drawn)
    probe = np.arange(0, SPAN, 7).astype(np.uint16)
    assert facets.contains(chosen, probe).tolist() == [offset in drawn for offset in probe.tolist()]


@settings(deadline=None, max_examples=60)
@given(members.filter(bool), members.filter(bool))
def test_intersection_and_difference(left, right):
    a, b = chosen_of(left), chosen_of(right)
    assert as_set(facets.intersect(a, b)) == left & right
    removed = facets.offsets_of(b)
    assert as_set(facets.without(a, removed, SPAN)) == left - right
    assert as_set(facets.without(None, removed, SPAN)) == set(range(SPAN)) - right


def test_none_stands_for_all():
    some = np.array([1, 2], np.uint16)
    assert facets.intersect(None, None) is None
    assert facets.intersect(None, some) is some
    assert facets.intersect(some, None) is some
    assert facets.without(None, some[:0], SPAN) is None


def test_sets_are_small_on_disk():
    assert len(facets.encode_set(np.arange(100, 9_000).astype(np.uint16), SPAN)) == 6
    assert len(facets.encode_set(np.arange(0, SPAN, 2).astype(np.uint16), SPAN)) < 1_200


@given(st.sets(st.integers(0, 2**48 - 1)))
def test_ids_travel_as_bytes(ids):
    assert set(facets.load_ids(facets.dump_ids(ids))) == ids


def test_ids_between():
    ids = facets.IdSet([1, 99, 100, 150, 199, 200])
    assert facets.ids_between(ids, 100, 100).tolist() == [0, 50, 99]
    assert facets.ids_between(ids, 300, 100).tolist() == []
    assert facets.ids_between(facets.IdSet(), 0, 100).tolist() == []


@pytest.mark.parametrize("value", ["a" * 500, "nul\0inside", chr(0xD800), "", "é" * 300])
def test_any_value_has_a_bounded_key(value):
    key = facets.facet_key("file", value)
    assert len(key) <= facets.KEY_BYTES
    assert b"\0" not in key
    assert key != facets.facet_key("file", value + "x")
    assert key != facets.facet_key("path", value)


def test_a_list_stands_under_each_value():
    assert list(facets.facet_keys({"tags": ["x", "y", "x"], "n": 7})) == [
        facets.facet_key("tags", "x"),
        facets.facet_key("tags", "y"),
        facets.facet_key("n", 7),
    ]
