"""The log: append, barriers, keys, flags, leases, what other processes see, and how the small thread behaves."""

import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from ctxmem.errors import BadInput, KeyConflict, SegmentNotFound, StoreClosed, StoreFull, StoreReadonly
from ctxmem.log import Log, committer
from ctxmem.log.reader import FORGOTTEN_TEXT
from ctxmem.options import Options
from ctxmem.segment import Call, Record
from tests.plainindex import PlainIndex
from tests.waiting import WATCHDOG_S, eventually

OPTIONS = Options(durability="unsafe", block_segments=8, hot_bytes=4000)


def record(text="hello", session=1, **more):
    return Record(session, "message", "user", text, 3, 1.5e9, message={"role": "user", "content": text}, **more)


def opened(path, **more):
    return Log.open(path, options=replace(OPTIONS, **more), index_of=PlainIndex)


@pytest.fixture
def log(tmp_path):
    made = opened(tmp_path / "s")
    yield made
    made.close()


def seal(log):
    log.index.is_sealing = True
    log.flush()
    log.index.is_sealing = False


def count(log, table):
    with log.snapshot() as snapshot:
        return snapshot.count(table)


def test_an_append_is_read_before_and_after_each_move(tmp_path):
    log = opened(tmp_path / "s")
    ids = [log.append(record(f"text {n}"))[0] for n in range(30)]
    expected = [f"text {n}" for n in range(30)]
    assert [log.get(i).text for i in ids] == expected
    log.commit()
    assert [log.get(i).text for i in ids] == expected
    seal(log)
    assert [log.get(i).text for i in ids] == expected
    assert (count(log, "log"), count(log, "frames") > 0) == (0, True)
    log.close()
    log = opened(tmp_path / "s")
    assert [found.text for found in log.get_many(ids[::-1])] == expected[::-1]
    assert log.check() == []
    log.close()


def test_ids_are_known_at_once_and_rise(log):
    assert [log.append(record())[0] for _ in range(20)] == list(range(20))
    log.commit()
    assert [log.append(record())[0] for _ in range(20)] == list(range(20, 40))


def test_later_changes_to_a_record_have_no_effect(log):
    given = record("before")
    segment_id, _ = log.append(given)
    given.message["content"] = given.text = "after"
    log.commit()

    assert log.get(segment_id).text == "before"


def test_what_cannot_be_stored_is_refused_at_append(log):
    with pytest.raises(BadInput):
        log.append(record(facets={"x": object()}))
    assert log.append(record()) == (0, True)


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_key_makes_an_append_idempotent(log, is_committed):
    first = log.append(record("a"), key="k")
    if is_committed:
        log.commit()

    assert first == (0, True)
    assert log.append(replace(record("a"), at=7.0, tokens=99), key="k") == (0, False)
    assert log.append(record("a", session=2), key="k") == (1, True)
    with pytest.raises(KeyConflict) as caught:
        log.append(record("b"), key="k")
    assert caught.value.segment_id == 0


def test_a_commit_takes_the_callers_puts_along(log):
    log.append(record())
    log.commit(lambda batch: batch.put("contexts", b"c", b"state"))

    with log.snapshot() as snapshot:
        assert snapshot.get("contexts", b"c") == b"state"
    assert count(log, "log") == 1


def test_a_write_that_raises_leaves_the_queue(log):
    log.append(record())

    def write(batch):
        batch.put("contexts", b"c", b"state")
        raise LookupError

    with pytest.raises(LookupError):
        log.commit(write)
    assert count(log, "contexts") == count(log, "log") == 0
    log.commit()
    assert count(log, "log") == 1


def test_the_small_thread_commits_what_no_barrier_fetches(log):
    log.append(record())
    eventually(lambda: count(log, "log"))

    assert count(log, "log") == 1
    assert log.stats()["queued_entries"] == 0


