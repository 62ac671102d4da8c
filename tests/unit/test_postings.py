"""Posting lists and pages: what is written is read, in any form, and keys ascend."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from ctxmem.search.postings import (
    SHARED,
    TermWriter,
    decode_own,
    decode_page,
    encode_own,
    find_in_page,
    own_key,
    pack_keys,
    page_key,
)

SPAN = 300
posting_sets = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=6).map(str.encode),
    st.dictionaries(st.integers(0, SPAN - 1), st.integers(1, 255), min_size=1, max_size=40),
    min_size=1,
    max_size=40,
)


def written(drawn, pieces, serial=7):
    writer = TermWriter(serial, SPAN)
    terms = sorted(drawn)
    entries = []
    step = max(1, len(terms) // pieces)
    for start in range(0, len(terms), step):
        part = terms[start : start + step]
        rows = [(rank, *item) for rank, term in enumerate(part) for item in sorted(drawn[term].items())]
        entries += writer.add(part, pack_keys(*(np.array(column) for column in zip(*rows, strict=True))))
    entries += writer.pages()
    assert writer.n_terms == len(drawn)
    return entries


def read(entries, term, serial=7):
    by_key = dict(entries)
    own = by_key.get(own_key(serial, term))
    if own is not None:
        return decode_own(own, SPAN)
    pages = [key for key in by_key if own_key(serial, b"\xff" * 9) < key <= page_key(serial, term)]
    return find_in_page(by_key[max(pages)], term, with_impacts=True) if pages else None


@settings(deadline=None, max_examples=150)
@given(posting_sets, st.integers(1, 5), st.lists(st.integers(0, SPAN - 1), unique=True), st.integers(1, 255))
def test_what_is_written_is_read(drawn, pieces, wanted, least):
    entries = written(drawn, pieces)
    keys = [key for key, _ in entries]
    assert keys == sorted(set(keys))
    probe = np.array(sorted(wanted), np.uint16)
    for term, held in drawn.items():
        posting = read(entries, term)
        assert posting.n == len(held)
        assert posting.highest == max(held.values())
        assert posting.all_offsets().tolist() == sorted(held)
        assert posting.at(probe).tolist() == [held.get(offset, 0) for offset in probe.tolist()]
        offsets, impacts = posting.above(least)
        expected = [(offset, impact) for offset, impact in sorted(held.items()) if impact >= least]
        assert list(zip(offsets.tolist(), impacts.tolist(), strict=True)) == expected
    assert read(entries, b"zz") is None


@settings(deadline=None, max_examples=50)
@given(posting_sets, st.integers(1, 5), st.integers(1, 5))
def test_the_entries_do_not_depend_on_how_they_were_added(drawn, one, other):
    assert written(drawn, one) == written(drawn, other)


def test_a_term_stands_alone_from_sixteen_postings_on():
    few = dict.fromkeys(range(SHARED - 1), 9)
    many = dict.fromkeys(range(SHARED), 9)
    keys = [key for key, _ in written({b"few": few, b"many": many}, 1)]
    assert keys == [own_key(7, b"many"), page_key(7, b"few")]


def test_a_term_of_a_third_of_the_run_is_dense():
    offsets = np.arange(0, SPAN, 2).astype(np.uint16)
    posting = decode_own(encode_own(offsets, np.full(len(offsets), 77, np.uint8), SPAN), SPAN)
    assert posting.offsets is None
    assert posting.all_offsets().tolist() == offsets.tolist()


def test_the_least_of_the_best():
    offsets = np.arange(6).astype(np.uint16)
    posting = decode_own(encode_own(offsets, np.array([5, 9, 9, 3, 200, 1], np.uint8), SPAN), SPAN)
    assert [posting.least_of_best(k) for k in (1, 2, 3, 4, 6, 7)] == [200, 9, 9, 5, 1, 1]


def test_many_pages_each_small():
    drawn = {b"term%05d" % number: {number % SPAN: 1} for number in range(2_000)}
    entries = written(drawn, 3)
    assert len(entries) > 5
    assert max(len(value) for _, value in entries) <= 2_020
    terms = [term for _, value in entries for term in decode_page(value, with_impacts=True).terms]
    assert terms == sorted(drawn)
