"""Append to a session: bind a result to its call, name call ids that need another name, set the system prompt.

I1. Everything that can be refused is refused before the log is touched: a message is appended whole, or not at all.
I2. The caller's clock, `facets_of_call` and `nature_of_call` are called without a lock, once for each message, each
    result and each call: they may use the context, or wait for a thread that does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

from ctxmem.context.session import Session
from ctxmem.errors import KeyConflict
from ctxmem.prompt import intake
from ctxmem.prompt.memorytools import NAMES, sources_of
from ctxmem.prompt.outstanding import Outstanding
from ctxmem.providers import Draft, images_of
from ctxmem.segment import MAX_ID, PART_LISTED, Call, Facets, Facts, Quote, Record

_FIRST_UNUSED = MAX_ID + 1  # and up: what stands for the drafts of a message that have no id yet
_T = TypeVar("_T")
Place: TypeAlias = tuple[int, int]  # of a call: its group, its index there
Read: TypeAlias = Mapping[Place, Facets]  # what the caller's own `facets_of_call` said
Unread: TypeAlias = tuple[Place, Call, str]  # what it is to read: a call, and the text of its result
# A draft's record and key, and what says the same already: a segment, or an earlier draft from `_FIRST_UNUSED` on.
Bound: TypeAlias = tuple[Record, str | None, int | None]


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller said beside the message, checked."""

    key: str | None = None
    refs: tuple[int, ...] = ()
    pinned: bool = False
    at: float | None = None
    facets: Facets | None = None
    error: bool = False
    is_system: bool = False  # it takes the place of the system prompt
    is_tool: bool = False  # a user message that is a tool's result, of an agent whose protocol is text
    listed: int = (
        0  # it is a message of a followed list, of this digest: it makes segments of its own, whatever it says
    )


class Appended(NamedTuple):
    """A segment that a message made, or that was there already: its id, and the record where it was made now."""

    segment_id: int
    record: Record | None = None


Then: TypeAlias = Callable[[Session, Appended], _T]


def append(session: Session, drafts: list[Draft], given: Given, then: Then[_T]) -> _T:
    """Append the drafts of one message, and call `then` with the last, still under the session's own lock.

    Raises:
        KeyConflict: the key, or the call, has other content. BadInput: what a function of the caller's returned.
    """
    now = session.options.now() if given.at is None else given.at
    drafts = intake.with_natures(drafts, session.now.target.natures, session.options.nature_of_call)
    read, done = dict[Place, Facets](), list[_T]()

    def act(s: Session) -> list[Unread]:
        bound, unread = bind(s, drafts, given, now, read)
        if not unread:
            done.append(then(s, put(s, bound)[-1]))
        return unread

    while not done:  # again once all is read; once more where another thread answered a call meanwhile
        for place, call, text in session.locked(act):
            read[place] = intake.result_facets(call, given.facets or {}, session.options.facets_of_call, text)
    return done[0]


def recall(s: Session, quotes: Sequence[Quote], n_tokens: int, at: float, *, until: int = -1) -> tuple[int, Record]:
    """Append a segment that quotes others; it is a root up to the turn `until`. `n_tokens` are those of its text."""
    facts = Facts(turn=s.now.row.turn, quotes=tuple(quotes), is_unsearched=True, restored_until=until)
    record = Record(s.number, "recall", "user", "", n_tokens + intake.MESSAGE_FRAME_TOKENS, at, facts=facts)
    return s.append(record)[0], record


def bind(s: Session, drafts: list[Draft], given: Given, at: float, read: Read) -> tuple[list[Bound], list[Unread]]:
    """Bind the drafts of a message, which answer calls one after another, and list what is still to be read (I2).

    Changes nothing, and raises what appending one of them would raise (I1).
    """
    last, unread = len(drafts) - 1, list[Unread]()
    calls, bound = s.now.state.calls.copy() if last else s.now.state.calls, list[Bound]()
    for index, draft in enumerate(drafts):
        key = given.key if given.key is None or index == last else f"{given.key}/{index}"
        record, known, place = _record(s, draft, given, at), None, None
        if given.listed:
            record.facts = record.facts._replace(listed=given.listed if index == last else PART_LISTED)
        if draft.call_id is not None:
            place = calls.find(draft.call_id)
            if place is not None:
                unread += _answer(s, record, place, read)
            elif not given.listed:
                known = _answered(s, record, key, calls, bound)
        elif draft.kind == "system" and (given.is_system or not given.listed):
            known = _system(s, record, replaces=given.is_system)
        elif draft.calls:
            renamed = intake.renamed_calls(draft.calls, calls.knows)
            if renamed:
                record.facts = record.facts._replace(renamed_calls=renamed)
        if key is not None and known is None and not unread and (last or draft.call_id is not None):
            known = _known(s, record, key)  # of a single message the log asks
        if place is not None and known is None and index < last:
            calls.answer(*place, _FIRST_UNUSED + index)
        bound.append((record, key, known))
    return bound, unread