def test_many_callers_share_one_commit(log):
    log.append(record())
    with log._writer.committing:  # so that all wait
        futures = [log.commit_soon(lambda batch, n=n: batch.put("turns", b"%d" % n, b"x")) for n in range(20)]
        before = log._store.head
    for future in futures:
        future.result(WATCHDOG_S)

    assert count(log, "turns") == 20
    assert log._store.head - before <= 2


def test_one_callers_error_is_his_alone(log):
    with log._writer.committing:
        good = [log.commit_soon(lambda batch, n=n: batch.put("turns", b"%d" % n, b"x")) for n in range(3)]
        bad = log.commit_soon(lambda batch: batch.put("turns", b"", b"x"))
        none = log.commit_soon()
    for future in [*good, none]:
        future.result(WATCHDOG_S)

    with pytest.raises(Exception, match="MDB_BAD_VALSIZE"):
        bad.result(WATCHDOG_S)
    assert count(log, "turns") == 3


def test_a_failing_commit_is_heard_at_the_next_barrier(log, monkeypatch):
    monkeypatch.setattr(committer, "_RETRY_S", 0.01)
    log.append(record())
    failures = []

    def fail(apply):
        failures.append(StoreFull("no room"))
        raise failures[-1]

    with monkeypatch.context() as patch:
        patch.setattr(log._store, "write", fail)
        eventually(lambda: failures)  # of the thread that commits what no barrier fetches
        with pytest.raises(StoreFull):
            log.commit()
        with pytest.raises(StoreFull):
            log.commit_soon().result(WATCHDOG_S)
        with pytest.raises(StoreFull):
            log.close()
        assert log.get(0).text == "hello"
    log.commit()
    assert count(log, "log") == 1


def test_a_crowded_queue_makes_the_caller_commit(log, monkeypatch):
    monkeypatch.setattr("ctxmem.log.log.CROWDED_BYTES", 1000)
    monkeypatch.setattr(committer.Committer, "note", lambda *_, **__: None)
    for _ in range(40):
        log.append(record("x" * 100))

    assert log.stats()["queued_bytes"] < 2000


def test_pins_are_as_of_now(log):
    pinned, _ = log.append(record(pinned=True))
    plain, _ = log.append(record())
    assert (log.is_pinned(pinned), log.get(plain).pinned) == (True, False)
    log.pin(plain, True)
    log.pin(pinned, False)

    assert (log.get(pinned).pinned, log.get(plain).pinned) == (False, True)
    with pytest.raises(SegmentNotFound):
        log.pin(99, True)


@pytest.mark.parametrize("is_sealed", [False, True])
def test_forgetting_hides_at_once_and_compact_erases(tmp_path, is_sealed):
    log = opened(tmp_path / "s")
    secret = "a-secret-word"
    said = record(secret, calls=(Call("c1", "run", {"x": secret}),), facets={"file": secret})
    told, _ = log.append(said, key="k")
    kept, _ = log.append(record("kept"))
    log.commit()
    if is_sealed:
        seal(log)
    log.forget([told])

    found = log.get(told)
    assert (found.text, found.message, found.facets, found.calls) == (
        FORGOTTEN_TEXT,
        None,
        {},
        (Call("c1", "run", {}),),
    )
    assert log.is_forgotten(told)
    if not is_sealed:
        log.commit(lambda batch: batch.delete("forward", bytes(8)) and batch.put("forward", bytes(8), b"-"))
    log.compact()
    assert log.get(told).text == FORGOTTEN_TEXT
    assert log.get(kept).text == "kept"
    assert log.append(record("anything"), key="k")[1]
    assert log.check() == []
    log.close()
    stored = (tmp_path / "s" / "data.mdb").read_bytes()
    assert secret.encode() not in stored


def test_forget_takes_all_or_none(log):
    log.append(record())
    with pytest.raises(SegmentNotFound):
        log.forget([0, 99])
    assert not log.is_forgotten(0)


