"""Long tool outputs, as agents get them, among short lines that share their words: each is found by what it alone says."""

import argparse
import json
import random
from itertools import islice
from pathlib import Path

import pytest

import ctxmem
from ctxmem.search import relevance

PAGE_CHARS = 10_500  # about 3,000 tokens


def source_pages():
    text = Path(argparse.__file__).read_text(encoding="utf-8")
    return [text[start : start + PAGE_CHARS] for start in range(0, len(text), PAGE_CHARS)]


def log(rng):
    lines = [
        f"2026-11-21T08:{i // 60 % 60:02}:{i % 60:02}Z INFO worker-{rng.randrange(8)} request {rng.randrange(10**9):09x} "
        f"GET /api/orders/{rng.randrange(10**5)} 200 in {rng.randrange(90)} ms"
        for i in range(160)
    ]
    lines[97] = "2026-11-21T08:01:37Z ERROR worker-3 upstream ledger-service refused connection: certificate expired"
    return "\n".join(lines)


def listing(rng):
    names = ["amber", "birch", "cedar", "dune", "ember", "flint", "grove", "heath"]
    rows = [
        {"id": f"ord_{rng.randrange(10**9):09x}", "customer": rng.choice(names), "state": "shipped", "total": i}
        for i in range(140)
    ]
    rows[70] = {"id": "ord_77f3a9c01", "customer": "zephyrine", "state": "refund_pending_review", "total": 12}
    return json.dumps(rows, indent=1)


LINES = [
    "I will look at how the arguments are parsed, and what the action does.",
    "The parser keeps its option strings; next I check the error message.",
    "The orders come from the API; a request takes a few milliseconds.",
    "Is the connection refused by the worker, or by the service?",
    "A refund is pending for some customer; let me list the orders.",
    "The negative numbers look like options to the parser, I think.",
]


@pytest.fixture
def session(tmp_path):
    """An agent's session: each long output between short lines, each line three times in other words."""
    rng = random.Random(7)
    outputs = [*source_pages(), log(rng), listing(rng)]
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        places = {}
        for i, output in enumerate(outputs):
            for line in islice(LINES * 2, i % 6, i % 6 + 3):
                places[memory.add(f"{line} Step {i}.", kind="message", session="agent").id] = line
            places[memory.add(output, kind="tool", session="agent").id] = output
        yield memory, places


def first(session, query):
    memory, places = session
    return places[memory.search(query, limit=1)[0].segment.id]


def test_a_rare_identifier_beats_its_parts(session):
    pages = [page for page in source_pages() if "_has_negative_number_optionals" in page]

    assert first(session, "_has_negative_number_optionals") in pages


def test_the_text_of_an_error_finds_the_log(session):
    assert "certificate expired" in first(session, "ledger-service refused connection: certificate expired")


@pytest.mark.parametrize("query", ["ord_77f3a9c01", "zephyrine order", "refund_pending_review"])
def test_one_record_among_many_is_found(session, query):
    assert "ord_77f3a9c01" in first(session, query)


def test_a_short_line_is_not_buried_by_pages_that_hold_its_words(session):
    assert first(session, "negative numbers look like options").startswith("The negative numbers")
    assert first(session, "a refund is pending for a customer").startswith("A refund is pending")


def test_one_mention_never_says_less_than_in_a_segment_of_the_usual_length():
    assert {relevance.impact(1, length) for length in (64, 1_500, 65_535)} == {relevance.impact(1, 64)}
    assert relevance.impact(40, 1_500) > relevance.impact(10, 1_500) > relevance.impact(1, 1_500)
