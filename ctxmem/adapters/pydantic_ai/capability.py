"""The prompt of each request: a capability on the hook that knows which model serves it.

I1. What it sends is for one attempt: the run's history stays whole, and its messages are the same objects where they
    stand whole.
"""

import os
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any, TypeAlias

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model, ModelRequestContext, ModelRequestParameters
from pydantic_ai.tools import RunContext, Tool, ToolDefinition
from pydantic_ai.toolsets import FunctionToolset

from ctxmem.adapters.hook import Follower, ModelCall, Sent
from ctxmem.adapters.pydantic_ai.messages import DIALECT, finished
from ctxmem.memory import Memory
from ctxmem.models import lookup
from ctxmem.prompt.memorytools import tools as memory_tools
from ctxmem.providers.plain import Json

Naming: TypeAlias = str | Callable[[RunContext[Any]], str]


class ContextCapability(AbstractCapability[Any]):
    """Sends, of all that was said, what fits: the last of `Agent(capabilities=[..., ContextCapability(memory)])`.

    Args:
        memory: an open Memory, or the path of a store.
        session: the conversation's name, or a function that says it of a run; the run's `conversation_id` where it is
            left out. Agents that are given one `conversation_id` need names of their own.
        options: those of `adapters.hook.Follower`: model, window, reserve, reads, policy, recall, recall_tokens,
            strict.

    Raises:
        BadInput: a bad option. Whatever `ctxmem.open` raises, of a path.
    """

    def __init__(
        self, memory: Memory | str | os.PathLike[str], *, session: Naming | None = None, **options: Any
    ) -> None:
        self.follower = Follower(memory, DIALECT, **options)
        self._named = session
        self._sent: Sent | None = None  # of the attempt that this run is at

    async def for_run(self, ctx: RunContext[Any]) -> "ContextCapability":
        """Return an instance for one run: it knows what that run sent last."""
        del ctx
        return copy(self)

    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Return the request with the messages that are sent."""
        given = request_context.messages
        self._sent = await self.follower.asend(given, lambda: self._call(ctx, request_context))
        return replace(request_context, messages=finished(self._sent.items, given))

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Learn from the usage of a response, once."""
        del ctx, request_context
        sent, self._sent = self._sent, None
        usage = response.usage
        if sent is not None and usage.input_tokens:
            details = {"cached_tokens": usage.cache_read_tokens}
            sent.observe({"prompt_tokens": usage.input_tokens, "prompt_tokens_details": details})
        return response

    def get_toolset(self) -> FunctionToolset[Any]:
        """Give the agent the memory tools: with them the model can look up what is no longer shown."""
        return FunctionToolset([self._tool(schema["function"]) for schema in memory_tools(DIALECT.provider)])

    def _tool(self, schema: Json) -> Tool[Any]:
        def answer(ctx: RunContext[Any], **arguments: Any) -> str:
            return self.follower.dispatch(self._session(ctx), schema["name"], arguments)

        name, text = schema["name"], schema["description"]
        made: Tool[Any] = Tool.from_schema(answer, name, text, schema["parameters"], takes_ctx=True)
        return made

    def close(self) -> None:
        """Close the store where a path was given; else do nothing."""
        self.follower.close()

    def _session(self, ctx: RunContext[Any]) -> str:
        if callable(self._named):
            return self._named(ctx)
        return self._named or str(ctx.conversation_id or "")

    def _call(self, ctx: RunContext[Any], request: ModelRequestContext) -> ModelCall:
        parameters = request.model_request_parameters
        settings = request.model_settings or {}
        held = settings.get("openai_previous_response_id")
        return ModelCall(
            session=self._session(ctx),
            model=_name(request.model),
            system=_instructions(parameters),
            tools=_schemas(parameters),
            settings={
                # "auto": the framework goes on from a response only while the messages before it are the same.
                "previous_response_id": None if held == "auto" else held,
                "conversation_id": settings.get("openai_conversation_id"),
            },
        )


def _name(model: Model) -> str:
    """Return the name of a model; of several that may serve, the one with the least window."""
    several = getattr(model, "models", None)
    names = [each.model_name for each in several] if several else [model.model_name]
    return min(names, key=lambda name: lookup(name).window)


def _instructions(parameters: ModelRequestParameters) -> str:
    told = [part.content for part in parameters.instruction_parts or ()]
    return "\n\n".join(filter(None, [*told, parameters.prompted_output_instructions]))


def _schemas(parameters: ModelRequestParameters) -> list[Json]:
    """Return the tools that a model is told of; those that wait to be found are not."""
    told = [each for each in parameters.function_tools if not _waits(each, parameters)]
    return [_schema(each) for each in [*told, *parameters.output_tools]]


def _waits(tool: ToolDefinition, parameters: ModelRequestParameters) -> bool:
    return getattr(tool, "defer_loading", False) and tool.name not in getattr(parameters, "revealed_tool_names", ())


def _schema(tool: ToolDefinition) -> Json:
    described = {"name": tool.name, "description": tool.description or "", "parameters": tool.parameters_json_schema}
    return {"type": "function", "function": described}
