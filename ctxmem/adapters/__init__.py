"""Adapters: ctxmem inside other programs, a module for each framework or protocol.

An adapter is imported when it is asked for, and `import ctxmem` imports none. Its third-party package comes with an
extra of the same name (`pip install 'ctxmem-engine[mcp]'`); without it the import raises `PackageMissing`.

anthropic      the files of Anthropic's memory tool
claude_agent   the Claude Agent SDK's transcripts
langchain      the prompts of its agents, and a retriever
langgraph      a store of items, and checkpoints
mcp            a server of the Model Context Protocol: search, read, add and forget for any host that speaks it
openai_agents  the prompts of the OpenAI Agents SDK's runs, and the history of its sessions
pydantic_ai    the prompts of Pydantic AI's agents

No adapters themselves:
hook           what the adapters that own a framework's prompt share
shelf          what those that store a framework's data share
"""

from ctxmem.errors import PackageMissing


def missing(extra: str, error: ImportError) -> PackageMissing:
    """Return the error to raise where an adapter's third-party package cannot be imported.

    >>> print(missing("mcp", ImportError("No module named 'mcp'")))
    ctxmem.adapters.mcp cannot be used here (No module named 'mcp'): pip install 'ctxmem-engine[mcp]'
    """
    module = extra.replace("-", "_")
    return PackageMissing(
        f"ctxmem.adapters.{module} cannot be used here ({error}): pip install 'ctxmem-engine[{extra}]'", extra
    )
