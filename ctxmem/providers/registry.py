"""The table of wire shapes. A new provider is a module of its own, and a row here."""

from ctxmem.errors import BadInput, BadMessage
from ctxmem.providers import anthropic, gemini, openai, responses
from ctxmem.providers.plain import Json
from ctxmem.providers.shape import Fit, Shape

# Where a message fits two shapes equally well, the earlier row takes it.
_ROWS: tuple[Shape, ...] = (openai.SHAPE, gemini.SHAPE, responses.SHAPE, anthropic.SHAPE)
SHAPES: dict[str, Shape] = {shape.name: shape for shape in _ROWS}
DEFAULT = _ROWS[0].name  # for a message of which nothing else is known


def named(provider: str) -> Shape:
    """Return a provider's shape.

    Raises:
        BadInput: there is none of that name.
    """
    shape = SHAPES.get(provider) if isinstance(provider, str) else None
    if shape is None:
        raise BadInput(f"provider {provider!r} is not known; choose one of {', '.join(sorted(SHAPES))}")
    return shape


def best_fit(message: Json, prefer: str) -> Shape:
    """Return the shape that a message fits most surely; `prefer` has what fits several.

    Raises:
        BadMessage: none does.
    """
    given = message.get("role")
    role = given if isinstance(given, str) else "" if given is None else repr(given)
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    types = {kind for part in parts if isinstance(part, dict) and isinstance(kind := part.get("type"), str)}
    best, found = Fit.NONE, None
    for shape in SHAPES.values():
        fit = shape.fit(message, role, types)
        if fit > best or (fit == best == Fit.SHARED and shape.name == prefer):
            best, found = fit, shape
    if found is None:
        shown = "missing" if given is None else repr(role)
        raise BadMessage(f"message.role: {shown}; pass system, developer, user, assistant or tool")
    return found


def owner_of(schema: Json) -> Shape | None:
    """Return the shape that a tool's schema has; None where it may be a tool that is built into a provider."""
    return next((shape for shape in SHAPES.values() if shape.owns_tool(schema)), None)
