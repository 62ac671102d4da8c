"""`MemoryStore` does what LangGraph's own stores do: the cases of its suite for SQLite, and its in-memory store as oracle."""

import asyncio
import subprocess
import sys
import threading
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctxmem

langgraph = pytest.importorskip("langgraph")

from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp  # noqa: E402
from langgraph.store.memory import InMemoryStore  # noqa: E402

from ctxmem.adapters.langgraph import MemoryStore  # noqa: E402
from ctxmem.log import Log  # noqa: E402


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def memory(tmp_path, clock):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(clock=clock, durability="unsafe")) as memory:
        yield memory


@pytest.fixture
def store(memory):
    return MemoryStore(memory)


def keys(items) -> list[str]:
    return [item.key for item in items]


# --- items -------------------------------------------------------------------------------------------------------


def test_an_item_comes_back_equal_and_is_replaced_and_deleted(store):
    value = {"title": "Hello\nWorld", "n": 2**70, "deep": [{"a": None, "b": [1.5, True]}], "é": "ü\0"}
    store.put(("test", "docs"), "doc1", value)
    item = store.get(("test", "docs"), "doc1")

    assert (item.namespace, item.key, item.value) == (("test", "docs"), "doc1", value)
    assert store.get(("test", "other"), "doc1") is None
    store.put(("test", "docs"), "doc1", {"title": "Updated"})
    assert store.get(("test", "docs"), "doc1").value == {"title": "Updated"}
    store.delete(("test", "docs"), "doc1")
    assert store.get(("test", "docs"), "doc1") is None
    store.delete(("test", "docs"), "doc1")
    store.put(("test", "docs"), "doc1", {"title": "Again"})
    assert store.get(("test", "docs"), "doc1").value == {"title": "Again"}


def test_an_update_keeps_when_it_was_created(store, clock):
    store.put(("a",), "k", {"n": 1})
    clock.now += 60
    store.put(("a",), "k", {"n": 2})
    item = store.get(("a",), "k")

    assert item.created_at == datetime.fromtimestamp(1_000_000, timezone.utc)
    assert item.updated_at == datetime.fromtimestamp(1_000_060, timezone.utc)


def test_the_last_put_counts_where_the_clock_goes_back(store, clock):
    store.put(("a",), "k", {"n": 1})
    clock.now -= 3600
    store.put(("a",), "k", {"n": 2})

    assert store.get(("a",), "k").value == {"n": 2}
    assert [item.value for item in store.search(("a",))] == [{"n": 2}]


def test_what_is_no_json_is_refused_and_named(store):
    with pytest.raises(ctxmem.BadInput, match="set"):
        store.put(("a",), "k", {"bad": {1, 2}})
    assert store.get(("a",), "k") is None


def test_a_batch_answers_from_what_stood_before_it(store):
    store.put(("test", "foo"), "key1", {"data": "value1"})
    store.put(("test", "bar"), "key2", {"data": "value2"})
    results = store.batch(
        [
            GetOp(("test", "foo"), "key1"),
            PutOp(("test", "bar"), "key2", {"data": "new"}),
            SearchOp(("test",), filter={"data": "value1"}),
            ListNamespacesOp(limit=10),
            GetOp(("test",), "key3"),
            GetOp(("test", "bar"), "key2"),
            PutOp(("test",), "key3", {"data": "first"}),
            PutOp(("test",), "key3", {"data": "last"}),
        ]
    )

    assert results[0].value == {"data": "value1"}
    assert [results[1], results[4], results[6], results[7]] == [None] * 4
    assert keys(results[2]) == ["key1"]
    assert results[3] == [("test", "bar"), ("test", "foo")]
    assert results[5].value == {"data": "value2"}
    assert store.get(("test",), "key3").value == {"data": "last"}
    assert store.get(("test", "bar"), "key2").value == {"data": "new"}


def test_an_operation_that_is_none_is_refused(store):
    with pytest.raises(ctxmem.BadInput, match="no operation of a store"):
        store.batch([("get", "k")])


def test_async_does_the_same(store):
    async def run():
        await store.aput(("a", "b"), "k", {"text": "the red cat"})
        return (
            (await store.aget(("a", "b"), "k")).value,
            keys(await store.asearch(("a",), query="cat")),
            await store.alist_namespaces(),
        )

    assert asyncio.run(run()) == ({"text": "the red cat"}, ["k"], [("a", "b")])


# --- search ------------------------------------------------------------------------------------------------------


