"""Read the usage that a provider reports, whatever its shape."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctxmem.errors import BadInput
from ctxmem.providers import registry
from ctxmem.providers.plain import dump, number

# A provider's count differs from ours by a factor (its tokenizer) and a constant (its hidden system text). What lies
# beyond these belongs to another call, or to many calls added up.
_MOST_FACTOR = 10
_MOST_BESIDE = 20_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What a provider counted of one call, in its own tokens; None where it does not say."""

    input_tokens: int | None
    cached_tokens: int | None

    @staticmethod
    def of(reported: Any) -> "Usage":
        """Read a usage: a dict, or an SDK's object.

        Raises:
            BadInput: neither, or it holds no count.
        """
        found = dump(reported) if hasattr(reported, "model_dump") else reported
        if not isinstance(found, Mapping):
            raise BadInput(f"usage must be a mapping or an SDK's usage object, not {type(reported).__name__}")
        if not any(number(found, name) is not None for name in found):
            raise BadInput(
                f"usage holds no token count: {found!r:.200}; pass the reply's usage as the provider gave it"
            )
        return Usage(input_tokens(found), cached_tokens(found))

    def check(self, counted_tokens: int) -> None:
        """Raise `BadInput` where this cannot be the usage of a prompt of that many o200k tokens."""
        if (self.input_tokens or 0) > _MOST_FACTOR * counted_tokens + _MOST_BESIDE:
            raise BadInput(
                f"usage names {self.input_tokens:,} input tokens for a prompt of about {counted_tokens:,}: "
                "pass the usage of that one call"
            )


def input_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return all input tokens of a call, cached ones included; None where it does not say.

    >>> input_tokens({"prompt_tokens": 12})
    12
    >>> input_tokens({"input_tokens": 2, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 1})
    11
    """
    found = (shape.input_tokens(usage) for shape in registry.SHAPES.values())
    return next((tokens for tokens in found if tokens is not None), None)


def cached_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return the input tokens that were read from the provider's cache; None where it does not say.

    >>> cached_tokens({"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": 8}})
    8
    """
    found = (shape.cached_tokens(usage) for shape in registry.SHAPES.values())
    return next((tokens for tokens in found if tokens is not None), None)
