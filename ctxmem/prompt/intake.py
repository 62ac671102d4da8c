"""From a caller's message to records: which group, which call, which file, which turn, before anything is queued.

I1. A record holds all that its context needs to admit it again: a context is resumed from its records alone.
I2. A result answers the newest outstanding call with its id; what answers nothing is kept, and rendered as text.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from ctxmem import inputs, tokens
from ctxmem.collector.working import OPS, WHOLE_FILE, FileUse, Item
from ctxmem.errors import BadInput
from ctxmem.prompt import calls
from ctxmem.providers import Draft, images_of, is_wire_id
from ctxmem.segment import Call, Facets, Facts, Record

FacetsOfCall = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]

MESSAGE_FRAME_TOKENS = 8  # a message of ours: its framing, at most
DIGEST_TOKENS = 64  # shorter results are not compared by content


def result_facets(call: Call, given: Facets, facets_of_call: FacetsOfCall | None, text: str) -> Facets:
    """Return a result's facets: what its call's arguments say, under what the caller gave.

    Raises:
        BadInput: the caller's own function returned what cannot be indexed.
    """
    read = calls.narrowed((facets_of_call or calls.facets_of_call)(call.name, call.arguments) or {}, text)
    found: Facets = {"tool": call.name[:80]} if call.name else {}
    try:
        found.update(inputs.facets(read))
    except BadInput:
        if facets_of_call is not None:
            raise  # a fault of the caller's own function
        for name, value in read.items():  # a model's odd argument should not stop the agent
            with suppress(BadInput):
                found.update(inputs.facets({name: value}))
    return {**found, **given}


def result_frame_tokens(record: Record) -> int:
    """Return what a result takes beside its content: its framing, and its call's id under any name."""
    return MESSAGE_FRAME_TOKENS + max(tokens.count(record.call_id or ""), 12)


def record_of(
    draft: Draft, *, session: int, at: float, turn: int, refs: tuple[int, ...], pinned: bool, facets: Facets
) -> Record:
    """Make the record of a draft that starts a group of its own."""
    return Record(
        session=session,
        kind=draft.kind,
        role=draft.role,
        text=draft.text,
        tokens=draft.tokens,
        at=at,
        message=draft.message,
        shape=draft.shape,
        calls=draft.calls,
        call_id=draft.call_id,
        refs=refs,
        pinned=pinned,
        facets=facets,
        facts=Facts(turn=turn, is_error=draft.is_error, is_inexact=not draft.exact, image_tokens=draft.image_tokens),
    )


def renamed_calls(made: Sequence[Call], known: Callable[[str], bool]) -> tuple[int, ...]:
    """Return the indexes of calls whose own id cannot be rendered: refused by a provider, or in the window already."""
    seen: set[str] = set()
    out: list[int] = []
    for index, call in enumerate(made):
        if not is_wire_id(call.id) or call.id in seen or known(call.id):
            out.append(index)
        seen.add(call.id)
    return tuple(out)


def item(segment_id: int, group: int, record: Record) -> Item:
    """Say what the collector needs to know of a segment."""
    facets, facts = record.facets, record.facts
    is_result = facts.call_index >= 0
    return Item(
        segment_id=segment_id,
        group=group,
        kind=record.kind if record.kind != "tool" else "result",
        tokens=record.tokens,
        turn=facts.turn,
        pinned=record.pinned,
        task=_first(facets.get("task")),
        files=_files(facets) if is_result and not facts.is_error else (),
        is_result=is_result,
        is_error=facts.is_error,
        digest=_digest(record) if is_result and record.tokens >= DIGEST_TOKENS and not facts.sources else None,
        refs=record.refs,
        calls=len(record.calls),
        image_tokens=facts.image_tokens,
    )


def _digest(record: Record) -> int:
    """Return 64 bits that name what a result holds, its images included; never 0."""
    digest = blake2b(record.text.encode("utf-8", "surrogatepass"), digest_size=8)
    for image in images_of(record) if record.facts.image_tokens else ():
        digest.update(repr(image).encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "little") or 1


def _first(value: Any) -> str | None:
    first = value[0] if isinstance(value, list) and value else value
    return str(first) if isinstance(first, str | int) else None


def _files(facets: Facets) -> tuple[FileUse, ...]:
    """Read the file facets of a result: `file`, `lines` ([low, high], absent: the whole) and `op`."""
    named, lines, op = facets.get("file"), facets.get("lines"), facets.get("op", "read")
    if isinstance(named, str):
        named = [named]
    if not isinstance(named, list):
        return ()
    low, high = 0, WHOLE_FILE
    if isinstance(lines, list) and len(lines) == 2 and all(isinstance(n, int) for n in lines):
        low, high = (min(max(int(n), 0), WHOLE_FILE) for n in lines)
    known = str(op) if op in OPS else "read"
    return tuple(FileUse(path, low, high, known) for path in named if isinstance(path, str))
