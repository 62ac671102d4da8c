"""Hostile texts, as queries and as what is stored: each is answered, or refused by a typed error; how fast: perf/."""

import importlib.util
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ctxmem
from ctxmem.search import query, relevance, search, terms
from ctxmem.search.query import READ_CHARS, Phrase, parse

_spec = importlib.util.spec_from_file_location("hostile", Path(__file__).parents[2] / "perf" / "bench_hostile.py")
bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bench)

QUERIES = bench.queries(random.Random(3))
REFUSED = {
    "10 MB of words",
    "10 MB without a space",
    "10 MB of NULs",
    "100,000 terms",
    "64 KB of marks",
    "64 KB of quotes",
    "only stop words",
    "only operators",
    "only signs",
    "prefixes of one letter",
    "64 KB of emoji",
    "64 KB of emoji in one word",
}
BAD_FILTERS = {"a filter of 100,000 values", "a filter of 100,000 facets", "all of time"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of notes in every script, some of them long; half of it sealed."""
    path = tmp_path_factory.mktemp("hostile") / "s"
    with ctxmem.open(path, options=ctxmem.Options(durability="unsafe")) as memory:
        bench.fill(memory, 200, random.Random(3), n_long=1)
        memory._log.flush()
        bench.fill(memory, 100, random.Random(4), n_long=1)
    return path


@pytest.fixture
def memory(folder):
    with ctxmem.open(folder, options=ctxmem.Options(durability="unsafe")) as opened:
        yield opened


def test_every_hostile_query_answers_or_is_refused_by_a_typed_error(memory):
    outcomes = {name: bench.ask(memory, *asked)[0] for name, asked in QUERIES.items()}

    assert {name for name, outcome in outcomes.items() if outcome == "BadQuery"} == REFUSED
    assert {name for name, outcome in outcomes.items() if outcome == "BadInput"} == BAD_FILTERS
    assert all(outcome.endswith(" hits") for name, outcome in outcomes.items() if name not in REFUSED | BAD_FILTERS)


def test_the_work_of_a_hostile_query_is_bounded_by_count(memory, monkeypatch):
    """Counted: terms looked up in each part, and texts read to verify phrases."""
    looked_up, texts_read = [0], [0]
    prepare, begin = search._prepare, search._Question.__init__

    def prepared(scopes, query):
        wanted = prepare(scopes, query)
        looked_up.append(max(len(scope.postings) for scope in scopes))
        return wanted

    def begun(question, scopes, query, read_texts):
        def counting(ids):
            texts_read[-1] += len(ids)
            return read_texts(ids)

        begin(question, scopes, query, counting)

    monkeypatch.setattr(search, "_prepare", prepared)
    monkeypatch.setattr(search._Question, "__init__", begun)
    for asked in QUERIES.values():
        texts_read.append(0)
        bench.ask(memory, *asked)

    pool = relevance.POOL * (2 * relevance.REACH + 1)  # with the neighbours, which are verified too
    assert len(looked_up) > 30
    assert max(looked_up) <= query.MAX_TERMS + query.MAX_CLAUSES + query.MAX_PREFIXES * query.PREFIX_EXPANSIONS
    assert 0 < max(texts_read) <= search.VERIFIED + pool


def test_a_word_among_rubbish_is_found(memory):
    for name in ("NULs between words", "lone surrogates", "bidi and controls", "base64"):
        assert bench.ask(memory, *QUERIES[name])[0] == "10 hits"


def test_a_text_of_every_script_is_found_by_its_own_words(memory):
    for script in bench.SCRIPTS:
        text = bench.words(30, random.Random(script), script)
        mine = memory.add(text).id
        if script == "emoji":
            with pytest.raises(ctxmem.BadQuery):
                memory.search(text)
        else:
            assert memory.search(text, limit=1)[0].segment.id == mine


def test_of_a_long_query_the_beginning_is_read():
    filler = "the " * (READ_CHARS // 4)
    with pytest.raises(ctxmem.BadQuery):
        parse(filler + "needle")

    found = parse("needle " + filler)
    assert found.should == ("needl",)
    assert found.is_cut


STORED = {
    "NULs": "needle\0\0haystack" * 100,
    "lone surrogates": "needle \ud800 \udfff haystack",
    "controls": "".join(map(chr, range(1, 32))) + " needle",
    "bidi": "\u202eneedle\u202c haystack",
    "100,000 terms": " ".join(map(str, range(100_000))),
    "a million of one letter": "x" * 1_000_000 + " needle",
    "marks": "needle" + "\u0301" * 100_000,
    "ligatures": "\ufdfa" * 20_000 + " needle",
    "minified": "function(a){return a.b?c:d}" * 20_000,
    "base64": "needle " + "QUJD" * 100_000,
    "every character": "".join(chr(i) for i in range(0x20000) if not 0xD800 <= i < 0xE000),
    "line breaks": "\r\n\v\f\x1c\x85\u2028\u2029needle" * 1_000,
}


@pytest.mark.parametrize("name", STORED)
def test_a_hostile_text_is_stored_as_it_is_or_refused(tmp_path, name):
    text = STORED[name]
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        try:
            segment = memory.add(text, tags=["hostile"])
        except ctxmem.BadInput:
            assert memory.search("") == []
            return
        memory.flush()
        assert memory.get(segment.id).text == text
        assert [hit.segment.id for hit in memory.search("", tags="hostile")] == [segment.id]
        if "needle" in text and name != "marks":
            assert [hit.segment.id for hit in memory.search("needle")] == [segment.id]
    with ctxmem.open(tmp_path / "s") as memory:
        assert memory.get(segment.id).text == text


@given(st.text(alphabet="ab1_ .-'Aé\n東"), st.text(alphabet="ab1_ .-'Aé\n東"))
def test_a_phrase_is_found_in_ascii_as_in_any_text(phrase, text):
    plain = terms.plain(phrase)
    if not plain.isspace():
        assert Phrase((), plain).is_in(text) == (plain in terms.plain(text))
