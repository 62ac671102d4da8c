"""Arrays and the grouping by session, against plain lists."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ctxmem.search.columns import BySession, decode_array, encode_array

rows = st.dictionaries(st.integers(0, 60), st.integers(0, 4), min_size=1, max_size=40)


@pytest.mark.parametrize(
    "values",
    [[0, 0, 0], [1, 2, 3], [0, 255, 256], [0, 70_000, 4_000_000_000]],
)
def test_unsigned_arrays_read_back(values):
    data = encode_array(np.array(values, np.uint32))
    assert decode_array(data, len(values)).tolist() == values


def test_floats_read_back_and_constants_are_small():
    assert decode_array(encode_array(np.array([1.5, -2.0])), 2).tolist() == [1.5, -2.0]
    assert len(encode_array(np.full(1_000, 1.5))) == 9
    assert decode_array(encode_array(np.full(3, 1.5)), 3).tolist() == [1.5] * 3


def grouped(drawn, span):
    offsets = np.array(sorted(drawn), np.uint16)
    sessions = np.array([drawn[offset] for offset in sorted(drawn)], np.uint32)
    return BySession.decode(BySession.build(offsets, sessions, span).encode(), span)


def check(found, drawn, reach):
    offsets = np.array(sorted(drawn), np.uint16)
    if not len(offsets):
        assert len(found.numbers) == 0
        return
    places = offsets.astype(np.uint32)
    low, high, numbers = found.bounds(places)
    assert numbers.tolist() == found.number_at(offsets).tolist() == [drawn[offset] for offset in sorted(drawn)]
    order = list(range(len(offsets))) if found.order is None else found.order.tolist()
    for place, start, stop, offset in zip(places.tolist(), low.tolist(), high.tolist(), sorted(drawn), strict=True):
        assert order[place] == offset
        assert order[start:stop] == [other for other in sorted(drawn) if drawn[other] == drawn[offset]]
    for session in range(6):
        same = [offset for offset in sorted(drawn) if drawn[offset] == session]
        assert found.of(session).tolist() == same
        first, last = found.ends(np.array([session]), reach)
        assert [each for each in first[0].tolist() if each >= 0] == same[:reach]
        assert [each for each in last[0].tolist() if each >= 0] == same[-reach:]
    assert found.of_any({1, 3, 9}).tolist() == [offset for offset in sorted(drawn) if drawn[offset] in {1, 3}]


@settings(deadline=None, max_examples=150)
@given(rows, st.integers(1, 4), st.sets(st.integers(0, 60)))
def test_grouping(drawn, reach, removed):
    span = max(drawn) + 1
    found = grouped(drawn, span)
    check(found, drawn, reach)
    gone = np.array(sorted(removed & drawn.keys()), np.uint16)
    left = {offset: session for offset, session in drawn.items() if offset not in removed}
    check(found.without(gone, span), left, reach)


def test_sessions_in_order_need_no_order():
    found = grouped(dict(enumerate([1, 1, 2, 2, 2, 5])), 6)
    assert found.order is None
    assert found.rank is None
