"""The index in a store: visible at once, sealed and merged in small steps, sound when it is interrupted or damaged."""

import threading

import pytest

from ctxmem import codec
from ctxmem.codec import Codec
from ctxmem.errors import StoreError
from ctxmem.index import manifest
from ctxmem.index.index import Index
from ctxmem.options import Options
from ctxmem.search import forward
from ctxmem.search.query import parse
from ctxmem.segment import Record
from ctxmem.store.localstore import LocalStore
from ctxmem.tables import changes, flags, frames

OPTIONS = Options(block_segments=256, tail_segments=8, merge_factor=4)


class Rig:
    def __init__(self, path, options=OPTIONS):
        self.path, self.options, self.records, self.queued = path, options, {}, []
        self.open()

    def open(self):
        self.store = LocalStore.open(self.path, durability="unsafe")
        self.codec = Codec({}.get)
        self.index = self.another()
        self.index.queued = lambda _: [(i, self.records[i]) for i in self.queued]  # threads' ids here do not rise

    def another(self):
        return Index(self.store, self.options, self.codec, lambda ids: [self.records[i] for i in ids])

    def reopen(self):
        self.close()
        self.open()

    def close(self):
        self.index.close()
        self.store.close()

    def append(self, segment_id, text, **fields):
        record = Record(fields.pop("session", 1), "note", None, text, 3, fields.pop("at", float(segment_id)), **fields)
        self.records[segment_id] = record
        self.queued.append(segment_id)

    def commit(self, *ids):
        with self.store.batch() as batch:
            for i in ids:
                batch.put("log", frames.key(i), self.codec.store(codec.pack_record(self.records[i])))
                batch.put("forward", frames.key(i), self.index.forward(i, self.records[i]))
            changes.record(batch, "append", [ids[0], ids[-1]])
        self.queued = [i for i in self.queued if i not in ids]

    def fill(self, ids, text="red word{}"):
        for i in ids:
            self.append(i, text.format(i))
        self.commit(*ids)

    def forget(self, *ids):
        with self.store.batch() as batch:
            flags.change(batch, flags.FORGOTTEN, ids, is_on=True)
            changes.record(batch, "forget", list(ids))

    def find(self, text, index=None, **fields):
        fields.setdefault("conversation", False)
        return [hit.id for hit in (index or self.index).search(parse(text), limit=fields.pop("limit", 500), **fields)]

    def maintain(self):
        return sum(1 for _ in self.index.steps())


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path / "store")
    yield made
    made.close()


def test_an_append_is_found_by_the_next_search(rig):
    rig.append(0, "a red cat")
    assert rig.find("cat") == [0]
    rig.append(1, "another cat")
    assert sorted(rig.find("cat")) == [0, 1]
    assert rig.index.session_ids(1) == [0, 1]


def test_another_process_sees_commits_seals_and_forgets(rig):
    other = rig.another()
    rig.append(0, "a red cat")
    assert rig.find("cat", other) == []
    rig.commit(0)
    assert rig.find("cat", other) == [0]
    rig.fill(range(1, 20))
    rig.maintain()
    assert rig.find("cat", other) == [0]
    assert len(rig.find("red", other)) == 20
    assert other.stats()["runs"] == 1
    rig.forget(0)
    assert rig.find("cat", other) == []
    other.close()


def test_a_tail_is_sealed_and_the_log_lets_go(rig):
    rig.fill(range(7))
    rig.maintain()
    assert rig.index.stats()["runs"] == 0
    rig.fill(range(7, 9))
    assert rig.maintain() > 3
    assert rig.index.stats()["tail_segments"] == 0
    with rig.store.snapshot() as snapshot:
        assert snapshot.count("log") == snapshot.count("forward") == 0
        stored = frames.find(snapshot, 4)
        assert codec.unpack_record(frames.unpack(*stored, rig.codec)[4]).text == "red word4"
    assert rig.index.check() == []


