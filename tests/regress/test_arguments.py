"""Arguments that once raised a bare error, or were taken for something else: each is refused before anything is written."""

import enum
import math
import os

import numpy as np
import pytest

import ctxmem


class Odd(os.PathLike):
    """A path whose text is not one."""

    def __init__(self, value):
        self.value = value

    def __fspath__(self):
        return self.value


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as opened:
        yield opened


@pytest.mark.parametrize("path", [None, 7, True, "", "a\0b", b"bytes", ["s"], "\ud800", Odd(b"x"), Odd(None)])
def test_what_is_no_path_is_refused(tmp_path, monkeypatch, memory, path):
    monkeypatch.chdir(tmp_path)

    for act in (ctxmem.open, memory.backup, lambda path: ctxmem.open(path, readonly=True)):
        with pytest.raises(ctxmem.BadInput, match="path"):
            act(path)

    assert [one.name for one in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("items", [None, "text", b"text", 7, {"text": "one item"}])
def test_add_many_says_what_it_takes(memory, items):
    with pytest.raises(ctxmem.BadInput, match="items must be an iterable of mappings"):
        memory.add_many(items)

    assert memory.search() == []


def test_add_many_refuses_a_progress_that_cannot_be_called(memory):
    with pytest.raises(ctxmem.BadInput, match="progress"):
        memory.add_many([{"text": "x"}], progress=7)

    assert memory.search() == []


@pytest.mark.parametrize("name", ["self", "id", "items", "memory", "name", "value"])
def test_any_name_but_a_keyword_is_a_facet(memory, name):
    added = memory.add("by add", **{name: "y"})
    (many,) = memory.add_many([{"text": "by add_many", name: "y"}])

    assert added.facets == {name: "y"}
    assert [hit.segment.id for hit in memory.search(**{name: "y"})] == [many, added.id]


@pytest.mark.parametrize("name", ["query", "limit", "since", "until", "explain", "role", "error"])
def test_a_keyword_is_no_facet(memory, name):
    with pytest.raises(ctxmem.BadInput, match=name):
        memory.add("x", **{name: "y"})
    with pytest.raises(ctxmem.BadInput, match=name):
        memory.add_many([{"text": "x", name: "y"}])

    assert memory.search() == []


@pytest.mark.parametrize("nothing", [[], (), set(), frozenset()])
def test_a_filter_without_a_value_is_refused(memory, nothing):
    memory.add("harbour", file="a.py", tags=[])

    with pytest.raises(ctxmem.BadInput, match=r"file=\[\]"):
        memory.search("harbour", file=nothing)
    with memory.context("c", model="gpt-4.1") as context, pytest.raises(ctxmem.BadInput, match=r"file=\[\]"):
        context.search("harbour", file=nothing)
    assert len(memory.search("harbour", file=None)) == 1


def test_numbers_of_numpy_are_numbers(memory):
    added = memory.add("x", at=np.int64(5), refs=np.array([0]), line=np.int32(7), lines=[np.uint8(1), 2])

    assert (added.at, added.refs, added.facets) == (5.0, (0,), {"line": 7, "lines": [1, 2]})
    assert {type(added.facets["line"]), *map(type, added.facets["lines"])} == {int}
    assert memory.get(np.int64(added.id)) == added
    assert len(memory.search(line=np.int16(7), limit=np.int8(3), since=np.float32(1))) == 1


def test_a_text_of_a_subclass_is_plain_text_from_the_start(memory):
    class Name(str, enum.Enum):
        HARBOUR = "harbour"

    added = memory.add(Name.HARBOUR, kind=Name.HARBOUR, session=Name.HARBOUR, place=Name.HARBOUR)

    assert {type(one) for one in (added.text, added.kind, added.session, added.facets["place"])} == {str}
    assert memory.search("harbour", place="harbour", session="harbour", kind="harbour")[0].segment == added


@pytest.mark.parametrize("value", ["no", 1, 0.5, None, [], np.array([1, 2])], ids=repr)
def test_a_switch_is_true_or_false(memory, value):
    for act in (
        lambda: memory.add("x", pinned=value),
        lambda: memory.search("x", explain=value),
        lambda: ctxmem.open("other", readonly=value),
    ):
        with pytest.raises(ctxmem.BadInput, match="must be True or False"):
            act()
    assert memory.search() == []


@pytest.mark.parametrize(
    "act",
    [
        lambda memory: memory.get(10**5000),
        lambda memory: memory.add("x", at=10**5000),
        lambda memory: memory.add("x", size=10**5000),
        lambda memory: memory.add("x", refs=[10**5000]),
        lambda memory: memory.search("x", limit=10**5000),
        lambda memory: memory.add("x", tags={object(), object()}),
        lambda memory: memory.add("x", tags={1, None}),
    ],
)
def test_a_value_that_cannot_be_shown_or_ordered_is_refused_in_words(memory, act):
    with pytest.raises(ctxmem.BadInput):
        act(memory)


@pytest.mark.parametrize("moment", [None, "now", math.nan, math.inf, 1e300, True, [0.0]], ids=repr)
def test_a_clock_that_tells_no_time_is_named_and_spoils_nothing(tmp_path, moment):
    times = [moment]
    options = ctxmem.Options(durability="unsafe", clock=lambda: times[0])
    with ctxmem.open(tmp_path / "s", options=options) as memory:
        context = memory.context("c", model="gpt-4.1")
        for act in (
            lambda: memory.add("x"),
            lambda: context.append({"role": "user", "content": "hello"}),
            context.assemble,
        ):
            with pytest.raises(ctxmem.BadInput, match=r"Options\.clock\(\)"):
                act()
        times[0] = 5.0
        assert memory.add("y").at == 5.0
        context.append({"role": "user", "content": "hello"})
        assert len(context.assemble().messages) == 1
