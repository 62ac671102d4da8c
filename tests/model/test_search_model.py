"""The index against plain definitions: ids, order and scores equal `tests/oracle.py`'s, whatever was done in between.

Appends by two writers, commits, seals, merges, purges, bulk runs, forgets and reopens, in any order, in small blocks.
"""

import importlib.util
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ctxmem import codec
from ctxmem.codec import Codec
from ctxmem.errors import BadQuery
from ctxmem.index.index import Index
from ctxmem.options import Options
from ctxmem.search import facets, forward, ranking
from ctxmem.search.query import parse
from ctxmem.segment import NO_FACTS, Facts, Record
from ctxmem.store.localstore import LocalStore
from ctxmem.tables import changes, flags, frames

_spec = importlib.util.spec_from_file_location("oracle", Path(__file__).parent.parent / "oracle.py")
oracle = importlib.util.module_from_spec(_spec)
import sys  # noqa: E402

sys.modules["oracle"] = oracle
_spec.loader.exec_module(oracle)

OPTIONS = Options(block_segments=128, tail_segments=8, merge_factor=3)
WORDS = ["login", "fails", "the", "red", "cat", "prefix", "prefer", "pretty", "café", "app/login.py", "parse_date", "7"]
DAY_S = 86_400.0

texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
facet_sets = st.fixed_dictionaries(
    {},
    optional={
        "file": st.sampled_from(["a.py", "b.py"]),
        "tags": st.lists(st.sampled_from(["x", "y", "z"]), max_size=3),
        "entity": st.sampled_from(["Anna", "Bob", ["Anna", "Eve"]]),
        "task": st.sampled_from([7, "7"]),
    },
)
records = st.builds(
    Record,
    session=st.integers(0, 3),
    kind=st.sampled_from(["note", "message"]),
    role=st.none(),
    text=texts,
    tokens=st.integers(0, 9),
    at=st.integers(0, 40).map(lambda day: day * DAY_S),
    facets=facet_sets,
    facts=st.sampled_from([NO_FACTS, NO_FACTS, NO_FACTS, NO_FACTS, Facts(is_unsearched=True)]),
)
words = st.tuples(st.sampled_from(["", "", "", "", "+", "-"]), st.sampled_from(WORDS)).map("".join)
phrases = st.tuples(st.sampled_from(["", "-"]), st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)).map(
    lambda drawn: f'{drawn[0]}"{" ".join(drawn[1])}"'
)
prefixes = st.tuples(st.sampled_from(["", "+", "-"]), st.sampled_from(["pre*", "log*", "caf*"])).map("".join)
queries = st.lists(st.one_of(words, words, words, phrases, prefixes), max_size=5).map(" ".join)
filters = st.fixed_dictionaries(
    {},
    optional={
        "sessions": st.sets(st.integers(0, 3), min_size=1),
        "kind": st.just("note"),
        "since": st.integers(0, 40).map(lambda day: day * DAY_S),
        "until": st.integers(0, 40).map(lambda day: day * DAY_S),
        "facets": st.sampled_from([{"file": "a.py"}, {"tags": ["x", "y"]}, {"task": 7}, {"task": "none"}]),
        "modulus": st.integers(2, 5),
    },
)


class Rig:
    """What the log does around an index, and no more."""

    def __init__(self, path):
        self.path = path
        self.records = {}  # all that was ever appended
        self.queued = []
        self.forgotten = set()
        self.open()

    def open(self):
        self.store = LocalStore.open(self.path, durability="unsafe")
        self.codec = Codec({}.get)
        self.index = Index(self.store, OPTIONS, self.codec, self.read)
        self.index.queued = lambda _: [(i, self.records[i]) for i in self.queued]  # the model's ids do not rise

    def read(self, ids):
        return [self.records[i] for i in ids]

    def append(self, segment_id, record):
        self.records[segment_id] = record
        self.queued.append(segment_id)

    def commit(self):
        queued, self.queued = sorted(self.queued), []
        with self.store.batch() as batch:
            for i in queued:
                batch.put("log", frames.key(i), self.codec.store(codec.pack_record(self.records[i])))
                batch.put("forward", frames.key(i), self.index.forward(i, self.records[i]))
                changes.record(batch, "append", [i, i])

    def forget(self, segment_id):
        self.commit()
        self.forgotten.add(segment_id)
        with self.store.batch() as batch:
            flags.change(batch, flags.FORGOTTEN, [segment_id], is_on=True)
            changes.record(batch, "forget", [segment_id])

    def bulk(self, ids, drawn):
        self.commit()
        for _ in self.index.steps():  # a load finishes what is due first, and holds maintenance off
            pass
        bulk = self.index.bulk()
        for segment_id, record in zip(ids, drawn, strict=True):
            self.records[segment_id] = record
            if bulk.add(segment_id, forward.of_record(record), codec.pack_record(record)):
                bulk.flush()
        bulk.flush()

    def close(self):
        self.index.close()
        self.store.close()