def test_runs_are_merged_by_size_and_a_full_block_is_one(rig):
    for start in range(0, 250, 10):
        rig.fill(range(start, start + 10))
        rig.maintain()
        assert rig.index.stats()["runs"] <= 9
    rig.fill(range(250, 256))
    rig.maintain()
    assert rig.index.stats() == {
        "runs": 1,
        "sealed_segments": 256,
        "tail_segments": 0,
        "forgotten_segments": 0,
        "run_bytes": rig.index.stats()["run_bytes"],
    }
    assert len(rig.find("red")) == 256
    with rig.store.snapshot() as snapshot:
        assert snapshot.count("runs") == 1
        assert {key[:4] for key in snapshot.keys("postings")} == {next(snapshot.keys("runs"))}
    assert rig.index.check() == []


def test_a_merge_that_is_left_goes_on_later(rig):
    for start in range(0, 32, 8):
        rig.fill(range(start, start + 8))
        rig.maintain() if start < 24 else None
    for _ in range(200):
        steps = rig.index.steps()
        if next(steps, None) is None and rig.index.stats()["runs"] == 1:
            break
        steps.close()
    assert rig.index.stats()["runs"] == 1
    assert len(rig.find("red")) == 32


@pytest.mark.parametrize("n_steps", range(1, 14))
def test_what_was_interrupted_is_swept_by_the_next(rig, n_steps):
    rig.fill(range(20))
    steps = rig.index.steps()
    for _ in range(n_steps):
        next(steps, None)
    steps.close()  # lets go of the block
    other = rig.another()
    assert len(rig.find("red", other)) == 20
    for _ in other.steps():
        pass
    assert other.stats()["runs"] == 1
    for _ in rig.index.steps():
        pass  # what was begun here was taken over, and is given up
    assert len(rig.find("red")) == len(rig.find("red", other)) == 20
    with rig.store.snapshot() as snapshot:
        assert manifest.untidy(snapshot) == []
        assert len({key[:4] for key in snapshot.keys("columns")}) == 1
    assert rig.index.check() == []
    other.close()


def test_opening_indexes_nothing_again(rig, monkeypatch):
    rig.fill(range(30))
    rig.maintain()
    rig.fill(range(30, 34))
    rig.close()
    monkeypatch.setattr(forward, "of_record", pytest.fail)
    rig.open()
    assert rig.find("+word3") == [3]
    assert rig.find("+word31") == [31]


def test_forgotten_segments_are_gone_from_counts_and_later_from_disk(rig):
    rig.fill(range(16))
    rig.maintain()
    rig.append(16, "secretword red")
    rig.append(17, "secretword red")
    rig.commit(16, 17)
    rig.forget(16)
    before = rig.index.search(parse("red"), limit=500, conversation=False)
    assert 16 not in [hit.id for hit in before]
    assert rig.find("secretword") == [17]
    assert rig.index.session_ids(1, after=14) == [15, 16, 17]
    rig.fill(range(18, 24))
    rig.maintain()
    rig.forget(17)
    rig.index.purge()
    with rig.store.snapshot() as snapshot:
        assert not any(b"secretword" in key or b"secretword" in value for key, value in snapshot.scan("postings"))
    rig.forget(3)
    rig.index.purge()
    with rig.store.snapshot() as snapshot:
        assert not any(b"word3\0" in value for _, value in snapshot.scan("postings"))
    assert rig.find("+word3") == []
    assert rig.index.session_ids(1, after=14) == list(range(15, 24))
    assert rig.index.check() == []


def test_a_large_share_of_forgotten_segments_is_purged_by_the_way(tmp_path):
    rig = Rig(tmp_path / "store", Options(block_segments=512, tail_segments=256, merge_factor=4))
    rig.fill(range(256))
    rig.maintain()
    rig.forget(*range(100))
    assert rig.maintain() > 1
    with rig.store.snapshot() as snapshot:
        assert not any(b"word42\0" in value for _, value in snapshot.scan("postings"))
    assert rig.maintain() == 0
    rig.close()


