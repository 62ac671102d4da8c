"""What was sent and why: a past turn's prompt again, and the reasons for where a segment stands. Reads only.

I1. A replayed prompt equals what was sent; where something was forgotten since, it is marked as incomplete.
"""

from ctxmem import models
from ctxmem.collector import Decision, Plan
from ctxmem.collector.working import FULL
from ctxmem.context.assembly import rebuild
from ctxmem.context.session import Session
from ctxmem.context.wayback import in_reach
from ctxmem.prompt.prompt import Explanation, Prompt
from ctxmem.prompt.view import View
from ctxmem.providers import Renderer
from ctxmem.tables import turns


def replay(s: Session, number: int) -> Prompt:
    """Return the exact prompt of a past turn. Cost: reads its segments.

    Raises:
        TurnNotFound: the session has no such turn.
    """
    row = s.turn_row(number)
    with s.log.snapshot() as snapshot:
        tools = turns.tools(snapshot, s.number, row.tools)
    state = s.state_of(row)
    view = View(Renderer(row.provider, models.lookup(row.model, s.options.models)), s.reads())
    prompt = rebuild(row, state, view, tools)
    forgotten = any(s.log.is_forgotten(i) for i in (*prompt.segments, *prompt.stubs, state.system_id) if i >= 0)
    quoted = any(s.log.is_forgotten(i) for ids in state.quoted.values() for i in ids)
    lines = any(s.log.is_forgotten(i) for i in state.ledger_sources())
    return prompt.replaced(is_complete=not (forgotten or quoted or lines))


def explain(s: Session, segment_id: int) -> Explanation:
    """Say where a segment stands, and by which rule of which collection. Cost: O(collections since it left).

    Raises:
        SegmentNotFound: no such id in this session or its `reads`.
    """
    record = in_reach(s, segment_id, s.reach())
    group = record.group_id(segment_id)
    where = _where(s, segment_id, group, in_prompt=record.facts.turn >= 0)
    row = s.now.row
    journals = [(s.number, row.collections), *((one.session, one.collections) for one in reversed(row.ancestors))]
    for session, below in journals:
        found = _decision(s, session, below, group)
        if found is not None:
            number, turn, d = found
            return Explanation(
                segment_id, group, where, d.rule, d.score / 4096, d.rank, d.path, d.tokens_before, number, turn
            )
    named = {"system": "system", "replaced": "system", "hidden": "hidden", "forgotten": "forgotten"}
    rule = named.get(where, "not collected yet" if record.facts.turn >= 0 else "not in a prompt")
    return Explanation(segment_id, group, where, rule, 0.0, -1, (group,), record.tokens, None, None)


def _decision(s: Session, session: int, below: int, group: int) -> tuple[int, int, Decision] | None:
    """Return the newest collection before a number that looked at a group, its turn, and what it decided."""
    while below > 0:
        with s.log.snapshot() as snapshot:
            rows = turns.collections(snapshot, session, below)
        for number, row in rows:
            try:
                return number, row["turn"], Plan.unpack(row["plan"]).decision(group)
            except KeyError:
                continue
        below = rows[-1][0] if rows else 0
    return None


def _where(s: Session, segment_id: int, group: int, *, in_prompt: bool) -> str:
    if s.log.is_forgotten(segment_id):
        return "forgotten"
    state = s.now.state
    if segment_id == state.system_id:
        return "system"
    if any(segment_id == system_id for system_id, _ in state.systems):
        return "replaced"
    if segment_id in state.hidden:
        return "hidden"
    if segment_id in state.working:
        forms = {shown.segment_id: shown.form for shown in state.working.shown_of(group)}
        return "shown" if forms.get(segment_id, FULL) == FULL else "stub"
    return "ledger" if in_prompt else "note"
