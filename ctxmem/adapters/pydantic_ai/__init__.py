"""Pydantic AI: what an agent sends, fitted to the model that serves each request.

capability    `ContextCapability`, for `Agent(capabilities=[...])`: the prompt of each request
messages      requests and responses as ctxmem reads and writes them
"""

from ctxmem.adapters import missing

try:
    import pydantic_ai as _pydantic_ai  # noqa: F401 - asked for first, so that its absence gets our own error
except ImportError as error:
    raise missing("pydantic-ai", error) from error

from ctxmem.adapters.pydantic_ai.capability import ContextCapability

__all__ = ["ContextCapability"]
