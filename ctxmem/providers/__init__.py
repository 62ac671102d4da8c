"""Provider shapes: parse any message, render for any provider, validate, count, and build the SDK call.

Floors within: plain, framing; neutral; texts, images, typescript; shape; openai, responses, anthropic, gemini, each
after what it alone needs (openai_calls, anthropic_blocks, ...); registry, hints; wire, counts, request, rules.
"""

from ctxmem.providers.counts import count_tools, rendered_tokens
from ctxmem.providers.neutral import Draft, Image, Request, Text, Unit, Violation, Wire, is_wire_id, wire_id
from ctxmem.providers.registry import SHAPES
from ctxmem.providers.request import kwargs
from ctxmem.providers.rules import validate
from ctxmem.providers.shape import Fit, Shape
from ctxmem.providers.wire import (
    Renderer,
    images_of,
    labelled_text,
    parse,
    plain_message,
    result_message,
    said_of,
)

PROVIDERS = tuple(sorted(SHAPES))

__all__ = [
    "PROVIDERS",
    "Draft",
    "Fit",
    "Image",
    "Renderer",
    "Request",
    "Shape",
    "Text",
    "Unit",
    "Violation",
    "Wire",
    "count_tools",
    "images_of",
    "is_wire_id",
    "kwargs",
    "labelled_text",
    "parse",
    "plain_message",
    "rendered_tokens",
    "result_message",
    "said_of",
    "validate",
    "wire_id",
]
