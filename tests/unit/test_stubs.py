"""Stubs and cut texts: same bytes for ever, within their limit, naming the way back only where there is one."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.ledger.stubs import STUB_CHARS, Source, shortened, stub


def words(text: str) -> int:
    """Count as a tokenizer might, without one: 4 characters a token."""
    return -(-len(text) // 4)


def test_a_stub_names_id_size_and_the_way_back():
    assert stub(12, "", 4312, has_memory_read=True) == "[#12 cut: 4,312 tokens; memory_read(12) shows it]"
    assert stub(12, "", 4312, has_memory_read=False) == "[#12 cut: 4,312 tokens; run the call again if needed]"


def test_a_call_that_changed_something_is_not_to_be_run_again():
    made = stub(12, "", 4312, has_memory_read=False, source="change")

    assert made == "[#12 cut: 4,312 tokens; it was done; do not run it again]"
    assert "run the call" not in shortened(7, "x" * 9_000, 200, words, has_memory_read=False, source="change")


def test_of_a_text_its_first_and_last_line_stay():
    text = "\n".join(["collected 40 items", *(f"line {n}" for n in range(500)), "38 passed, 2 skipped", ""])

    assert stub(3, text, 900, has_memory_read=True).split("\n") == [
        "collected 40 items",
        "[#3 cut: 900 tokens; memory_read(3) shows it]",
        "38 passed, 2 skipped",
    ]


def test_of_json_whole_records_stay():
    text = '[{"flight": "HAT110", "price": 207}, {"flight": "HAT132", "price": 99}' + ', {"n": 1}' * 99 + "]"
    head, cut = stub(3, text, 900, has_memory_read=True).split("\n")

    assert head.startswith("flight=HAT110 price=207 | flight=HAT132 price=99")
    assert cut.startswith("[#3 cut")


def test_a_failure_keeps_its_reason():
    made = stub(3, "Traceback\n" * 99, 900, "KeyError: 'user'", has_memory_read=True)

    assert made == "[#3 cut: 900 tokens; memory_read(3) shows it] failed: KeyError: 'user'"


@given(
    st.text(max_size=6_000) | st.text('[]#{}":\n\r ab', max_size=300), st.booleans(), st.sampled_from(get_args(Source))
)
def test_whatever_the_text_a_stub_is_short_and_its_only_id_its_own(text, has_memory_read, source):
    made = stub(7, text, 900, has_memory_read=has_memory_read, source=source)

    assert made.count("[#") == 1
    assert len(made) <= STUB_CHARS + 120
    assert len(made.splitlines()) <= 3
    assert made == stub(7, text, 900, has_memory_read=has_memory_read, source=source)


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
