"""LangChain's tools as schemas that are counted, and ctxmem's memory tools as tools of LangChain."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from ctxmem.prompt.memorytools import tools as memory_schemas
from ctxmem.providers.plain import Json

Answering = Callable[[RunnableConfig, str, Mapping[str, Any]], str]


class Schemas:
    """The schemas of an agent's tools: made once, since a schema takes longer to make than a prompt. Thread-safe."""

    def __init__(self) -> None:
        self._last: tuple[list[Any], list[Json]] = ([], [])

    def of(self, given: Sequence[Any]) -> list[Json]:
        """Return a schema for each tool, in OpenAI's shape; the same ones while the tools are the same objects."""
        tools, schemas = self._last
        if len(tools) != len(given) or any(one is not other for one, other in zip(tools, given, strict=True)):
            tools, schemas = list(given), [_schema(tool) for tool in given]
            self._last = (tools, schemas)
        return schemas


def _schema(tool: Any) -> Json:
    try:
        found = convert_to_openai_tool(tool)
    except Exception:  # noqa: BLE001 - a tool that is built into a provider has a form of its own
        found = {}
    if isinstance(found.get("function"), dict):
        return found
    named = tool.get("name") or tool.get("type") if isinstance(tool, Mapping) else getattr(tool, "name", None)
    function = {"name": str(named or "tool"), "description": json.dumps(tool, default=str), "parameters": {}}
    return {"type": "function", "function": function}


def structured(response_format: Any) -> list[Any]:
    """Return what a structured answer adds to the tools: LangChain binds them after every middleware."""
    return [
        {
            "type": "function",
            "function": {"name": spec.name, "description": spec.description, "parameters": spec.json_schema},
        }
        for spec in getattr(response_format, "schema_specs", ())
    ]


def memory_tools(answer: Answering) -> list[BaseTool]:
    """Return the two memory tools; `answer` gets a call's config, so that it knows the thread."""
    return [_memory_tool(schema["function"], answer) for schema in memory_schemas("openai")]


def _memory_tool(function: Json, answer: Answering) -> BaseTool:
    name = function["name"]

    def run(config: RunnableConfig, **arguments: Any) -> str:
        return answer(config, name, arguments)

    return StructuredTool.from_function(
        run, name=name, description=function["description"], args_schema=function["parameters"], infer_schema=False
    )
