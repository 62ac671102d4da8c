"""Retention: what is past a limit goes, what is pinned, referred to or shown stays, and a dry run says so."""

from datetime import timedelta

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import ctxmem
from ctxmem.cli.app import command_named
from ctxmem.memory import log_of

DAY_S = 86_400.0
NOW = 100 * DAY_S


def opened(path, now=NOW):
    return ctxmem.open(path, options=ctxmem.Options(clock=lambda: now, tail_segments=8, durability="unsafe"))


def left(memory) -> list[int]:
    return sorted(hit.segment.id for hit in memory.search("", limit=1_000))


@pytest.fixture
def memory(tmp_path):
    with opened(tmp_path / "s") as found:
        yield found


def fill(memory, n=10) -> list[int]:
    return [memory.add(f"note {i}", at=NOW - (n - i) * DAY_S, n=i).id for i in range(n)]


@pytest.mark.parametrize(
    ("limits", "n_left"),
    [
        ({"max_age": 3 * DAY_S}, 3),
        ({"max_age": timedelta(days=3)}, 3),
        ({"max_age": 0}, 0),
        ({"max_segments": 4}, 4),
        ({"max_segments": 0}, 0),
        ({"max_segments": 99}, 10),
        ({"max_tokens": 0}, 0),
        ({"max_bytes": 0}, 0),
        ({"max_bytes": 10**9}, 10),
        ({"max_segments": 4, "max_age": 2 * DAY_S}, 2),
        ({"max_segments": 1, "kind": "log"}, 10),
        ({"max_segments": 0, "n": 3}, 9),
        ({"max_segments": 0, "session": "none"}, 10),
    ],
)
def test_limits(tmp_path, limits, n_left):
    with opened(tmp_path / "s") as memory:
        ids = fill(memory)
        dry = memory.retain(**limits, dry_run=True)
        assert left(memory) == ids
        assert memory.retain(**limits) == dry
    with opened(tmp_path / "s") as memory:
        assert len(left(memory)) == n_left
        assert sorted({*ids} - {*dry["goes"]}) == left(memory)
        assert dry["tokens"] == sum(2 for _ in dry["goes"]) or dry["tokens"] > 0


def test_tokens_and_bytes_are_of_the_newest(memory):
    ids = fill(memory)
    tokens = memory.get(ids[-1]).tokens + memory.get(ids[-2]).tokens
    size = sum(log_of(memory).sizes(ids[-2:]))

    assert memory.retain(max_tokens=tokens, dry_run=True)["goes"] == ids[:-2]
    assert memory.retain(max_tokens=tokens - 1, dry_run=True)["goes"] == ids[:-1]
    assert memory.retain(max_bytes=size, dry_run=True)["goes"] == ids[:-2]
    assert memory.retain(max_bytes=size - 1, dry_run=True)["goes"] == ids[:-1]


def test_what_stays_although_it_is_old(memory):
    ids = fill(memory)
    memory.pin(ids[0])
    chain = memory.add("refers to one that refers to another", refs=[memory.add("b", refs=[ids[1]], at=1.0).id])
    found = memory.retain(max_age=DAY_S / 2, dry_run=True)

    assert found["stays"][ids[0]] == "it is pinned"
    assert found["stays"][chain.refs[0]] == f"segment {chain.id} refers to it"
    assert found["stays"][ids[1]] == f"segment {chain.refs[0]} refers to it"
    assert found["goes"] == ids[2:]


