"""What chunks are for: the parts of a search follow the data, however many writers there are, alive, slow or dead."""

import pytest

from ctxmem import codec
from ctxmem.log.log import Log
from ctxmem.log.pending import PendingQueue
from ctxmem.log.writer import Writer
from ctxmem.options import Options
from ctxmem.segment import Record
from ctxmem.tables import chunks, slots

SMALL = Options(durability="unsafe", block_segments=1_024, tail_segments=16, merge_factor=4)


class Fleet:
    """Many writers of one store, as many processes would be: each has a slot and a queue of its own."""

    def __init__(self, path, n_writers):
        self.log = Log.open(path, options=SMALL)
        self.writers = [self._writer() for _ in range(n_writers)]
        self.ids = []

    def _writer(self):
        log = self.log
        parts = log._store, PendingQueue(), log._hot, log._reader, log.index, log._trainer, log.options.block_segments
        return Writer(*parts)

    def turn(self, number, n=4):
        writer = self.writers[number]
        for _ in range(n):
            record = Record(number + 1, "note", None, f"a heron {len(self.ids)}", 3, float(len(self.ids)))
            self.ids.append(writer.append(record, codec.pack_record(record), None, b"")[0])
        writer.commit([])

    def maintain(self):
        for _ in self.log.index.steps():
            pass

    def kill(self, number):
        self.writers[number].slot.release()

    def stats(self):
        stats = self.log.index.stats()
        with self.log.snapshot() as snapshot:
            return stats["runs"], len(self.log.index._tails), stats["tail_segments"], chunks.next_block(snapshot)

    def close(self):
        assert self.log.check() == []
        assert len(set(self.ids)) == len(self.ids)
        assert self.log.index.stats()["sealed_segments"] + self.log.index.stats()["tail_segments"] == len(self.ids)
        self.log.close()


@pytest.fixture
def fleet(tmp_path):
    made = []

    def start(n_writers):
        made.append(Fleet(tmp_path / f"s{len(made)}", n_writers))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_a_store_of_64_slots_has_about_as_many_parts_as_one_of_one(fleet, monkeypatch):
    monkeypatch.setattr(slots, "_CHUNK_LEAST", 4)  # as 16 are to a block of 65,536
    found = []
    for n_writers in (1, 64):
        crew = fleet(n_writers)
        most = 0
        for number in range(1_000):
            crew.turn(number % n_writers)
            crew.maintain()
            runs, tails, _, _ = crew.stats()
            most = max(most, runs + tails)
        found.append((most, crew.stats()[3]))
    (most_of_one, blocks_of_one), (most_of_many, blocks_of_many) = found

    assert most_of_many <= 2 * most_of_one
    assert blocks_of_many <= blocks_of_one + 1


def test_one_writer_fills_every_id(fleet):
    crew = fleet(1)
    for number in range(300):
        crew.turn(0, n=1 + number % 7)

    assert crew.ids == list(range(len(crew.ids)))


def test_what_a_slow_writer_holds_is_sealed_once_it_gives_way(fleet):
    crew = fleet(2)
    crew.turn(0)
    crew.turn(1)
    for _ in range(10):
        crew.turn(1)
        crew.writers[0].give_way()
    assert crew.writers[0].slot._chunks  # not far behind yet
    for _ in range(140):
        crew.turn(1)
    crew.maintain()
    waiting = crew.stats()[2]
    assert waiting > 500
    crew.writers[0].give_way()
    crew.maintain()

    assert crew.stats()[2] < 64
    crew.turn(0)
    assert crew.ids[-1] > max(crew.ids[:-1])


def test_what_a_dead_writer_holds_is_sealed(fleet):
    crew = fleet(2)
    crew.turn(0)
    for _ in range(20):
        crew.turn(1)
    crew.maintain()
    assert crew.stats()[2] > 64
    crew.kill(0)
    crew.maintain()

    assert crew.stats()[2] < 16


def test_a_queued_record_keeps_a_writer_from_giving_way_before_it_is_committed(fleet):
    crew = fleet(2)
    crew.turn(0)
    record = Record(1, "note", None, "a heron waits", 3, 0.0)
    waiting = crew.writers[0].append(record, codec.pack_record(record), None, b"")[0]
    for _ in range(160):
        crew.turn(1)
    crew.writers[0].give_way()
    crew.ids.append(waiting)
    crew.maintain()

    assert crew.log.get(waiting).text == "a heron waits"
    assert crew.stats()[2] < 64
