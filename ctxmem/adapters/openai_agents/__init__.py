"""OpenAI Agents SDK: the history of its sessions.

session   `MemorySession`, for `Runner.run(..., session=...)`: what was said, kept and found by every search
"""

from ctxmem.adapters import missing

try:
    import agents as _agents  # noqa: F401 - asked for first, so that its absence gets our own error
except ImportError as error:
    raise missing("openai-agents", error) from error

from ctxmem.adapters.openai_agents.session import MemorySession

__all__ = ["MemorySession"]
