"""A run answers what its segments say, and so does a tail of the same segments."""

import random

import numpy as np
import pytest

from ctxmem.index import merging
from ctxmem.search.building import RunBuilder
from ctxmem.search.facets import facet_key, kind_key, offsets_of
from ctxmem.search.forward import decode, encode, of_record
from ctxmem.search.runs import TABLES, Run, RunView
from ctxmem.search.tail import Tail
from ctxmem.segment import Record
from ctxmem.store.localstore import LocalStore

WORDS = [f"word{number}" for number in range(60)] + ["login", "logic", "red"]


def records(n, seed=1):
    rng = random.Random(seed)
    return [
        Record(
            session=rng.randint(0, 4),
            kind=rng.choice(["note", "message"]),
            role=None,
            text=" ".join(rng.choices(WORDS, k=8)),
            tokens=rng.randint(0, 400),
            at=float(rng.randint(0, 99)),
            facets={"file": rng.choice(["a.py", "b.py"])} if rng.random() < 0.5 else {},
        )
        for _ in range(n)
    ]


@pytest.fixture
def store(tmp_path):
    opened = LocalStore.open(tmp_path / "store", durability="unsafe")
    yield opened
    opened.close()


def write(store, serial, ids, drawn, piece=0):
    builder = RunBuilder(serial)
    for segment_id, record in zip(ids, drawn, strict=True):
        builder.add(segment_id, decode(encode(of_record(record))))
    with store.batch() as batch:
        for put in builder.entries(piece=piece):
            if put is not None:
                batch.put(*put, append=True)
    return builder.run


@pytest.mark.parametrize("gap", [1, 3])
def test_a_run_and_a_tail_answer_alike(store, gap):
    drawn = records(120)
    ids = [1_000 + gap * number for number in range(len(drawn))]
    run = write(store, 5, ids, drawn)
    tail = Tail(1_000)
    for segment_id, record in zip(ids, drawn, strict=True):
        tail.add(segment_id, of_record(record))
    with store.snapshot() as snapshot:
        view = RunView(run, snapshot)
        assert (view.n, view.span, view.at_min, view.at_max) == (tail.n, tail.span, tail.at_min, tail.at_max)
        assert (view.session_min, view.session_max) == (tail.session_min, tail.session_max)
        for word in [*WORDS, "absent", "zzz", "1970"]:
            one, other = view.posting(word.encode()), tail.posting(word.encode())
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert one.all_offsets().tolist() == other.all_offsets().tolist()
                assert one.above(1)[1].tolist() == other.above(1)[1].tolist()
                assert (one.n, one.highest) == (other.n, other.highest)
        for key in (kind_key("note"), facet_key("file", "a.py"), facet_key("file", "c.py")):
            one, other = view.facet(key), tail.facet(key)
            assert view.facet_size(key) == tail.facet_size(key)
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert offsets_of(one).tolist() == other.tolist()
        assert dict(view.terms_from(b"log")) == dict(tail.terms_from(b"log"))
        assert dict(view.terms_from(b"word1")) == dict(tail.terms_from(b"word1"))
        assert np.array_equal(view.at(), tail.at(), equal_nan=True)
        assert view.tokens()[::gap].tolist() == [record.tokens for record in drawn]
        for session in range(6):
            assert view.sessions().of(session).tolist() == tail.sessions().of(session).tolist()


def test_pieces_do_not_change_what_is_written(store):
    drawn = records(150)
    builders = [RunBuilder(1), RunBuilder(1)]
    for builder in builders:
        for segment_id, record in enumerate(drawn):
            builder.add(segment_id, of_record(record))
    whole, pieces = (
        [put for put in builder.entries(piece=piece) if put] for builder, piece in zip(builders, (0, 50), strict=True)
    )
    assert whole == pieces
    assert builders[0].run == builders[1].run
    keys = [(TABLES.index(table), key) for table, key, _ in whole]
    assert keys == sorted(set(keys))


def test_merged_runs_equal_one_run_of_all(store):
    drawn = records(200)
    runs = [
        write(store, 1, range(50), drawn[:50]),
        write(store, 2, range(50, 60), drawn[50:60]),
        write(store, 3, range(70, 210), drawn[60:]),
    ]
    forgotten = np.array([3, 55, 200], np.uint32)
    expected = RunBuilder(9)
    ids = [*range(60), *range(70, 210)]
    for segment_id, record in zip(ids, drawn, strict=True):
        expected.add(segment_id, of_record(record), is_forgotten=segment_id in {3, 55, 200})
    merged = [put for put in merging.entries(store, runs, 9, forgotten) if put]
    assert merged == [put for put in expected.entries() if put]


def test_forgotten_segments_keep_their_columns(store):
    builder = RunBuilder(1)
    for segment_id, record in enumerate(records(5)):
        builder.add(segment_id, of_record(record), is_forgotten=segment_id < 4)
    with store.batch() as batch:
        for put in builder.entries():
            batch.put(*put, append=True)
    assert (builder.run.n, builder.run.n_forgotten) == (5, 4)
    with store.snapshot() as snapshot:
        view = RunView(builder.run, snapshot)
        found = [view.posting(word.encode()) for word in WORDS]
        assert {offset for posting in found if posting for offset in posting.all_offsets().tolist()} == {4}
        assert sum(len(view.sessions().of(session)) for session in range(5)) == 5


def test_a_manifest_record_reads_back():
    run = Run(7, 100, 50, 40, 1.0, 2.0, 1, 9, 3, 600, 0xDEADBEEF, 12_345)
    assert Run.decode(run.key, run.encode()) == run
    assert run.stop == 150
