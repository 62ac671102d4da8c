"""Tool schemas as the TypeScript that OpenAI shows its models, and their count: for both of its APIs."""

from collections.abc import Mapping, Sequence
from typing import Any

from ctxmem.providers.plain import Json, dumps
from ctxmem.tokens import count

_TOOLS_TOKENS = 9  # OpenAI's cookbook: beside the namespace's text
_MAX_DEPTH = 12


def count_tools(schemas: Sequence[Json]) -> int:
    """Count tool schemas as TypeScript, those of no function as JSON: on the safe side."""
    functions = [f for schema in schemas if isinstance(f := _function(schema), dict)]
    other = [schema for schema in schemas if _function(schema) is None]
    return _TOOLS_TOKENS + count(namespace(functions)) + sum(count(dumps(schema)) for schema in other)


def _function(schema: Json) -> Json | None:
    """Return the function of a tool: nested (chat), flat (Responses), or None for a tool of the provider's own."""
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
