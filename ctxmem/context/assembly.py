"""One turn, prepared: what goes, what comes back, the layout, and what to commit. Changes nothing but a copy.

I1. `prepare` leaves the session's state as it is; `Pending.publish` makes the prepared one the state, after the commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from ctxmem import collector
from ctxmem.codec import pack
from ctxmem.context.collecting import Collected, collect, summary, write_plan
from ctxmem.context.session import Sent, Session
from ctxmem.errors import BadInput
from ctxmem.models import Model
from ctxmem.prompt import intake
from ctxmem.prompt.prompt import Prompt
from ctxmem.prompt.recall import Recall, choose, plain_query
from ctxmem.prompt.state import State
from ctxmem.prompt.view import Layout, View
from ctxmem.providers import Request, Unit, Wire
from ctxmem.providers.plain import deep
from ctxmem.segment import Record
from ctxmem.store import Batch
from ctxmem.tables import turns
from ctxmem.tables.turns import ContextRow, TurnRow

_THINKING_WAITS = 0.97  # of the budget: with bound thinking a collection waits for the next user message below this
_CANDIDATES = 24  # hits that recall looks at
_FLOOR_SHARE = 0.3  # of the best hit's score: below this a hit shares common words only


@dataclass(slots=True)
class Pending:
    """A turn that is ready to be committed."""

    session: Session
    state: State
    row: ContextRow
    turn: TurnRow
    prompt: Prompt
    sent: Sent
    units: list[Unit]
    n_stable: int
    version: int
    collected: Collected | None
    recalled: tuple[int, Record] | None

    def again(self) -> Prompt:
        """Return an equal prompt that shares nothing with the one handed out before."""
        wire = join(self.session.view, self.sent, self.units, self.n_stable)
        tools = deep(list(self.session.target.tools))
        return self.prompt.replaced(messages=wire.messages, system=wire.system, tools=tools)

    def write(self, batch: Batch) -> None:
        """Put the turn beside the queued segments: its rows, the journal, and the epoch's state where it is new."""
        session, number = self.session, self.session.number
        write_state(batch, session, self.state, self.row)
        if self.collected is not None:
            write_plan(batch, number, self.row.collections - 1, self.collected, self.row)
        turns.put_tools(batch, number, session.target.tools_digest, session.target.tools)
        turns.put_turn(batch, number, self.turn)

    def publish(self) -> None:
        """Make the prepared turn the session's."""
        session = self.session
        session.state, session.staged, session.row = self.state, None, self.row
        session.laid_out_newest, session.recalled_for = -1, b""
        session.sent = self.sent
        session.appended_tokens = 0

    def abandon(self) -> None:
        """Undo the preparation: nothing of it was committed. A recalled segment stays, as any append does."""
        _undo(self.session, self.recalled)


def write_state(batch: Batch, session: Session, state: State, row: ContextRow) -> None:
    """Put the context's row, and the epoch's state where the epoch is newer than the stored one."""
    if state.epoch != session.row.epoch or row.turn <= 1:
        turns.put_epoch(batch, session.number, state.epoch, state.pack())
    turns.put_context(batch, session.number, row)


def prepare(
    session: Session,
    *,
    recall: str | None,
    recall_tokens: int | None,
    extra: Sequence[Any],
    reach: set[int] | None,
) -> Pending:
    """Prepare the next turn. The caller holds the session's lock.

    Raises:
        WindowOverflow: what must stay does not fit. BadMessage: an `extra` that no provider takes.
    """
    session.follow_marks()
    state, now = session.state, session.options.now()
    units = [unit for message in extra for unit in session.view.renderer.units(message)]
    extra_tokens = sum(unit.tokens for unit in units)
    found, asked = None, digest(recall, recall_tokens, extra)
    if recall and asked != session.recalled_for:  # else it is in the prompt: the turn that asked for it failed
        bound = recall_tokens if recall_tokens is not None else _recall_bound(session, state)
        found = find(session, state, recall, bound, reach)
    more = extra_tokens + (found.tokens + intake.MESSAGE_FRAME_TOKENS if found else 0)
    collected = _collect_if_due(session, state, more, now)
    made = collected.state if collected else state
    recalled = None
    if found is not None:
        recalled, session.recalled_for = _append_recall(session, found, now), asked
        if made is not state:
            made.admit(*recalled)
        else:
            session.admit(*recalled)
    try:
        return _lay_out(session, made, units, list(extra), extra_tokens, collected, recalled, now, asked)
    except BaseException:
        _undo(session, recalled)
        raise


