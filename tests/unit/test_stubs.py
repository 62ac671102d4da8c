"""Stubs and cut texts: same bytes for ever, within their limit, naming the way back only where there is one."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.ledger.stubs import STUB_CHARS, Cut, Source, shortened, stub


def words(text: str) -> int:
    """Count as a tokenizer might, without one: 4 characters a token."""
    return -(-len(text) // 4)


def test_a_stub_names_id_size_and_the_way_back():
    assert stub(Cut(12, has_memory_read=True), "", 4312) == "[#12 cut: 4,312 tokens; memory_read(12) shows it]"
    assert stub(Cut(12), "", 4312) == "[#12 cut: 4,312 tokens; run the call again if needed]"


def test_a_call_that_changed_something_is_not_to_be_run_again():
    made = stub(Cut(12, source="change"), "", 4312)

    assert made == "[#12 cut: 4,312 tokens; it was done; do not run it again]"
    assert "run the call" not in shortened(Cut(7, source="change"), "x" * 9_000, 200, words)


def test_of_a_text_its_first_and_last_line_stay():
    text = "\n".join(["collected 40 items", *(f"line {n}" for n in range(500)), "38 passed, 2 skipped", ""])

    assert stub(Cut(3, has_memory_read=True), text, 900).split("\n") == [
        "collected 40 items",
        "[#3 cut: 900 tokens; memory_read(3) shows it]",
        "38 passed, 2 skipped",
    ]


def test_of_json_whole_records_stay():
    text = '[{"flight": "HAT110", "price": 207}, {"flight": "HAT132", "price": 99}' + ', {"n": 1}' * 99 + "]"
    head, cut = stub(Cut(3, has_memory_read=True), text, 900).split("\n")

    assert head.startswith("flight=HAT110 price=207 | flight=HAT132 price=99")
    assert cut.startswith("[#3 cut")


def test_a_failure_keeps_its_reason():
    made = stub(Cut(3, failed="KeyError: 'user'", has_memory_read=True), "Traceback\n" * 99, 900)

    assert made == "[#3 cut: 900 tokens; memory_read(3) shows it] failed: KeyError: 'user'"


@given(
    st.text(max_size=6_000) | st.text('[]#{}":\n\r ab', max_size=300), st.booleans(), st.sampled_from(get_args(Source))
)
def test_whatever_the_text_a_stub_is_short_and_its_only_id_its_own(text, has_memory_read, source):
    made = stub(Cut(7, has_memory_read=has_memory_read, source=source), text, 900)

    assert made.count("[#") == 1
    assert len(made) <= STUB_CHARS + 120
    assert len(made.splitlines()) <= 3
    assert made == stub(Cut(7, has_memory_read=has_memory_read, source=source), text, 900)


@given(st.text(max_size=3_000), st.integers(12, 400))
def test_a_shortened_text_keeps_head_and_tail_within_its_limit(text, limit):
    made = shortened(Cut(7), text, limit, words)

    assert words(made) <= limit
    assert made == shortened(Cut(7), text, limit, words)
    if words(text) <= limit:
        assert made == text
    else:
        assert "[#7 cut" in made


@pytest.mark.parametrize("limit", [100, 200, 400])
def test_head_and_tail_are_the_texts_own(limit):
    text = "".join(f"line {n}\n" for n in range(1_000))
    head, _, tail = shortened(Cut(7, has_memory_read=True), text, limit, words).partition("\n[#7 cut here: ")

    assert text.startswith(head)
    assert text.endswith(tail.partition("]\n")[2])


def test_a_change_that_failed_is_never_said_to_be_done():
    cut = Cut(7, source="change", failed="ERROR: old text not found in match.c")

    for made in (stub(cut, "x" * 9_000, 4312), *(shortened(cut, "x " * 4_500, n, words) for n in (20, 40, 59, 200))):
        assert "done" not in made
        assert "failed" in made
    assert "old text not found" in shortened(cut, "x " * 4_500, 200, words)


def test_a_cut_never_makes_another_number():
    made = stub(
        Cut(7), "é\n" * 99 + "[main 8f12ce3] Bind each part of a message once, 4 files changed, 175 insertions(+)", 900
    )

    assert made.endswith("...files changed, 175 insertions(+)")
