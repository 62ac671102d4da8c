"""Token counts of whole payloads: a rendered prompt from scratch, and tool schemas as each provider writes them.

All are o200k. The sum of the units' tokens and `Renderer.framing_tokens` is never below `rendered_tokens` of what the
join makes of them (merged messages share their framing, labels and ids are counted at their largest), and above it by
at most 16 tokens a unit for messages in the provider's own shape.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ctxmem.providers.neutral import MESSAGE_TOKENS, PRIMING_TOKENS
from ctxmem.providers.plain import Json, dumps, plain
from ctxmem.providers.wire import SHAPES
from ctxmem.tokens import count

# OpenAI's cookbook: 9 beside the namespace's text. Anthropic's page on tool use names 346 of its own tokens for the
# preamble that comes with tools, on models that count 1.20 times o200k.
_OPENAI_TOOLS_TOKENS = 9
_ANTHROPIC_TOOLS_TOKENS = 290
_BLOCK_TOOL_TOKENS = 12
_MAX_DEPTH = 12


def rendered_tokens(
    messages: Sequence[Json], provider: str, *, system: Iterable[Json] | str | None = None, tools: Sequence[Any] = ()
) -> int:
    """Count a rendered prompt from scratch: messages, system blocks, tools and the reply's priming.

    >>> rendered_tokens([{"role": "user", "content": "hello world"}], "openai")
    9
    """
    total: int = PRIMING_TOKENS + count_tools(tools, provider) + sum(map(SHAPES[provider].count_message, messages))
    if system:
        texts = [system] if isinstance(system, str) else [str(block.get("text") or "") for block in system]
        total += MESSAGE_TOKENS + sum(map(count, texts))
    return total


def count_tools(tools: Sequence[Any], provider: str) -> int:
    """Count tool schemas in a provider's shape: OpenAI's as TypeScript, others as JSON, both on the safe side.

    >>> count_tools([], "openai")
    0
    """
    schemas = [plain(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    if not schemas:
        return 0
    if provider in {"openai", "openai-responses"}:
        functions = [f for schema in schemas if isinstance(f := _function(schema), dict)]
        other = [schema for schema in schemas if _function(schema) is None]
        return _OPENAI_TOOLS_TOKENS + count(namespace(functions)) + sum(count(dumps(schema)) for schema in other)
    each = sum(_BLOCK_TOOL_TOKENS + count(dumps(schema)) for schema in schemas)
    return each + (_ANTHROPIC_TOOLS_TOKENS if provider == "anthropic" else 0)


def _function(schema: Json) -> Json | None:
    """Give the function of a tool: nested (chat), flat (Responses), or None for a tool of the provider's own."""
    nested = schema.get("function")
    if isinstance(nested, dict):
        return nested
    return schema if schema.get("type") == "function" or "parameters" in schema else None


def namespace(functions: Sequence[Json]) -> str:
    """Write functions as the TypeScript that OpenAI shows its models.

    >>> print(namespace([{"name": "ls", "parameters": {"properties": {"path": {"type": "string"}}}}]))
    namespace functions {
    <BLANKLINE>
    type ls = (_: {
    path?: string,
    }) => any;
    <BLANKLINE>
    } // namespace functions
    """
    lines = ["namespace functions {", ""]
    for function in functions:
        if function.get("description"):
            lines.append(f"// {function['description']}")
        parameters = function.get("parameters")
        if isinstance(parameters, dict) and parameters.get("properties"):
            lines += [f"type {function.get('name')} = (_: {{", *_properties(parameters, 0), "}) => any;", ""]
        else:
            lines += [f"type {function.get('name')} = () => any;", ""]
    return "\n".join([*lines, "} // namespace functions"])


def _properties(schema: Mapping[str, Any], depth: int) -> list[str]:
    lines = []
    required = schema.get("required") or ()
    for name, property_ in (schema.get("properties") or {}).items():
        details = property_ if isinstance(property_, dict) else {}
        if details.get("description"):
            lines.append(f"// {details['description']}")
        mark = "" if name in required else "?"
        lines.append(f"{name}{mark}: {_type(details, depth + 1)},")
    return lines


def _type(schema: Mapping[str, Any], depth: int) -> str:
    kind = schema.get("type")
    if depth > _MAX_DEPTH:
        return dumps(dict(schema))
    if schema.get("enum"):
        return " | ".join(dumps(value) for value in schema["enum"])
    if kind == "object" and schema.get("properties"):
        return "\n".join(["{", *_properties(schema, depth), "}"])
    if kind == "array":
        items = schema.get("items")
        return f"{_type(items, depth + 1)}[]" if isinstance(items, dict) and items else "any[]"
    if kind in {"string", "number", "integer", "boolean", "null"}:
        plain_name = "number" if kind == "integer" else str(kind)
        extras = {key: value for key, value in schema.items() if key not in {"type", "description"}}
        return f"{plain_name} // {dumps(extras)}" if extras else plain_name
    rest = {key: value for key, value in schema.items() if key != "description"}
    return dumps(rest) if rest else "any"
