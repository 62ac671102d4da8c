"""Append to a session: bind a result to its call, name call ids that need another name, set the system prompt.

I1. Everything that can be refused is refused before the log is touched.
"""

from dataclasses import dataclass, replace

from ctxmem import intake
from ctxmem.errors import KeyConflict
from ctxmem.memorytools import NAMES, sources_of
from ctxmem.providers import Draft
from ctxmem.segment import Call, Facets, Record
from ctxmem.session import Session


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller said beside the message, checked."""

    key: str | None = None
    refs: tuple[int, ...] = ()
    pinned: bool = False
    at: float | None = None
    facets: Facets | None = None
    error: bool = False


def append(s: Session, drafts: list[Draft], given: Given) -> int:
    """Append the drafts of one message; returns the id of the last. The caller holds the lock.

    Raises:
        KeyConflict: the key, or the call, has other content. BadInput: facets that the caller's own function returned.
    """
    made = -1
    for index, draft in enumerate(drafts):
        last = index == len(drafts) - 1
        each = given if last or given.key is None else replace(given, key=f"{given.key}/{index}")
        if draft.kind == "system" and (s.state.system_id < 0 or is_system(s, draft)):
            made = system(s, draft, each)
        else:
            made = _append(s, draft, each)
    return made


def is_system(s: Session, draft: Draft) -> bool:
    """Say whether the session has this very system prompt."""
    return s.state.system_id >= 0 and s.log.get(s.state.system_id).message == draft.message


def system(s: Session, draft: Draft, given: Given) -> int:
    """Set the system prompt; equal content does nothing."""
    if is_system(s, draft):
        return s.state.system_id
    record = _record(s, draft, given)
    record.extra[intake.SYSTEM] = True
    return _queue(s, record, given.key)


def _record(s: Session, draft: Draft, given: Given) -> Record:
    at = s.options.clock() if given.at is None else given.at
    record = intake.record_of(
        draft,
        session=s.number,
        at=at,
        turn=s.row.turn,
        refs=given.refs,
        pinned=given.pinned,
        facets=dict(given.facets or {}),
    )
    if given.error:
        record.extra[intake.ERROR] = True
    return record


def _append(s: Session, draft: Draft, given: Given) -> int:
    record = _record(s, draft, given)
    if draft.call_id is not None:
        known = _answer(s, record, given.key)
        if known is not None:
            return known
    elif draft.calls:
        wires = intake.wires_of(draft.calls, s.state.calls.knows)
        if wires:
            record.extra[intake.WIRES] = wires
    return _queue(s, record, given.key)


def _answer(s: Session, record: Record, key: str | None) -> int | None:
    """Bind a result to the call it answers; the id of the same result where it is there already."""
    call_id = record.call_id or ""
    slot = s.state.calls.find(call_id)
    if slot is not None:
        group, index = slot
        call = s.log.get(group).calls[index]
        record.group, record.extra[intake.INDEX] = group, index
        record.facets = intake.result_facets(call, record.facets, s.options.facets_of_call, record.text)
        _mark_ours(record, call)
        return None
    earlier = s.state.calls.result_of(call_id)
    if earlier is not None and key is None:
        return _same_result(s, earlier, record)
    record.extra[intake.ORPHAN] = True
    return None


def _same_result(s: Session, earlier: int, record: Record) -> int:
    stored = s.log.get(earlier)
    if stored.text == record.text and bool(stored.extra.get(intake.ERROR)) == bool(record.extra.get(intake.ERROR)):
        return earlier
    raise KeyConflict(
        f"call {record.call_id!r} has another result already, segment {earlier}; a call has one result", earlier
    )


def _mark_ours(record: Record, call: Call) -> None:
    """Note what a result of the model's memory tools repeats: it is no source of its own."""
    if call.name in NAMES:
        sources = sources_of(call.name, call.arguments, record.text)
        record.kind = "recall"
        record.extra.update({intake.UNINDEXED: True, intake.SOURCES: sources, intake.HITS: sources})


def _queue(s: Session, record: Record, key: str | None) -> int:
    segment_id, is_new = s.log.append(record, key=key)
    if is_new:
        s.admit(segment_id, record)
    return segment_id
