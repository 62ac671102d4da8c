"""The validity rules of every provider, strictest reading: `validate` lists what a payload breaks.

Where two APIs of a family differ, the stricter one is checked. Nothing is repaired here. A code is stable; the sentence
beside it may change. What holds for one provider only stands in `<provider>_rules`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ctxmem.errors import BadInput
from ctxmem.providers import registry
from ctxmem.providers.neutral import Violation


def validate(payload: Any, provider: str) -> list[Violation]:
    """List the rules of a provider that a payload breaks; empty when the provider takes it.

    `payload` is what goes into the SDK call (a mapping with `messages`, `input` or `contents`, and `system`, `tools`,
    `model` where given), or the list of messages alone. O(size of the payload); nothing is sent.

    Raises:
        BadInput: the provider is not known, or the payload is neither of the two.

    >>> validate([{"role": "tool", "tool_call_id": "c1", "content": "x"}], "openai")[0].code
    'orphan-result'
    """
    shape = registry.named(provider)
    key = shape.payload_key
    whole = {key: payload} if isinstance(payload, list | tuple) else payload
    if not isinstance(whole, Mapping) or not isinstance(whole.get(key), list | tuple):
        raise BadInput(f"payload: pass a list of messages, or a mapping with {key!r}")
    for index, message in enumerate(whole[key]):
        if not isinstance(message, Mapping):
            return [Violation("not-a-message", f"{key}[{index}]", f"{type(message).__name__}, not an object")]
    return [*_unsendable(whole), *shape.check(whole, whole[key])]


def _unsendable(payload: Mapping[str, Any]) -> Iterator[Violation]:
    """Say where the payload is not JSON, or not UTF-8 (a lone surrogate): no client can send it."""
    for key, value in payload.items():
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            yield Violation("not-utf8", key, "holds a lone surrogate, which UTF-8 cannot encode")
        except (TypeError, ValueError) as exc:
            yield Violation("not-json", key, f"cannot be serialised: {exc}")
