"""The neutral form: what any provider's message is taken apart into, and what every wire shape is built from.

Owns the values (`Draft`, `Text`, `Image`, `Unit`, `Wire`, `Violation`), the check that a message is plain JSON, and the
token framing. Knows no provider. All counts are o200k, before any calibration.

Invariants:
    I1. A Draft's message shares nothing with what the caller passed in.
    I2. A Draft's tokens are at least what its rendering for any provider counts, by `rendered_tokens`.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ctxmem.errors import BadMessage
from ctxmem.segment import Call
from ctxmem.tokens import count

Json: TypeAlias = dict[str, Any]

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

NO_RESULT = "[no result recorded]"
PRUNED = "[earlier context pruned]"
CONTINUE = "[continue]"

WIRE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_MAX_DEPTH = 100
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


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

    `role` is "system", "user", "assistant" or "tool"; `parts` are wire messages (OpenAI chat), items (Responses), blocks
    (Anthropic) or parts (Gemini). They are never handed out: `copy` makes the ones that are. `spare` is what the join may
    need besides: of a system unit its form as a user's text, of a result its images, where results hold text only.
    """

    role: str
    parts: tuple[Json, ...]
    copy: Callable[[Json], Json]
    tokens: int
    spare: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Wire:
    """A joined prompt: `messages` for the SDK call, and `system` where the provider takes it apart from them, else None.

    `added_tokens` counts what the join itself put in: `[earlier context pruned]`, `[continue]`.
    """

    messages: list[Json]
    system: list[Json] | None
    added_tokens: int = 0


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


def call_text(name: str, arguments: str) -> str:
    """Write a call as it is searched: `read {"path":"a.py"}`."""
    return f"{name} {arguments}"


def unread_text(name: str, arguments: str) -> str:
    """Write a call whose arguments are not an object, which no provider takes back."""
    return f"[call of {name} with arguments that are not a JSON object: {arguments}]"


UNREAD_TOKENS = 16  # what `unread_text` adds to name and arguments


def dumps(value: Any) -> str:
    """Serialise to the one JSON that ctxmem writes: keys in their order, compact, non-ASCII as it is.

    >>> dumps({"b": 1, "a": "é"})
    '{"b":1,"a":"é"}'
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def plain(value: Any, path: str = "message", depth: int = 0) -> Any:
    """Copy a value as plain JSON: str, int, float, bool, None, lists and dicts with str keys; SDK objects are dumped.

    Raises:
        BadMessage: something else is in it (bytes, NaN, an integer beyond 64 bits, a cycle), with its path.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        if depth > _MAX_DEPTH:
            raise BadMessage(f"{path}: nested deeper than {_MAX_DEPTH} levels; flatten it, or pass it as text")
        return {_key(key, path): plain(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
    if kind is list or kind is tuple:
        if depth > _MAX_DEPTH:
            raise BadMessage(f"{path}: nested deeper than {_MAX_DEPTH} levels; flatten it, or pass it as text")
        return [plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _scalar(value, path, depth)


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise BadMessage(f"{path}: the key {key!r} is not a str; JSON objects have str keys")
    return str(key)


def _scalar(value: Any, path: str, depth: int) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise BadMessage(f"{path}: an integer beyond 64 bits; pass it as a string")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadMessage(f"{path}: {value} is not JSON; pass it as a string")
        return float(value)
    if hasattr(value, "model_dump"):
        return plain(dump(value), path, depth + 1)
    if isinstance(value, Mapping):
        return plain(dict(value), path, depth)
    remedy = "decode it, or pass base64 in an image or document part" if isinstance(value, bytes | bytearray) else ""
    raise BadMessage(f"{path}: {type(value).__name__} is not JSON; {remedy or 'pass str, numbers, lists and dicts'}")


def dump(value: Any) -> Any:
    """Dump an SDK's pydantic object by the names of the wire, without the fields that are None."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True, warnings=False)


def parse_arguments(text: Any, *, path: str = "arguments") -> Json | None:
    """Read a call's arguments: an object, or None where they are not one (such a call is kept as text).

    >>> parse_arguments('{"a": 1}'), parse_arguments(""), parse_arguments("[1]"), parse_arguments("{")
    ({'a': 1}, {}, None, None)
    """
    if not isinstance(text, str):
        return None
    if not text.strip():
        return {}  # what some models send for a function without parameters
    try:
        value = json.loads(text, parse_constant=_refuse, parse_int=_bounded)
        return plain(value, path) if isinstance(value, dict) else None
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _bounded(digits: str) -> int | float:
    """Keep a JSON integer that the store can hold; a larger one becomes a float, as it does in JavaScript."""
    value = int(digits) if len(digits) <= 20 else float(digits)
    return value if isinstance(value, float) or _INT_MIN <= value <= _INT_MAX else float(value)


def scrub(value: Any) -> Any:
    """Replace lone surrogates, which no HTTP client can send, by U+FFFD, in a value of plain JSON."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {scrub(key): scrub(item) for key, item in value.items()}
    return [scrub(item) for item in value] if isinstance(value, list) else value


def sendable(value: Json) -> Json:
    """Give the value itself, or a scrubbed copy where it holds a lone surrogate."""
    try:
        dumps(value).encode()
    except UnicodeEncodeError:
        scrubbed: Json = scrub(value)
        return scrubbed
    return value


def is_wire_id(call_id: str) -> bool:
    """Say whether every provider takes this call id as it is: `[A-Za-z0-9_-]`, 1 to 40 characters."""
    return WIRE_ID.fullmatch(call_id) is not None


def wire_id(segment_id: int, index: int = 0) -> str:
    """Make the id that stands for a repeated or refused one: of the assistant segment's id and the call's index.

    >>> wire_id(70_000, 1)
    'c70000x1'
    """
    return f"c{segment_id}x{index}"


def deep(value: Any) -> Any:
    """Copy plain JSON; strings and numbers are shared."""
    if type(value) is dict:
        return {key: deep(item) for key, item in value.items()}
    return [deep(item) for item in value] if type(value) is list else value


def copier(parts: Iterable[Json]) -> Callable[[Json], Json]:
    """Choose the cheapest copy that shares no mutable state: 60 ns for flat dicts, 1.4 us for nested ones."""
    nested = any(type(item) is dict or type(item) is list for part in parts for item in part.values())
    return deep if nested else dict.copy
