"""The seam to a provider: all that ctxmem asks of one provider's wire shape. Knows no provider.

A provider is a class of its own that follows `Shape`, and a row of `registry`. Nothing else branches on its name.

Invariants of a shape:
    I1. It has no state: what it returns depends on its arguments alone.
    I2. It changes none of its arguments, and `own`, `write` and `spare` may share values with them: `join` copies.
    I3. What it reads from its own messages (`parse`), `own` gives back as it came, less what the API refuses.
    I4. What it writes and joins passes its own `check`, for a valid order of whole groups.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from enum import IntEnum
from typing import Any, ClassVar, Protocol

from ctxmem.models import Model
from ctxmem.providers.framing import PRIMING_TOKENS
from ctxmem.providers.neutral import Draft, Part, Request, Said, Unit, Variant, Violation, Wire
from ctxmem.providers.plain import Json, copier, deep, dumps
from ctxmem.tokens import count

_MARK = "\0unit"  # under this a part has its unit's index; no message on a wire has such a field
_TOOL_TOKENS = 12  # of a schema beside its JSON; no published figure, on the safe side


class Fit(IntEnum):
    """How surely a message has a shape. The surest shape reads it; of two as sure, the earlier row of the table."""

    NONE = 0  # it cannot read it
    SHARED = 1  # a role and a text, as several shapes have it: the preferred one reads it
    PART = 2  # a type of part that this shape has
    FIELD = 3  # a field, or the role of a system message, that this shape has
    OWN_PART = 4  # a type of part that no other shape has
    RESULT = 5  # the role of a result
    WHOLE = 6  # a reply, an item, a content: the message as a whole has this shape


def is_blocks(content: Any) -> bool:
    """Say whether the content of a result is a list of blocks or parts, each with its type."""
    return isinstance(content, list) and bool(content) and all(isinstance(b, dict) and "type" in b for b in content)


class Shape(Protocol):
    """How one provider has its messages, tools and calls.

    A class names `Shape` as its base: then mypy reads each signature against it, and what has a body here is inherited.
    `kind` is one of "system", "user", "assistant" and "tool". Tokens are o200k.

    Attributes:
        name: what callers pass as `provider=`. On disk, with each message in this shape: never rename.
        payload_key: the name under which the SDK call takes the messages.
        tool_example: a tool's schema in this shape, for the error of one in another.
        output_only: fields of an SDK's message object that the API does not take back. They are left out of every SDK's
            objects, before it is asked whose a message is.
        framing_tokens: of a prompt beside its units, at most: the reply's header, and what `join` may add of its own
            (`framing.PRUNED`, `framing.CONTINUE`).
        cache_ttl_s: seconds after which the provider's cache of a prompt is surely cold.
        list_headers: headers of the SDK call, in small letters, that are lists: a caller's value is joined to ours.
    """

    __slots__ = ()

    name: ClassVar[str]
    payload_key: ClassVar[str]
    tool_example: ClassVar[str]
    output_only: ClassVar[frozenset[str]] = frozenset()
    framing_tokens: ClassVar[int] = PRIMING_TOKENS
    cache_ttl_s: ClassVar[float] = 1_800.0
    list_headers: ClassVar[frozenset[str]] = frozenset()

    # ---- reading

    @abstractmethod
    def fit(self, message: Json, role: str, types: AbstractSet[str]) -> Fit:
        """Say how surely a message has this shape.

        `role` is the message's, "" where it has none; `types` are those of the parts of its content, empty where that
        is no list. Called for every message of every provider: keep it cheap, and let it raise nothing.
        """

    @abstractmethod
    def parse(self, message: Json) -> list[Draft]:
        """Read a message or a whole reply into drafts, one for each segment; the last is the one to return.

        Raises:
            BadMessage: something in it that the API does not know, with the field and the remedy.
        """

    def continues(self, before: Json, message: Json) -> bool:
        """Say whether two neighbours in a list are parts of one message, both of this shape. Here: never."""
        del before, message
        return False

    def joined(self, messages: Sequence[Json]) -> Json:
        """Make one message, as `parse` takes it, of neighbours that continue each other. Here: of one."""
        return messages[0]

    @abstractmethod
    def content(self, message: Json) -> list[Part]:
        """Read the content of a message that `parse` took, calls and reasoning apart, into neutral parts."""

    # ---- writing

    @abstractmethod
    def own(self, kind: str, message: Json, variant: Variant) -> tuple[Json, ...]:
        """Return a message of this shape as it came, with call ids mapped, less what cannot be sent back."""

    @abstractmethod
    def write(self, said: Said) -> tuple[Json, ...]:
        """Write the wire parts of a segment from its neutral form; what the kind cannot hold becomes its label."""

    def spare(self, kind: str, parts: Sequence[Part]) -> tuple[Json, ...]:
        """Write what `join` may need besides: see `Unit.spare`. Here: nothing."""
        del kind, parts
        return ()

    def for_model(self, parts: Sequence[Json], model: Model) -> Sequence[Json]:
        """Change wire parts to what one model takes. Here: they are as they are."""
        del model
        return parts

    def result(self, call_id: str, content: Any, *, error: bool) -> Json:
        """Make the message of a tool's result from plain JSON: what the caller appends with `Context.result`.

        Here: the chat API's, which names its call by id where the provider's own may not; every context reads it.
        """
        del error
        body = content if isinstance(content, str) or is_blocks(content) else dumps(content)
        return {"role": "tool", "tool_call_id": call_id, "content": body}

    # ---- counting

    @abstractmethod
    def count_parts(self, parts: Sequence[Json]) -> int:
        """Count the wire parts of one segment with their framing."""

    def count_message(self, message: Json) -> int:
        """Count one message of a payload. Here: where a part is a whole message."""
        return self.count_parts([message])

    def count_tools(self, schemas: Sequence[Json]) -> int:
        """Count tool schemas, at least one, as they reach the model. Here: as JSON."""
        return sum(_TOOL_TOKENS + count(dumps(schema)) for schema in schemas)

    def input_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read all input tokens of a call, cached ones included, from the usage of a reply; None: not this shape's."""
        del usage
        return None

    def cached_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read the input tokens that came from the provider's cache; None: not this shape's, or it does not say."""
        del usage
        return None

    def cache_write_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read the input tokens that were written to the provider's cache; None: not this shape's, or not said."""
        del usage
        return None

    def output_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read all tokens that the model put out, its reasoning included; None: not this shape's."""
        del usage
        return None

    def reasoning_tokens(self, usage: Mapping[str, Any]) -> int | None:
        """Read the part of the output that was reasoning; None: not this shape's, or it does not say."""
        del usage
        return None

    # ---- a prompt

    def copy_of(self, parts: Sequence[Json]) -> Callable[[Json], Json]:
        """Choose the cheapest copy of wire parts that shares no mutable state."""
        return copier(parts)

    def join(self, units: Sequence[Unit], model: Model, breakpoints: Sequence[int] = ()) -> Wire:
        """Join units to a prompt; see `Renderer.join`. O(n), and called for every prompt.

        Here: a part is a message, and what a result has to spare stands after the last result of its run.
        """
        del model, breakpoints
        messages: list[Json] = []
        waiting: list[Json] = []
        for unit in units:
            if waiting and unit.role != "tool":
                messages += waiting
                waiting = []
            copy, parts = unit.copy, unit.parts
            if len(parts) == 1:  # the most: no loop for the one
                messages.append(copy(parts[0]))
            else:
                messages += map(copy, parts)
            if unit.spare:
                waiting += [deep(part) for part in unit.spare]
        messages += waiting
        return Wire(messages, None)

    def owners(self, units: Sequence[Unit], model: Model) -> list[list[int]]:
        """Say of each message of a join which units it shows; see `Renderer.owners`. Here as `join` above orders them.

        A shape with a join of its own has its parts joined once more, each with a mark.
        """
        if type(self).join is not Shape.join:
            marked = [_marked(unit, index) for index, unit in enumerate(units)]
            return [_marks(self.parts_of(message)) for message in self.join(marked, model).messages]
        found: list[list[int]] = []
        waiting: list[list[int]] = []
        for index, unit in enumerate(units):
            if waiting and unit.role != "tool":
                found += waiting
                waiting = []
            found += [[index] for _ in unit.parts]
            waiting += [[index] for _ in unit.spare]
        return found + waiting

    def kwargs(self, request: Request, over: Mapping[str, Any]) -> dict[str, Any]:
        """Build the SDK call's arguments, on which `over` will be laid. Here: model, messages, and tools if any."""
        del over
        tools = {"tools": list(request.tools)} if request.tools else {}
        return {"model": request.model.name, self.payload_key: list(request.messages), **tools}

    def parts_of(self, message: Json) -> Sequence[Json]:
        """Return the wire parts of a message that `join` made. Here: a part is a whole message."""
        return (message,)

    @abstractmethod
    def check(self, payload: Mapping[str, Any], messages: Sequence[Any]) -> Iterator[Violation]:
        """List what of a payload breaks the provider's rules; `messages`, all mappings, are those of `payload_key`."""

    # ---- tools

    @abstractmethod
    def tool(self, name: str, text: str, parameters: Json) -> Json:
        """Write a tool's schema: its name, what it is for, the JSON schema of its arguments."""

    def tool_name(self, schema: Json) -> str | None:
        """Read the name of a tool's schema; None for one without. Here: its own, or that of the function in it."""
        function = schema.get("function")
        name = function.get("name") if isinstance(function, Mapping) else schema.get("name")
        return name if isinstance(name, str) else None

    def functions(self, schema: Json) -> list[Json]:
        """Give the parts of a tool's schema that are a function each. Here: the one nested in it, or the schema."""
        nested = schema.get("function")
        return [nested if isinstance(nested, dict) else schema]

    @abstractmethod
    def owns_tool(self, schema: Json) -> bool:
        """Say whether a schema has this shape and no other; False for a tool that is built into the provider."""


def _marked(unit: Unit, index: int) -> Unit:
    parts, spare = (tuple({**part, _MARK: index} for part in given) for given in (unit.parts, unit.spare))
    return replace(unit, parts=parts, spare=spare, copy=deep)


def _marks(parts: Sequence[Json]) -> list[int]:
    return list(dict.fromkeys(part[_MARK] for part in parts if _MARK in part))
