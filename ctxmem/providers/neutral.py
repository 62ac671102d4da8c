"""The neutral form: what any provider's message is taken apart into, and what every wire shape is built from.

Owns the values (`Draft`, `Text`, `Image`, `Unit`, `Wire`, `Violation`) and the token framing. Knows no provider.
All counts are o200k, before any calibration.

Invariants:
    I1. A Draft's message shares nothing with what the caller passed in.
    I2. A Draft's tokens are at least what its rendering for any provider counts, by `rendered_tokens`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ctxmem.providers.plain import Json, dumps
from ctxmem.segment import Call
from ctxmem.tokens import count

# Framing in tokens, OpenAI's cookbook formula: 3 a message and one for the role; 1 more where there is a name.
MESSAGE_TOKENS = 4
NAME_TOKENS = 1
CALL_TOKENS = 8  # a call's own header (channel, recipient, constraint); no published figure, on the safe side
RESULT_ID_TOKENS = 8  # at least: an id that rendering maps to another (`wire_id`) has at most this many
PRIMING_TOKENS = 3  # the reply's header, once a prompt
BLOCK_TOKENS = 8  # what surrounds a block that no formula describes

JOIN_TOKENS = 1  # the line break between two texts that a shape writes as one
ERROR_PREFIX = "[error] "  # what a failed result starts with where the shape has no flag for it
ERROR_TOKENS = 3

IMAGES_HEADING = "[images of the result above]"  # where results hold text only
IMAGES_TOKENS = 24  # of the user's message that then carries them, labels included
SYSTEM_HEADING = "[system message]\n"  # of a system message that is sent as a user's
SYSTEM_TOKENS = 6

NO_RESULT = "[no result recorded]"
PRUNED = "[earlier context pruned]"
CONTINUE = "[continue]"

WIRE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class Text:
    """A run of text in a message or a result."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
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


@dataclass(frozen=True, slots=True)
class Draft:
    """One segment-to-be, read from a provider's message.

    `message` is the dict as it came, plain JSON; where a message made several drafts, each holds its share in the same
    shape. `text` is what is searched: the content, then a line `name arguments` for each call. `tokens` counts all that
    is sent, framing and calls included; `exact` is False where a part of it is a documented maximum or a guess.
    `usage` is what a whole reply reported, as a plain dict, else None.
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
    usage: Json | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """How a segment is to be rendered, where not in full. See `Renderer.unit`."""

    ids: Mapping[int, str] = field(default_factory=dict)
    call_id: str | None = None
    reasoning: bool = True


@dataclass(frozen=True, slots=True)
class Unit:
    """One segment rendered for one provider, independently of its neighbours, hence cacheable.

    `role` is "system", "user", "assistant" or "tool"; `parts` are wire messages (OpenAI chat), items (Responses),
    blocks (Anthropic) or parts (Gemini). They are never handed out: `copy` makes the ones that are. `spare` is what the
    join may need besides: of a system unit its form as a user's text, of a result its images, where results hold text.
    """

    role: str
    parts: tuple[Json, ...]
    copy: Callable[[Json], Json]
    tokens: int
    spare: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Wire:
    """A joined prompt: `messages` for the SDK call, and `system` blocks where the provider takes them apart, else None.

    `marks` are the places asked of `join`, as (message index, index in its content), for `kwargs`; `added_tokens`
    counts what the join itself put in: `[earlier context pruned]`, `[continue]`.
    """

    messages: list[Json]
    system: list[Json] | None
    added_tokens: int = 0
    marks: tuple[tuple[int, int], ...] = ()


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

    def text(self, text: str) -> None:
        """Count a text."""
        self.tokens += count(text)

    def image(self, image: Image) -> None:
        """Count an image by its formula."""
        self.tokens += image.tokens
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


def join_text(parts: Iterable[Part]) -> str:
    """Join the texts of parts, a line break between them."""
    return "\n".join([part.text for part in parts if isinstance(part, Text)])


def labelled(parts: Iterable[Part], suffix: str = "") -> list[Part]:
    """Put `[image 1024x768]` in the place of every image; `suffix` ("#12") goes inside the brackets."""
    tail = f", {suffix}]" if suffix else "]"
    return [Text(f"[{part.label}{tail}") if isinstance(part, Image) else part for part in parts]


def loose_text(value: Any) -> str:
    """Gather what can be read in a block of an unknown type: its texts, titles, queries and addresses."""
    if isinstance(value, list):
        return "\n".join([text for text in map(loose_text, value) if text])
    if not isinstance(value, dict):
        return ""
    own = [item for key, item in value.items() if key in _READABLE and isinstance(item, str) and item]
    nested = [loose_text(item) for item in value.values() if isinstance(item, dict | list)]
    return "\n".join([text for text in (*own, *nested) if text])


_READABLE = frozenset(
    {"text", "title", "query", "url", "name", "code", "command", "stdout", "stderr", "output", "input"}
)


def kind_of(value: Any) -> str:
    """Name a wrong value in an error."""
    return "nothing" if value is None else f"an empty {type(value).__name__}" if value == [] else type(value).__name__


def call_text(name: str, arguments: str) -> str:
    """Write a call as it is searched: `read {"path":"a.py"}`."""
    return f"{name} {arguments}"


def unread_text(name: str, arguments: str) -> str:
    """Write a call whose arguments are not an object, which no provider takes back."""
    return f"[call of {name} with arguments that are not a JSON object: {arguments}]"


UNREAD_TOKENS = 16  # what `unread_text` adds to name and arguments


def is_wire_id(call_id: str) -> bool:
    """Say whether every provider takes this call id as it is: `[A-Za-z0-9_-]`, 1 to 40 characters."""
    return WIRE_ID.fullmatch(call_id) is not None


def wire_id(segment_id: int, index: int = 0) -> str:
    """Make the id that stands for a repeated or refused one: of the assistant segment's id and the call's index.

    >>> wire_id(70_000, 1)
    'c70000x1'
    """
    return f"c{segment_id}x{index}"
