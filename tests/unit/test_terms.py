"""Text analysis: what a word is, in code, prose and other scripts, and that no text can do harm."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.search import terms

WORDS = [
    ("Users logged in", ["user", "log"]),
    ("running runs ran", ["run"]),
    ("children, women and mice", ["child", "woman", "mous"]),
    ("She WON; he wins", ["win"]),
    ("e-mail well-being", ["email", "mail", "wellb", "well"]),
    ("don't won't it's Anna's O\u2019Brien", ["anna", "obrien", "brien"]),
    ("snake_case", ["snake_case", "snake", "case"]),
    ("camelCase HTTPServer", ["camelcas", "camel", "case", "httpserver", "http", "server"]),
    ("__init__", ["init"]),
    ("os.path.join", ["os.path.join", "os", "path", "join"]),
    ("src/app/login.py", ["src/app/login.py", "src", "app", "login.py", "login", "py"]),
    ("a@b.example", ["a@b.example", "b.example", "exampl"]),
    ("C++ and C#", ["c++", "c#"]),
    ("1,000 3.14 10:30", ["1000", "3.14", "10:30"]),
    ("2023-05-08", ["2023-05-08", "2023", "05", "08"]),
    ("HAT110 v2", ["hat110", "hat", "v2"]),
    ("Crème Brûlée ŁÓDŹ ﬁsh Straße", ["creme", "brule", "lodz", "fish", "strass"]),
    ("Ёлка ИВАН", ["елка", "иван"]),
    ("हिन्दी", ["हिन्दी"]),
    ("مُحَمَّد", ["محمد"]),
    ("東京都", ["東京", "京都", "東", "京", "都"]),
    ("Python3で", ["python3", "で"]),
    ("안녕하세요", ["안녕", "녕하", "하세", "세요"]),
    ("line one\\nline two", ["line", "one", "two"]),
]


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_terms_of(text, expected):
    assert [term for term, _ in terms.analyse(text)] == expected


def test_counts():
    assert terms.analyse("fail failed FAILS parse_date") == [("fail", 3), ("parse_date", 1), ("pars", 1), ("date", 1)]


@pytest.mark.parametrize(("text", "_expected"), WORDS)
def test_a_query_is_analysed_like_a_segment(text, _expected):
    assert terms.analyse_query(text) == [term for term, _ in terms.analyse(text)]


@given(st.text(st.characters(), max_size=300))
def test_terms_are_bounded_and_printable(text):
    for term, count in terms.analyse(text):
        assert 0 < len(term.encode()) <= terms.TERM_BYTES
        assert "\0" not in term
        assert count >= 1


@given(st.text(max_size=300))
def test_a_text_finds_itself(text):
    assert set(terms.analyse_query(text)) == {term for term, _ in terms.analyse(text)}


@given(st.text(st.characters(categories=["L", "N", "Zs", "Po"], max_codepoint=0x2FF), max_size=60))
def test_composed_and_decomposed_accents_are_one(text):
    both = [dict(terms.analyse(unicodedata.normalize(form, text))) for form in ("NFC", "NFD")]

    assert both[0] == both[1]


def test_blobs_are_cut():
    base64 = "QUJD+/" * 200_000
    minified = "".join(f"f{i}=a=>a.b{i};" for i in range(50_000))

    assert len(terms.analyse(f"before {base64} after")) < 20
    assert {"befor", "after"} <= set(terms.analyse_query(f"before {base64} after"))
    assert len(terms.analyse(minified)) < 500


@pytest.mark.parametrize(
    "text",
    [
        "word " * 2_000_000,
        "x" * 10_000_000,
        "東京" * 500_000,
        "\0" * 10_000_000,
        "\ud800" * 1_000_000,
        "a.b/" * 500_000,
    ],
    ids=["words", "letter", "han", "nul", "surrogates", "path"],
)
def test_a_huge_text_is_analysed_once(monkeypatch, text):
    compute, seen = terms._known._compute, []

    def counting(token):
        seen.append(token)
        return compute(token)

    monkeypatch.setattr(terms._known, "_compute", counting)
    found = terms.analyse(text)

    assert len(found) <= terms.MAX_TERMS
    assert sum(map(len, seen)) <= len(text)  # no token is cut out of another's middle
    assert max(map(len, seen), default=0) <= 32 * 258  # 32 words of 256 characters, with what links them


def test_distinct_terms_of_a_segment_are_bounded():
    counts, length = terms.document(" ".join(f"w{i:06d}" for i in range(70_000)), None, 0.0)

    assert len(counts) <= terms.MAX_TERMS + 4
    assert length == terms.MAX_LENGTH


def test_speaker_and_date_are_indexed_but_not_counted_in_the_length():
    counts, length = terms.document("We met Anna", ["Anna", "Mel Smith"], 1_683_554_160.0)

    assert counts == [("meet", 1), ("anna", 2), ("mel", 2), ("smith", 2), ("2023", 1), ("may", 1), ("8", 1)]
    assert length == 2


@pytest.mark.parametrize("at", [-1e30, 1e30, -1.0, float("inf"), float("-inf"), float("nan")])
def test_no_time_is_refused(at):
    assert isinstance(terms.extra_words(None, at), list)


def test_plain_is_what_phrases_are_compared_in():
    assert terms.plain("Don't  parse_date!") == " don t parse date "
    assert terms.plain("") == "  "


def test_memo_is_emptied_when_full(monkeypatch):
    monkeypatch.setattr(terms, "_MEMO_ENTRIES", 8)
    monkeypatch.setattr(terms, "_known", terms._Memo(terms._terms))
    text = " ".join(f"word{i}" for i in range(100))

    first, again = terms.analyse(text), terms.analyse(text)

    assert first == again
    assert len(terms._known) <= 8
