"""LangChain: what a chain may look up in a memory.

retriever   `MemoryRetriever`, a `BaseRetriever` over everything that was stored
"""

from ctxmem.adapters import missing

try:
    import langchain_core as _langchain_core  # noqa: F401 - asked for first, so that its absence gets our own error
except ImportError as error:
    raise missing("langchain", error) from error

from ctxmem.adapters.langchain.retriever import MemoryRetriever

__all__ = ["MemoryRetriever"]
