"""The values that travel: what a caller gets, and what one stored segment is. No behaviour, no imports of ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Facet: TypeAlias = str | int
Facets: TypeAlias = dict[str, Facet | list[Facet]]

MAX_ID = 2**48 - 1  # of a segment: a block of 32 bits and an offset of 16, and exact in JSON, whose numbers are doubles


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of an assistant message; `arguments` is always an object (a call that does not parse is text)."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Segment:
    """One message, tool result, file chunk or note, as it was appended.

    `message` is the dict as appended, verbatim, or None for a note; `text` is what is searched and counted;
    `group` is the id of the first segment of its group; `tokens` counts the segment with its framing;
    `at` is in seconds since the epoch.
    """

    id: int
    session: str | None
    kind: str
    role: str | None
    text: str
    message: dict[str, Any] | None
    group: int
    calls: tuple[Call, ...]
    tokens: int
    at: float
    refs: tuple[int, ...]
    pinned: bool
    facets: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result; `score` is an integer, `parts` names its summands where `explain=True` asked for them."""

    segment: Segment
    score: int
    parts: Mapping[str, int] = field(default_factory=dict)
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that `check` found wrong: where, what, and what to do."""

    where: str
    what: str
    remedy: str


@dataclass(slots=True)
class Record:
    """What is stored of one segment, before and after it has an id. On disk by `codec`; see docs/format.md.

    `session` is the session's number (0: none). `shape` names the provider shape of `message` ("openai",
    "anthropic", ...), None where there is no message. `call_id` is set on a tool result. `extra` holds small
    values that only one floor understands (wire ids of calls, error flag, source of a recall), msgpack-able.
    """

    session: int
    kind: str
    role: str | None
    text: str
    tokens: int
    at: float
    message: dict[str, Any] | None = None
    shape: str | None = None
    group: int = -1  # -1: itself
    calls: tuple[Call, ...] = ()
    call_id: str | None = None
    refs: tuple[int, ...] = ()
    pinned: bool = False
    facets: Facets = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
