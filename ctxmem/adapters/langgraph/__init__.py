"""LangGraph's two stores over a memory: long-term items that a search finds, and the checkpoints of its threads.

store         `MemoryStore`, a `BaseStore`
checkpointer  `Checkpointer`, a `BaseCheckpointSaver`

See docs/adapters/langgraph.md.
"""

from ctxmem.adapters import missing

try:
    from ctxmem.adapters.langgraph.checkpointer import Checkpointer
    from ctxmem.adapters.langgraph.store import MemoryStore
except ImportError as error:
    raise missing("langgraph", error) from error

__all__ = ["Checkpointer", "MemoryStore"]
