"""Read the usage that a provider reports, whatever its shape."""

from collections.abc import Mapping
from typing import Any

from ctxmem.errors import BadInput
from ctxmem.providers.plain import dump


def as_mapping(usage: Any) -> Mapping[str, Any]:
    """Return a usage as a mapping: a dict, or an SDK object.

    Raises:
        BadInput: neither.
    """
    found = dump(usage) if hasattr(usage, "model_dump") else usage
    if not isinstance(found, Mapping):
        raise BadInput(f"usage must be a mapping or an SDK's usage object, not {type(usage).__name__}")
    return found


def _number(usage: Mapping[str, Any], *path: str) -> int | None:
    value: Any = usage
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def input_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return all input tokens of a call, cached ones included; None where it does not say.

    >>> input_tokens({"prompt_tokens": 12})
    12
    >>> input_tokens({"input_tokens": 2, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 1})
    11
    """
    total = _number(usage, "prompt_tokens")
    if total is None:
        total = _number(usage, "prompt_token_count")
    if total is not None:
        return total
    fresh = _number(usage, "input_tokens")
    if fresh is None:
        return None
    return (
        fresh + (_number(usage, "cache_read_input_tokens") or 0) + (_number(usage, "cache_creation_input_tokens") or 0)
    )


def cached_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return the input tokens that were read from the provider's cache; None where it does not say.

    >>> cached_tokens({"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": 8}})
    8
    """
    for path in (
        ("cache_read_input_tokens",),
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("cached_content_token_count",),
    ):
        found = _number(usage, *path)
        if found is not None:
            return found
    return None