def test_the_dictionary_is_trained_renewed_and_dropped(tmp_path):
    log = opened(tmp_path / "s", block_segments=65_536)
    secret = "secret-of-the-dictionary"
    for n in range(700):
        log.append(record(f"{secret} {n} line of a log that says the same again " * 6 + str(n * n)))
    log.commit()
    log._trainer.train()
    eventually(lambda: log.stats()["dictionary"] == 1)  # where the small thread was first, it may be at it still
    log.append(record(f"{secret} and one more with the dictionary in use " * 4))
    log.commit()
    assert log.stats()["dictionary"] == 1
    log.forget(range(690))
    log.compact()

    assert log.stats()["dictionary"] != 1
    assert log.get(700).text.startswith(secret)
    assert log.check() == []
    log.close()
    log = opened(tmp_path / "s")
    assert log.get(700).text.startswith(secret)
    log.close()


def test_sessions_have_numbers(log):
    assert log.session("a", create=False) is None
    assert [log.session("a"), log.session("b"), log.session("a")] == [1, 2, 1]
    assert log.sessions(["c", "a"]) == [3, 1]
    assert [log.session_name(n) for n in (0, 1, 3, 9)] == [None, "a", "c", None]
    assert log.session_names() == [(1, "a"), (2, "b"), (3, "c")]


def test_a_lease_is_taken_again_by_the_same_process(log):
    first, second = log.lease(1), log.lease(1)
    assert count(log, "leases") == 1
    first.release()
    first.release()
    second.release()
    assert count(log, "leases") == 0


@pytest.mark.parametrize("segment_id", [0, -1, 7, 2**48, 2**70])
def test_ids_that_nobody_gave_are_not_found(log, segment_id):
    with pytest.raises(SegmentNotFound):
        log.get(segment_id)
    with pytest.raises(KeyError):
        log.get_many([segment_id])


def test_readonly_reads_and_refuses_the_rest(tmp_path, log):
    log.append(record("kept"))
    log.session("a")
    log.close()
    reader = Log.open(tmp_path / "s", readonly=True, index_of=PlainIndex)

    assert reader.get(0).text == "kept"
    assert reader.session("a") == 1
    reader.commit()
    for use in (
        lambda: reader.append(record()),
        lambda: reader.session("new"),
        lambda: reader.pin(0, True),
        lambda: reader.forget([0]),
        lambda: reader.commit(lambda _: None),
        reader.compact,
    ):
        with pytest.raises(StoreReadonly):
            use()
    assert reader.check() == []
    reader.close()


def test_a_closed_log_says_so(log):
    log.close()
    log.close()

    for use in (lambda: log.append(record()), log.commit, log.commit_soon, lambda: log.get(0), log.stats):
        with pytest.raises(StoreClosed):
            use()


def test_a_backup_holds_what_was_queued(tmp_path, log):
    log.append(record("queued"))
    log.backup(tmp_path / "b")
    copy = opened(tmp_path / "b")

    assert copy.get(0).text == "queued"
    assert copy.append(record())[0] == 1
    copy.close()


def test_threads_append_commit_and_read_at_once(tmp_path):
    log = opened(tmp_path / "s", block_segments=64)
    said, trouble = {}, []

    def work(n):
        try:
            for i in range(60):
                segment_id, _ = log.append(record(f"{n}-{i}"), key=f"{n}-{i}")
                said[segment_id] = f"{n}-{i}"
                if i % 7 == n:
                    log.commit()
                elif i % 11 == n:
                    log.commit_soon().result(WATCHDOG_S)
                assert log.get(segment_id).text == f"{n}-{i}"
        except BaseException as exc:
            trouble.append(exc)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert trouble == []
    assert sorted(said) == list(range(240))
    log.close()
    log = opened(tmp_path / "s")
    assert {n: log.get(n).text for n in said} == said
    log.close()


def test_the_rest_is_committed_when_the_interpreter_ends(tmp_path):
    code = (
        "import sys; from ctxmem.log import Log; from ctxmem.segment import Record\n"
        "log = Log.open(sys.argv[1]); log.append(Record(0, 'note', None, 'at the end', 2, 1.5e9))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], check=True, timeout=WATCHDOG_S)
    log = opened(tmp_path / "s")

    assert log.get(0).text == "at the end"
    log.close()
