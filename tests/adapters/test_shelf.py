"""What the storing adapters share: values come back equal, the newest counts, and a replacement is one commit."""

import pytest

import ctxmem
from ctxmem.adapters.shelf import Shelf, named


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe", clock=lambda: 5.0)) as memory:
        yield memory


@pytest.mark.parametrize(
    "value", [None, b"\0\xff", "", "a\nb", [], {"a": [1, {"b": 2**80}]}, 1.5, True, {"\ud800": "\0"}]
)
def test_a_value_comes_back_equal(memory, value):
    shelf = Shelf(memory, "row")
    shelf.add(value, facets={"name": "n"})
    shelf.flush()

    assert shelf.newest(name="n").value == value


def test_a_hit_shows_the_text_and_a_segment_the_value(memory):
    Shelf(memory, "row").add({"a": 1}, "the red cat", facets={"name": "n"})
    (hit,) = memory.search("cat", kind="row", name="n")

    assert hit.segment.text == "the red cat"
    assert hit.segment.message == {"content": "the red cat", "value": {"a": 1}}


def test_rows_without_text_are_found_by_facets_alone(memory):
    shelf = Shelf(memory, "row")
    shelf.add({"secret": "swordfish"}, facets={"name": "n"})

    assert memory.search("swordfish") == []
    assert shelf.newest(name="n").value == {"secret": "swordfish"}


def test_the_newest_counts_and_what_it_replaces_is_gone_with_the_same_commit(memory):
    shelf = Shelf(memory, "row")
    for n in range(3):
        old = shelf.newest(name="n")
        shelf.add(n, facets={"name": "n"}, after=old.at if old else None)
        shelf.drop([old.id] if old else [])

    assert [row.value for row in shelf.rows(facets={"name": "n"})] == [2]


def test_kinds_and_names_are_apart(memory):
    Shelf(memory, "row").add(1, facets={"name": ["a", "b"]})
    Shelf(memory, "other").add(2, facets={"name": "a"})

    assert [row.value for row in Shelf(memory, "row").rows(facets={"name": "b"})] == [1]
    assert [row.value for row in Shelf(memory, "other").rows(facets={"name": "a"})] == [2]
    assert Shelf(memory, "other").newest(name="b") is None


def test_a_row_that_is_forgotten_while_rows_are_read_is_left_out(memory):
    shelf = Shelf(memory, "row")
    ids = [shelf.add(n, facets={"name": "n"})[0] for n in range(3)]
    rows = shelf.rows(facets={"name": "n"})
    shelf.forget(ids[:1])

    assert [row.value for row in rows] == [2, 1]


@pytest.mark.parametrize("name", ["", "x" * 257, "a\0b", "\ud800"])
def test_a_name_that_no_facet_holds_has_a_digest(memory, name):
    shelf = Shelf(memory, "row")
    shelf.add(1, facets={"name": name})

    assert named(name).startswith("#")
    assert shelf.newest(name=name).value == 1
    assert shelf.newest(name="other") is None


def test_a_closed_memory_is_said(memory):
    shelf = Shelf(memory, "row")
    memory.close()
    with pytest.raises(ctxmem.StoreClosed):
        shelf.newest(name="n")
