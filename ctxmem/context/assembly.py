"""Take a turn: what goes, what comes back, the layout; prepared, committed, and only then the session's.

I1. If a turn raises, nothing has happened: the standing, the view and the store are as before. But what a turn recalled
    stays, as any append does.
I2. A turn whose caller was cancelled is settled before anything else happens: it took place, or it did not.
"""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from ctxmem import collector
from ctxmem.codec import pack
from ctxmem.collector.working import FULL
from ctxmem.context import accounting, appending, budgeting
from ctxmem.context.budgeting import Purse
from ctxmem.context.collecting import Collected, collect, summary, write_plan
from ctxmem.context.session import Session
from ctxmem.context.standing import Sent, Standing
from ctxmem.errors import BadInput
from ctxmem.ledger.gist import words_of
from ctxmem.ledger.line import RECORD, SAID
from ctxmem.log.writer import Write
from ctxmem.prompt import intake, sources
from ctxmem.prompt.prompt import Collection, Prompt
from ctxmem.prompt.recall import Recall, choose, plain_query
from ctxmem.prompt.sources import Origin, Source
from ctxmem.prompt.state import State
from ctxmem.prompt.view import Layout, View
from ctxmem.providers import Request, Unit
from ctxmem.providers.plain import deep
from ctxmem.search.facets import IdSet
from ctxmem.search.query import parse
from ctxmem.store import Batch
from ctxmem.tables import turns
from ctxmem.tables.turns import ContextRow, TurnRow

_WORDS = re.compile(r"[^\W_]+")
_POLL_S = 0.0005  # between tries for the turn, on an event loop that must not block
_CANDIDATES = 24  # hits that recall looks at
_MOST_QUOTES = 2  # of one recall: each is paid for in every prompt until the next collection
_ASKED_CHARS = 4_000  # of what is asked, for the names in it
_MOST_NAMES = 64
_RARE = 3  # segments that hold a word, at most, for it to be as good as a name
_RARE_LETTERS = 8  # of such a word, at least
_MOST_RARE = 8
_T = TypeVar("_T")
_FLOOR_SHARE = 0.3  # of the best hit's score: below this a hit shares common words only


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a caller wants of one turn, checked; see `Context.assemble`."""

    recall: str | None
    recall_tokens: int | None
    extra: Sequence[Any]

    @property
    def digest(self) -> bytes:
        """A name for it, to know a retry by, after a resume too."""
        return blake2b(pack((self.recall, self.recall_tokens, list(self.extra))), digest_size=8).digest()


class _Prepared(NamedTuple):
    """A turn that is ready to be committed: the prompt, and where the session stands after it."""

    after: Standing
    turn: TurnRow
    prompt: Prompt
    collected: Collected | None


def assemble(session: Session, request: TurnRequest) -> Prompt:
    """Take a turn on this thread; see `Context.assemble`."""
    now = session.options.now()  # the caller's own clock: without a lock
    return take(session, lambda s: begin(s, request, now))


async def aassemble(session: Session, request: TurnRequest) -> Prompt:
    """Take a turn, awaiting the commit alone; see `Context.aassemble`."""
    now = session.options.now()
    return await atake(session, lambda s: begin(s, request, now))


def take(session: Session, act: Callable[[Session], tuple[_T, bool]]) -> _T:
    """Do something under both locks that may `begin` a turn, and commit that turn where it says that there is one."""

    def taken(session: Session) -> _T:
        found, is_new = session.locked(act)
        if is_new:
            session.commit_turn()
        return found

    found = session.turn(taken)
    budgeting.tell(session)
    return found


async def atake(session: Session, act: Callable[[Session], tuple[_T, bool]]) -> _T:
    """Do as `take`, awaiting the commit alone."""
    import asyncio  # noqa: PLC0415 - 30 ms of import, for those who await

    def taken(session: Session) -> "tuple[_T, Future[None] | None]":
        found, is_new = session.locked(act)
        return found, session.commit_turn_soon() if is_new else None

    while session.is_in_turn:  # noqa: ASYNC110 - threads take turns too
        await asyncio.sleep(_POLL_S)
    found, commit = session.turn(taken)
    if commit is not None:
        try:
            await asyncio.shield(asyncio.wrap_future(commit))
        finally:
            session.land(commit)  # where the caller was cancelled it waits for the commit (I2)
    budgeting.tell(session)
    return found


def begin(session: Session, request: TurnRequest, now: float) -> tuple[Prompt, bool]:
    """Begin a turn; or give the prompt of the last one where it is asked for again, and False.

    Inside `turn` and `locked`: what was begun is to be committed before the turn lock is let go.
    """
    again = _last_prompt(session, request)
    if again is not None:
        return again, False
    prepared = _prepare(session, request, now)
    session.begin(prepared.after, _writer(session, prepared))
    return prepared.prompt, True


def _prepare(session: Session, request: TurnRequest, now: float) -> _Prepared:
    """Prepare the next turn; inside `turn` and `locked`.

    Raises:
        WindowOverflow: what must stay does not fit. BadMessage: an `extra` that no provider takes.
        BudgetExceeded: the call is expected to cost more than is left.
    """
    session.follow_flags()
    before, purse = session.now, budgeting.purse(session, now)
    extra = _units(session.view, request.extra)
    found, asked = None, request.digest
    if request.recall and asked != before.recalled_for:  # else it is in the prompt: the turn that asked for it failed
        found = _find(session, request)
    if found and purse and not purse.affords(_most_tokens(before, _tokens(extra) + found.tokens)):
        found = None
    if found and _crowds_out(session, _tokens(extra), found.tokens + intake.MESSAGE_FRAME_TOKENS):
        found = None
    more = _tokens(extra) + (found.tokens + intake.MESSAGE_FRAME_TOKENS if found else 0)
    collected = _collect_if_due(session, more, now, purse)
    state = collected.state if collected else before.state
    if found is not None:
        recalled = appending.recall(session, found.quotes, found.tokens, now)
        session.apply(lambda standing: replace(standing, recalled_for=asked))
        if state is not before.state:
            state.admit(*recalled)
    try:
        prepared = _lay_out(session, request, extra, collected, now)
        if purse is not None:
            budgeting.settle(session, purse, prepared.turn)
    except BaseException:
        session.view.invalidate()
        raise
    return prepared


def _most_tokens(at: Standing, more: int) -> int:
    """Return what the next prompt takes at most, in the model's tokens."""
    return at.calibration.estimate(at.total_tokens + more + intake.MESSAGE_FRAME_TOKENS)


