"""Provider shapes: parse any message, render for any provider, validate, count, and build the SDK call.

Floors within: plain; neutral, images; openai, responses, anthropic, gemini; merging; wire; counts, request; rules.
"""

from ctxmem.providers.counts import count_tools, rendered_tokens
from ctxmem.providers.neutral import Draft, Image, Text, Unit, Violation, Wire, is_wire_id, wire_id
from ctxmem.providers.request import Request, kwargs
from ctxmem.providers.rules import validate
from ctxmem.providers.wire import SHAPES, Renderer, images_of, parse, result_message

PROVIDERS = tuple(sorted(SHAPES))

__all__ = [
    "PROVIDERS",
    "Draft",
    "Image",
    "Renderer",
    "Request",
    "Text",
    "Unit",
    "Violation",
    "Wire",
    "count_tools",
    "images_of",
    "is_wire_id",
    "kwargs",
    "parse",
    "rendered_tokens",
    "result_message",
    "validate",
    "wire_id",
]
