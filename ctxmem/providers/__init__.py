"""Provider shapes: parse any message, render for any provider, validate, count, and build the SDK call."""

from ctxmem.providers.neutral import Draft, Image, Text, Unit, Violation, Wire, is_wire_id, wire_id
from ctxmem.providers.wire import Renderer, parse, result_message

__all__ = [
    "Draft",
    "Image",
    "Renderer",
    "Text",
    "Unit",
    "Violation",
    "Wire",
    "is_wire_id",
    "parse",
    "result_message",
    "wire_id",
]
