"""Work out a collection on a copy of a state: what goes, the true sizes of what is left in its place, the ledger.

I1. The state given is left as it is; a plan that does not fit raises, and nothing has happened.
I2. What is sent fits: the sizes of stubs and ledger lines are counted, not guessed, before anything is committed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from ctxmem import collector, tokens
from ctxmem.collector import Plan
from ctxmem.collector.working import LABELLED, TEXT, Shown
from ctxmem.context.session import Session
from ctxmem.context.standing import Standing
from ctxmem.errors import WindowOverflow
from ctxmem.ledger.abridge import ledger_bound
from ctxmem.ledger.ledger import Ledger, lines_of
from ctxmem.options import Policy
from ctxmem.prompt import intake
from ctxmem.prompt.prompt import Collection, Reasons
from ctxmem.prompt.state import State
from ctxmem.providers import said_of
from ctxmem.segment import Record
from ctxmem.store import Batch
from ctxmem.tables import turns
from ctxmem.tables.turns import ContextRow

_ROUNDS = 6  # a plan's estimates of stubs may be short; each round plans for what those before were over


@dataclass(slots=True)
class Collected:
    """A collection worked out on a copy of the state."""

    state: State
    plan: Plan
    seconds: float
    freed_tokens: int

    @property
    def changes_anything(self) -> bool:
        """Whether anything goes, and be it the ledger alone."""
        return bool(self.plan.dropped or self.plan.worded or self.plan.forms) or self.freed_tokens > 0


def write_plan(batch: Batch, number: int, done: Collected, row: ContextRow) -> None:
    """Put the journal row of a collection, the last one of the context's new row."""
    packed = {"plan": done.plan.pack(), "turn": row.turn, "epoch": row.epoch, "freed": done.freed_tokens}
    turns.put_collection(batch, number, row.collections - 1, packed)


def collect(
    session: Session, target_tokens: int, extra_tokens: int = 0, *, standing: Standing | None = None
) -> Collected:
    """Work out a collection on a copy of the state, down to `Standing.load_tokens` of `target_tokens`.

    `standing`: to collect where the session will stand, not where it stands. Where the estimates fall short a plan
    allows for what the last was over; in the end nothing stays but roots, without a ledger.

    Raises:
        WindowOverflow: what must stay does not fit; the state is as it was.
    """
    start = perf_counter()
    now = standing or session.now
    slack, over = 0, 0
    for at in range(_ROUNDS + 1):
        is_last = at == _ROUNDS
        asked = _Asked(0 if is_last else target_tokens - slack, over if is_last else slack, extra_tokens, not is_last)
        try:
            made, plan = _tried(session, now, asked)
        except WindowOverflow as error:
            if is_last or not slack:
                raise _overflow(now, error.needed, error.roots) from error
            continue
        over = made.load_tokens + extra_tokens - now.room_tokens
        if over <= 0:
            return Collected(made.state, plan, perf_counter() - start, now.load_tokens - made.load_tokens)
        slack += (over + 64) << at
    raise _overflow(now, now.room_tokens + over, plan.roots())


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one try at a collection goes for; `slack_tokens` is room that it leaves for what the estimates miss."""

    target_tokens: int
    slack_tokens: int
    extra_tokens: int
    has_ledger: bool


def _tried(session: Session, now: Standing, asked: _Asked) -> tuple[Standing, Plan]:
    """Plan and carry out on a copy."""
    made = now.with_state(now.state.copy())
    made.state.has_memory_read = now.target.has_memory_read
    if not asked.has_ledger:
        made.state.ledger = Ledger()
    policy = now.policy if asked.has_ledger else replace(now.policy, ledger_tokens=0)
    room = now.room_tokens - asked.slack_tokens
    plan = collector.plan(
        made.state.working,
        budget_tokens=max(room, 1),
        target_tokens=asked.target_tokens,
        overhead_tokens=made.closed_tokens + asked.extra_tokens,
        ledger_tokens=made.state.ledger.tokens,
        turn=now.row.turn,
        policy=policy,
    )
    _apply(session, made, plan, policy, room - made.closed_tokens - asked.extra_tokens)
    return made, plan


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


def _apply(session: Session, copy: Standing, plan: Plan, policy: Policy, room: int) -> None:
    """Carry out a plan on a copy: stubs with their true sizes, lines into the ledger, the epoch ended."""
    get_many, made = session.log.get_many, copy.state
    forms = {}
    for (segment_id, form), record in zip(plan.forms.items(), get_many(list(plan.forms)), strict=True):
        shown = Shown(segment_id, record.group_id(segment_id), form.code, form.limit_tokens)
        asked = session.log.get(record.group) if record.facts.call_index >= 0 else None
        text = session.view.stub_text(shown, record, asked, has_memory_read=made.has_memory_read)
        labelled = record.tokens - (record.facts.image_tokens if form.code == LABELLED else 0)
        taken = labelled if text is None else tokens.count(text) + intake.result_frame_tokens(record)
        forms[segment_id] = form._replace(tokens=taken)

    def members(group: int) -> list[tuple[int, Record]]:
        shown = made.working.shown_of(group)
        records = get_many([one.segment_id for one in shown])
        if made.working.is_result(group):  # also of a user, in a text protocol
            return [(one.segment_id, replace(record, kind="tool")) for one, record in zip(shown, records, strict=True)]
        return [
            (one.segment_id, _in_words(record, has_calls=one.form != TEXT) if record.calls else record)
            for one, record in zip(shown, records, strict=True)
        ]

    lines = lines_of(plan, members)
    if copy.target.model.thinking_bound:
        _strip(made, [*plan.dropped, *plan.worded, *plan.stubbed, *plan.labelled])
    words = {group: _words_tokens(session, group) for group in plan.worded}
    made.working.apply(plan.dropped, forms, words)
    made.remove(plan.dropped)
    made.calls.drop(plan.worded)
    bound = ledger_bound(copy.room_tokens, policy.ledger_share, policy.ledger_tokens)
    bound = max(0, min(bound, room - made.working.tokens))
    made.ledger = made.ledger.extended(lines, bound, tokens.count)
    made.mean_turn_tokens = copy.row.mean_turn_tokens
    made.end_epoch()


def _in_words(record: Record, *, has_calls: bool) -> Record:
    """Return an assistant's message with what it said as its text, and its calls where they are shown still."""
    return replace(record, text=said_of(record), calls=record.calls if has_calls else ())


def _words_tokens(session: Session, group: int) -> int:
    """Count what the text of an assistant's message takes without its calls."""
    return tokens.count(said_of(session.log.get(group))) + intake.MESSAGE_FRAME_TOKENS


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
