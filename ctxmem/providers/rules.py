"""The validity rules of every provider, strictest reading: `validate` lists what a payload breaks.

The rules and their evidence stand in docs/decisions; where two APIs of a family differ, the stricter one is checked.
Nothing is repaired here. A code is stable; the sentence may change.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ctxmem.errors import BadInput
from ctxmem.models import Model, lookup
from ctxmem.providers.neutral import Violation
from ctxmem.providers.plain import parse_arguments

_MAX_MESSAGES = 100_000
_MAX_MARKS = 4
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def validate(payload: Any, provider: str) -> list[Violation]:
    """List the rules of a provider that a payload breaks; empty when the provider takes it.

    `payload` is what goes into the SDK call (a mapping with `messages`, `input` or `contents`, and `system`, `tools`,
    `model` where given), or the list of messages alone. O(size of the payload); nothing is sent.

    Raises:
        BadInput: the provider is not known, or the payload is neither of the two.

    >>> validate([{"role": "tool", "tool_call_id": "c1", "content": "x"}], "openai")[0].code
    'orphan-result'
    """
    checks: Mapping[str, tuple[str, Callable[[Json_, Sequence[Any]], Iterator[Violation]]]] = _CHECKS
    if provider not in checks:
        raise BadInput(f"provider {provider!r} is not known; choose one of {', '.join(sorted(checks))}")
    key, check = checks[provider]
    whole = {key: payload} if isinstance(payload, list | tuple) else payload
    if not isinstance(whole, Mapping) or not isinstance(whole.get(key), list | tuple):
        raise BadInput(f"payload: pass a list of messages, or a mapping with {key!r}")
    return list(check(whole, whole[key]))
