"""A quoted stretch holds what was asked for, within its bound; pages join to the whole text."""

from hypothesis import given
from hypothesis import strategies as st

from ctxmem.prompt.quotes import page, stretch, words_of


@given(st.text(max_size=3000), st.text(max_size=60), st.integers(20, 500))
def test_a_stretch_lies_inside_and_within_the_limit(text, query, limit):
    start, stop = stretch(text, words_of(query), limit)

    assert 0 <= start <= stop <= len(text)
    assert stop - start <= max(limit, 0) or stop - start == len(text) <= limit


def test_a_stretch_holds_the_rare_word():
    text = "the common word again\n" * 400 + "ConnectionResetError at line 17\n" + "the common word again\n" * 400
    start, stop = stretch(text, words_of("common ConnectionResetError"), 300)

    assert "ConnectionResetError at line 17" in text[start:stop]
    assert stop - start <= 300


@given(st.text(min_size=1, max_size=4000), st.integers(16, 200))
def test_pages_join_to_the_text(text, limit):
    def count(piece):
        return len(piece) // 3

    pieces, at = [], 0
    while at < len(text):
        end = page(text, at, limit, count)
        assert end > at
        assert count(text[at:end]) <= max(limit, 64)
        pieces.append(text[at:end])
        at = end

    assert "".join(pieces) == text
