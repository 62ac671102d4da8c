"""The registry of wire shapes, and the renderer: stored segments in, a provider's messages out.

Invariants:
    I1. A unit depends on its record and variant alone, so that it can be cached and renders to the same bytes for ever.
    I2. What `join` returns shares no mutable state with the units.
    I3. For a valid order of whole groups, the joined messages pass `validate`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ctxmem.errors import BadInput, BadMessage
from ctxmem.models import Model
from ctxmem.providers import anthropic, gemini, merging, openai, responses
from ctxmem.providers.neutral import (
    MESSAGE_TOKENS,
    NO_RESULT,
    PRIMING_TOKENS,
    Draft,
    Part,
    Text,
    Unit,
    Variant,
    Wire,
    labelled,
)
from ctxmem.providers.plain import Json, dumps, plain, sendable
from ctxmem.segment import Call, Record

_KINDS = frozenset({"system", "user", "assistant", "tool"})
_ORPHAN = "[result of call {}, which is not in this conversation]"
_FILLERS_TOKENS = 2 * (MESSAGE_TOKENS + 6)  # [earlier context pruned] and [continue]


SHAPES: Mapping[str, Any] = {shape.SHAPE: shape for shape in (openai, responses, anthropic, gemini)}


def parse(message: Any, *, prefer: str = "openai") -> list[Draft]:
    """Read a message of any provider into drafts, one for each segment it makes; the last is the one to return.

    Takes dicts and SDK objects, single messages and whole replies (then `usage` is set). `prefer` names the shape of a
    message that several shapes explain, such as `{"role": "user", "content": "hi"}`.

    Raises:
        BadMessage: no shape explains it; names the field and the remedy.

    >>> [draft.text for draft in parse({"role": "user", "content": "hi"})]
    ['hi']
    """
    whole = plain(message)
    if not isinstance(whole, dict):
        raise BadMessage(f"message: {type(message).__name__}; pass one message, a dict or an SDK object")
    if not isinstance(whole.get("type"), str | None):
        raise BadMessage("message.type: not a str; pass the type of the item or reply, or leave it out")
    if hasattr(message, "model_dump"):
        whole = {key: value for key, value in whole.items() if key not in openai.OUTPUT_ONLY}
    drafts: list[Draft] = SHAPES[shape_of(whole, prefer)].parse(whole)
    return drafts


def shape_of(message: Json, prefer: str = "openai") -> str:
    """Say which shape explains a message.

    Raises:
        BadMessage: none does.
    """
    if shape := _shape_of_reply(message):
        return shape
    role = message.get("role") if isinstance(message.get("role"), str | None) else repr(message["role"])
    if role in {"tool", "function"}:
        return "openai"
    content = message.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    kinds = {kind for part in parts if isinstance(kind := part.get("type"), str)}
    if kinds & responses.PARTS:
        return "openai-responses"
    if role in {"system", "developer"}:
        return "openai"
    if role not in {"user", "assistant"}:
        shown = "missing" if role is None else repr(role)
        raise BadMessage(f"message.role: {shown}; pass system, developer, user, assistant or tool")
    if message.keys() & _OPENAI_FIELDS:
        return "openai"
    if message.keys() & _ANTHROPIC_FIELDS:
        return "anthropic"
    if kinds & _OPENAI_PARTS:
        return "openai"
    if kinds & _ANTHROPIC_BLOCKS or any(kind.endswith(("tool_use", "tool_result")) for kind in kinds):
        return "anthropic"
    return "anthropic" if prefer == "anthropic" and isinstance(content, str | list) else "openai"


def _shape_of_reply(message: Json) -> str | None:
    """Recognise whole replies, and items that have no role."""
    kind = message.get("type")
    if "choices" in message:
        return "openai"
    if "candidates" in message or "parts" in message:
        return "gemini"
    if isinstance(kind, str) and "role" not in message and responses.is_item(kind):
        return "openai-responses"
    if "output" in message and (kind is None or message.get("object") == "response"):
        return "openai-responses"
    if kind != "message":
        return None
    is_reply = isinstance(message.get("usage"), dict) or "stop_reason" in message
    return "anthropic" if is_reply else "openai-responses"


_OPENAI_FIELDS = frozenset(
    {"tool_calls", "function_call", "refusal", "audio", "name", "annotations", *openai.REASONING}
)
_ANTHROPIC_FIELDS = frozenset({"stop_reason", "stop_sequence"})
_ANTHROPIC_BLOCKS = frozenset({"image", "document", "search_result", "thinking", "redacted_thinking", "compaction"})
_OPENAI_PARTS = frozenset({"image_url", "input_audio", "file", "refusal"})


def images_of(record: Record) -> list[Part]:
    """Return the images that a stored segment holds, comparable between shapes."""
    if record.message is None:
        return []
    return [part for part in SHAPES[record.shape or "openai"].content(record.message) if not isinstance(part, Text)]


def result_message(provider: str, call_id: str, content: Any, *, error: bool = False) -> Json:
    """Make the message of a tool's result in a provider's shape.

    `content` is text, or a list of the provider's blocks or parts, or any JSON, which is written as text.
    """
    value = content if isinstance(content, str) else plain(content, "content")
    if provider == "openai-responses":
        return {
            "type": "function_call_output",
            "call_id": call_id,
            "output": value if isinstance(value, str) else dumps(value),
        }
    is_blocks = isinstance(value, list) and value and all(isinstance(b, dict) and "type" in b for b in value)
    body = value if isinstance(value, str) or is_blocks else dumps(value)
    if provider == "anthropic":
        block = {"type": "tool_result", "tool_use_id": call_id, "content": body}
        return {"role": "user", "content": [{**block, "is_error": True} if error else block]}
    return {"role": "tool", "tool_call_id": call_id, "content": body}


_JOIN: Mapping[str, Callable[[Sequence[Unit], Model, Sequence[int]], Wire]] = {
    "openai": openai.join,
    "openai-responses": responses.join,
    "anthropic": merging.join,
    "gemini": gemini.join,
}


class Renderer:
    """Renders segments for one provider and model. Stateless apart from those two, so safe from any thread."""

    def __init__(self, provider: str, model: Model) -> None:
        if provider not in SHAPES:
            raise BadInput(f"provider {provider!r} is not known; choose one of {', '.join(sorted(SHAPES))}")
        self.provider = provider
        self._shape: Any = SHAPES[provider]
        # OpenAI refuses the field in which other vendors return reasoning; DeepSeek wants it with every call.
        self._drops_reasoning = provider == "openai" and model.family == "openai"
        self._wants_reasoning = provider == "openai" and "deepseek" in model.name.lower()
        self.model = model

    @property
    def framing_tokens(self) -> int:
        """Tokens of a prompt beside its units: the reply's priming, and messages that the join may have to add."""
        return PRIMING_TOKENS + (_FILLERS_TOKENS if self.provider in {"anthropic", "gemini"} else 0)

    def unit(
        self,
        record: Record,
        *,
        ids: Mapping[int, str] | None = None,
        call_id: str | None = None,
        text: str | None = None,
        thinking: bool = True,
        images: str | None = None,
        call_name: str = "",
        as_text: bool = False,
    ) -> Unit:
        """Render one segment.

        Args:
            record: the segment; a record without a message is rendered from its text (as a user's, where the kind is
                not one of system, user, assistant, tool).
            ids: wire ids of an assistant's calls, by the index in `record.calls`; others keep their own.
            call_id: wire id of a result; None: its own.
            text: takes the place of the content (a stub, a shortened result); calls are kept.
            thinking: False leaves reasoning out.
            images: not None: every image becomes `[image 1024x768, <images>]`, e.g. "#12".
            call_name: the function that a result answers; only Gemini asks for it.
            as_text: a result whose call is not in the prompt, as a user's text.
        """
        kind = _kind(record)
        if kind == "tool" and as_text:
            return self._written("user", [Text(_ORPHAN.format(record.call_id)), *self._parts(record, text, images)])
        whole = text is None and images is None
        if whole and record.message is not None and record.shape == self.provider:
            variant = Variant(ids or {}, call_id, reasoning=thinking and not self._drops_reasoning)
            parts = self._shape.own(kind, record.message, variant)
            spare = self._shape.spare(kind, self._shape.content(record.message))
            return self._unit(kind, parts, spare, record.tokens if thinking else 0)
        calls = [Call((ids or {}).get(i, call.id), call.name, call.arguments) for i, call in enumerate(record.calls)]
        result_id = call_id or record.call_id or ""
        is_error = bool(record.extra.get("error")) and text is None
        content = self._parts(record, text, images)
        tokens = record.tokens if whole else 0
        named = call_name or str((record.message or {}).get("name") or "")
        return self._written(kind, content, calls, result_id, named, is_error=is_error, tokens=tokens)

    def _parts(self, record: Record, text: str | None, images: str | None) -> list[Part]:
        """Give the content of a record as neutral parts, replaced or with its images labelled where asked."""
        if text is not None or record.message is None:
            return [Text(record.text if text is None else text)]
        parts = SHAPES[record.shape or "openai"].content(record.message)
        return parts if images is None else labelled(parts, images)

    def _written(
        self,
        kind: str,
        content: Sequence[Part],
        calls: Sequence[Call] = (),
        call_id: str = "",
        call_name: str = "",
        *,
        is_error: bool = False,
        tokens: int = 0,
    ) -> Unit:
        parts = self._shape.write(kind, content, calls, call_id, call_name, is_error=is_error)
        return self._unit(kind, parts, self._shape.spare(kind, content), tokens)

    def _unit(self, kind: str, parts: Sequence[Json], spare: Sequence[Json], tokens: int) -> Unit:
        """Close a unit; `tokens` 0: count it."""
        if self._wants_reasoning:
            parts = [{"reasoning_content": "", **part} if part.get("tool_calls") else part for part in parts]
        sent = tuple(sendable(part) for part in parts)
        counted = tokens or self._shape.count_parts([*sent, *spare])
        return Unit(kind, sent, self._shape.copy_of(sent), counted, tuple(sendable(part) for part in spare))

    def closed(self, call_id: str, call_name: str = "") -> Unit:
        """Render the placeholder result of an open call, by its wire id and its function's name."""
        return self._written("tool", [Text(NO_RESULT)], (), call_id, call_name)

    def text(self, text: str, role: str = "user") -> Unit:
        """Render a text of ours (ledger, recall) as a message of that role."""
        return self._written(role, [Text(text)])

    def units(self, message: Any) -> list[Unit]:
        """Render a message that is not stored (`extra`)."""
        drafts = parse(message, prefer=self.provider)
        return [self.unit(_record(draft)) for draft in drafts]

    def join(self, units: Sequence[Unit], marks: Sequence[int] = ()) -> Wire:
        """Join units, in prompt order, to what the SDK call takes. O(n), under 0.3 us a unit.

        The caller orders them: whole groups; results right after their assistant's message, in call order. `marks` are
        counts of units, rising: a cache mark may be wanted where the first n units end. `Wire.marks` says where.
        """
        wire: Wire = _JOIN[self.provider](units, self.model, marks)
        return wire


def _kind(record: Record) -> str:
    """Give the wire role of a record: a kind of our own (note, recall) goes by its call or role, else is a user's."""
    if record.kind in _KINDS:
        return record.kind
    if record.call_id is not None:
        return "tool"
    return openai.KINDS.get(record.role or "", "user")


def _record(draft: Draft) -> Record:
    """Make a record of a draft that is rendered but not stored."""
    return Record(
        session=0,
        kind=draft.kind,
        role=draft.role,
        text=draft.text,
        tokens=draft.tokens,
        at=0.0,
        message=draft.message,
        shape=draft.shape,
        calls=draft.calls,
        call_id=draft.call_id,
        extra={"error": True} if draft.is_error else {},
    )
