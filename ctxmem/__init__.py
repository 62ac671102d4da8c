"""An embedded context-memory engine for LLM agents: keeps everything, sends what fits.

memory = ctxmem.open("agent.ctxmem")
context = memory.context("fix-login", model="gpt-6.1-sol")
context.append({"role": "user", "content": "Why does login fail?"})
prompt = context.assemble()
reply = client.chat.completions.create(**prompt.kwargs())
context.append(reply)
"""

from ctxmem.context.context import Context
from ctxmem.costs import Cost
from ctxmem.entries import Logs
from ctxmem.errors import (
    BadInput,
    BadMessage,
    BadQuery,
    BudgetExceeded,
    ContextBusy,
    CorruptSegment,
    CtxMemError,
    FormatMismatch,
    KeyConflict,
    NotAStore,
    PackageMissing,
    SegmentNotFound,
    ServerHeldHistory,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreForked,
    StoreFull,
    StoreGone,
    StoreReadonly,
    ToolsChanged,
    TurnNotFound,
    WindowOverflow,
    WriterFenced,
)
from ctxmem.memory import Memory, open  # noqa: A004 - always written ctxmem.open
from ctxmem.options import Options, Policy
from ctxmem.prompt.memorytools import tools
from ctxmem.prompt.prompt import Collection, Explanation, Prompt, Reason
from ctxmem.providers import Violation, validate
from ctxmem.segment import Call, Hit, Problem, Segment

__version__ = "0.1.0"

__all__ = [
    "BadInput",
    "BadMessage",
    "BadQuery",
    "BudgetExceeded",
    "Call",
    "Collection",
    "Context",
    "ContextBusy",
    "CorruptSegment",
    "Cost",
    "CtxMemError",
    "Explanation",
    "FormatMismatch",
    "Hit",
    "KeyConflict",
    "Logs",
    "Memory",
    "NotAStore",
    "Options",
    "PackageMissing",
    "Policy",
    "Problem",
    "Prompt",
    "Reason",
    "Segment",
    "SegmentNotFound",
    "ServerHeldHistory",
    "StoreBusy",
    "StoreClosed",
    "StoreDamaged",
    "StoreError",
    "StoreForked",
    "StoreFull",
    "StoreGone",
    "StoreReadonly",
    "ToolsChanged",
    "TurnNotFound",
    "Violation",
    "WindowOverflow",
    "WriterFenced",
    "open",
    "tools",
    "validate",
]
