"""From a caller's message to records: which group, which call, which file, which turn, before anything is queued.

I1. A record holds all that its context needs to admit it again: a context is resumed from its records alone.
I2. A result answers the newest outstanding call with its id; what answers nothing is kept, and rendered as text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any
from zlib import crc32

from ctxmem import inputs, tokens
from ctxmem.collector.working import OPS, WHOLE_FILE, FileUse, Item
from ctxmem.errors import BadInput
from ctxmem.ledger.nature import is_program, nature_by_arguments
from ctxmem.ledger.outcome import failure
from ctxmem.ledger.sentences import findings
from ctxmem.prompt import calls
from ctxmem.providers import Draft, images_of, is_wire_id, said_of
from ctxmem.segment import NATURES, NOT_SAID, Call, Facets, Facts, Nature, Record

FacetsOfCall = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]
NatureOfCall = Callable[[str, Mapping[str, Any]], Nature | None]

MESSAGE_FRAME_TOKENS = 8  # a message of ours: its framing, at most
INSTRUCTION_CHARS = 24  # instructions that share their beginning are of one kind
LIST_ITEMS = 3  # of a text that is a plan, a to-do list or a summary, at least
REQUEST_WORDS = 8  # of a user message that one can work by, at least
LOOKED_AT_CHARS = 8_000  # of a text, for what it is
_ITEMS = re.compile(r"^\s*(?:\d+[.)]|[-*•]|- \[.\])\s+\S", re.MULTILINE)
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")  # Thai, Japanese, Chinese
_OPENING = re.compile(r"\s*[\[<(#*]*[^\W\d_][\w .'/-]{1,60}[:：\]>)]")  # noqa: RUF001 - `OBSERVATION:`, `[tool result]`, `<output>`
_LABEL = re.compile(r"\n[ \t>*#-]*([^\W\d_][\w -]{0,30}?)\**[:：]")  # noqa: RUF001 - `Action:`, of any line but the first
_ENDS_IN_TAG = re.compile(r"</?[\w.:-]+[^<>\n]{0,80}>\s*\Z")
FENCE, TAG = 1, 2  # how a call ends that is written as text, beside labels
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


def with_natures(drafts: list[Draft], hints: Mapping[str, Nature], nature_of_call: NatureOfCall | None) -> list[Draft]:
    """Note with drafts what the caller's own function, else the hints of a tool, by its name, say of their calls.

    Raises:
        BadInput: the caller's own function returned what is no nature.
    """
    if nature_of_call is None and not hints:
        return drafts
    return [draft._replace(natures=_natures(draft.calls, hints, nature_of_call)) for draft in drafts]


def _natures(made: Sequence[Call], hints: Mapping[str, Nature], nature_of_call: NatureOfCall | None) -> tuple[int, ...]:
    """Return what was said of each call (`Facts.natures`); nothing where nothing was said of any."""
    said = [_nature(call, hints, nature_of_call) for call in made]
    return tuple(NOT_SAID if nature is None else NATURES.index(nature) for nature in said) if any(said) else ()


def _nature(call: Call, hints: Mapping[str, Nature], nature_of_call: NatureOfCall | None) -> Nature | None:
    said = None if nature_of_call is None else nature_of_call(call.name, call.arguments)
    if said is not None and (not isinstance(said, str) or said not in NATURES):
        wanted = ", ".join(map(repr, NATURES))
        raise BadInput(
            f"Options.nature_of_call({inputs.shown(call.name)}, ...) returned {inputs.shown(said)}; "
            f"it must return one of {wanted}, or None"
        )
    if said is None:
        said = hints.get(call.name)
        if said == "change" and nature_by_arguments(call.name, call.arguments) is not None:
            return None  # the tool can change something; whether this call does, its arguments say
    return said


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
        facts=Facts(
            turn=turn,
            is_error=draft.is_error,
            is_inexact=not draft.exact,
            image_tokens=draft.image_tokens,
            natures=draft.natures,
        ),
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
    is_result = facts.call_index >= 0 or (record.kind == "tool" and record.call_id is None)
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
        is_error=(is_result or record.kind == "user") and _has_failed(record),
        digest=_digest(record) if is_result and record.tokens >= DIGEST_TOKENS and not facts.sources else None,
        refs=record.refs,
        calls=len(record.calls),
        image_tokens=facts.image_tokens,
        text_tokens=_text_tokens(record),
        tool=_tool(record),
        has_list=record.kind == "assistant" and len(_ITEMS.findall(record.text[:LOOKED_AT_CHARS])) >= LIST_ITEMS,
        form=_form(record),
        is_request=record.kind == "user" and _n_words(record.text[:LOOKED_AT_CHARS]) >= REQUEST_WORDS,
    )


def _n_words(text: str) -> int:
    """Count words; two signs of a script without spaces count as one."""
    return len(text.split()) + len(_UNSPACED.findall(text)) // 2


def _tool(record: Record) -> int:
    """Name the tool of a step, or how an instruction or a user message begins.

    Instructions that begin alike replace each other; user messages that do may be results of a text protocol.
    """
    name = record.calls[0].name if record.calls else ""
    if record.kind == "system":
        name = record.text.lstrip()[:INSTRUCTION_CHARS]
    elif record.kind == "user":
        opening = _OPENING.match(record.text)
        name = opening[0] if opening else ""
    return crc32(name.encode("utf-8", "surrogatepass")) if name else 0


def _form(record: Record) -> int:
    """Return how an assistant's text ends where that is how calls are written as text; 1: what looks like an output.

    An output has several lines, or a label: `OBSERVATION: done`. A call ends in a code block or a tag, or its last
    line label names it.
    """
    if record.kind == "user":
        return int("\n" in record.text.strip() or _OPENING.match(record.text) is not None)
    if record.kind != "assistant" or record.calls:
        return 0
    end = record.text[-LOOKED_AT_CHARS:].rstrip()
    if end.endswith("```"):
        return FENCE
    if _ENDS_IN_TAG.search(end):
        return TAG
    labels = _LABEL.findall(end)
    return crc32(labels[-1].encode("utf-8", "surrogatepass")) if labels else 0


def _has_failed(record: Record) -> bool:
    """Say whether a result is a failure, by its form where the caller did not say."""
    name = str(record.facets.get("tool", ""))
    return bool(failure(record.text, is_error=record.facts.is_error, is_program=is_program(name, {})))


def _text_tokens(record: Record) -> int:
    """Estimate what an assistant's text takes as a message of its own; 0 where it has none that tells anything.

    What only announces a call goes with it.
    """
    if record.kind != "assistant" or not record.text.strip():
        return 0
    if not record.calls:
        return record.tokens
    said = said_of(record)
    return min(record.tokens, MESSAGE_FRAME_TOKENS + len(said) // 3) if findings(said) else 0


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
