"""Work out a collection on a copy of a state: what goes, the true sizes of what is left in its place, the ledger.

I1. The state given is left as it is; a plan that does not fit raises, and nothing has happened.
I2. What is sent fits: the sizes of stubs and ledger lines are counted, not guessed, before anything is committed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from ctxmem import collector, tokens
from ctxmem.collector import Plan
from ctxmem.collector.working import Shown
from ctxmem.context.session import Session
from ctxmem.errors import WindowOverflow
from ctxmem.ledger.abridge import ledger_bound
from ctxmem.ledger.ledger import lines_of
from ctxmem.prompt import intake
from ctxmem.prompt.prompt import Collection, Reasons
from ctxmem.prompt.state import State
from ctxmem.prompt.view import stub_text
from ctxmem.segment import Record
from ctxmem.store import Batch
from ctxmem.tables import turns
from ctxmem.tables.turns import ContextRow

_ROUNDS = 4  # a plan's estimates of stubs may be short; each round plans for what the last was over


@dataclass(slots=True)
class Collected:
    """A collection worked out on a copy of the state."""

    state: State
    plan: Plan
    seconds: float
    freed_tokens: int


def write_plan(batch: Batch, number: int, collection: int, done: Collected, row: ContextRow) -> None:
    """Put a collection's journal row."""
    packed = {"plan": done.plan.pack(), "turn": row.turn, "epoch": row.epoch, "freed": done.freed_tokens}
    turns.put_collection(batch, number, collection, packed)


def collect(session: Session, state: State, target_tokens: int, extra_tokens: int = 0) -> Collected:
    """Work out a collection on a copy of the state, down to a `Session.load` of `target_tokens`.

    Raises:
        WindowOverflow: what must stay does not fit; the state is as it was.
    """
    start = perf_counter()
    before, room, goal = session.load(state), session.room(state), target_tokens
    over = 0
    for _ in range(_ROUNDS):
        made = state.copy()
        made.has_memory_read = session.target.has_memory_read
        try:
            plan = collector.plan(
                made.working,
                budget_tokens=max(room, 1),
                target_tokens=goal,
                overhead_tokens=session.closed(made) + extra_tokens,
                ledger_tokens=made.ledger.tokens,
                turn=session.row.turn,
                policy=session.policy,
            )
        except WindowOverflow as error:
            raise _overflow(session, state, error.needed, error.roots) from error
        _apply(session, made, plan, room - session.closed(made) - extra_tokens)
        over = session.load(made) + extra_tokens - room
        if over <= 0:
            return Collected(made, plan, perf_counter() - start, before - session.load(made))
        goal -= over + 64
    raise _overflow(session, state, room + over, ())


def _overflow(session: Session, state: State, needed: int, roots: Sequence[tuple[int, int, str]]) -> WindowOverflow:
    """Say what does not fit: the roots by size, and what every prompt takes besides."""
    fixed = [(state.system_id, state.system_tokens, "system"), (-1, session.target.tools_tokens, "tools")]
    listed = sorted([*roots, *(row for row in fixed if row[1])], key=lambda row: (-row[1], row[0]))
    capacity, needed = session.capacity(state), needed + session.fixed(state)
    largest = ", ".join(f"{f'#{i} ' if i >= 0 else ''}{size:,} ({rule})" for i, size, rule in listed[:3])
    return WindowOverflow(
        f"what must stay takes {needed:,} of {capacity:,} tokens: {largest}; raise the window, unpin or drop",
        capacity,
        needed,
        listed,
    )


def _apply(session: Session, made: State, plan: Plan, room: int) -> None:
    """Carry out a plan on a copy: stubs with their true sizes, lines into the ledger, the epoch ended."""
    get_many = session.log.get_many
    forms = {}
    for segment_id, (form, limit_tokens, _) in plan.forms.items():
        record = get_many([segment_id])[0]
        text = stub_text(Shown(segment_id, 0, form, limit_tokens), record, has_memory_read=made.has_memory_read)
        taken = record.tokens if text is None else tokens.count(text) + intake.result_frame_tokens(record)
        forms[segment_id] = (form, limit_tokens, taken)

    def members(group: int) -> list[tuple[int, Record]]:
        ids = made.working.segments_of(group)
        return list(zip(ids, get_many(ids), strict=True))

    lines = lines_of(plan, members)
    _strip(session, made, [*plan.dropped, *plan.stubbed])
    made.working.apply(plan.dropped, forms)
    made.remove(plan.dropped)
    bound = ledger_bound(session.room(made), session.policy.ledger_share, session.policy.ledger_tokens)
    bound = max(0, min(bound, room - made.working.tokens))
    made.ledger = made.ledger.extended(lines, bound, tokens.count)
    made.mean_turn_tokens = session.row.mean_turn_tokens
    made.end_epoch()


def _strip(session: Session, made: State, changed: Sequence[int]) -> None:
    """Leave reasoning out after the first edit, but in the newest assistant message: it is bound to its prefix."""
    if not session.target.model.thinking_bound or not changed:
        return
    first, assistants = min(changed), made.assistants()
    made.stripped.update(group for group in assistants[:-1] if group > first)


def summary(done: Collected) -> Collection:
    """Say what a collection did, for callers."""
    plan = done.plan
    return Collection(
        dropped=tuple(plan.dropped),
        stubbed=tuple(plan.stubbed),
        kept=tuple(plan.kept),
        freed_tokens=done.freed_tokens,
        reasons=Reasons(plan),
        seconds=done.seconds,
    )