@pytest.fixture
def docs(store):
    store.put(("test", "docs"), "doc1", {"title": "First Doc", "author": "Alice", "score": 4.5})
    store.put(("test", "docs"), "doc2", {"title": "Second Doc", "author": "Bob", "score": 3.0})
    store.put(("test", "images"), "img1", {"title": "Image 1", "author": "Alice", "score": 4.0, "size": {"w": 7}})
    return store


@pytest.mark.parametrize(
    ("prefix", "kwargs", "found"),
    [
        (("test",), {}, ["img1", "doc2", "doc1"]),
        ((), {}, ["img1", "doc2", "doc1"]),
        (("test", "docs"), {}, ["doc2", "doc1"]),
        (("tes",), {}, []),
        (("TEST",), {}, []),
        (("test", "*"), {}, []),
        (("test",), {"filter": {"author": "Alice"}}, ["img1", "doc1"]),
        (("test",), {"filter": {"author": "Alice", "score": {"$gt": 4.2}}}, ["doc1"]),
        (("test",), {"filter": {"score": {"$gte": 3.0, "$lt": 4.5}}}, ["img1", "doc2"]),
        (("test",), {"filter": {"score": {"$lte": 3}}}, ["doc2"]),
        (("test",), {"filter": {"author": {"$ne": "Alice"}}}, ["doc2"]),
        (("test",), {"filter": {"author": {"$eq": "Bob"}}}, ["doc2"]),
        (("test",), {"filter": {"size": {"w": 7}}}, ["img1"]),
        (("test",), {"filter": {"size": {"w": {"$lt": 7}}}}, []),
        (("test",), {"filter": {"missing": {"$gt": 1}}}, []),
        (("test",), {"filter": {"author": {"$gt": 1}}}, []),
        (("test",), {"limit": 2}, ["img1", "doc2"]),
        (("test",), {"offset": 2}, ["doc1"]),
        (("test",), {"offset": 1, "limit": 1}, ["doc2"]),
        (("test",), {"offset": 9}, []),
        (("test",), {"filter": {"author": "Alice"}, "offset": 1, "limit": 1}, ["doc1"]),
        (("test",), {"query": "second"}, ["doc2"]),
        (("test",), {"query": "doc", "filter": {"author": "Alice"}}, ["doc1"]),
        (("test", "images"), {"query": "doc"}, []),
        (("test",), {"query": "the of and"}, []),
        (("test",), {"query": "zebra"}, []),
    ],
)
def test_search(docs, prefix, kwargs, found):
    assert keys(docs.search(prefix, **kwargs)) == found


def test_an_unknown_comparison_is_refused(docs):
    with pytest.raises(ctxmem.BadInput, match=r"\$regex"):
        docs.search(("test",), filter={"author": {"$regex": "A.*"}})


def test_the_best_match_comes_first_with_a_score(store):
    store.put(("n",), "a", {"text": "a red apple and a car"})
    store.put(("n",), "b", {"text": "red apple, red apple pie"})
    store.put(("n",), "c", {"text": "a blue boat"})
    found = store.search(("n",), query="red apple pie")

    assert keys(found) == ["b", "a"]
    assert found[0].score > found[1].score > 0
    assert [item.score for item in store.search(("n",))] == [None] * 3


def test_filters_reach_beyond_the_first_page(store):
    for n in range(60):
        store.put(("n",), f"k{n}", {"text": "red apple", "even": n % 30 == 0})

    assert sorted(keys(store.search(("n",), query="apple", filter={"even": True}, limit=2))) == ["k0", "k30"]
    assert keys(store.search(("n",), filter={"even": True})) == ["k30", "k0"]


def test_what_was_replaced_is_not_found(store, memory):
    store.put(("n",), "k", {"text": "the password is swordfish"})
    store.put(("n",), "k", {"text": "the password is tuna"})

    assert store.search(("n",), query="swordfish") == []
    assert memory.search("swordfish") == []
    assert [hit.segment.text for hit in memory.search("tuna")] == ["text: the password is tuna"]


def test_what_a_search_finds_an_item_by_can_be_chosen(memory):
    store = MemoryStore(memory, fields=["text", "meta.title"])
    store.put(("n",), "default", {"text": "apple", "meta": {"title": "pear"}, "other": "plum"})
    store.put(("n",), "own", {"text": "apple", "notes": [{"t": "quince"}, {"t": "medlar"}]}, index=["notes[*].t"])
    store.put(("n",), "none", {"text": "apple pear plum quince"}, index=False)

    found = {word: keys(store.search(("n",), query=word)) for word in ("apple", "pear", "plum", "quince", "medlar")}
    assert found == {"apple": ["default"], "pear": ["default"], "plum": [], "quince": ["own"], "medlar": ["own"]}
    assert store.get(("n",), "none").value == {"text": "apple pear plum quince"}


