"""What a tool's schema says of its calls: the annotations of the Model Context Protocol, in the schema of any provider.

No provider's API takes them: they are read here, and taken out of what is sent.
"""

from collections.abc import Sequence
from typing import Any

from ctxmem.providers.plain import Json
from ctxmem.providers.shape import Shape
from ctxmem.segment import Nature


def take_hints(schemas: Sequence[Json], shape: Shape) -> dict[str, Nature]:
    """Take the annotations out of schemas of a shape; return what they say of their functions, by name.

    They stand in the schema or in its function; a function's own go first.
    """
    found: dict[str, Nature] = {}
    for schema in schemas:
        functions = shape.functions(schema)
        own = [function.pop("annotations", None) for function in functions]
        shared = schema.pop("annotations", None)
        for function, annotations in zip(functions, own, strict=True):
            nature = _nature(annotations) or _nature(shared)
            name = shape.tool_name(function)
            if nature is not None and name is not None:
                found[name] = nature
    return found


def _nature(annotations: Any) -> Nature | None:
    """Read the hints; one that is neither true nor false says nothing. What only reads destroys nothing."""
    if not isinstance(annotations, dict):
        return None
    reads, destroys = annotations.get("readOnlyHint"), annotations.get("destructiveHint")
    if reads is True:
        return "read"
    return "change" if reads is False or destroys is True else None
