"""The neutral form: what any provider's message is taken apart into, and what every wire shape is built from.

Knows no provider. All counts are o200k, before any calibration.

Invariants:
    I1. A Draft's message shares nothing with what the caller passed in.
    I2. A Draft's tokens are at least what its rendering for any provider counts, by `rendered_tokens`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from ctxmem.models import Model
from ctxmem.providers.framing import BLOCK_TOKENS, CALL_TOKENS, LABEL_TOKENS
from ctxmem.providers.plain import Json, dumps
from ctxmem.segment import Call
from ctxmem.tokens import count

# The kind of a segment, by the role of its message; a note of our own is written with one of these roles too.
KINDS = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
WIRE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Text(NamedTuple):
    """A run of text in a message or a result."""

    text: str


class Image(NamedTuple):
    """An image in a message or a result: base64 data with its media type, or a URL. Sizes are 0 where unknown."""

    media_type: str
    data: str
    url: str
    width: int
    height: int
    tokens: int
    exact: bool

    @property
    def label(self) -> str:
        """What stands for the image where it is not shown."""
        return f"image {self.width}x{self.height}" if self.width else "image"


Part: TypeAlias = Text | Image


class Draft(NamedTuple):
    """One segment-to-be, read from a provider's message.

    `message` is the dict as it came, plain JSON; where a message made several drafts, each holds its share in the same
    shape. `text` is what is searched: the content, then a line `name arguments` for each call. `tokens` counts all that
    is sent, framing and calls included; `exact` is False where a part of it is a documented maximum or a guess.
    `image_tokens` is how many of them go where a label stands in the place of each image.
    `usage` is what a whole reply reported, as a plain dict, else None. `natures` are no part of the message: whoever
    knows what was said of its calls fills them in (`Facts.natures`).
    """

    shape: str
    role: str
    kind: str
    message: Json
    text: str
    calls: tuple[Call, ...] = ()
    call_id: str | None = None
    is_error: bool = False
    tokens: int = 0
    exact: bool = True
    image_tokens: int = 0
    usage: Json | None = None
    natures: tuple[int, ...] = ()


class Variant(NamedTuple):
    """How a segment is to be rendered, where not in full. See `Renderer.unit`."""

    ids: Mapping[int, str]
    call_id: str | None
    reasoning: bool


class Said(NamedTuple):
    """What a shape is to write where it has no message of its own: the neutral form of one segment.

    `call_id` and `call_name` are those of the call that a result answers, "" where there is none or none is known.
    """

    kind: str
    parts: Sequence[Part]
    calls: Sequence[Call] = ()
    call_id: str = ""
    call_name: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """One segment rendered for one provider, independently of its neighbours, hence cacheable.

    `role` is "system", "user", "assistant" or "tool"; `parts` are what the shape joins, its wire parts: whole messages,
    or the blocks of one. They are never handed out: `copy` makes the ones that are. `spare` is what the join may need
    besides: of a system unit its form as a user's text, of a result its images, where results hold text.
    """

    role: str
    parts: tuple[Json, ...]
    copy: Callable[[Json], Json]
    tokens: int
    spare: tuple[Json, ...] = ()


class Wire(NamedTuple):
    """A joined prompt: `messages` for the SDK call, and `system` blocks where the provider takes them apart, else None.

    `breakpoints` are the places asked of `join`, as (message index, index in its content), for `kwargs`; `added_tokens`
    counts what the join itself put in: `[earlier context pruned]`, `[continue]`.
    """

    messages: list[Json]
    system: list[Json] | None
    added_tokens: int = 0
    breakpoints: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt as it is to be sent.

    `reserve` is the room for the answer. `breakpoints` are the places, from `Wire.breakpoints`, up to which a provider
    that is told what to cache should do so: the end of the ledger and the end of the previous prompt. `drop_block` asks
    the provider to drop thinking whose prefix was edited, instead of refusing it: to be set from the first edit on.
    """

    provider: str
    model: Model
    messages: Sequence[Json]
    system: Sequence[Json] | None
    tools: Sequence[Any]
    reserve: int
    breakpoints: Sequence[tuple[int, int]] = ()
    drop_block: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule of a provider that a payload breaks: a stable code, the place (`messages[3].content`), a sentence."""

    code: str
    path: str
    message: str


@dataclass(slots=True)
class Tally:
    """A running token count of one message."""

    tokens: int = 0
    exact: bool = True
    image_tokens: int = 0  # of `tokens`, what labels in the place of the images would save

    def text(self, text: str) -> None:
        """Count a text."""
        self.tokens += count(text)

    def image(self, image: Image) -> None:
        """Count an image by its formula."""
        self.tokens += image.tokens
        self.image_tokens += image.tokens - LABEL_TOKENS
        self.exact = self.exact and image.exact

    def block(self, block: Json) -> None:
        """Count a block that no formula describes by its JSON: a guess, usually too high."""
        self.tokens += BLOCK_TOKENS + count(dumps(block))
        self.exact = False

    def parts(self, parts: Iterable[Part]) -> None:
        """Count texts and images."""
        for part in parts:
            if isinstance(part, Text):
                self.text(part.text)
            else:
                self.image(part)

    def call(self, name: str, arguments: str) -> None:
        """Count a call as it is sent."""
        self.tokens += CALL_TOKENS + count(name) + count(arguments)


def is_wire_id(call_id: str) -> bool:
    """Say whether every provider takes this call id as it is: `[A-Za-z0-9_-]`, 1 to 40 characters."""
    return WIRE_ID.fullmatch(call_id) is not None


def wire_id(segment_id: int, index: int = 0) -> str:
    """Make the id that stands for a repeated or refused one: of the assistant segment's id and the call's index.

    >>> wire_id(70_000, 1)
    'c70000x1'
    """
    return f"c{segment_id}x{index}"