def _writer(session: Session, prepared: _Prepared) -> Write:
    """Return what puts a turn beside the queued segments: its rows, the journal, the epoch's state where it is new."""
    number, put, after = session.number, session.writer(prepared.after), prepared.after
    collected, turn = prepared.collected, prepared.turn
    account = accounting.writer(session, turn)

    def write(batch: Batch) -> None:
        put(batch)
        if collected is not None:
            write_plan(batch, number, collected, after.row)
        turns.put_tools(batch, number, after.target.tools_digest, after.target.tools)
        turns.put_turn(batch, number, turn)
        account(batch)

    return write


def _last_prompt(session: Session, request: TurnRequest) -> Prompt | None:
    """Return the last turn's prompt where it is asked for again, by the stored row, and nothing has changed since."""
    session.follow_flags()
    row, state, sent = session.now.row, session.now.state, session.now.sent
    if not row.turn or row.newest != state.last_id or row.asked != request.digest:
        return None
    with session.log.snapshot() as snapshot:
        turn = turns.turn(snapshot, session.number, row.turn)
    if turn is None or turn.epoch != state.epoch or not _fits(session.now, turn):
        return None
    collection = None if sent is None else sent.collection
    return rebuild(turn, state, session.view, session.now.target.tools, collection)


def rebuild(
    turn: TurnRow, state: State, view: View, tools: Sequence[Any], collection: Collection | None = None
) -> Prompt:
    """Make the prompt of a turn again from its row and the state that it was laid out from."""
    view.refresh(state)
    return _build(turn, view, tools, _units(view, turn.extra), collection)


def _units(view: View, messages: Sequence[Any]) -> list[Unit]:
    """Render messages that are no segments."""
    return [unit for message in messages for unit in view.renderer.units(message)]


def _tokens(units: Sequence[Unit]) -> int:
    return sum(unit.tokens for unit in units)


def _fits(now: Standing, turn: TurnRow) -> bool:
    """Say whether a prompt that was counted then fits by what is known of the provider's counts now."""
    return now.calibration.estimate(turn.counted_tokens) <= turn.budget


