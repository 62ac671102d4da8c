"""LangChain over a memory: agents whose every call of a model gets a prompt that fits, and what a chain may look up.

middleware   `ContextMiddleware`, an `AgentMiddleware`
messages     LangChain's messages, read and written
tooling      its tools, as schemas, and the memory tools as tools of its own
retriever    `MemoryRetriever`, a `BaseRetriever` over everything that was stored

See docs/adapters/langchain.md.
"""

from ctxmem.adapters import missing

try:
    import langchain_core as _langchain_core  # noqa: F401 - asked for first, so that its absence gets our own error
except ImportError as error:
    raise missing("langchain", error) from error

from ctxmem.adapters.langchain.middleware import ContextMiddleware
from ctxmem.adapters.langchain.retriever import MemoryRetriever

__all__ = ["ContextMiddleware", "MemoryRetriever"]