# --- namespaces --------------------------------------------------------------------------------------------------


@pytest.fixture
def spaces(store):
    for namespace in [
        ("test", "documents", "public"),
        ("test", "documents", "private"),
        ("test", "images", "public"),
        ("prod", "documents", "public"),
        ("users", "ann", "v1", "x"),
        ("testing",),
    ]:
        store.put(namespace, "dummy", {"content": "dummy"})
    return store


@pytest.mark.parametrize(
    ("kwargs", "found"),
    [
        ({"prefix": ("test",)}, [("test", "documents", "private"), ("test", "documents", "public"), ("test", "images", "public")]),
        ({"suffix": ("public",)}, [("prod", "documents", "public"), ("test", "documents", "public"), ("test", "images", "public")]),
        ({"prefix": ("test",), "suffix": ("public",)}, [("test", "documents", "public"), ("test", "images", "public")]),
        ({"prefix": ("test", "*", "public")}, [("test", "documents", "public"), ("test", "images", "public")]),
        ({"prefix": ("*", "documents")}, [("prod", "documents", "public"), ("test", "documents", "private"), ("test", "documents", "public")]),
        ({"suffix": ("*", "x")}, [("users", "ann", "v1", "x")]),
        ({"max_depth": 1}, [("prod",), ("test",), ("testing",), ("users",)]),
        ({"max_depth": 2, "prefix": ("test",)}, [("test", "documents"), ("test", "images")]),
        ({"limit": 2}, [("prod", "documents", "public"), ("test", "documents", "private")]),
        ({"max_depth": 1, "limit": 2, "offset": 1}, [("test",), ("testing",)]),
        ({"prefix": ("a", "b", "c", "d", "e")}, []),
    ],
)  # fmt: skip
def test_list_namespaces(spaces, kwargs, found):
    assert spaces.list_namespaces(**kwargs) == found


def test_a_namespace_without_items_is_gone_until_it_has_one_again(spaces):
    spaces.delete(("testing",), "dummy")
    assert ("testing",) not in spaces.list_namespaces()
    spaces.put(("testing",), "other", {})
    assert ("testing",) in spaces.list_namespaces()


def test_a_list_of_namespaces_and_a_get_read_no_other_items(store, monkeypatch):
    for n in range(300):
        store.put(("a", f"n{n % 3}"), f"k{n}", {"n": n})
    read = []
    each = Log.each
    monkeypatch.setattr(Log, "each", lambda log, ids: each(log, read.append([*ids]) or read[-1]))

    assert store.get(("a", "n1"), "k100").value == {"n": 100}
    assert len(read[0]) == 1
    read.clear()
    taken = []
    monkeypatch.setattr(Log, "each", lambda log, ids: (taken.append(1) or one for one in each(log, ids)))
    assert len(store.list_namespaces()) == 3
    assert len(taken) <= 6 + 3


def test_labels_of_any_kind_and_length(store):
    namespaces = [("a/b",), ("a", "b"), ("a:b",), ("x" * 5000, "y"), ("line\n",), ("*",), ("é" * 200,)]
    for n, namespace in enumerate(namespaces):
        store.put(namespace, "k" * 3000, {"n": n})

    assert [store.get(namespace, "k" * 3000).value["n"] for namespace in namespaces] == list(range(7))
    assert [keys(store.search(namespace)) for namespace in namespaces] == [["k" * 3000]] * 7
    assert store.list_namespaces() == sorted(namespaces)


# --- time to live --------------------------------------------------------------------------------------------------


def test_an_item_lives_for_its_minutes_since_it_was_last_read(memory, clock):
    store = MemoryStore(memory, ttl={"default_ttl": 10, "refresh_on_read": True})
    store.put(("n",), "short", {"text": "apple"})
    store.put(("n",), "long", {"text": "apple"}, ttl=None)
    clock.now += 9 * 60
    assert store.get(("n",), "short") is not None  # lives for ten more minutes
    clock.now += 9 * 60
    assert keys(store.search(("n",), query="apple", refresh_ttl=False)) in (["short", "long"], ["long", "short"])
    clock.now += 60
    assert store.get(("n",), "short") is None
    assert keys(store.search(("n",))) == ["long"]
    assert store.search(("n",), query="apple", limit=1)[0].key == "long"


