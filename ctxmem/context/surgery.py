"""Change a session otherwise than by a turn: collect by hand, switch, rewind, drop, branch. Each is one durable commit.

I1. Each works on a copy of the state and has `Session.change` commit it: a failure changes nothing.
I2. All of it is called inside `Session.alone`.
"""

from collections.abc import Sequence
from dataclasses import replace

from ctxmem import collector
from ctxmem.context.collecting import Collected, collect, summary, write_plan
from ctxmem.context.session import Session
from ctxmem.context.standing import Standing
from ctxmem.context.wayback import members, own
from ctxmem.errors import BadInput
from ctxmem.prompt.prompt import Collection
from ctxmem.prompt.state import State
from ctxmem.prompt.target import Target
from ctxmem.tables.turns import Ancestor


def collect_now(s: Session, goal_tokens: int) -> Collection:
    """Collect down to `goal_tokens` (o200k) now; where nothing goes, nothing is written."""
    s.follow_flags()
    done = collect(s, goal_tokens)
    if done.changes_anything:
        _collected(s, s.now, done)
    return summary(done)


def _collected(s: Session, now: Standing, done: Collected) -> None:
    row = replace(now.row, epoch=done.state.epoch, collections=now.row.collections + 1)
    after = replace(now, state=done.state, row=row)
    s.change(after, lambda batch: write_plan(batch, s.number, done, row))


def _changed(s: Session, now: Standing, state: State) -> None:
    s.change(replace(now, state=state, row=replace(now.row, epoch=state.epoch)))


def switch(s: Session, target: Target) -> None:
    """Go on with another model; collect at once where that frees enough."""
    now = s.now.retargeted(target, s.now.policy)
    if now.target is s.now.target:
        return
    water, done = now.water, None
    if collector.is_due(now.load_tokens, now.room_tokens, water, is_cold=True):
        done = collect(s, water.low_tokens, standing=now)
    if done is not None and done.changes_anything:
        _collected(s, now, done)
    else:
        _changed(s, now, now.state)


def rewind(s: Session, segment_id: int) -> None:
    """Hide a segment and all of the session's that came after it.

    Raises:
        SegmentNotFound: no such id in this session.
    """
    own(s, segment_id)
    after = s.log.index.session_ids(s.number, segment_id)
    state = s.now.state.copy()
    state.rewind(segment_id, after)
    _changed(s, s.now, state)


def take_back(s: Session, segment_id: int, kept: Sequence[int]) -> None:
    """Rewind to a segment, but leave `kept`, which were in a followed list, to recall and search."""
    after = s.log.index.session_ids(s.number, segment_id)
    state = s.now.state.copy()
    known = state.hidden.copy()
    state.rewind(segment_id, after)
    for each in kept:
        if each not in known:
            state.hidden.discard(each)
    _changed(s, s.now, state)


def cut(s: Session, first_id: int, last_id: int, ids: Sequence[int]) -> None:
    """Take whole groups out of the prompt and of the followed list; see `State.cut`."""
    state = s.now.state.copy()
    state.cut(first_id, last_id, ids)
    _changed(s, s.now, state)


def leave_system(s: Session) -> None:
    """Go on without a system prompt."""
    state = s.now.state.copy()
    state.leave_systems()
    _changed(s, s.now, state)


def drop(s: Session, segment_id: int) -> None:
    """Hide the group of a segment.

    Raises:
        SegmentNotFound: no such id in this session. BadInput: it is the system prompt.
    """
    record = own(s, segment_id)
    if segment_id == s.now.state.system_id:
        raise BadInput("the system prompt cannot be dropped; replace it with Context.system")
    group = record.group_id(segment_id)
    state = s.now.state.copy()
    state.hide_group(group, [*members(s, group, record), segment_id])
    _changed(s, s.now, state)


def branched(s: Session, fresh: Standing, at: int | None) -> Standing:
    """Return where a session without segments, standing at `fresh`, stands as a branch of this one up to segment `at`.

    Raises:
        SegmentNotFound: `at` is no segment of this session.
    """
    if at is not None:
        own(s, at)
    s.follow_flags()  # the new session has followed the flags as they are now
    before = s.now.row
    state = s.now.state.copy()
    newest = state.last_id
    if at is not None and at < newest:
        first = next((i for i in s.log.index.session_ids(s.number, at) if i > at), None)
        if first is not None:
            state.rewind(first, [])
            state.hidden.discard(first)
            state.unlisted.discard(first)
        newest = at
    state.last_id = newest
    state.shift_turns(-before.turn)
    state.end_epoch()
    row = replace(
        fresh.row,
        epoch=state.epoch,
        newest=newest,
        ancestors=(*before.ancestors, Ancestor(s.number, newest, before.collections)),
        calibrations=dict(before.calibrations),
        mean_turn_tokens=before.mean_turn_tokens,
    )
    return replace(fresh, state=state, row=row, base_tokens=state.admitted_tokens)
