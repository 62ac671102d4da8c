"""The log of many agents: what is appended is found by entity, space, tick, time and words, and bad input is refused."""

from datetime import datetime, timezone

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import ctxmem
from ctxmem.cli.app import command_named
from ctxmem.entries import entry, grammar

NOW = 1_765_022_400.0  # noon, UTC, of 2025-12-06


def texts(found) -> list[str]:
    return [segment.text for segment in found]


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(clock=lambda: NOW, tail_segments=4)) as opened:
        yield opened


def fill(memory) -> None:
    logs = memory.logs
    logs.append("@bob first in #ops", "exit 1", entity="@alice", space="#general", tick=1, at=NOW - 90_000)
    logs.append("@alice second", entity="bob", space="general", tick=1, at=NOW - 7_300)
    logs.append("third, to nobody", entity="carol", space="ops", tick=2, at=NOW - 60)
    logs.append("@bob fourth deploys", entity="alice", tick=2, at=NOW)


def test_an_entry_is_a_segment(memory):
    made = memory.logs.append("run tests", "3 failed", entity="@alice", tick=7, tokens_in=10, tokens_out=2)

    assert (made.kind, made.text, made.at) == ("log", "run tests\n3 failed", NOW)
    assert made.facets == {"entity": "alice", "tick": 7}
    assert made.message == {"command": "run tests", "output": "3 failed", "tokens_in": 10, "tokens_out": 2}
    assert memory.get(made.id) == made
    assert [hit.segment.id for hit in memory.search("tests", entity="alice")] == [made.id]


@pytest.mark.parametrize("is_sealed", [False, True])
def test_entries_by_every_filter(memory, is_sealed):
    fill(memory)
    if is_sealed:
        memory._log.flush()
    logs = memory.logs
    first, second, third, fourth = texts(logs.entries())

    assert texts(logs.entries(entity="@alice")) == [first, fourth]
    assert texts(logs.entries(entity="alice", newest=True)) == [fourth, first]
    assert texts(logs.entries(space="general")) == [first, second]
    assert texts(logs.entries(tick=2)) == [third, fourth]
    assert texts(logs.entries(between=("bob", "@alice"))) == [first, second, fourth]
    assert texts(logs.entries(mention="@bob", tick=2)) == [fourth]
    assert texts(logs.entries(since=NOW - 60, until=datetime.fromtimestamp(NOW, timezone.utc))) == [third, fourth]
    assert texts(logs.entries(entity="nobody")) == []


def test_entries_are_the_same_after_a_reopen(tmp_path):
    with ctxmem.open(tmp_path / "s") as memory:
        fill(memory)
        before = list(memory.logs.entries())
    with ctxmem.open(tmp_path / "s") as memory:
        assert list(memory.logs.entries()) == before


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?(last 2)", [2, 3]),
        ("?(today)", [1, 2, 3]),
        ("?(yesterday)", [0]),
        ("?(2025-12-05)", [0]),
        ("?(#general)", [0, 1]),
        ("?(#ops)", [0, 2]),
        ("?(to #ops)", [0]),
        ("?(@alice)", [0, 3]),
        ("?(@alice @bob)", [0, 1, 3]),
        ("?(tick 2)", [2, 3]),
        ("?(since 2h)", [2, 3]),
        ("?(until 2025-12-06)", [0]),
        ("?(deploy)", [3]),
        ("?(@alice today last 1)", [3]),
        ('?(@"alice" "fourth")', [3]),
        (r"\log ?(@alice tick 1) ---", [0]),
        ("?(@nobody)", []),
    ],
)
def test_the_grammar(memory, query, found, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    fill(memory)
    every = texts(memory.logs.entries())

    assert texts(memory.logs.query(query)) == [every[place] for place in found]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "last 10",
        "?()",
        "?(last)",
        "?(last ten)",
        "?(last 0)",
        "?(last -1)",
        "?(tick)",
        "?(tick x)",
        "?(tick 99999999999999999999)",
        "?(2025-13-40)",
        "?(today yesterday)",
        "?(@a @b @c)",
        "?(@a @a)",
        "?(@)",
        "?(#a #b)",
        "?(since never)",
        "?(since nan)",
        "?(since 2025-12-06 until 2025-12-05)",
        "?(to bob)",
        "?(the of and)",
        "?(@a\x07b)",
        "?(" + "x" * 10_000 + ")",
        7,
    ],
)
def test_a_wrong_query_shows_the_grammar(memory, query):
    with pytest.raises(ctxmem.BadQuery, match=r"A query is \?\(TERMS\)"):
        memory.logs.query(query)


@given(st.text())
def test_any_text_is_a_query_or_refused(text):
    try:
        found = grammar.parse(f"?({text})", NOW)
    except ctxmem.BadQuery:
        return
    assert found != grammar.LogQuery()


