"""Read the usage that a provider reports, whatever its shape."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ctxmem import inputs
from ctxmem.errors import BadInput
from ctxmem.prices import Counts
from ctxmem.providers import registry
from ctxmem.providers.plain import dump, number
from ctxmem.providers.shape import Shape

# A provider's count differs from ours by a factor (its tokenizer) and a constant (its hidden system text). What lies
# beyond these belongs to another call, or to many calls added up.
_MOST_FACTOR = 10
_MOST_BESIDE = 20_000
_MOST_OUTPUT = 10_000_000  # tokens; no model puts out a tenth of it in one call


@dataclass(frozen=True, slots=True)
class Usage:
    """What a provider counted of one call, in its own tokens; None where it does not say."""

    input_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None

    @staticmethod
    def of(reported: Any) -> "Usage":
        """Read a usage: a dict, or an SDK's object.

        Raises:
            BadInput: neither, or it holds no count, or one that is negative or no number.
        """
        found = dump(reported) if hasattr(reported, "model_dump") else reported
        if not isinstance(found, Mapping):
            raise BadInput(f"usage must be a mapping or an SDK's usage object, not {type(reported).__name__}")
        _check_counts(found)
        if not any(number(found, name) is not None for name in found):
            raise BadInput(
                f"usage holds no token count: {found!r:.200}; pass the reply's usage as the provider gave it"
            )
        return Usage(
            input_tokens(found),
            cached_tokens(found),
            _first(lambda shape: shape.cache_write_tokens(found)),
            _first(lambda shape: shape.output_tokens(found)),
            _first(lambda shape: shape.reasoning_tokens(found)),
        )

    def check(self, counted_tokens: int) -> None:
        """Raise `BadInput` where this cannot be the usage of a prompt of that many o200k tokens."""
        if (self.input_tokens or 0) > _MOST_FACTOR * counted_tokens + _MOST_BESIDE:
            raise BadInput(
                f"usage names {self.input_tokens:,} input tokens for a prompt of about {counted_tokens:,}: "
                "pass the usage of that one call"
            )
        if (self.output_tokens or 0) > _MOST_OUTPUT:
            raise BadInput(f"usage names {self.output_tokens:,} output tokens: pass the usage of that one call")

    def counts(self, estimated: Counts) -> Counts:
        """Return the counts of the call; what the provider does not say is 0, the input as it was estimated.

        What was read from the cache and written to it are parts of the input, so they never exceed it.
        """
        taken = estimated.input if self.input_tokens is None else self.input_tokens
        cached = min(self.cached_tokens or 0, taken)
        output = self.output_tokens or 0
        return Counts(
            input=taken,
            cached=cached,
            cache_write=min(self.cache_write_tokens or 0, taken - cached),
            output=output,
            reasoning=min(self.reasoning_tokens or 0, output),
        )


def input_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return all input tokens of a call, cached ones included; None where it does not say.

    >>> input_tokens({"prompt_tokens": 12})
    12
    >>> input_tokens({"input_tokens": 2, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 1})
    11
    """
    return _first(lambda shape: shape.input_tokens(usage))


def cached_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return the input tokens that were read from the provider's cache; None where it does not say.

    >>> cached_tokens({"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": 8}})
    8
    """
    return _first(lambda shape: shape.cached_tokens(usage))


def _first(read: Callable[[Shape], int | None]) -> int | None:
    """Return what the first shape reads that reads anything."""
    found = (read(shape) for shape in registry.SHAPES.values())
    return next((tokens for tokens in found if tokens is not None), None)


def _check_counts(usage: Mapping[str, Any], path: str = "usage", depth: int = 0) -> None:
    """Raise `BadInput` for a number of tokens in a usage that counts nothing: below 0, NaN or infinite."""
    for name, value in usage.items():
        if isinstance(value, Mapping) and depth < 8:
            _check_counts(value, f"{path}[{inputs.shown(name)}]", depth + 1)
        elif isinstance(value, int | float) and "token" in str(name).lower() and not 0 <= value < math.inf:
            raise BadInput(f"{path}[{inputs.shown(name)}]={inputs.shown(value)} is no count: pass what was reported")