class SearchMachine(RuleBasedStateMachine):
    @initialize(thin=st.sampled_from([0, 10, 4_096]))
    def start(self, thin):
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(ranking, "THIN", thin)
        self.folder = tempfile.TemporaryDirectory()
        self.rig = Rig(Path(self.folder.name) / "store")
        self.other = Index(self.rig.store, OPTIONS, self.rig.codec, self.rig.read)  # what another process sees
        self.next_ids = [0, 1_000_000 * OPTIONS.block_segments // OPTIONS.block_segments]
        self.next_ids[1] -= self.next_ids[1] % OPTIONS.block_segments
        self.running = None

    def take_id(self, writer):
        self.next_ids[writer] += 1
        return self.next_ids[writer] - 1

    def next_block(self, writer):
        return -(-self.next_ids[writer] // OPTIONS.block_segments) * OPTIONS.block_segments

    @rule(drawn=st.lists(records, min_size=1, max_size=12), writer=st.integers(0, 1))
    def append(self, drawn, writer):
        for record in drawn:
            self.rig.append(self.take_id(writer), record)

    @rule()
    def commit(self):
        self.rig.commit()

    @rule(drawn=st.lists(records, min_size=1, max_size=40), writer=st.integers(0, 1))
    def bulk(self, drawn, writer):
        self.running = None
        self.next_ids[writer] = self.next_block(writer)
        self.rig.bulk([self.take_id(writer) for _ in drawn], drawn)
        self.next_ids[writer] = self.next_block(writer)

    @rule(n=st.integers(1, 40))
    def maintain(self, n):
        if self.running is None:
            self.running = self.rig.index.steps()
        for _ in range(n):
            if next(self.running, "end") == "end":
                self.running = None
                break

    @rule()
    def maintain_to_the_end(self):
        for _ in self.rig.index.steps():
            pass

    @rule()
    def purge(self):
        self.rig.commit()
        self.rig.index.purge()

    @rule(data=st.data())
    def forget(self, data):
        live = sorted(self.rig.records.keys() - self.rig.forgotten)
        if live:
            self.rig.forget(data.draw(st.sampled_from(live)))

    @rule()
    def reopen(self):
        self.rig.commit()
        self.rig.close()
        self.rig.open()
        self.other = Index(self.rig.store, OPTIONS, self.rig.codec, self.rig.read)
        self.running = None

    @rule(text=queries, chosen=filters, limit=st.integers(0, 12), conversation=st.booleans())
    def search(self, text, chosen, limit, conversation):
        self.compare(self.rig.index, self.rig.records.keys(), text, chosen, limit, conversation)

    @rule(text=queries, chosen=filters, limit=st.integers(1, 300), conversation=st.booleans())
    def search_elsewhere(self, text, chosen, limit, conversation):
        committed = self.rig.records.keys() - set(self.rig.queued)
        self.compare(self.other, committed, text, chosen, limit, conversation)

    def compare(self, index, ids, text, chosen, limit, conversation):
        try:
            query = parse(text)
        except BadQuery:
            return
        model = oracle.Oracle()
        for i in ids - self.rig.forgotten:
            record = self.rig.records[i]
            model.add(oracle.Doc(i, record.text, record.session, record.kind, record.at, dict(record.facets)))
            if record.facts.is_unsearched:
                model.docs[i].impacts = {}  # counts and has a place in its session, and is never a hit
        asked = {name: value for name, value in chosen.items() if name != "modulus"}
        if "modulus" in chosen:
            asked["exclude"] = facets.IdSet(i for i in self.rig.records if i % chosen["modulus"] == 0)

        def passes(doc):
            return (
                not self.rig.records[doc.id].facts.is_unsearched
                and ("sessions" not in chosen or doc.session in chosen["sessions"])
                and ("kind" not in chosen or doc.kind == chosen["kind"])
                and ("since" not in chosen or doc.at >= chosen["since"])
                and ("until" not in chosen or doc.at <= chosen["until"])
                and all(doc.holds(name, value) for name, value in chosen.get("facets", {}).items())
                and ("modulus" not in chosen or doc.id % chosen["modulus"] != 0)
            )

        expected = model.search(query, limit, passes=passes, conversation=conversation)
        found = index.search(query, limit=limit, conversation=conversation, explain=True, **asked)
        assert [(hit.id, hit.score) for hit in found] == expected

    @rule(session=st.integers(0, 3), after=st.integers(-1, 200))
    def session_ids(self, session, after):
        expected = [i for i, record in sorted(self.rig.records.items()) if record.session == session and i > after]
        assert self.rig.index.session_ids(session, after) == expected

    @invariant()
    def every_segment_is_in_one_place(self):
        if hasattr(self, "rig"):
            stats = self.rig.index.stats()
            assert stats["sealed_segments"] + stats["tail_segments"] == len(self.rig.records)

    def teardown(self):
        if not hasattr(self, "rig"):
            return
        try:
            assert self.rig.index.check() == []
        finally:
            self.other.close()
            self.rig.close()
            self.folder.cleanup()
            self.patch.undo()


TestSearch = SearchMachine.TestCase
TestSearch.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
