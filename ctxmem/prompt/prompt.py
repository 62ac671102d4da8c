"""What `assemble` gives: one prompt, ready for the SDK call, and the collection that made room for it.

I1. A prompt is a value: nothing that is appended later changes it, and changing it changes no other prompt.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ctxmem.collector import Plan
from ctxmem.prompt.sources import Origin, Source
from ctxmem.providers import Request, kwargs
from ctxmem.segment import Call


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one group was kept, stubbed or dropped: the rule, its score and rank, the groups from a root to it."""

    action: str
    rule: str
    score: float
    rank: int
    path: tuple[int, ...]
    tokens: int


class Reasons(Mapping[int, Reason]):
    """The reasons of a plan by group, read from its columns when asked: a dict of 20,000 costs more than the plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __getitem__(self, group: int) -> Reason:
        d = self._plan.decision(group)
        return Reason(d.action, d.rule, d.score / 4096, d.rank, d.path, d.tokens_before)

    def __iter__(self) -> Iterator[int]:
        return iter(self._plan.groups.tolist())

    def __len__(self) -> int:
        return len(self._plan.groups)


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection, planned or done: groups by their first segment's id.

    `reasons` has an entry for each group that was looked at; `seconds` is the time it took to decide.
    """

    dropped: tuple[int, ...] = ()
    stubbed: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    freed_tokens: int = 0
    reasons: Mapping[int, Reason] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """One assembled prompt. Everything a provider needs is in `kwargs()`.

    Attributes:
        messages: exactly what goes into the SDK's `messages=`.
        system: the system blocks where the provider takes them apart, None for OpenAI.
        tools: the schemas, counted.
        tokens: size of all that is sent, in the model's tokens.
        budget: what it may be at most.
        exact: whether `tokens` is a count, not a calibrated estimate.
        turn: its number in the session, from 1.
        segments: ids shown in full. stubs: ids shown as a stub, shortened, or without images.
        closed: calls still open, closed in the rendering with `[no result recorded]`.
        collection: what made room for it, None where nothing had to go.
        stable_prefix_tokens: how many of its tokens, from the start, the previous prompt began with too.
        sources: where each of `messages` comes from: its kind, and the segments it shows. `system`, where it stands
            apart, shows the system prompt, and other system messages that nothing stood before. O(messages).
        is_complete: False where a replayed prompt shows `[forgotten]` in place of what was sent.
    """

    messages: list[dict[str, Any]]
    system: list[dict[str, Any]] | None
    tools: list[Any]
    tokens: int
    budget: int
    exact: bool
    turn: int
    segments: tuple[int, ...]
    stubs: tuple[int, ...]
    closed: tuple[Call, ...]
    collection: Collection | None
    stable_prefix_tokens: int
    request: Request = field(repr=False, compare=False)
    origin: Origin = field(repr=False, compare=False)
    is_complete: bool = True

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where each of `messages` comes from."""
        return self.origin.of_messages()

    @property
    def model(self) -> str:
        """The model's name."""
        return self.request.model.name

    @property
    def provider(self) -> str:
        """The wire shape of `messages`."""
        return self.request.provider

    def kwargs(self, **over: Any) -> dict[str, Any]:
        """Return what goes into the SDK call: `client.chat.completions.create(**prompt.kwargs())`.

        Dicts in `over` are merged key by key, `anthropic-beta` values joined, anything else replaces.

        Raises:
            ToolsChanged: `over` has other tools than those that were counted.
        """
        return kwargs(self.request, over)

    def replaced(self, **fields: Any) -> "Prompt":
        """Return this prompt with other fields; its `kwargs()` follows them."""
        made = replace(self, **fields)
        request = replace(self.request, messages=made.messages, system=made.system, tools=made.tools)
        return replace(made, request=request)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where one segment of a session stands, and why.

    Attributes:
        state: "shown", "stub", "ledger" (a line is left, or not even that), "hidden" (rewound or dropped),
            "forgotten", "system", "replaced" (a former system prompt), "note" (never part of the prompt).
        rule, score, rank, path: of the newest collection that looked at its group.
        collection: that collection's number, None before the first.
        turn: the turn that made that collection.
        tokens: what its group took then.
    """

    id: int
    group: int
    state: str
    rule: str
    score: float
    rank: int
    path: tuple[int, ...]
    tokens: int
    collection: int | None
    turn: int | None