def put(s: Session, bound: list[Bound]) -> list[Appended]:
    """Append what is not known yet; return what each draft is now."""
    made: list[Appended] = []
    for record, key, known in bound:
        if known is None:
            segment_id, is_new = s.append(record, key)
            made.append(Appended(segment_id, record if is_new else None))
        else:
            made.append(Appended(known) if known < _FIRST_UNUSED else made[known - _FIRST_UNUSED])
    return made


def _record(s: Session, draft: Draft, given: Given, at: float) -> Record:
    made = draft._replace(is_error=True) if given.error else draft
    turn, refs, pinned, facets = s.now.row.turn, given.refs, given.pinned, dict(given.facets or {})
    record = intake.record_of(made, session=s.number, at=at, turn=turn, refs=refs, pinned=pinned, facets=facets)
    if given.is_tool and draft.kind == "user":
        record.kind = "tool"
    return record


def _answer(s: Session, record: Record, place: Place, read: Read) -> list[Unread]:
    """Bind a result to the call it answers; return the call where the caller's own function has still to read it."""
    call = s.call(*place)
    record.group, record.facts = place[0], record.facts._replace(call_index=place[1])
    if s.options.facets_of_call is None:
        record.facets = intake.result_facets(call, record.facets, None, record.text)
    elif place in read:
        record.facets = dict(read[place])
    else:
        return [(place, call, record.text)]
    if call.name in NAMES:  # a result of the model's memory tools repeats others: it is no source of its own
        sources = tuple(sources_of(call.name, call.arguments, record.text))
        record.kind, record.facts = "recall", record.facts._replace(is_unsearched=True, sources=sources)
    return []


def _answered(s: Session, record: Record, key: str | None, calls: Outstanding, bound: list[Bound]) -> int | None:
    """Return the same result where a call, that waits no more, has it already."""
    earlier = calls.result_of(record.call_id or "")
    if earlier is None:
        return None
    stored = s.log.get(earlier) if earlier < _FIRST_UNUSED else bound[earlier - _FIRST_UNUSED][0]
    if stored.facts.is_forgotten or (key is None and _is_same(stored, record)):
        return earlier  # a replay must not bring back what was forgotten: its key is free, the call is answered
    if key is not None:
        return None
    segment_id, where = (earlier, f"segment {earlier}") if earlier < _FIRST_UNUSED else (-1, "in this message")
    raise KeyConflict(f"call {record.call_id!r} has another result already, {where}; a call has one result", segment_id)


def _system(s: Session, record: Record, *, replaces: bool) -> int | None:
    """Make a record the system prompt where there is none, or where it replaces it; return the id of an equal one."""
    system_id = s.now.state.system_id
    if system_id >= 0 and s.log.get(system_id).message == record.message:
        return system_id
    if system_id < 0 or replaces:
        record.facts = record.facts._replace(is_system=True)
    return None


def _is_same(stored: Record, record: Record) -> bool:
    """Say whether two results say the same, whatever the shape of their messages."""
    if stored.text != record.text or stored.facts.is_error != record.facts.is_error:
        return False
    return stored.message == record.message or images_of(stored) == images_of(record)


def _known(s: Session, record: Record, key: str) -> int | None:
    """Return the segment that a key names already.

    Raises:
        KeyConflict: it holds other content.
    """
    try:
        return s.log.known(record, key)
    except KeyConflict as error:
        stored = s.log.get(error.segment_id)
        if record.call_id is None or stored.call_id != record.call_id or not _is_same(stored, record):
            raise
        return error.segment_id  # the same answer, in another provider's shape or by a tool of ours
