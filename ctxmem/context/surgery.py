"""Change a session otherwise than by a turn: collect by hand, switch, rewind, drop, branch. Each is one durable commit.

I1. Each works on a copy of the state, commits it, and only then makes it the state: a failure changes nothing.
"""

from dataclasses import replace

from ctxmem import collector
from ctxmem.context.assembly import write_state
from ctxmem.context.collecting import Collected, summary, write_plan
from ctxmem.context.collecting import collect as work_out
from ctxmem.context.session import Session
from ctxmem.context.wayback import members, own
from ctxmem.errors import BadInput
from ctxmem.prompt.prompt import Collection
from ctxmem.prompt.state import State
from ctxmem.prompt.target import Target
from ctxmem.store import Batch
from ctxmem.tables.turns import ContextRow


def _commit(s: Session, state: State, row: ContextRow) -> None:
    s.log.commit(lambda batch: write_state(batch, s, state, row))
    s.state, s.row = state, row
    s.view.invalidate()


def collect(s: Session, goal_tokens: int) -> Collection:
    """Collect down to `goal_tokens` (o200k) now; where nothing goes, nothing is written."""
    s.follow_marks()
    done = work_out(s, s.state, goal_tokens)
    if not done.plan.dropped and not done.plan.forms:
        return summary(done)
    _apply(s, done)
    return summary(done)


def _apply(s: Session, done: Collected) -> None:
    row = replace(s.row, epoch=done.state.epoch, collections=s.row.collections + 1)

    def write(batch: Batch) -> None:
        write_state(batch, s, done.state, row)
        write_plan(batch, s.number, s.row.collections, done, row)

    s.log.commit(write)
    s.state, s.row = done.state, row
    s.view.invalidate()


def switch(s: Session, target: Target) -> None:
    """Go on with another model; collect at once where that frees enough."""
    before = (s.target, s.view, s.calibration, s.row, s.state)
    s.state, s.row = s.state.copy(), replace(s.row)
    try:
        if not s.retarget(target, s.policy):
            s.target, s.view, s.calibration, s.row, s.state = before
            return
        water, load, done = s.water(s.state), s.load(s.state), None
        if collector.is_due(load, s.room(s.state), water, is_cold=True):
            done = work_out(s, s.state, water.low_tokens)
        if done is not None and (done.plan.dropped or done.plan.forms):
            _apply(s, done)
        else:
            state, row = s.state, replace(s.row, epoch=s.state.epoch)
            s.row = before[3]
            _commit(s, state, row)
    except BaseException:
        s.target, s.view, s.calibration, s.row, s.state = before
        s.view.invalidate()
        raise


def rewind(s: Session, segment_id: int) -> None:
    """Hide a segment and all of the session's that came after it.

    Raises:
        SegmentNotFound: no such id in this session.
    """
    own(s, segment_id)
    after = s.log.index.session_ids(s.number, segment_id)
    state = s.state.copy()
    state.rewind(segment_id, after)
    _commit(s, state, replace(s.row, epoch=state.epoch))


def drop(s: Session, segment_id: int) -> None:
    """Hide the group of a segment.

    Raises:
        SegmentNotFound: no such id in this session. BadInput: it is the system prompt.
    """
    record = own(s, segment_id)
    if segment_id == s.state.system_id:
        raise BadInput("the system prompt cannot be dropped; replace it with Context.system")
    group = record.group if record.group >= 0 else segment_id
    state = s.state.copy()
    state.hide_group(group, [*members(s, group, record), segment_id])
    _commit(s, state, replace(s.row, epoch=state.epoch))


def branch(s: Session, made: Session, at: int | None) -> None:
    """Give a new session the state of this one up to and including segment `at`."""
    if made.state.last_id >= 0:
        raise BadInput(f"session {made.name!r} has segments already; fork into a new name")
    state = s.state.copy()
    newest = state.last_id
    if at is not None and at < newest:
        later = s.log.index.session_ids(s.number, at)
        first = next((i for i in later if i > at), None)
        if first is not None:
            state.rewind(first, [])
            state.hidden.discard(first)
        newest = at
    state.last_id = newest
    state.shift_turns(-s.row.turn)
    state.end_epoch()
    row = replace(
        made.row,
        epoch=state.epoch,
        newest=newest,
        lineage=[*s.row.lineage, [s.number, newest]],
        journals=[*s.row.journals, [s.number, s.row.collections]],
        calibrations=dict(s.row.calibrations),
        mean_turn_tokens=s.row.mean_turn_tokens,
    )
    s.log.rise_above(newest)
    _commit(made, state, row)
