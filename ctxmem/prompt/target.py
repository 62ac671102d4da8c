"""One context's model: the wire shape, the budget, what the tools take, and how counts become the model's own tokens.

Everything inside is counted in o200k tokens; only what a caller sees, or a provider reports, is in the model's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import floor
from typing import Any

from ctxmem import inputs, models
from ctxmem.codec import pack
from ctxmem.errors import BadInput
from ctxmem.options import Policy
from ctxmem.prompt import memorytools
from ctxmem.providers import Renderer, count_tools
from ctxmem.providers.plain import plain
from ctxmem.tokens import Calibration

INEXACT_MARGIN = 0.01  # of the budget, kept free where counts are estimates
RESERVE_SHARE = 0.1  # of the window, kept for the answer unless `reserve` is given
CACHE_TTL_S: Mapping[str, float] = {"anthropic": 300.0}
OTHER_TTL_S = 1_800.0


@dataclass(frozen=True, slots=True)
class Target:
    """A model as one context uses it; sizes in the model's tokens. A value: another model is another target."""

    model: models.Model
    provider: str
    window: int
    reserve: int
    limit: int  # the budget before the margin for inexact counts
    tools: tuple[Any, ...]
    tools_tokens: int  # o200k
    tools_digest: bytes
    cache_ttl_s: float
    framing_tokens: int  # o200k: what every prompt takes beside its messages

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
        shape = provider or model.provider
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
        renderer = Renderer(shape, model)
        schemas = _schemas(tools, renderer.provider)
        return cls(
            model=model,
            provider=renderer.provider,
            window=total,
            reserve=kept,
            limit=limit,
            tools=schemas,
            tools_tokens=count_tools(schemas, shape) if schemas else 0,
            tools_digest=blake2b(pack(schemas), digest_size=8).digest() if schemas else b"",
            cache_ttl_s=policy.cache_ttl_s if policy.cache_ttl_s is not None else CACHE_TTL_S.get(shape, OTHER_TTL_S),
            framing_tokens=renderer.framing_tokens,
        )

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
        return memorytools.READ in memorytools.names_of(self.tools)

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


_TOOLS = {
    "openai": '{"type": "function", "function": {"name": ..., "parameters": ...}}',
    "openai-responses": '{"type": "function", "name": ..., "parameters": ...}',
    "anthropic": '{"name": ..., "input_schema": ...}',
    "gemini": '{"name": ..., "parameters": ...}',
}


def _schemas(tools: Sequence[Any], provider: str) -> tuple[Any, ...]:
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise BadInput("tools must be a list of schemas in the provider's shape")
    schemas = tuple(plain(tool, f"tools[{i}]") for i, tool in enumerate(tools))
    for i, schema in enumerate(schemas):
        if not isinstance(schema, dict):
            raise BadInput(f"tools[{i}] must be a schema in the provider's shape, not {type(schema).__name__}")
        shape = _shape_of(schema)
        if shape is not None and shape != provider:
            raise BadInput(
                f"tools[{i}] has the shape of {shape}, and this context speaks {provider}: "
                f"pass {_TOOLS[provider]}, or provider={shape!r}"
            )
    return schemas


def _shape_of(schema: Mapping[str, Any]) -> str | None:
    """Return whose tool a schema is; None where it may be a built-in one of the provider's own."""
    if schema.get("type") == "function":
        return "openai" if isinstance(schema.get("function"), Mapping) else "openai-responses"
    if "input_schema" in schema:
        return "anthropic"
    is_plain = "type" not in schema and "name" in schema and "parameters" in schema
    return "gemini" if is_plain or "function_declarations" in schema or "functionDeclarations" in schema else None
