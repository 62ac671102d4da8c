"""Anthropic's SDK: where the model's memory tool keeps its files.

memory_tool   `MemoryTool` and `AsyncMemoryTool`, for `tools=[...]` of the SDK's tool runner
files         the files, and what the model is told of them
"""

from ctxmem.adapters import missing

try:
    import anthropic as _anthropic  # noqa: F401 - asked for first, so that its absence gets our own error
except ImportError as error:
    raise missing("anthropic", error) from error

from ctxmem.adapters.anthropic.memory_tool import AsyncMemoryTool, MemoryTool

__all__ = ["AsyncMemoryTool", "MemoryTool"]
