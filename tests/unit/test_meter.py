"""The meter sees what a provider would: prefixes, cache shares, breaks."""

from types import SimpleNamespace

import pytest

import ctxmem
from ctxmem.cli.meter import Meter
from ctxmem.cli.turntable import chosen


@pytest.fixture
def meter(monkeypatch):
    monkeypatch.setattr(ctxmem, "validate", lambda payload, _provider: payload.get("bad", []), raising=False)
    return Meter(lambda segment_id: "recall" if segment_id >= 100 else "user")


def prompt(*texts, turn=1, collection=None, segments=(), system=None, bad=(), tokens=10):
    return SimpleNamespace(
        messages=[{"role": "user", "content": text} for text in texts],
        system=system,
        collection=collection,
        segments=segments,
        turn=turn,
        tokens=tokens,
        budget=100,
        exact=True,
        provider="openai",
        kwargs=lambda: {"bad": list(bad)},
    )


def collection(dropped=(), stubbed=()):
    return SimpleNamespace(dropped=dropped, stubbed=stubbed)


def test_a_prompt_that_grows_keeps_its_prefix(meter):
    meter.see(prompt("aaaa"), 0.001)
    row = meter.see(prompt("aaaa", "bbbb"), 0.002)

    assert (row.is_prefix, row.epoch, row.cached) == (True, 1, 0.5)
    assert meter.prefix_breaks == 0
    assert row.assemble_ms == 2.0


def test_a_change_in_the_middle_is_a_break_unless_something_was_collected(meter):
    meter.see(prompt("a", "b"), 0)
    meter.see(prompt("a", "c"), 0)
    row = meter.see(prompt("x", "c", collection=collection(dropped=(1, 2), stubbed=(3,))), 0)

    assert meter.prefix_breaks == 1
    assert (row.epoch, row.dropped, row.stubbed, row.cached) == (2, 2, 1, 0.0)


def test_blocks_that_join_one_message_are_units_and_marks_are_no_content(meter):
    def blocks(*texts, marked=False):
        mark = {"cache_control": {"type": "ephemeral"}} if marked else {}
        found = prompt()
        found.messages = [{"role": "user", "content": [{"type": "text", "text": text, **mark} for text in texts]}]
        return found

    meter.see(blocks("a", marked=True), 0)

    assert meter.see(blocks("a", "b"), 0).is_prefix


def test_recalls_violations_and_overruns_are_counted(meter):
    meter.see(prompt("a", segments=(1, 100)), 0)
    meter.see(prompt("a", "b", segments=(1, 100, 101), bad=["wrong"], turn=2, tokens=101), 0)
    totals = meter.summary()

    assert [row.recalled for row in meter.rows] == [1, 1]
    assert (totals["invalid_prompts"], totals["violations"]) == (1, ["turn 2: wrong"])
    assert totals["prompts_over_budget"] == 1


def test_an_empty_run_has_a_summary(meter):
    assert meter.summary()["turns"] == 0


def test_the_rows_shown_hold_the_first_the_last_and_what_came_back(meter):
    for turn in range(1, 202):
        meter.see(prompt("a", turn=turn), 0, restored=int(turn == 7))

    shown = [row.turn for row in chosen(meter.rows, 0)]

    assert len(shown) < 50
    assert {1, 7, 201} <= set(shown)
    assert len(chosen(meter.rows, 1)) == 201
