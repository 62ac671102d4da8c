"""One context's model: the wire shape, the budget, what the tools take, and how counts become the model's own tokens.

Everything inside is counted in o200k tokens; only what a caller sees, or a provider reports, is in the model's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import floor
from typing import Any

from ctxmem import inputs, models
from ctxmem.codec import pack
from ctxmem.errors import BadInput
from ctxmem.options import Policy
from ctxmem.prompt.memorytools import READ
from ctxmem.providers import count_tools, registry
from ctxmem.providers.hints import take_hints
from ctxmem.providers.plain import deep, plain
from ctxmem.providers.shape import Shape
from ctxmem.segment import Nature
from ctxmem.tokens import Calibration

INEXACT_MARGIN = 0.01  # of the budget, kept free where counts are estimates
RESERVE_SHARE = 0.1  # of the window, kept for the answer unless `reserve` is given


@dataclass(frozen=True, slots=True)
class Target:
    """A model as one context uses it; sizes in the model's tokens. A value: another model is another target."""

    model: models.Model
    provider: str
    window: int
    reserve: int
    limit: int  # the budget before the margin for inexact counts
    tools: tuple[Any, ...]  # as they are sent
    tools_tokens: int  # o200k
    tools_digest: bytes
    cache_ttl_s: float
    framing_tokens: int  # o200k: what every prompt takes beside its messages
    given_tools: tuple[Any, ...] = ()  # as the caller passed them, with their hints
    natures: Mapping[str, Nature] = field(default_factory=dict)  # what the hints say, by the tool's name

    @classmethod
    def of(
        cls,
        name: str,
        *,
        provider: str | None,
        window: int | None,
        reserve: int | None,
        tools: Sequence[Any],
        policy: Policy,
        overrides: Mapping[str, Mapping[str, Any]],
    ) -> "Target":
        """Look up the model and check everything that a caller chose.

        Raises:
            BadInput: an unknown provider, sizes that leave no room, tools that are no list of schemas
                in the shape of `provider`.
        """
        model = models.lookup(inputs.short(name, "model"), overrides)
        shape = registry.named(provider or model.provider)
        total = model.window if window is None else inputs.count(window, "window", 1)
        if reserve is None:
            kept = min(model.max_output_tokens, int(RESERVE_SHARE * total))
        else:
            kept = inputs.count(reserve, "reserve", 0)
        limit = total - kept
        if window is None:
            limit = min(limit, model.max_input_tokens, policy.ceiling)
        if limit <= 0:
            raise BadInput(f"window={total} less reserve={kept} leaves nothing for the prompt; lower reserve")
        given = _schemas(tools, shape)
        return cls(
            model=model,
            provider=shape.name,
            window=total,
            reserve=kept,
            limit=limit,
            cache_ttl_s=policy.cache_ttl_s if policy.cache_ttl_s is not None else shape.cache_ttl_s,
            framing_tokens=shape.framing_tokens,
            **_tool_fields(given, shape),
        )

    def with_tools(self, tools: Sequence[Any]) -> "Target":
        """Return this target with other tools; this one itself where they are the same.

        Raises:
            BadInput: they are no list of schemas in the shape of the provider.
        """
        if isinstance(tools, list | tuple) and tuple(tools) == self.given_tools:
            return self
        shape = registry.named(self.provider)
        given = _schemas(tools, shape)
        return self if _digest(given) == self.tools_digest else replace(self, **_tool_fields(given, shape))

    def budget(self, *, exact: bool) -> int:
        """Return the most tokens that a prompt may take."""
        return self.limit if exact else floor(self.limit * (1 - INEXACT_MARGIN))

    def capacity(self, calibration: Calibration, *, exact: bool) -> int:
        """Return the most o200k tokens whose estimate stays within the budget."""
        room = floor((self.budget(exact=exact) - calibration.base) / calibration.scale)
        while room > 0 and calibration.estimate(room) > self.budget(exact=exact):
            room -= 1
        return max(room, 0)

    @property
    def has_memory_read(self) -> bool:
        """Whether the model can call `memory_read`."""
        shape = registry.named(self.provider)
        return any(shape.tool_name(one) == READ for schema in self.tools for one in shape.functions(schema))

    @property
    def read_price(self) -> float | None:
        """Price of a token read from the provider's cache over that of a plain one; None where unknown."""
        price, plain_price = self.model.cache_read_price, self.model.input_price
        return price / plain_price if price and plain_price else None

    @property
    def write_price(self) -> float | None:
        """Price of a token written to the provider's cache over that of a plain one; none or 0 means no surcharge."""
        price, plain_price = self.model.cache_write_price, self.model.input_price
        return price / plain_price if price and plain_price else 1.0


def _tool_fields(given: tuple[Any, ...], shape: Shape) -> dict[str, Any]:
    """Return the fields of a target that its tools decide."""
    schemas = tuple(map(deep, given))
    natures = take_hints(schemas, shape)
    return {
        "tools": schemas,
        "tools_tokens": count_tools(schemas, shape.name) if schemas else 0,
        "tools_digest": _digest(given),
        "given_tools": given,
        "natures": natures,
    }


def _digest(given: tuple[Any, ...]) -> bytes:
    return blake2b(pack(given), digest_size=8).digest() if given else b""


def _schemas(tools: Sequence[Any], shape: Shape) -> tuple[Any, ...]:
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise BadInput("tools must be a list of schemas in the provider's shape")
    schemas = tuple(plain(tool, f"tools[{i}]") for i, tool in enumerate(tools))
    for i, schema in enumerate(schemas):
        if not isinstance(schema, dict):
            raise BadInput(f"tools[{i}] must be a schema in the provider's shape, not {type(schema).__name__}")
        owner = registry.owner_of(schema)
        if owner is not None and owner.name != shape.name:
            raise BadInput(
                f"tools[{i}] has the shape of {owner.name}, and this context speaks {shape.name}: "
                f"pass {shape.tool_example}, or provider={owner.name!r}"
            )
    return schemas