def _find(session: Session, request: TurnRequest) -> Recall | None:
    """Search what is hidden and quote the best of it within the bound; None where nothing is worth its place.

    Where what is asked holds names (paths, ids), it is worth it for one that the last prompt told nothing of, or else
    for a long word that few segments hold, and only what holds such a name is quoted: an agent that works on asks
    nothing new at most turns.
    """
    now, query = session.now, plain_query(request.recall or "")
    limit_tokens = request.recall_tokens
    if limit_tokens is None:
        limit_tokens = now.policy.recall_tokens
    if limit_tokens is None:
        limit_tokens = min(int(0.05 * now.capacity_tokens), 2_000)
    if query is None or limit_tokens <= 0:
        return None
    asked = (request.recall or "")[-_ASKED_CHARS:]
    names = words_of(asked)[:_MOST_NAMES]
    words = _long_words(asked) if names else []
    exclude = now.state.visible() | now.state.worded() | now.state.hidden | session.beyond_fork()
    not_shown = _not_shown(session, [*names, *words])
    fresh = [name for name in names if name in not_shown]
    if names and not fresh:
        fresh = _rare(session, [word for word in words if word in not_shown], exclude)
        if not fresh:
            return None
    hits = session.log.index.search(query, limit=_CANDIDATES, sessions=session.reach(), exclude=exclude)
    floor = hits[0].score * _FLOOR_SHARE if hits else 0
    best = [hit.id for hit in hits if hit.score >= floor]
    if fresh:
        texts = session.log.get_many(best)
        best = [i for i, record in zip(best, texts, strict=True) if any(name in record.text for name in fresh)]
    return choose(best[:_MOST_QUOTES], request.recall or "", session.log.get, limit_tokens)


def _not_shown(session: Session, names: Sequence[str]) -> set[str]:
    """Return the names that the last prompt told nothing of; the ledger tells something by records and words."""
    if not names:
        return set()
    now = session.now
    shown = {one.segment_id for one in now.state.working.shown() if one.form == FULL}.union(*now.state.quoted.values())
    texts = [record.text for record in session.log.get_many(sorted(i for i in shown if i <= now.row.newest))]
    texts += [note.text for line in now.state.lines() for note in line.notes if note.kind in {RECORD, SAID}]
    return {name for name in names if not any(name in text for text in texts)}


def _long_words(text: str) -> list[str]:
    """Return the longest words of a text, each once."""
    words = dict.fromkeys(word for word in _WORDS.findall(text) if len(word) >= _RARE_LETTERS)
    return sorted(words, key=len, reverse=True)[:_MOST_RARE]


def _rare(session: Session, words: Sequence[str], exclude: IdSet) -> list[str]:
    """Return the words that a few segments hold, of those that a recall may quote: one search each."""
    reach, search = session.reach(), session.log.index.search
    queries = {word: parse(f"+{word}") for word in words if plain_query(word)}
    found = {word: search(query, limit=_RARE + 1, sessions=reach, exclude=exclude) for word, query in queries.items()}
    return [word for word, hits in found.items() if 0 < len(hits) <= _RARE]


def _crowds_out(session: Session, extra_tokens: int, tokens: int) -> bool:
    """Say whether a recall would be what makes a collection due: it is not worth what that takes out."""
    water, load = session.now.water, session.now.load_tokens + extra_tokens
    return load <= water.high_tokens < load + tokens


def _collect_if_due(session: Session, more: int, clock_s: float, purse: Purse | None) -> Collected | None:
    now = session.now
    water, load = now.water, now.load_tokens + more
    waits = now.target.model.thinking_bound and not now.state.ends_with_user()
    cold = now.is_cold(clock_s) or (now.row.turn > 0 and session.last_sent().system_id != now.state.system_id)
    is_due = collector.is_due(load, now.room_tokens, water, is_cold=cold, is_thinking_bound=waits)
    if not is_due and (purse is None or waits or not purse.pays(now, more)):
        return None
    done = collect(session, water.low_tokens, more)
    return done if done.changes_anything else None


