"""The ledger of what calls cost against plain sums, over any order of turns, corrections, days and reopenings."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ctxmem.prices import Counts
from ctxmem.store.localstore import LocalStore
from ctxmem.tables import spending
from ctxmem.tables.spending import Spent, Sum

SESSIONS = st.integers(1, 3)
TURNS = st.integers(1, 4)
PARTS = st.integers(0, 1_000)


@st.composite
def calls(draw):
    cached, written, fresh, reasoned, said = (draw(PARTS) for _ in range(5))
    counts = Counts(cached + written + fresh, cached, written, reasoned + said, reasoned)
    return Spent(
        at=draw(st.sampled_from([0.0, 86_399.5, 86_400.0, 1e9])),
        model=draw(st.sampled_from(["gpt-4.1", "mine", "x" * 400])),
        counts=counts,
        nanos=draw(st.none() | st.integers(0, 2**62)),
        is_estimated=draw(st.booleans()),
    )


def total(rows):
    found = Sum()
    for one in rows:
        found = found.plus(Sum.of(one))
    return found


class Ledger(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="ctxmem-spending-")
        self.path = Path(self.folder) / "s"
        self.store = LocalStore.open(self.path)
        self.rows = {}

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(session=SESSIONS, turn=TURNS, spent=calls())
    def put(self, session, turn, spent):
        with self.store.batch() as batch:
            spending.put(batch, session, turn, spent)
        self.rows[session, turn] = spent

    @rule(session=SESSIONS, turn=TURNS, spent=calls())
    def estimate(self, session, turn, spent):
        with self.store.batch() as batch:
            spending.put_estimate(batch, session, turn, spent)
        known = self.rows.get((session, turn))
        if known is None or known.is_estimated:
            self.rows[session, turn] = spent

    @precondition(lambda self: self.rows)
    @rule()
    def reopen(self):
        self.store.close()
        self.store = LocalStore.open(self.path)

    @invariant()
    def sums_are_those_of_the_rows(self):
        with self.store.snapshot() as snapshot:
            assert {(s, t): spent for s, t, spent in spending.each_turn(snapshot)} == self.rows
            assert list(spending.check(snapshot)) == []
            for session in (1, 2, 3):
                wanted = total(spent for (owner, _), spent in self.rows.items() if owner == session)
                assert spending.of_session(snapshot, session) == wanted
            for day in (0, 1, 11_574):
                assert spending.of_day(snapshot, day) == total(s for s in self.rows.values() if s.day == day)


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
