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
from ctxmem.context.standing import Standing
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

    @property
    def changes_anything(self) -> bool:
        """Whether anything goes."""
        return bool(self.plan.dropped or self.plan.forms)


def write_plan(batch: Batch, number: int, done: Collected, row: ContextRow) -> None:
    """Put the journal row of a collection, the last one of the context's new row."""
    packed = {"plan": done.plan.pack(), "turn": row.turn, "epoch": row.epoch, "freed": done.freed_tokens}
    turns.put_collection(batch, number, row.collections - 1, packed)


def collect(
    session: Session, target_tokens: int, extra_tokens: int = 0, *, standing: Standing | None = None
) -> Collected:
    """Work out a collection on a copy of the state, down to `Standing.load_tokens` of `target_tokens`.

    `standing`: to collect where the session will stand, not where it stands.

    Raises:
        WindowOverflow: what must stay does not fit; the state is as it was.
    """
    start = perf_counter()
    now = standing or session.now
    room, goal, over = now.room_tokens, target_tokens, 0
    for _ in range(_ROUNDS):
        made = now.with_state(now.state.copy())
        made.state.has_memory_read = now.target.has_memory_read
        try:
            plan = collector.plan(
                made.state.working,
                budget_tokens=max(room, 1),
                target_tokens=goal,
                overhead_tokens=made.closed_tokens + extra_tokens,
                ledger_tokens=made.state.ledger.tokens,
                turn=now.row.turn,
                policy=now.policy,
            )
        except WindowOverflow as error:
            raise _overflow(now, error.needed, error.roots) from error
        _apply(session, made, plan, room - made.closed_tokens - extra_tokens)
        over = made.load_tokens + extra_tokens - room
        if over <= 0:
            return Collected(made.state, plan, perf_counter() - start, now.load_tokens - made.load_tokens)
        goal -= over + 64
    raise _overflow(now, room + over, ())


def _overflow(now: Standing, needed: int, roots: Sequence[tuple[int, int, str]]) -> WindowOverflow:
    """Say what does not fit: the roots by size, and what every prompt takes besides."""
    fixed = [(now.state.system_id, now.state.system_tokens, "system"), (-1, now.target.tools_tokens, "tools")]
    listed = sorted([*roots, *(row for row in fixed if row[1])], key=lambda row: (-row[1], row[0]))
    capacity, needed = now.capacity_tokens, needed + now.fixed_tokens
    largest = ", ".join(f"{f'#{i} ' if i >= 0 else ''}{size:,} ({rule})" for i, size, rule in listed[:3])
    return WindowOverflow(
        f"what must stay takes {needed:,} of {capacity:,} tokens: {largest}; raise the window, unpin or drop",
        capacity,
        needed,
        listed,
    )


def _apply(session: Session, copy: Standing, plan: Plan, room: int) -> None:
    """Carry out a plan on a copy: stubs with their true sizes, lines into the ledger, the epoch ended."""
    get_many, made, policy = session.log.get_many, copy.state, copy.policy
    forms = {}
    for segment_id, form in plan.forms.items():
        record = get_many([segment_id])[0]
        shown = Shown(segment_id, 0, form.code, form.limit_tokens)
        text = stub_text(shown, record, has_memory_read=made.has_memory_read)
        labelled = record.tokens - record.facts.image_tokens
        taken = labelled if text is None else tokens.count(text) + intake.result_frame_tokens(record)
        forms[segment_id] = form._replace(tokens=taken)

    def members(group: int) -> list[tuple[int, Record]]:
        ids = made.working.segments_of(group)
        return list(zip(ids, get_many(ids), strict=True))

    lines = lines_of(plan, members)
    if copy.target.model.thinking_bound:
        _strip(made, [*plan.dropped, *plan.stubbed, *plan.labelled])
    made.working.apply(plan.dropped, forms)
    made.remove(plan.dropped)
    bound = ledger_bound(copy.room_tokens, policy.ledger_share, policy.ledger_tokens)
    bound = max(0, min(bound, room - made.working.tokens))
    made.ledger = made.ledger.extended(lines, bound, tokens.count)
    made.mean_turn_tokens = copy.row.mean_turn_tokens
    made.end_epoch()


def _strip(made: State, changed: Sequence[int]) -> None:
    """Leave reasoning out after the first edit, but in the newest assistant message: it is bound to its prefix."""
    if not changed:
        return
    first, assistants = min(changed), made.assistants()
    made.stripped.update(group for group in assistants[:-1] if group > first)


def summary(done: Collected) -> Collection:
    """Say what a collection did, for callers."""
    plan = done.plan
    return Collection(
        dropped=tuple(plan.dropped),
        stubbed=tuple(sorted([*plan.stubbed, *plan.labelled])),
        kept=tuple(plan.kept),
        freed_tokens=done.freed_tokens,
        reasons=Reasons(plan),
        seconds=done.seconds,
    )
