"""Token counts of whole payloads: a rendered prompt from scratch, and tool schemas as each provider writes them.

All are o200k. The sum of the units' tokens and `Renderer.framing_tokens` is never below `rendered_tokens` of what the
join makes of them (merged messages share their framing, labels and ids are counted at their largest), and above it by
at most 16 tokens a unit for messages in the provider's own shape.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ctxmem.providers import registry
from ctxmem.providers.framing import MESSAGE_TOKENS, PRIMING_TOKENS
from ctxmem.providers.plain import Json, plain
from ctxmem.tokens import count


def rendered_tokens(
    messages: Sequence[Json], provider: str, *, system: Iterable[Json] | str | None = None, tools: Sequence[Any] = ()
) -> int:
    """Count a rendered prompt from scratch: messages, system blocks, tools and the reply's priming.

    >>> rendered_tokens([{"role": "user", "content": "hello world"}], "openai")
    9
    """
    shape = registry.named(provider)
    total = PRIMING_TOKENS + count_tools(tools, provider) + sum(map(shape.count_message, messages))
    if system:
        texts = [system] if isinstance(system, str) else [str(block.get("text") or "") for block in system]
        total += MESSAGE_TOKENS + sum(map(count, texts))
    return total


def count_tools(tools: Sequence[Any], provider: str) -> int:
    """Count tool schemas in a provider's shape, on the safe side.

    >>> count_tools([], "openai")
    0
    """
    schemas = [plain(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    return registry.named(provider).count_tools(schemas) if schemas else 0