def digest(recall: str | None, recall_tokens: int | None, extra: Sequence[Any]) -> bytes:
    """Name what a caller wants of a turn, to know a retry by, after a resume too."""
    return blake2b(pack((recall, recall_tokens, list(extra))), digest_size=8).digest()


def _undo(session: Session, recalled: tuple[int, Record] | None) -> None:
    """Undo a preparation: nothing of it was committed. A recalled segment stays, as any append does."""
    session.staged, session.laid_out_newest = None, -1
    session.view.invalidate()
    if recalled is not None and recalled[0] > session.state.last_id:
        session.admit(*recalled)


def last_prompt(session: Session, asked: bytes) -> Prompt | None:
    """Return the last turn's prompt where a resumed session is asked for it again and nothing was appended since."""
    row, state = session.row, session.state
    if not row.turn or row.asked != asked or row.newest != state.last_id:
        return None
    with session.log.snapshot() as snapshot:
        turn = turns.turn(snapshot, session.number, row.turn)
    if turn is None or turn.epoch != state.epoch or session.calibration.estimate(turn.counted_tokens) > turn.budget:
        return None
    view = session.view
    view.refresh(state)
    units = [unit for message in turn.extra for unit in view.renderer.units(message)]
    wire = join(view, Sent.of(view.layout, state), units, turn.n_stable)
    return build(turn, wire, view.layout, model=session.target.model, tools=session.target.tools)


def _recall_bound(session: Session, state: State) -> int:
    capacity = session.capacity(state)
    chosen = session.policy.recall_tokens
    return min(int(0.05 * capacity), 2_000) if chosen is None else chosen


def find(session: Session, state: State, text: str, limit_tokens: int, reach: set[int] | None) -> Recall | None:
    """Search what is hidden and quote the best of it within `limit_tokens`; None where nothing is above the floor."""
    query = plain_query(text)
    if query is None or limit_tokens <= 0:
        return None
    exclude = state.visible() | state.hidden | session.beyond_fork()
    hits = session.log.index.search(query, limit=_CANDIDATES, sessions=reach, exclude=exclude)
    floor = hits[0].score * _FLOOR_SHARE if hits else 0
    return choose([hit.id for hit in hits if hit.score >= floor], text, session.log.get, limit_tokens)


def _append_recall(session: Session, found: Recall, now: float) -> tuple[int, Record]:
    extra = {intake.TURN: session.row.turn, intake.QUOTES: [list(q) for q in found.quotes], intake.UNINDEXED: True}
    record = Record(
        session=session.number,
        kind="recall",
        role="user",
        text="",
        tokens=found.tokens + intake.MESSAGE_FRAME_TOKENS,
        at=now,
        extra=extra,
    )
    return session.log.append(record)[0], record


def _collect_if_due(session: Session, state: State, more: int, now: float) -> Collected | None:
    water, load = session.water(state), session.load(state) + more
    waits = session.target.model.thinking_bound and not state.ends_with_user()
    cold = session.is_cold(now) or (session.row.turn > 0 and session.last_sent().system_id != state.system_id)
    if not collector.is_due(load, session.room(state), water, is_cold=cold, is_thinking_bound=waits):
        return None
    done = collect(session, state, water.low_tokens, more)
    return done if done.plan.dropped or done.plan.forms else None


