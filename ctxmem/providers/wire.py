"""Messages in, messages out: any provider's message to drafts, stored segments to a provider's messages.

Invariants:
    I1. A unit depends on its record and variant alone, so that it can be cached and renders to the same bytes for ever.
    I2. What `join` returns shares no mutable state with the units.
    I3. For a valid order of whole groups, the joined messages pass `validate`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ctxmem.errors import BadMessage
from ctxmem.models import Model
from ctxmem.providers import registry
from ctxmem.providers.framing import NO_RESULT
from ctxmem.providers.neutral import KINDS, Draft, Image, Part, Said, Text, Unit, Variant, Wire
from ctxmem.providers.plain import Json, plain, sendable
from ctxmem.providers.texts import join_text, labelled
from ctxmem.segment import Call, Facts, Record

_ORPHAN = "[result of call {}, which is not in this conversation]"


def parse(message: Any, *, prefer: str = registry.DEFAULT) -> list[Draft]:
    """Read a message of any provider into drafts, one for each segment it makes; the last is the one to return.

    Takes dicts and SDK objects, single messages and whole replies (then `usage` is set). `prefer` names the shape of a
    message that several shapes explain, such as `{"role": "user", "content": "hi"}`.

    Raises:
        BadMessage: no shape explains it; names the field and the remedy.

    >>> [draft.text for draft in parse({"role": "user", "content": "hi"})]
    ['hi']
    """
    whole = plain_message(message)
    return registry.best_fit(whole, prefer).parse(whole)


def plain_message(message: Any) -> Json:
    """Copy one message as plain JSON, without what an SDK's object has and the API does not take back.

    Raises:
        BadMessage: it is no message, or holds what is not JSON.
    """
    whole = plain(message)
    if not isinstance(whole, dict):
        raise BadMessage(f"message: {type(message).__name__}; pass one message, a dict or an SDK object")
    if not isinstance(whole.get("type"), str | None):
        raise BadMessage("message.type: not a str; pass the type of the item or reply, or leave it out")
    if hasattr(message, "model_dump"):
        unsent = frozenset[str]().union(*(shape.output_only for shape in registry.SHAPES.values()))
        whole = {key: value for key, value in whole.items() if key not in unsent}
    return whole


def _content(record: Record) -> list[Part]:
    """Return the content of a stored message, whatever its shape."""
    if record.message is None:
        return []
    return registry.named(record.shape or registry.DEFAULT).content(record.message)


def labelled_text(record: Record, suffix: str) -> str:
    """Return the text of a stored segment with `[image 1024x768, <suffix>]` in the place of each image."""
    return join_text(labelled(_content(record), suffix)) if record.facts.image_tokens else record.text


def said_of(record: Record) -> str:
    """Return what a stored message says in words: its text without calls and reasoning, and without images."""
    return "\n".join(part.text for part in _content(record) if isinstance(part, Text)).strip()


def images_of(record: Record) -> list[Part]:
    """Return the images that a stored segment holds, comparable between shapes."""
    return [part for part in _content(record) if not isinstance(part, Text)]


def result_message(provider: str, call_id: str, content: Any, *, error: bool = False) -> Json:
    """Make the message of a tool's result for a provider.

    `content` is text, or a list of the provider's blocks or parts, or any JSON, which is written as text.
    """
    value = content if isinstance(content, str) else plain(content, "content")
    return registry.named(provider).result(call_id, value, error=error)


class Renderer:
    """Renders segments for one provider and model. Stateless apart from those two, so safe from any thread."""

    def __init__(self, provider: str, model: Model) -> None:
        self._shape = registry.named(provider)
        self.provider = provider
        self.model = model

    @property
    def framing_tokens(self) -> int:
        """Tokens of a prompt beside its units: the reply's priming, and messages that the join may have to add."""
        return self._shape.framing_tokens

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
            call_name: the function that a result answers, for shapes that name it.
            as_text: a result whose call is not in the prompt, as a user's text.
        """
        kind = _kind(record)
        if kind == "tool" and as_text:
            said = [Text(_ORPHAN.format(record.call_id)), *self._parts(record, text, images)]
            return self._written(Said("user", said))
        whole = text is None and images is None
        if whole and record.message is not None and record.shape == self.provider:
            variant = Variant(ids or {}, call_id, reasoning=thinking)
            parts = self._shape.own(kind, record.message, variant)
            spare = self._shape.spare(kind, self._shape.content(record.message))
            if kind == "tool" and any(isinstance(part, Image) for part in self._shape.content(parts[0])):
                spare = ()  # the result holds its images itself
            return self._unit(kind, parts, spare, record.tokens if thinking else 0)
        calls = [Call((ids or {}).get(i, call.id), call.name, call.arguments) for i, call in enumerate(record.calls)]
        result_id = call_id or record.call_id or ""
        is_error = record.facts.is_error and text is None
        content = self._parts(record, text, images)
        tokens = record.tokens if whole else 0
        named = call_name or str((record.message or {}).get("name") or "")
        return self._written(Said(kind, content, calls, result_id, named, is_error), tokens)

    def _parts(self, record: Record, text: str | None, images: str | None) -> list[Part]:
        """Return the content of a record as neutral parts, replaced or with its images labelled where asked."""
        if text is not None or record.message is None:
            return [Text(record.text if text is None else text)]
        parts = _content(record)
        return parts if images is None else labelled(parts, images)

    def _written(self, said: Said, tokens: int = 0) -> Unit:
        return self._unit(said.kind, self._shape.write(said), self._shape.spare(said.kind, said.parts), tokens)

    def _unit(self, kind: str, parts: Sequence[Json], spare: Sequence[Json], tokens: int) -> Unit:
        """Close a unit; `tokens` 0: count it."""
        sent = tuple(sendable(part) for part in self._shape.for_model(parts, self.model))
        counted = tokens or self._shape.count_parts([*sent, *spare])
        return Unit(kind, sent, self._shape.copy_of(sent), counted, tuple(sendable(part) for part in spare))

    def closed(self, call_id: str, call_name: str = "") -> Unit:
        """Render the placeholder result of an open call, by its wire id and its function's name."""
        return self._written(Said("tool", [Text(NO_RESULT)], (), call_id, call_name))

    def text(self, text: str, role: str = "user") -> Unit:
        """Render a text of ours (ledger, recall) as a message of that role."""
        return self._written(Said(role, [Text(text)]))

    def units(self, message: Any) -> list[Unit]:
        """Render a message that is not stored (`extra`)."""
        drafts = parse(message, prefer=self.provider)
        return [self.unit(_record(draft)) for draft in drafts]

    def join(self, units: Sequence[Unit], breakpoints: Sequence[int] = ()) -> Wire:
        """Join units, in prompt order, to what the SDK call takes. O(n), under 0.3 us a unit.

        The caller orders them: whole groups; results right after their assistant's message, in call order.
        `breakpoints` are rising counts of units: the first n may be wanted in the cache. `Wire.breakpoints` says where
        they end.
        """
        return self._shape.join(units, self.model, breakpoints)

    def owners(self, units: Sequence[Unit]) -> list[list[int]]:
        """Say of each message of `join(units)` which units it shows, by their places, in order.

        What the join puts in itself shows none. O(n), for those who ask.
        """
        return self._shape.owners(units, self.model)


def _kind(record: Record) -> str:
    """Return the wire role of a record: a kind of our own (note, recall) goes by its call or role, else is a user's."""
    if record.kind == "tool" and record.call_id is None:  # of a text protocol: it is a message of who sent it
        return KINDS.get(record.role or "", "user")
    if record.kind in KINDS.values():
        return record.kind
    if record.call_id is not None:
        return "tool"
    return KINDS.get(record.role or "", "user")


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
        facts=Facts(is_error=draft.is_error),
    )
