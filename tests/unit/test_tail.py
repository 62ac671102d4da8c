"""A tail answers as a run of the same segments does, in whatever order they came."""

import random

import numpy as np

from ctxmem.search.facets import facet_key, kind_key
from ctxmem.search.forward import Forward, of_record
from ctxmem.search.tail import Tail
from ctxmem.segment import Facts, Record


def record(text, **fields):
    return Record(
        session=fields.pop("session", 1),
        kind="note",
        role=None,
        text=text,
        tokens=3,
        at=fields.pop("at", 5.0),
        **fields,
    )


def test_postings_facets_and_columns():
    tail = Tail(100)
    tail.add(101, of_record(record("red cat cat", session=2, at=7.0, facets={"task": 7})))
    tail.add(103, of_record(record("red dog", at=6.0)))
    assert (tail.n, tail.span, tail.at_min, tail.at_max) == (2, 4, 6.0, 7.0)
    assert (tail.session_min, tail.session_max) == (1, 2)
    assert tail.posting(b"red").all_offsets().tolist() == [1, 3]
    cat = tail.posting(b"cat")
    assert cat.highest > tail.posting(b"dog").highest
    assert tail.posting(b"absent") is None
    assert tail.facet(facet_key("task", 7)).tolist() == [1]
    assert tail.facet(facet_key("task", "7")) is None
    assert tail.facet_size(kind_key("note")) == 2
    assert tail.present().tolist() == [1, 3]
    assert np.isnan(tail.at()[0])
    assert tail.at()[1] == 7.0
    assert tail.sessions().of(2).tolist() == [1]
    assert dict(tail.terms_from(b"d")) == {b"dog": 1}


def test_order_of_arrival_does_not_matter():
    rng = random.Random(1)
    drawn = {i: of_record(record(rng.choice(["red cat", "red dog", "blue"]), session=i % 3)) for i in range(40)}
    one, other = Tail(0), Tail(0)
    for i in sorted(drawn):
        one.add(i, drawn[i])
    shuffled = list(drawn)
    rng.shuffle(shuffled)
    for i in shuffled:
        other.add(i, drawn[i])
    for term in (b"red", b"cat", b"blue"):
        assert one.posting(term).all_offsets().tolist() == other.posting(term).all_offsets().tolist()
        assert one.posting(term).impacts.tolist() == other.posting(term).impacts.tolist()
    assert one.sessions().of(1).tolist() == other.sessions().of(1).tolist()
    assert one.at().tolist() == other.at().tolist()


def test_what_is_left_after_a_seal():
    tail = Tail(0)
    for i in range(10):
        tail.add(i, of_record(record(f"word{i} red")))
    rest = tail.after(6)
    assert [i for i in range(20) if i in rest] == [7, 8, 9]
    assert rest.last_id == 9
    assert rest.first == 7
    assert rest.posting(b"red").all_offsets().tolist() == [0, 1, 2]
    assert rest.posting(b"word3") is None
    assert tail.after(9).n == 0


def test_an_unindexed_record_is_unsearched():
    tail = Tail(0)
    tail.add(0, of_record(record("secret words", facts=Facts(is_unsearched=True))))
    assert tail.posting(b"secret") is None
    assert tail.unsearched().tolist() == [0]
    assert tail.sessions().of(1).tolist() == [0]


def test_terms_are_listed_by_their_beginning_as_they_come():
    tail = Tail(0)
    for n, words in enumerate(([b"cat", b"catalogue", b"dog"], [b"cat", b"c.t"], [b"cattle"])):
        tail.add(n, Forward(1, 4, 0.0, 2, words, bytes([1]) * len(words), []))
        expected = {b"cat": min(n + 1, 2), b"catalogue": 1} | ({b"cattle": 1} if n == 2 else {})
        assert dict(tail.terms_from(b"cat")) == expected
    assert dict(tail.terms_from(b"c.")) == {b"c.t": 1}
    assert dict(tail.terms_from(b"x")) == {}
