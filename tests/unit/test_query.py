"""The query language, and queries that mean harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.errors import BadQuery
from ctxmem.search import query, terms
from ctxmem.search.query import Phrase, Query, Sign, parse


def test_plain_words_should_be_there():
    assert parse("When did the login fail?") == Query(should=("login", "fail"))


def test_white_space_asks_for_nothing():
    assert parse("").is_empty
    assert parse(" \t\n ").is_empty
    assert not parse("word").is_empty


def test_signs():
    found = parse("login +error -debug")

    assert found == Query(should=("login",), required=("error",), excluded=("debug",))


def test_a_required_word_is_not_also_a_wish():
    assert parse("error +error") == Query(required=("error",))


def test_a_required_compound_needs_the_whole_and_an_excluded_one_only_bars_the_whole():
    assert parse("+app/main.py").required[0] == "app/main.py"
    assert parse("x -app/main.py").excluded == ("app/main.py",)


def test_phrases_are_required_and_verified_with_their_stop_words():
    (phrase,) = (found := parse('"not in the list"')).phrases

    assert found.required == phrase.terms == ("list",)
    assert phrase.is_in("Error: NOT in the list!")
    assert phrase.is_in("not  in,\nthe-list")
    assert not phrase.is_in("not in a list")
    assert not phrase.is_in("cannot in the lists")


def test_an_excluded_phrase_requires_nothing():
    found = parse('error -"disk full"')

    assert found.required == ()
    assert found.phrases == (Phrase(("disk", "full"), " disk full ", Sign.EXCLUDED),)


def test_a_phrase_may_lack_its_closing_quote():
    assert parse('error "disk full').phrases[0].plain == " disk full "


def test_a_phrase_in_a_script_without_spaces():
    (phrase,) = parse('"東京都"').phrases

    assert phrase.is_in("私は東京都に住んでいます")
    assert not phrase.is_in("東京と京都")


def test_prefixes():
    (prefix,) = parse("authenti*").prefixes

    assert prefix.start == "authenti"
    assert "authent" in prefix.stems
    assert parse("+Auth*").prefixes[0].sign is Sign.REQUIRED
    assert parse("word -auth*").prefixes[0].sign is Sign.EXCLUDED


def test_a_star_inside_a_word_is_no_prefix():
    assert parse("glob**kwargs").prefixes == ()


@pytest.mark.parametrize("text", ['Who wrote "Dune Messiah" -so well*?', 'Who wrote "Dune Messiah" well? \n'])
def test_a_question_holds_no_operators(text):
    assert parse(text) == Query(should=("write", "dune", "messiah", "well"))


def test_prose_holds_no_operators():
    assert parse('read "Dune" -again', is_prose=True) == Query(should=("read", "dune"))


@pytest.mark.parametrize("text", ["the", "+ - *", '""', "-debug", '"to be or not to be"', "\0", "...", "-auth*"])
def test_nothing_to_look_for(text):
    with pytest.raises(BadQuery, match="nothing to look for"):
        parse(text)


def test_a_short_prefix_is_refused():
    with pytest.raises(BadQuery, match="at least 3 characters"):
        parse("ab*")


class Unread(str):
    """A text of which nothing but the length is known."""

    __slots__ = ()

    def __getattribute__(self, name):
        raise AssertionError(f"{name} of a text that is too long to be read")

    __iter__ = __getitem__ = __contains__ = None


def test_a_long_query_is_refused_by_its_length_alone(work):
    with pytest.raises(BadQuery, match="characters"):
        parse(Unread("word " * 2_000_000))

    assert work == []


def test_terms_are_bounded_required_ones_first():
    found = parse(" ".join(f"w{i}" for i in range(1_000)) + " +mark")

    assert found.required == ("mark",)
    assert found.should == tuple(f"w{i}" for i in range(query.MAX_TERMS - 1))
    assert found.is_cut


HOSTILE = {
    "stop words": "the of " * 9_000,
    "operators": '+-"*' * 16_000,
    "prefixes": "aaaa* " * 10_000,
    "many prefixes": " ".join(f"pre{i}*" for i in range(6_000)),
    "terms": " ".join(f"w{i}" for i in range(9_000)),
    "one word": "x" * 65_000,
    "NULs": "\0" * 60_000 + "word",
    "surrogates": "\ud800" * 60_000 + "word",
    "quotes": '"' * 60_000,
    "phrases": '"a b" ' * 10_000,
    "signs": "-" * 60_000,
    "han": "東京" * 30_000,
    "thai": "สวัสดี" * 10_000,
    "hangul": "안녕하세요 " * 10_000,
    "marks": "e\u0301\u0302" * 20_000,
    "paths": "a.b/" * 16_000,
    "exclusions": "word " + " ".join(f"-x{i}.y" for i in range(5_000)),
    "stars": "*" * 60_000,
}


@pytest.fixture
def work(monkeypatch):
    """What parsing gives to the analysis, piece by piece: all of its work but for finding the clauses."""
    seen = []

    def counted(call):
        def counting(text, *rest):
            seen.append(text)
            return call(text, *rest)

        return counting

    for name in ("analyse_query", "plain", "fold"):
        monkeypatch.setattr(terms, name, counted(getattr(terms, name)))
    return seen


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_query_is_answered_or_refused_with_bounded_work(name, work):
    try:
        found = parse(HOSTILE[name])
    except BadQuery:
        pass
    else:
        assert len(found.should) + len(found.required) <= query.MAX_TERMS + query.MAX_CLAUSES
        assert len(found.phrases) <= query.MAX_CLAUSES
        assert len(found.prefixes) <= query.MAX_PREFIXES
    assert len(work) <= 3 * query.MAX_READ  # a clause is looked at three times at most: as words, as a phrase's, whole
    assert sum(map(len, work)) <= 3 * query.READ_CHARS


@given(st.text(alphabet=st.characters() | st.sampled_from('+-"* aé東')))
def test_any_text_is_parsed_or_refused(text):
    try:
        found = parse(text)
    except BadQuery:
        return
    for term in (*found.should, *found.required, *found.excluded):
        assert 0 < len(term.encode()) <= 64