def _lay_out(
    session: Session, request: TurnRequest, extra: Sequence[Unit], collected: Collected | None, clock_s: float
) -> _Prepared:
    sent_before = session.last_sent()  # first: after a resume it lays out the last prompt in the same view
    at, view = session.now, session.view
    if collected is not None:
        at = at.with_state(collected.state)
    view.refresh(at.state)
    if not (view.layout.entries or extra or at.state.systems):
        raise BadInput("there is nothing to send yet: append a message first")
    stable, n_stable = _stable(sent_before, at, view.layout)
    row = _next_row(at, request, at.total_tokens + _tokens(extra), clock_s)
    if collected is not None:
        row = replace(row, collections=row.collections + 1)
    target = at.target
    turn = TurnRow(
        turn=row.turn,
        epoch=row.epoch,
        newest=row.newest,
        model=target.model.name,
        provider=target.provider,
        window=target.window,
        reserve=target.reserve,
        tools=target.tools_digest,
        tokens=at.calibration.estimate(row.last_tokens),
        budget=at.budget_tokens,
        exact=at.is_exact,
        counted_tokens=row.last_tokens,
        stable_prefix_tokens=at.calibration.estimate(stable) if stable else 0,
        n_stable=n_stable,
        at=clock_s,
        collection=-1 if collected is None else row.collections - 1,
        extra=list(request.extra),
    )
    collection = None if collected is None else summary(collected)
    prompt = _build(turn, view, target.tools, extra, collection)
    sent = Sent.of(view.layout, at.state, collection)
    after = replace(at, row=row, sent=sent, base_tokens=at.state.admitted_tokens, recalled_for=b"")
    return _Prepared(after, turn, prompt, collected)


def _next_row(at: Standing, request: TurnRequest, counted: int, clock_s: float) -> ContextRow:
    row = at.row
    mean = row.mean_turn_tokens + (at.appended_tokens - row.mean_turn_tokens) / min(row.turn + 1, 32)
    return replace(
        row,
        turn=row.turn + 1,
        newest=at.state.last_id,
        epoch=at.state.epoch,
        last_at=clock_s,
        last_tokens=counted,
        mean_turn_tokens=mean,
        is_cold=False,
        asked=request.digest,
    )


def _build(
    turn: TurnRow, view: View, tools: Sequence[Any], extra: Sequence[Unit], collection: Collection | None
) -> Prompt:
    """Make the prompt of a turn from the view; breakpoints after the ledger, the last prompt's end, before `extra`."""
    layout, head = view.layout, [view.system] if view.system is not None else []
    first = [Source(sources.SYSTEM, (view.system_id,)) for _ in head]
    last = [Source(sources.EXTRA)] * len(extra)
    n_entries = len(layout.entries)
    ends = {layout.ledger_end, turn.n_stable if turn.n_stable < n_entries else 0, n_entries if extra else 0}
    units = [*head, *layout.units, *extra]
    wire = view.renderer.join(units, sorted(end + len(head) for end in ends if end))
    copied = deep(list(tools))
    request = Request(
        provider=turn.provider,
        model=view.renderer.model,
        messages=wire.messages,
        system=wire.system,
        tools=copied,
        reserve=turn.reserve,
        breakpoints=wire.breakpoints,
        drop_block=turn.epoch > 0,
    )
    return Prompt(
        messages=wire.messages,
        system=wire.system,
        tools=copied,
        tokens=turn.tokens,
        budget=turn.budget,
        exact=turn.exact,
        turn=turn.turn,
        segments=tuple(layout.full),
        stubs=tuple(layout.stubs),
        closed=tuple(layout.closed),
        collection=collection,
        stable_prefix_tokens=turn.stable_prefix_tokens,
        request=request,
        origin=Origin(view.renderer, units, [*first, *(entry.source for entry in layout.entries), *last]),
    )


def _stable(sent: Sent, at: Standing, layout: Layout) -> tuple[int, int]:
    """Count what the last prompt began with too, in tokens and entries; nothing where its system or tools differ."""
    state = at.state
    if at.row.turn == 0 or at.row.is_cold or sent.system_id != state.system_id:
        return 0, 0
    base = at.target.tools_tokens + state.system_tokens
    if sent.epoch == state.epoch:
        return base + sent.tokens, sent.n_entries
    common, n_common = 0, 0
    for before, now in zip(sent.layout.units[: sent.n_entries], layout.units, strict=False):
        if before is not now and before.parts != now.parts:
            break
        common += now.tokens
        n_common += 1
    return base + common, n_common
