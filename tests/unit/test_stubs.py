"""Stubs and cut texts: same bytes for ever, within their limit, naming the way back only where there is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.ledger.stubs import shortened, stub


def words(text: str) -> int:
    """Count as a tokenizer might, without one: 4 characters a token."""
    return -(-len(text) // 4)


def test_a_stub_names_id_size_and_the_way_back():
    assert stub(12, 4312, has_memory_read=True) == "[#12 result cut: 4,312 tokens; memory_read(12) shows it]"
    assert "memory_read" not in stub(12, 4312, has_memory_read=False)


@given(st.text(max_size=3_000), st.integers(12, 400))
def test_a_shortened_text_keeps_head_and_tail_within_its_limit(text, limit):
    made = shortened(7, text, limit, words, has_memory_read=False)

    assert words(made) <= limit
    assert made == shortened(7, text, limit, words, has_memory_read=False)
    if words(text) <= limit:
        assert made == text
    else:
        assert "[#7 cut" in made


@pytest.mark.parametrize("limit", [100, 200, 400])
def test_head_and_tail_are_the_texts_own(limit):
    text = "".join(f"line {n}\n" for n in range(1_000))
    head, _, tail = shortened(7, text, limit, words, has_memory_read=True).partition("\n[#7 cut here: ")

    assert text.startswith(head)
    assert text.endswith(tail.partition("]\n")[2])