NAMES = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"], blacklist_characters='"'), min_size=1)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "last": st.integers(1, 10**9),
            "tick": st.integers(0, 2**63 - 1),
            "space": NAMES,
            "entities": st.lists(NAMES, min_size=1, max_size=2, unique=True),
        },
    )
)
def test_what_is_written_is_what_is_read(wanted):
    written = [f"{name} {wanted[name]}" for name in ("last", "tick") if name in wanted]
    written += [f'#"{wanted["space"]}"'] if "space" in wanted else []
    written += [f'@"{name}"' for name in wanted.get("entities", [])]
    try:
        found = grammar.parse(f"?({' '.join(written)})", NOW)
        names = [entry.name("@" + name, "@", "entity") for name in wanted.get("entities", [])]
    except ctxmem.BadInput:
        bad = [n for n in [wanted.get("space", "x"), *wanted.get("entities", [])] if not n.strip() or len(n) > 60]
        assert not written or bad
        return
    assert (found.last, found.tick, found.space) == (wanted.get("last"), wanted.get("tick"), wanted.get("space"))
    assert list(found.entities) == names


@pytest.mark.parametrize(
    "given",
    [
        {"command": ""},
        {"command": 7},
        {"output": None},
        {"entity": ""},
        {"entity": "@"},
        {"entity": " "},
        {"entity": None},
        {"entity": "a\x00b"},
        {"entity": "a\x1b[31m"},
        {"entity": "a\nb"},
        {"entity": 'a"b'},
        {"entity": "x" * 300},
        {"space": "a\u2028b"},
        {"tick": -1},
        {"tick": 1.5},
        {"tick": 2**63},
        {"tokens_in": -1},
        {"tokens_out": float("nan")},
        {"tokens_out": True},
        {"at": float("nan")},
        {"at": datetime(2025, 12, 6)},  # noqa: DTZ001 - that is what is refused
        {"at": NOW - 1},
        {"key": ""},
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(memory, given):
    memory.logs.append("the newest", entity="alice")
    before = memory.stats()["segments"]

    with pytest.raises(ctxmem.BadInput):
        memory.logs.append(**{"command": "x", "entity": "alice", **given})
    assert memory.stats()["segments"] == before


@pytest.mark.parametrize(
    "given",
    [
        {"between": "alice"},
        {"between": ("a", "a")},
        {"between": ("a", "b"), "entity": "a"},
        {"mention": "bob"},
        {"tick": -1},
        {"since": 2.0, "until": 1.0},
        {"newest": 1},
        {"entity": "a\x7f"},
    ],
)
def test_a_bad_filter_is_refused_when_it_is_asked(memory, given):
    with pytest.raises(ctxmem.BadInput):
        memory.logs.entries(**given)


def test_a_clock_that_runs_backwards_keeps_the_order(tmp_path):
    moments = iter([100.0, 50.0, 60.0])
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(clock=lambda: next(moments))) as memory:
        at = [memory.logs.append(f"{n}", entity=name).at for n, name in enumerate(["a", "a", "b"])]
    assert at == [100.0, 100.0, 60.0]


def test_a_retry_with_its_key_gives_the_same_entry(memory):
    first = memory.logs.append("x", entity="a", at=1.0, key="k")
    memory.logs.append("y", entity="a", at=2.0)

    assert memory.logs.append("x", entity="a", at=1.0, key="k") == first
    with pytest.raises(ctxmem.KeyConflict):
        memory.logs.append("z", entity="a", at=3.0, key="k")


def test_what_is_forgotten_is_in_no_list_and_no_iterator_that_was_begun(memory):
    fill(memory)
    ids = [segment.id for segment in memory.logs.entries()]
    begun = memory.logs.entries()
    memory.forget(ids[0])

    assert [segment.id for segment in begun] == ids[1:]
    assert [segment.id for segment in memory.logs.entries()] == ids[1:]


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["@a", "@b", "@c", "#x", "none"])), max_size=30))
def test_entries_agree_with_a_list(tmp_path_factory, said):
    folder = tmp_path_factory.mktemp("logs")
    with ctxmem.open(folder / "s", options=ctxmem.Options(tail_segments=4, durability="unsafe")) as memory:
        for n, (entity, named) in enumerate(said):
            memory.logs.append(f"{named} {n}", entity=entity, at=float(n), tick=n % 3)
        for pair in ("ab", "bc"):
            wanted = [f"{m} {n}" for n, (e, m) in enumerate(said) if {e, m[1:]} == set(pair) and m[0] == "@"]
            assert texts(memory.logs.entries(between=tuple(pair))) == wanted
        assert texts(memory.logs.entries(tick=1)) == [f"{m} {n}" for n, (_, m) in enumerate(said) if n % 3 == 1]


def run(store, *arguments):
    return CliRunner().invoke(command_named("log"), [*arguments, "--store", str(store)], catch_exceptions=False)


def test_the_command_appends_and_asks(tmp_path):
    store = tmp_path / "s"
    made = run(store, r"\log @bob the build is green ---", "--as", "@alice", "--space", "#general")
    assert "@alice #general" in made.output

    assert "@bob the build is green" in run(store, "?(@alice today)").output
    assert '"command": "@bob the build is green"' in run(store, r"\log ?(last 10) ---", "--json").output
    assert run(store, "?(@carol)").output == "Nothing found.\n"
    with pytest.raises(ctxmem.BadQuery, match="A query is"):
        run(store, "?(tick)")
    assert run(store, "hello").exit_code == 2


def test_names_in_a_command_become_mentions():
    assert entry.mentions('@bob and @"Bob Jones" of #general, a@b.org @bob #x/y.') == [
        "@bob",
        "@Bob Jones",
        "#general",
        "#x/y",
    ]
    assert entry.mentions("@" + "x" * 300) == []
