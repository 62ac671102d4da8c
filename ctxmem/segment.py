"""The values that travel: what a caller gets, and what one stored segment is. No imports of ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

Facet: TypeAlias = str | int
Facets: TypeAlias = dict[str, Facet | list[Facet]]
Nature: TypeAlias = Literal["read", "change", "run"]  # what a call does to the world; "run": it runs a program

NATURES: Final[tuple[Nature, ...]] = get_args(Nature)  # on disk by place: never reorder, add at the end
NOT_SAID: Final = -1  # in place of such a place
PART_LISTED: Final = -1  # in place of a digest

MAX_ID = 2**48 - 1  # of a segment: a block of 32 bits and an offset of 16, and exact in JSON, whose numbers are doubles
FORGOTTEN_TEXT = "[forgotten]"  # in place of a text that was forgotten; `Facts.is_forgotten` is then set


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


def logged_text(command: str, output: str) -> str:
    """Return what is searched, shown and counted of a log entry."""
    return f"{command}\n{output}" if output else command


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


class Quote(NamedTuple):
    """A stretch of a segment's text, by its character offsets."""

    segment_id: int
    start: int
    stop: int


class Facts(NamedTuple):
    """What a context, or a forget, notes of a segment beside its message; what is not said has its default.

    `turn`: turns assembled before the append, -1 on what is no part of a conversation. `call_index`: which call of its
    group a result answers, -1 where it answers none. `is_error`: the tool failed. `is_system`: the session's system
    prompt. `is_inexact`: the count of tokens is an estimate. `is_unsearched`: never a hit. `restored_until`: the turn
    until which a restored recall is a root. `renamed_calls`: indexes of calls whose own id is repeated or refused, and
    which are rendered under another. `quotes`: what a recall shows. `sources`: segments whose text this one repeats.
    `image_tokens`: how many of its tokens go where a label stands in the place of each image. `natures`: what was said
    of each of its calls, as a place in `NATURES` or NOT_SAID; empty where nothing was said of any. `listed`: the digest
    of the message of a followed list that this segment ends, PART_LISTED where more of that message follows, 0 where it
    was not followed.

    On disk by place: never reorder, add at the end.
    """

    turn: int = -1
    call_index: int = -1
    is_error: bool = False
    is_system: bool = False
    is_inexact: bool = False
    is_unsearched: bool = False
    is_forgotten: bool = False
    restored_until: int = -1
    renamed_calls: tuple[int, ...] = ()
    quotes: tuple[Quote, ...] = ()
    sources: tuple[int, ...] = ()
    image_tokens: int = 0
    natures: tuple[int, ...] = ()
    listed: int = 0


NO_FACTS = Facts()


@dataclass(slots=True)
class Record:
    """What is stored of one segment, before and after it has an id. On disk by `codec`; see docs/format.md.

    `session` is the session's number (0: none). `shape` names the provider shape of `message` ("openai",
    "anthropic", ...), None where there is no message. `call_id` is set on a tool result.
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
    facts: Facts = NO_FACTS

    def group_id(self, segment_id: int) -> int:
        """Return the id of the first segment of its group; `segment_id` is its own."""
        return self.group if self.group >= 0 else segment_id
