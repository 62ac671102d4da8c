"""The store raising at call k, for every k: whatever the log was doing, nothing is lost and nothing is half done."""

from contextlib import suppress
from dataclasses import replace

import pytest

from ctxmem.errors import StoreError, StoreFull
from ctxmem.log import Log
from ctxmem.options import Options
from ctxmem.segment import Record
from ctxmem.store.environment import Environment
from ctxmem.store.transactions import LocalBatch
from tests.plainindex import PlainIndex

OPTIONS = Options(durability="unsafe", block_segments=4)


class Trouble(Exception):
    """What the store raises; not one of our errors, so nothing catches it by name."""


class Counted:
    """Makes the k-th call of the store's writing methods raise."""

    def __init__(self, monkeypatch, error):
        self.left = -1
        for owner, name in ((LocalBatch, "put"), (LocalBatch, "delete"), (Environment, "begin"), (Environment, "end")):
            self._wrap(monkeypatch, owner, name, error)

    def _wrap(self, monkeypatch, owner, name, error):
        plain = getattr(owner, name)

        def counted(this, *args, **more):
            is_write = owner is LocalBatch or more.get("write") or more.get("commit")
            if is_write and self.left >= 0:
                self.left -= 1
                if self.left < 0:
                    if name == "end":
                        more["commit"] = False
                        plain(this, *args, **more)
                    raise error
            return plain(this, *args, **more)

        monkeypatch.setattr(owner, name, counted)


def record(text, **more):
    return Record(1, "message", "user", text, 3, 1.5e9, message={"role": "user", "content": text}, **more)


def fill(log, begin, said):
    """One of everything that writes; `said` holds what was appended, by id."""
    for n in range(begin, begin + 6):
        segment_id, _ = log.append(record(f"text {n}", pinned=n % 3 == 0), key=f"k{n}")
        said[segment_id] = f"text {n}"
    log.commit(lambda batch: batch.put("contexts", b"c", b"%d" % begin))
    log.lease(log.session(f"s{begin}")).release()
    log.pin(min(said), True)


def fail_at(tmp_path, monkeypatch, k, error):
    """Run the workload with the k-th call failing, then without; True when the failure was reached."""
    said = {}
    with monkeypatch.context() as patch:
        log = Log.open(tmp_path / f"s{k}", options=OPTIONS, index_of=PlainIndex)
        fill(log, 0, said)
        counter = Counted(patch, error)
        patch.setattr(log._committer, "note", lambda **_: None)  # the small thread would make k a race
        counter.left = k
        with suppress(Trouble, StoreError):
            fill(log, 10, said)
        is_reached = counter.left < 0
        counter.left = -1
    waiting = {i: log.get(i).text for i in said}
    assert waiting == said
    fill(log, 20, said)
    assert {i: log.get(i).text for i in said} == said
    assert log.check() == []
    log.close()
    log = Log.open(tmp_path / f"s{k}", options=replace(OPTIONS), index_of=PlainIndex)
    assert {i: log.get(i).text for i in said} == said
    assert log.check() == []
    with log.snapshot() as snapshot:
        assert snapshot.get("contexts", b"c") == b"20"
        assert snapshot.count("log") == len(said)
    log.close()
    return is_reached


@pytest.mark.parametrize("error", [Trouble(), StoreFull("no room")], ids=["unknown", "full"])
def test_a_failure_at_any_call_loses_nothing(tmp_path, monkeypatch, error):
    k = 0
    while fail_at(tmp_path, monkeypatch, k, error):
        k += 1

    assert k > 20
