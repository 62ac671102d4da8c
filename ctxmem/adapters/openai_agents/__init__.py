"""OpenAI Agents SDK: the prompts of its runs, and the history of its sessions.

filter    `context_filter`, for `RunConfig(call_model_input_filter=...)`: what fits, at each call of a model
items     a run's items and an agent's tools, as ctxmem reads them
session   `MemorySession`, for `Runner.run(..., session=...)`: what was said, kept and found by every search
"""

from ctxmem.adapters import missing

try:
    import agents as _agents  # noqa: F401 - asked for first, so that its absence gets our own error
except ImportError as error:
    raise missing("openai-agents", error) from error

from ctxmem.adapters.openai_agents.filter import ContextFilter, UsageHooks, context_filter
from ctxmem.adapters.openai_agents.session import MemorySession

__all__ = ["ContextFilter", "MemorySession", "UsageHooks", "context_filter"]