def test_a_read_may_leave_the_time_as_it_is(memory, clock):
    store = MemoryStore(memory, ttl={"refresh_on_read": False})
    store.put(("n",), "k", {"text": "apple"}, ttl=10)
    clock.now += 9 * 60
    assert store.get(("n",), "k").updated_at == datetime.fromtimestamp(1_000_000, timezone.utc)
    clock.now += 60
    assert store.get(("n",), "k") is None
    assert store.list_namespaces() == []


def test_a_renewed_item_says_when_it_was_written(memory, clock):
    store = MemoryStore(memory)
    store.put(("n",), "k", {"text": "apple"}, ttl=10)
    clock.now += 300
    store.get(("n",), "k")

    assert store.get(("n",), "k").updated_at == datetime.fromtimestamp(1_000_000, timezone.utc)
    assert len(memory.search("apple")) == 1


def test_a_sweep_erases_what_is_past_its_time(memory, clock):
    store = MemoryStore(memory)
    for n in range(5):
        store.put(("n",), f"k{n}", {"text": "apple"}, ttl=n + 1)
    store.put(("n",), "stays", {"text": "apple"})
    clock.now += 3 * 60

    assert store.sweep_ttl() == 3
    assert store.sweep_ttl() == 0
    assert len(memory.search("apple")) == 3


# --- against LangGraph's own store ----------------------------------------------------------------------------------

_SPACES = st.sampled_from([("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("b",)])
_KEYS = st.sampled_from(["k1", "k2", "k3"])
_VALUES = st.fixed_dictionaries({"n": st.integers(0, 3), "tag": st.sampled_from(["x", "y"])})
_OPS = st.one_of(
    st.builds(PutOp, _SPACES, _KEYS, st.none() | _VALUES, index=st.none(), ttl=st.none()),
    st.builds(GetOp, _SPACES, _KEYS),
    st.builds(SearchOp, st.sampled_from([(), ("a",), ("a", "b"), ("c",)]),
              filter=st.none() | st.fixed_dictionaries({"n": st.fixed_dictionaries({"$gte": st.integers(0, 3)})}),
              limit=st.just(50), offset=st.just(0), query=st.none()),
)  # fmt: skip


def plain(answer):
    """An answer without times and order: LangGraph's own stores differ in it."""
    if isinstance(answer, list):
        return sorted(map(plain, answer), key=repr)
    return answer and (answer.namespace, answer.key, answer.value)


@settings(max_examples=25)
@given(st.lists(st.lists(_OPS, max_size=5), max_size=12))
def test_it_answers_as_the_store_in_memory(tmp_path_factory, batches):
    theirs = InMemoryStore()
    with ctxmem.open(tmp_path_factory.mktemp("s") / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        ours = MemoryStore(memory)
        for batch in batches:
            for mine, other in zip(ours.batch(batch), theirs.batch(batch), strict=True):
                assert plain(mine) == plain(other)
        inhabited = [
            ns
            for ns in theirs.list_namespaces()
            if theirs.search(ns) and any(i.namespace == ns for i in theirs.search(ns, limit=99))
        ]
        assert ours.list_namespaces() == inhabited
        assert ours.batch([ListNamespacesOp((MatchCondition("prefix", ("a",)),))])[0] == [
            n for n in inhabited if n[0] == "a"
        ]


# --- several at once -----------------------------------------------------------------------------------------------


def test_threads_write_to_one_store(store):
    def work(number):
        for n in range(20):
            store.put(("t", f"{number}"), f"k{n}", {"text": f"word{number}x{n}"})
            store.put(("shared",), f"k{n}", {"by": number})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(store.search(("t",), limit=1000)) == 80
    assert sorted(keys(store.search(("shared",), limit=1000))) == sorted(f"k{n}" for n in range(20))


_OTHER = """
import sys, ctxmem
from ctxmem.adapters.langgraph import MemoryStore
with ctxmem.open(sys.argv[1]) as memory:
    store = MemoryStore(memory)
    print(store.get(("a",), "k").value["text"], store.search(("a",), query="cat")[0].key)
    store.put(("a",), "k", {"text": "from the other process"})
"""


def test_two_processes_share_a_store(store, tmp_path):
    store.put(("a",), "k", {"text": "the red cat"})
    done = subprocess.run([sys.executable, "-c", _OTHER, str(tmp_path / "s")], capture_output=True, text=True)

    assert (done.returncode, done.stdout.strip()) == (0, "the red cat k"), done.stderr
    assert store.get(("a",), "k").value == {"text": "from the other process"}
    store.put(("a",), "k", {"text": "and back"})
    assert keys(store.search(("a",))) == ["k"]
