"""The arithmetic of scores: vectors equal scalars, and both equal the oracle's plain definition."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.search import relevance

_spec = importlib.util.spec_from_file_location("oracle", Path(__file__).parent.parent / "oracle.py")
oracle = sys.modules.setdefault("oracle", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(oracle)

counts = st.integers(1, 400)
lengths = st.integers(0, 65_535)


@given(st.lists(st.tuples(counts, lengths), min_size=1, max_size=50))
def test_impacts_equal_impact_and_the_oracle(pairs):
    tf, length = (np.array(column) for column in zip(*pairs, strict=True))

    found = relevance.impacts(tf, length).tolist()

    assert found == [relevance.impact(*pair) for pair in pairs] == [oracle.impact(*pair) for pair in pairs]


def test_impacts_take_one_length_for_all_counts():
    assert relevance.impacts(np.array([1, 2], np.uint8), np.int64(64)).tolist() == [91, 135]


def test_impact_rises_with_the_count_and_falls_with_the_length():
    by_count = [relevance.impact(tf, 64) for tf in range(260)]
    by_length = [relevance.impact(3, length) for length in range(5_000)]

    assert by_count == sorted(by_count)
    assert by_count[0] == 0
    assert by_count[255] == by_count[259] < 256
    assert by_length == sorted(by_length, reverse=True)
    assert by_length[-1] >= 1


@given(st.integers(0, 5_000_000), st.integers(0, 5_000_000))
def test_idf_is_positive_and_falls_with_df(n, df):
    df = min(n, df)

    assert relevance.idf(n, df) == oracle.idf(n, df) >= 1
    assert relevance.idf(n, df) >= relevance.idf(n, min(n, df + 1))


@st.composite
def rows(draw):
    n, n_terms = draw(st.integers(1, 12)), draw(st.integers(0, 4))
    cells = st.lists(st.integers(0, 255), min_size=n_terms, max_size=n_terms)
    own = draw(st.lists(cells, min_size=n, max_size=n))
    weights = draw(st.lists(st.integers(1, 60_000), min_size=n_terms, max_size=n_terms))
    neighbours = draw(st.lists(st.lists(st.integers(-1, n - 1), min_size=4, max_size=4), min_size=n, max_size=n))
    sessions = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return own, weights, neighbours, sessions


def defined(own, weights, neighbours, sessions):
    """The docstring's formula, cell by cell."""
    terms = range(len(weights))
    odds = [[4096 * value // (256 - value) for value in row] for row in own]
    said = []
    for i, beside in enumerate(neighbours):
        sums = [4 * odds[i][t] + sum(odds[j][t] for j in beside if j >= 0) for t in terms]
        said.append([65536 * total // (total + 16384) for total in sums])
    scores = []
    for i, session in enumerate(sessions):
        alone = sum(weights[t] * said[i][t] for t in terms)
        members = [j for j, other in enumerate(sessions) if other == session]
        shared = sum(weights[t] * max(said[j][t] for j in members) for t in terms) if session else 0
        scores.append((alone + shared * 3 // 8) // 256)
    return scores


@given(rows())
def test_rerank_is_the_formula(case):
    own, weights, neighbours, sessions = case

    found = relevance.rerank(
        np.array(own, np.uint8).reshape(len(own), len(weights)),
        np.array(weights, np.int64),
        np.array(neighbours),
        np.array(sessions),
    )

    assert found.tolist() == defined(*case)


def test_rerank_of_nothing():
    nothing = np.zeros((0, 2), np.uint8)

    found = relevance.rerank(nothing, np.array([1, 2]), np.zeros((0, 4), np.int64), np.zeros(0, np.int64))

    assert found.tolist() == []


def test_neighbours_help_but_less_than_the_word_itself():
    own = np.array([[160], [0], [0], [160]], np.uint8)
    neighbours = np.array([[1, -1, 2, -1], [2, 0, -1, -1], [-1, 1, -1, 0], [-1, -1, -1, -1]])

    scores = relevance.rerank(own, np.array([9000]), neighbours, np.zeros(4, np.int64)).tolist()

    assert scores[0] == scores[3] > scores[1] == scores[2] > 0


def test_a_session_lifts_its_rows():
    own = np.array([[160, 0], [0, 160], [160, 0]], np.uint8)
    nobody = np.full((3, 4), -1)

    scores = relevance.rerank(own, np.array([9000, 9000]), nobody, np.array([7, 7, 8])).tolist()

    assert scores[0] > scores[2]