def test_a_pinned_call_keeps_its_result(memory):
    context = memory.context("a", model="gpt-4.1", window=8_000)
    call = {"id": "c", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    asked = context.append({"role": "assistant", "content": None, "tool_calls": [call]}, at=1.0)
    result = context.result("c", "a.py", at=1.0)
    context.append({"role": "user", "content": "and now?"}, at=1.0)
    context.assemble()
    context.close()
    memory.pin(asked.id)

    assert set(memory.retain(max_age=1, dry_run=True)["stays"]) == {asked.id, result.id}


def test_what_an_open_context_shows_stays_until_it_is_closed(memory):
    context = memory.context("a", model="gpt-4.1", window=8_000)
    shown = context.append({"role": "user", "content": "hello"}, at=1.0)
    prompt = context.assemble()
    found = memory.retain(max_age=1, session="a")
    assert found["stays"] == {shown.id: "an open context shows it"}
    log_of(memory).flush()
    assert context.assemble().messages == prompt.messages

    context.close()
    assert memory.retain(max_age=1, session="a")["goes"] == [shown.id]
    log_of(memory).flush()
    assert left(memory) == []


def test_a_context_at_work_is_not_waited_for(memory):
    context = memory.context("a", model="gpt-4.1", window=8_000)
    context.append({"role": "user", "content": "hello"})
    ids = fill(memory)
    memory.retain(max_segments=1, kind="note")
    (session,) = memory._contexts.sessions()
    memory._retention._shown = lambda waits=False: set() if waits else None  # as where another thread holds the session
    log_of(memory).flush()
    assert set(ids) <= set(left(memory))

    memory._retention._shown = session.shown
    log_of(memory).flush()
    assert set(ids) & set(left(memory)) == {ids[-1]}


def test_a_session_that_is_at_work_says_nothing(memory):
    memory.context("a", model="gpt-4.1", window=8_000)
    (session,) = memory._contexts.sessions()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as other:
        assert session.locked(lambda s: other.submit(s.shown).result()) is None
        assert other.submit(session.shown).result() == set()


def test_a_rule_stands_and_is_applied_as_the_store_grows(tmp_path):
    with opened(tmp_path / "s") as memory:
        memory.retain(max_segments=10, kind="note")
    with opened(tmp_path / "s") as memory:
        memory.add_many({"text": f"note {n}", "at": float(n)} for n in range(2_000))
        log_of(memory).flush()
        assert 10 <= len(left(memory)) < 1_000  # it is looked at again when the store has grown by 1,024
        memory.retain(kind="note")
        memory.add_many({"text": f"more {n}", "at": 3_000.0 + n} for n in range(1_500))
        log_of(memory).flush()
        assert len(left(memory)) == 1_000  # all that a search lists
        assert memory.retain(dry_run=True)["goes"] == []


def test_a_second_rule_of_a_scope_takes_the_place_of_the_first(memory):
    ids = fill(memory)
    memory.retain(max_segments=1, n=3)
    memory.retain(max_segments=0, n=3)
    memory.retain(max_segments=8, kind="note")

    log_of(memory).flush()
    assert len(memory._retention.rules()) == 2
    assert left(memory) == [one for one in ids if one not in {ids[0], ids[1], ids[3]}]


@pytest.mark.parametrize(
    "given",
    [
        {"max_age": -1},
        {"max_age": float("nan")},
        {"max_age": "90d"},
        {"max_segments": -1},
        {"max_segments": 1.5},
        {"max_tokens": True},
        {"max_bytes": "1G"},
        {"session": ""},
        {"kind": 3},
        {"dry_run": "no"},
        {"file": []},
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(memory, given):
    ids = fill(memory)
    with pytest.raises(ctxmem.BadInput):
        memory.retain(**{"max_segments": 0, **given})
    assert memory._retention.rules() == []
    assert left(memory) == ids


def test_a_store_opened_for_reading_tells_and_keeps(tmp_path):
    with opened(tmp_path / "s") as memory:
        ids = fill(memory)
    with ctxmem.open(tmp_path / "s", readonly=True) as memory:
        assert memory.retain(max_segments=1, dry_run=True)["goes"] == ids[:-1]
        with pytest.raises(ctxmem.StoreReadonly):
            memory.retain(max_segments=1)


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.lists(st.integers(0, 30), max_size=2)), max_size=25),
    st.integers(0, 20),
)
def test_it_agrees_with_a_list(tmp_path_factory, made, most):
    with opened(tmp_path_factory.mktemp("r") / "s") as memory:
        ids: list[int] = []
        refs: dict[int, set[int]] = {}
        for at, is_pinned, wanted in made:
            linked = {ids[place] for place in wanted if place < len(ids)}
            ids.append(memory.add(f"x {at}", at=float(at), pinned=is_pinned, refs=sorted(linked)).id)
            refs[ids[-1]] = linked
        memory.flush()
        by_time = sorted(range(len(made)), key=lambda i: (made[i][0], ids[i]))
        old = {ids[i] for i in by_time[: max(0, len(made) - most)]}
        stays = set(ids) - {i for i, (_, is_pinned, _) in zip(ids, made, strict=True) if i in old and not is_pinned}
        while more := {ref for i in stays for ref in refs[i]} - stays:
            stays |= more
        memory.retain(max_segments=most)
        log_of(memory).flush()
        assert set(left(memory)) == stays


def run(store, *arguments):
    return CliRunner().invoke(command_named("retain"), [*arguments, "--store", str(store)], catch_exceptions=False)


def test_the_command(tmp_path):
    with ctxmem.open(tmp_path / "s") as memory:
        first = memory.add("old", at=1.0)
        memory.add("kept by a pin", at=1.0, pinned=True)
        memory.add("new")

    dry = run(tmp_path / "s", "--max-age", "90d", "--dry-run").output
    assert "1 segments would go" in dry
    assert "1 stay although they are past a limit, since it is pinned" in dry
    assert "are gone" in run(tmp_path / "s", "--max-age", "90d", "--max-bytes", "2G").output
    assert f'"{first.id}"' not in run(tmp_path / "s", "--json").output
    run(tmp_path / "s", "--off")
    with ctxmem.open(tmp_path / "s") as memory:
        assert memory._retention.rules() == []
        assert len(left(memory)) == 2
    assert run(tmp_path / "s", "--max-age", "soon").exit_code == 2
    assert run(tmp_path / "s", "--kind", "log").exit_code == 2
    assert run(tmp_path / "s", "--off", "--max-age", "1").exit_code == 2
