"""The log against a dict: any order of appends, barriers, seals, forgets, pins, compactions, crashes and second writers.

The real index stands behind it, with tiny blocks and tails; `check` is asked after each step.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from ctxmem.errors import KeyConflict
from ctxmem.log import Log, audit
from ctxmem.log.reader import FORGOTTEN_TEXT
from ctxmem.options import Options
from ctxmem.search import query
from ctxmem.segment import Record

WORDS = ["login", "timeout", "database", "retry", "socket", "parser", "token"]
OPTIONS = Options(durability="unsafe", block_segments=16, tail_segments=4, merge_factor=2, hot_bytes=2000)
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


@dataclass
class Expected:
    """What one segment must look like."""

    text: str
    session: int
    pinned: bool
    forgotten: bool = False


class LogMachine(RuleBasedStateMachine):
    ids = Bundle("ids")

    @initialize()
    def begin(self):
        self.where = Path(tempfile.mkdtemp(prefix="ctxmem-model-"))
        self.segments: dict[int, Expected] = {}
        self.keys: dict[tuple[int, str], tuple[int, str]] = {}
        self.open()

    def open(self):
        self.log = Log.open(self.where / "s", options=OPTIONS)
        self.log._committer.note = lambda **_: None  # barriers are the rules' business
        self.log.sessions(["a", "b"])

    def covered(self):
        """Note that a barrier has returned."""
        self.on_disk = {n: Expected(**vars(one)) for n, one in self.segments.items()}
        self.keys_on_disk = dict(self.keys)

    @rule(target=ids, text=texts, session=st.integers(1, 2), pinned=st.booleans(), n=st.integers(1, 5))
    def append(self, text, session, pinned, n):
        for _ in range(n):
            record = Record(session, "message", "user", text, 3, 1.5e9, {"content": text}, "openai", pinned=pinned)
            segment_id, is_new = self.log.append(record)
            assert is_new
            assert segment_id not in self.segments
            assert segment_id > max(self.segments, default=-1)
            self.segments[segment_id] = Expected(text, session, pinned)
        return segment_id

    @rule(text=texts, session=st.integers(1, 2), key=st.sampled_from("xyz"))
    def append_with_key(self, text, session, key):
        record = Record(session, "message", "user", text, 3, 1.5e9, {"content": text}, "openai")
        known = self.keys.get((session, key))
        if known is not None and known[1] not in (text, None):
            with pytest.raises(KeyConflict) as caught:
                self.log.append(record, key=key)
            assert caught.value.segment_id == known[0]
            return
        segment_id, is_new = self.log.append(record, key=key)
        assert is_new == (known is None)
        if known is not None:
            assert segment_id == known[0]
            return
        self.segments[segment_id] = Expected(text, session, pinned=False)
        self.keys[session, key] = (segment_id, text)

    @rule()
    def commit(self):
        self.log.commit()
        self.covered()

    @rule()
    def flush(self):
        self.log.flush()
        self.covered()

    @rule(segment_id=ids, on=st.booleans())
    def pin(self, segment_id, on):
        if segment_id in self.segments:
            self.log.pin(segment_id, on)
            self.segments[segment_id].pinned = on
            self.covered()

    @rule(segment_id=ids)
    def forget(self, segment_id):
        if segment_id in self.segments:
            self.log.forget([segment_id])
            self.segments[segment_id].forgotten = True
            self.covered()

    @rule()
    def compact(self):
        self.log.compact()
        for name, (segment_id, _) in self.keys.items():
            if self.segments[segment_id].forgotten:
                self.keys[name] = (segment_id, None)  # its digest is erased: any content is taken for the same
        self.covered()

    @rule()
    def reopen(self):
        self.log.close()
        self.covered()
        self.open()

    @precondition(lambda self: hasattr(self, "on_disk"))
    @rule()
    def crash(self):
        """What a SIGKILL leaves: the file as it is, every lock free; ids that nothing covered are given again."""
        self.log._tear_down()
        self.segments = {n: Expected(**vars(one)) for n, one in self.on_disk.items()}
        self.keys = dict(self.keys_on_disk)
        self.open()

    @invariant()
    def agrees(self):
        if not hasattr(self, "log"):
            return
        found = self.log.get_many(list(self.segments))
        for (segment_id, expected), record in zip(self.segments.items(), found, strict=True):
            assert record.text == (FORGOTTEN_TEXT if expected.forgotten else expected.text)
            assert record.session == expected.session
            assert record.pinned == expected.pinned
            assert self.log.is_forgotten(segment_id) == expected.forgotten
        for session in (1, 2):
            ids = [n for n, one in self.segments.items() if one.session == session]
            assert self.log.index.session_ids(session) == ids

    @invariant()
    def finds(self):
        if not hasattr(self, "log"):
            return
        hits = self.log.index.search(query.parse("login"), limit=1000, conversation=False)
        expected = [n for n, one in self.segments.items() if "login" in one.text.split() and not one.forgotten]
        assert sorted(hit.id for hit in hits) == expected

    @invariant()
    def is_sound(self):
        if hasattr(self, "log"):
            assert audit.check(self.log._store, self.log._reader.codec, self.log._hot) == []

    def teardown(self):
        if hasattr(self, "log"):
            try:
                assert self.log.check() == []
            finally:
                self.log.close()
                shutil.rmtree(self.where)


LogMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestLog = LogMachine.TestCase