def test_a_bulk_write_goes_past_the_log(rig):
    rig.fill(range(5))
    bulk = rig.index.bulk()
    for i in range(256, 551):
        rig.records[i] = Record(1, "note", None, f"red bulk{i}", 3, float(i))
        if bulk.add(i, forward.of_record(rig.records[i]), codec.pack_record(rig.records[i])):
            bulk.flush()
    assert len(rig.find("red")) == 5 + 256
    bulk.flush(lambda batch: batch.put("meta", b"mine", b"1"))
    assert len(rig.find("red")) == 300
    assert rig.find("+bulk550") == [550]
    with rig.store.snapshot() as snapshot:
        assert snapshot.get("meta", b"mine") == b"1"
        assert snapshot.count("log") == 5
        assert 550 in frames.unpack(*frames.find(snapshot, 550), rig.codec)
    assert bulk.flush() is None
    rig.maintain()
    assert rig.index.check() == []


def test_an_unfinished_bulk_write_leaves_nothing(rig):
    bulk = rig.index.bulk()
    rig.records[0] = Record(1, "note", None, "red " * 90_000, 3, 0.0)
    bulk.add(0, forward.of_record(rig.records[0]), codec.pack_record(rig.records[0]))
    rig.reopen()
    rig.maintain()
    with rig.store.snapshot() as snapshot:
        assert snapshot.count("frames") == snapshot.count("postings") == 0


def test_check_finds_a_changed_posting_a_missing_run_entry_and_a_wrong_forward(rig):
    rig.fill(range(16))
    rig.maintain()
    rig.fill(range(16, 18))
    with rig.store.batch() as batch:
        key, value = next(batch.scan("postings"))
        batch.put("postings", key, value[:-1] + bytes([value[-1] ^ 1]))
        batch.put("forward", frames.key(16), batch.get("forward", frames.key(17)))
    problems = rig.index.check()
    assert {problem.where.split(",")[0] for problem in problems} == {"run 1", "forward record 16"}


def test_check_says_what_cannot_be_read(rig):
    rig.fill(range(16))
    rig.maintain()
    with rig.store.batch() as batch:
        batch.delete_range("columns")
    assert any("cannot be read" in problem.what for problem in rig.index.check())


def test_a_put_that_is_not_done_raises(rig):
    with rig.store.batch() as batch:
        batch.put("postings", b"b", b"1", append=True)
        with pytest.raises(StoreError):
            batch.put("postings", b"a", b"1", append=True)


def test_filters_times_and_exclusion(rig):
    for i in range(12):
        rig.append(i, "red", at=float(i), session=i % 3, facets={"tags": ["x", "y"] if i % 2 else ["x"]})
    assert rig.find("red", sessions={1}) == [10, 7, 4, 1]
    assert rig.find("red", since=3.0, until=5.0) == [5, 4, 3]
    assert rig.find("", facets={"tags": ["x", "y"]}, limit=2) == [11, 9]
    assert rig.find("red", kind="other") == []
    from ctxmem.search.facets import IdSet

    assert rig.find("red", exclude=IdSet(range(10))) == [11, 10]


def test_many_threads_search_and_append(rig):
    failures = []

    def work(start):
        try:
            for i in range(start, start + 30):
                rig.append(i, f"red word{i}")
                assert i in rig.find(f"+word{i}")
                rig.find('"red word"')
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 40, 80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(rig.find("red")) == 90


def test_no_thread_changes_the_parts_while_a_question_reads_texts(rig):
    """A phrase reads texts in the middle of a search; a tail that grew meanwhile would have answered for two states."""
    rig.fill(range(3), "red cat {}")
    seen = []

    def read(ids):
        other = threading.Thread(target=lambda: seen.append(rig.index._lock.acquire(blocking=False)))
        other.start()
        other.join()
        return [rig.records[i] for i in ids]

    rig.index.read = read
    rig.find('"red cat"')

    assert seen
    assert not any(seen)
