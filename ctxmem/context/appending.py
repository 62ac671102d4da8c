"""Append to a session: bind a result to its call, name call ids that need another name, set the system prompt.

I1. Everything that can be refused is refused before the log is touched: a message is appended whole, or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ctxmem.context.session import Session
from ctxmem.errors import KeyConflict
from ctxmem.prompt import intake
from ctxmem.prompt.memorytools import NAMES, sources_of
from ctxmem.prompt.outstanding import Outstanding
from ctxmem.providers import Draft, images_of
from ctxmem.segment import MAX_ID, Call, Facets, Facts, Quote, Record

_FIRST_UNUSED = MAX_ID + 1  # above every id of the log


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller said beside the message, checked."""

    key: str | None = None
    refs: tuple[int, ...] = ()
    pinned: bool = False
    at: float | None = None
    facets: Facets | None = None
    error: bool = False


class Appended(NamedTuple):
    """A segment that a message made, or that was there already: its id, and the record where it was made now."""

    segment_id: int
    record: Record | None = None


def append(s: Session, drafts: list[Draft], given: Given) -> Appended:
    """Append a message's drafts; return the last. The caller holds the session's own lock (`Session.locked`).

    Raises:
        KeyConflict: the key, or the call, has other content. BadInput: facets that the caller's own function returned.
    """
    made = Appended(-1)
    each_given = [given] * len(drafts)
    if len(drafts) > 1:
        if given.key is not None:
            each_given = [*(replace(given, key=f"{given.key}/{index}") for index in range(len(drafts) - 1)), given]
        _check(s, drafts, each_given)
    for draft, each in zip(drafts, each_given, strict=True):
        if draft.kind == "system" and (s.now.state.system_id < 0 or is_system(s, draft)):
            made = system(s, draft, each)
        else:
            made = _append(s, draft, each)
    return made


def _check(s: Session, drafts: list[Draft], each_given: list[Given]) -> None:
    """Raise what appending one of these drafts would raise; they answer calls one after another (I1)."""
    calls, made = s.now.state.calls.copy(), dict[int, Record]()
    for draft, given in zip(drafts, each_given, strict=True):
        record = _record(s, draft, given)
        if draft.call_id is not None:
            group, index = calls.find(draft.call_id) or (-1, -1)
            _answer(s, record, given.key, calls, made)
            if group >= 0:
                made[_FIRST_UNUSED + len(made)] = record
                calls.answer(group, index, _FIRST_UNUSED + len(made) - 1)
        if given.key is not None:
            _known(s, record, given.key)


def is_system(s: Session, draft: Draft) -> bool:
    """Say whether the session has exactly this system prompt."""
    system_id = s.now.state.system_id
    return system_id >= 0 and s.log.get(system_id).message == draft.message


def system(s: Session, draft: Draft, given: Given) -> Appended:
    """Set the system prompt; equal content does nothing."""
    if is_system(s, draft):
        return Appended(s.now.state.system_id)
    record = _record(s, draft, given)
    record.facts = record.facts._replace(is_system=True)
    return _queue(s, record, given.key)


def recall(s: Session, quotes: Sequence[Quote], n_tokens: int, at: float, *, until: int = -1) -> tuple[int, Record]:
    """Append a segment that quotes others; it is a root up to the turn `until`. `n_tokens` are those of its text."""
    facts = Facts(turn=s.now.row.turn, quotes=tuple(quotes), is_unsearched=True, restored_until=until)
    record = Record(s.number, "recall", "user", "", n_tokens + intake.MESSAGE_FRAME_TOKENS, at, facts=facts)
    return s.append(record)[0], record


def _record(s: Session, draft: Draft, given: Given) -> Record:
    at = s.options.now() if given.at is None else given.at
    record = intake.record_of(
        draft,
        session=s.number,
        at=at,
        turn=s.now.row.turn,
        refs=given.refs,
        pinned=given.pinned,
        facets=dict(given.facets or {}),
    )
    if given.error:
        record.facts = record.facts._replace(is_error=True)
    return record


def _append(s: Session, draft: Draft, given: Given) -> Appended:
    record = _record(s, draft, given)
    if draft.call_id is not None:
        known = _answer(s, record, given.key, s.now.state.calls, {})
        if known is not None:
            return Appended(known)
    elif draft.calls:
        renamed = intake.renamed_calls(draft.calls, s.now.state.calls.knows)
        if renamed:
            record.facts = record.facts._replace(renamed_calls=renamed)
    return _queue(s, record, given.key)


def _answer(s: Session, record: Record, key: str | None, calls: Outstanding, made: Mapping[int, Record]) -> int | None:
    """Bind a result to the call it answers; the id of the same result where it is there already.

    `made` holds records, by the ids under which `calls` knows them, that are not in the log.
    """
    call_id = record.call_id or ""
    slot = calls.find(call_id)
    if slot is not None:
        group, index = slot
        call = s.call(group, index)
        record.group, record.facts = group, record.facts._replace(call_index=index)
        record.facets = intake.result_facets(call, record.facets, s.options.facets_of_call, record.text)
        _note_sources(record, call)
        return None
    earlier = calls.result_of(call_id)
    if earlier is None:
        return None
    stored = made[earlier] if earlier in made else s.log.get(earlier)
    if stored.facts.is_forgotten or (key is None and _is_same(stored, record)):
        return earlier  # a replay must not bring back what was forgotten: its key is free, the call is answered
    if key is None:
        raise KeyConflict(
            f"call {call_id!r} has another result already, segment {earlier}; a call has one result", earlier
        )
    return None


def _is_same(stored: Record, record: Record) -> bool:
    """Say whether two results say the same, whatever the shape of their messages; a forgotten one equals any."""
    if stored.facts.is_forgotten:
        return True
    if stored.text != record.text or stored.facts.is_error != record.facts.is_error:
        return False
    return stored.message == record.message or images_of(stored) == images_of(record)


def _note_sources(record: Record, call: Call) -> None:
    """Record which segments a result of the model's memory tools repeats: it is no source of its own."""
    if call.name in NAMES:
        record.kind = "recall"
        sources = tuple(sources_of(call.name, call.arguments, record.text))
        record.facts = record.facts._replace(is_unsearched=True, sources=sources)


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


def _queue(s: Session, record: Record, key: str | None) -> Appended:
    if key is not None and record.call_id is not None:
        known = _known(s, record, key)
        if known is not None:
            return Appended(known)
    segment_id, is_new = s.append(record, key)
    return Appended(segment_id, record if is_new else None)