def _lay_out(
    session: Session,
    state: State,
    units: list[Unit],
    extra: list[Any],
    extra_tokens: int,
    collected: Collected | None,
    recalled: tuple[int, Record] | None,
    now: float,
    asked: bytes,
) -> Pending:
    view, target = session.view, session.target
    session.staged = state if state is not session.state else None
    view.refresh(state)
    layout = view.layout
    counted = session.total(state) + extra_tokens
    exact = session.is_exact(state)
    stable, n_stable = _stable(session, state, layout)
    row = replace(_next_row(session, state, counted, now, collections=1 if collected else 0), asked=asked)
    turn = TurnRow(
        turn=row.turn,
        epoch=state.epoch,
        newest=state.last_id,
        model=target.model.name,
        provider=target.provider,
        window=target.window,
        reserve=target.reserve,
        tools=target.tools_digest,
        tokens=session.calibration.estimate(counted),
        budget=target.budget(exact=exact),
        exact=exact,
        counted_tokens=counted,
        stable_prefix_tokens=session.calibration.estimate(stable) if stable else 0,
        n_stable=n_stable,
        at=now,
        collection=row.collections - 1 if collected else -1,
        extra=extra,
    )
    sent = Sent.of(layout, state)
    if not (layout.entries or units or state.systems):
        raise BadInput("there is nothing to send yet: append a message first")
    wire = join(view, sent, units, n_stable)
    prompt = build(turn, wire, layout, model=target.model, tools=target.tools, collected=collected)
    session.laid_out_newest = state.last_id
    return Pending(session, state, row, turn, prompt, sent, units, n_stable, state.version, collected, recalled)


def _next_row(session: Session, state: State, counted: int, now: float, *, collections: int) -> ContextRow:
    row = session.row
    mean = row.mean_turn_tokens + (session.appended_tokens - row.mean_turn_tokens) / min(row.turn + 1, 32)
    return replace(
        row,
        turn=row.turn + 1,
        newest=state.last_id,
        epoch=state.epoch,
        collections=row.collections + collections,
        last_at=now,
        last_tokens=counted,
        mean_turn_tokens=mean,
        is_cold=False,
    )


def join(view: View, sent: Sent, units: Sequence[Unit], n_stable: int) -> Wire:
    """Join the prompt's units; marks stand after the ledger, after the last prompt's end, and before `extra`."""
    head = [view.system] if view.system is not None else []
    everything = [*head, *sent.layout.units[: sent.n_entries], *units]
    ends = {sent.layout.ledger_end, n_stable if n_stable < sent.n_entries else 0, sent.n_entries if units else 0}
    return view.renderer.join(everything, sorted(end + len(head) for end in ends if end))


def build(
    turn: TurnRow,
    wire: Wire,
    layout: Layout,
    *,
    model: Model,
    tools: Sequence[Any],
    collected: Collected | None = None,
) -> Prompt:
    """Make the prompt of a turn from what was joined."""
    return Prompt(
        messages=wire.messages,
        system=wire.system,
        tools=deep(list(tools)),
        tokens=turn.tokens,
        budget=turn.budget,
        exact=turn.exact,
        turn=turn.turn,
        segments=tuple(layout.full),
        stubs=tuple(layout.stubs),
        closed=tuple(layout.closed),
        collection=None if collected is None else summary(collected),
        stable_prefix_tokens=turn.stable_prefix_tokens,
        request=Request(
            provider=turn.provider,
            model=model,
            messages=wire.messages,
            system=wire.system,
            tools=deep(list(tools)),
            reserve=turn.reserve,
            marks=wire.marks,
            drop_block=turn.epoch > 0,
        ),
    )


def _stable(session: Session, state: State, layout: Layout) -> tuple[int, int]:
    """Count what the last prompt began with too, in tokens and entries; nothing where its system or tools differ."""
    sent = session.last_sent()
    if session.row.turn == 0 or session.row.is_cold or sent.system_id != state.system_id:
        return 0, 0
    base = session.target.tools_tokens + state.system_tokens
    if sent.epoch == state.epoch:
        return base + sent.tokens, sent.n_entries
    common, n_common = 0, 0
    for before, now in zip(sent.layout.units[: sent.n_entries], layout.units, strict=False):
        if before is not now and before.parts != now.parts:
            break
        common += now.tokens
        n_common += 1
    return base + common, n_common
