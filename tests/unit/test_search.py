"""Search over parts: pruned as it is, it returns what the plain definition does, and says what it did."""

import importlib.util
import random
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ctxmem.search import ranking, search
from ctxmem.search.forward import of_record
from ctxmem.search.parts import Filter, Scope
from ctxmem.search.query import parse
from ctxmem.search.tail import Tail
from ctxmem.segment import Record

_spec = importlib.util.spec_from_file_location("oracle", Path(__file__).parent.parent / "oracle.py")
oracle = importlib.util.module_from_spec(_spec)
sys.modules["oracle"] = oracle
_spec.loader.exec_module(oracle)

NONE = np.zeros(0, np.uint16)
WORDS = [f"z{chr(97 + number)}" for number in range(20)]


def texts(n, seed):
    """Words by Zipf's law: a few in half of the texts, most in a few."""
    rng = random.Random(seed)
    odds = [1 / (rank + 1) for rank in range(len(WORDS))]
    return [" ".join(rng.choices(WORDS, odds, k=rng.randint(1, 20))) for _ in range(n)]


class World:
    def __init__(self, n_parts, n, seed, forgotten=()):
        self.model = oracle.Oracle()
        self.records = {}
        self.parts = []
        self.forgotten = set(forgotten)
        for number in range(n_parts):
            tail = Tail(1_000 * number)
            for offset, text in enumerate(texts(n, seed + number)):
                i = 1_000 * number + offset
                self.records[i] = Record(i % 7, "note", None, text, 3, float(i % 50))
                tail.add(i, of_record(self.records[i]))
                if i not in self.forgotten:
                    self.model.add(oracle.Doc(i, text, i % 7, "note", float(i % 50)))
            self.parts.append(tail)

    def scopes(self, **conditions):
        found = []
        for part in self.parts:
            gone = np.array([i - part.first for i in sorted(self.forgotten) if i in part], np.uint16)
            found.append(Scope(part, gone, Filter(**conditions)))
        return found

    def search(self, text, limit=10, **fields):
        conditions = {name: fields.pop(name) for name in ("since", "until") if name in fields}
        fields.setdefault("is_conversation_aware", False)
        read = lambda ids: [self.records[i].text for i in ids]  # noqa: E731
        return search.search(self.scopes(**conditions), parse(text), limit, read, **fields)

    def expected(self, text, limit=10, conversation=False, passes=bool):
        return self.model.search(parse(text), limit, passes=passes, conversation=conversation)


def ranked(hits):
    return [(hit.id, hit.score) for hit in hits]


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 999),
    thin=st.sampled_from([0, 10, 60, 4_096]),
    few=st.sampled_from([0, 1_024]),
    many_leads=st.sampled_from([0, 2, 6]),
    words=st.lists(
        st.tuples(st.sampled_from(["", "", "", "+", "-"]), st.sampled_from(WORDS)).map("".join), min_size=1, max_size=9
    ),
    limit=st.sampled_from([1, 3, 10, 400]),
    since=st.sampled_from([None, 0.0, 30.0, 49.0]),
    conversation=st.booleans(),
)
def test_every_way_to_rank_is_exact(seed, thin, few, many_leads, words, limit, since, conversation):
    world = World(4, 80, seed, forgotten=[3, 4, 1_010])
    text = " ".join(words)
    if not any(word[0] != "-" for word in words):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "THIN", thin)
        patch.setattr(ranking, "FEW", few)
        patch.setattr(ranking, "MANY_LEADS", many_leads)
        patch.setattr(ranking, "MANY", few)
        found = world.search(text, limit, since=since, is_conversation_aware=conversation)
    passes = (lambda doc: doc.at >= since) if since is not None else bool
    assert ranked(found) == world.expected(text, limit, conversation, passes)


def test_ties_go_to_the_newest():
    world = World(2, 0, 0)
    for number in (0, 1):
        for offset in range(30):
            i = 1_000 * number + offset
            world.records[i] = Record(0, "note", None, "same words", 3, 0.0)
            world.parts[number].add(i, of_record(world.records[i]))
    assert [hit.id for hit in world.search("words", 3)] == [1_029, 1_028, 1_027]
    assert [hit.id for hit in world.search("", 3)] == [1_029, 1_028, 1_027]


def test_an_empty_query_is_newest_first_by_time():
    world = World(3, 60, 1)
    assert ranked(world.search("", 25)) == world.expected("", 25)
    inside = world.expected("", 25, passes=lambda doc: 10 <= doc.at <= 12)
    assert ranked(world.search("", 25, since=10.0, until=12.0)) == inside


def test_a_phrase_says_when_it_looked_no_further(monkeypatch):
    world = World(2, 60, 2)
    monkeypatch.setattr(search, "VERIFIED", 20)
    found = world.search('"zb za zc"', 50)
    assert all(" zb za zc " in f" {world.records[hit.id].text} " for hit in found)
    assert all(hit.partial for hit in found)


def test_a_prefix_stands_for_its_most_frequent_words(monkeypatch):
    monkeypatch.setattr(search, "PREFIX_EXPANSIONS", 2)
    world = World(1, 0, 0)
    for i, text in enumerate(["prefix", "prefer", "pretty", "prefix", "pretty"]):
        world.records[i] = Record(0, "note", None, text, 3, 0.0)
        world.parts[0].add(i, of_record(world.records[i]))
    assert sorted(hit.id for hit in world.search("pre*")) == [0, 2, 3, 4]


def test_parts_of_a_score_add_up():
    world = World(3, 80, 3)
    found = world.search("za zd", 20, is_conversation_aware=True, explain=True)
    assert found
    for hit in found:
        assert set(hit.parts) == {"keywords", "neighbours", "session"}
        assert sum(hit.parts.values()) == hit.score
    assert any(hit.parts["neighbours"] for hit in found)
    assert world.search("za zd", 20, is_conversation_aware=True)[0].parts == {}


def test_nothing_asked_nothing_found():
    world = World(1, 5, 4)
    assert world.search("za", 0) == []
    assert world.search("absent") == []
    assert world.search("+absent za") == []
    assert search.search([], parse("za"), 10, len) == []


def test_forgotten_segments_count_for_nothing():
    whole, without = World(1, 80, 5, forgotten=range(0, 80, 3)), World(1, 80, 5)
    for i in range(0, 80, 3):
        del without.records[i]
    kept = Tail(0)
    for i in without.records:
        kept.add(i, of_record(without.records[i]))
    without.parts = [kept]
    for conversation in (False, True):
        one = whole.search("za zk", 80, is_conversation_aware=conversation)
        assert ranked(one) == ranked(without.search("za zk", 80, is_conversation_aware=conversation))
