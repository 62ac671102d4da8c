"""`MemoryRetriever`: a search as LangChain asks for it."""

import asyncio

import pytest

import ctxmem

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from ctxmem.adapters.langchain import MemoryRetriever


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe", clock=lambda: 7.0)) as memory:
        for n in range(6):
            memory.add(f"The red cat number {n} sleeps.", session="cats", tag=["even" if n % 2 == 0 else "odd"])
        memory.add("A dog barks at the cat.", kind="sound", session="dogs")
        yield memory


def test_a_hit_becomes_a_document(memory):
    (found,) = MemoryRetriever(memory=memory, k=1).invoke("dog barks")

    assert isinstance(found, Document)
    assert (found.id, found.page_content) == ("6", "A dog barks at the cat.")
    assert found.metadata.pop("score") > 0
    assert found.metadata == {"session": "dogs", "kind": "sound", "at": 7.0}
    assert memory.get(int(found.id)).text == found.page_content


@pytest.mark.parametrize("k", [1, 3])
def test_k_may_be_given_to_the_retriever_and_to_the_call(memory, k):
    assert len(MemoryRetriever(memory=memory, k=k).invoke("cat")) == k
    assert len(MemoryRetriever(memory=memory).invoke("cat", k=k)) == k


def test_filters_are_those_of_search(memory):
    assert len(MemoryRetriever(memory=memory, k=99, session="cats").invoke("cat")) == 6
    assert len(MemoryRetriever(memory=memory, k=99, facets={"tag": "odd"}).invoke("cat")) == 3
    assert len(MemoryRetriever(memory=memory, k=99, kind="sound").invoke("cat")) == 1
    assert MemoryRetriever(memory=memory, since=8.0).invoke("cat") == []


def test_nothing_to_look_for_has_no_answer(memory):
    assert MemoryRetriever(memory=memory).invoke("who is the") == []


def test_it_stands_in_a_chain_and_runs_async(memory):
    chain = MemoryRetriever(memory=memory, k=2) | RunnableLambda(lambda found: [one.page_content for one in found])

    assert asyncio.run(chain.ainvoke("dog"))[0] == "A dog barks at the cat."
    assert chain.batch(["dog", "number 3"])[1][0] == "The red cat number 3 sleeps."
