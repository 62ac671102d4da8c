"""The items of a run as ctxmem reads them, and the tools of an agent as they are counted.

I1. Every item reads as one message: none is without a place in the log.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agents import Agent, FunctionTool, Handoff, RunContextWrapper, Tool, handoff

from ctxmem.adapters.hook import Dialect
from ctxmem.providers.plain import Json, dumps

PROVIDER = "openai-responses"

_PAIRED = frozenset({"function_call", "custom_tool_call", "local_shell_call", "computer_call"})
_READ = frozenset({"message", "reasoning", "compaction", "item_reference", "mcp_list_tools", "mcp_approval_request"})


def read(item: Mapping[str, Any]) -> Sequence[Any]:
    """Return the message that an item is; a kind of call that is not known pairs with its output like any other."""
    kind, call_id = str(item.get("type") or "message"), item.get("call_id")
    if kind in _READ or kind.removesuffix("_output") in _PAIRED:
        return (item,)
    if not call_id and kind.endswith("_call"):  # what a server ran: its result is in it
        return (item,)
    beside = {key: value for key, value in item.items() if key not in {"type", "id", "call_id", "status"}}
    if not call_id:
        return ({"role": "user", "content": f"[{kind}] {dumps(beside)}"},)
    if kind.endswith("_output"):
        return ({"type": "function_call_output", "call_id": call_id, "output": dumps(beside)},)
    return ({"type": "function_call", "call_id": call_id, "name": kind, "arguments": dumps(beside)},)


def make(messages: list[Json], kind: str, own: list[Any]) -> list[Any]:
    """Return the items that a prompt has; those of a kind that ctxmem cannot write stay as they are."""
    del kind
    return own if any(read(item)[0] is not item for item in own) else messages


DIALECT = Dialect(provider=PROVIDER, read=read, make=make)


async def schemas(agent: Agent[Any], context: Any) -> list[Json]:
    """Return what a model is told of the agent's tools and handoffs, near enough to count it."""
    tools = await agent.get_all_tools(RunContextWrapper(context))
    handed = [each if isinstance(each, Handoff) else handoff(each) for each in agent.handoffs]
    return [_tool(tool) for tool in tools] + [
        _function(each.tool_name, each.tool_description, each.input_json_schema) for each in handed
    ]


def _tool(tool: Tool) -> Json:
    if isinstance(tool, FunctionTool):
        return _function(tool.name, tool.description, tool.params_json_schema)
    return {
        "type": "function",
        "name": tool.name,
        "description": str(getattr(tool, "description", "")),
        "parameters": {},
    }


def _function(name: str, text: str, parameters: Json) -> Json:
    return {"type": "function", "name": name, "description": text, "parameters": parameters}
