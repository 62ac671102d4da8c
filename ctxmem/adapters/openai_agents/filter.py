"""The prompt of a run: a filter that the SDK asks before each call of a model, streamed or not.

I1. Items that stand whole are given back as the same objects; the run's own history, and its session, stay whole.
I2. An agent that runs as another's tool has a session of its own, `SESSION/AGENT`: its list is not the run's.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from agents import Agent, FunctionTool, ModelResponse, RunContextWrapper, RunHooks
from agents.models import get_default_model
from agents.run_config import CallModelData, ModelInputData

from ctxmem.adapters.hook import Follower, ModelCall, Sent
from ctxmem.adapters.openai_agents.items import DIALECT, PROVIDER, schemas
from ctxmem.errors import BadInput
from ctxmem.memory import Memory
from ctxmem.prompt.memorytools import tools as memory_tools
from ctxmem.providers.plain import parse_arguments

Naming: TypeAlias = str | Callable[[CallModelData[Any]], str]

_MOST_RUNS = 256  # sessions whose list is known by its ends


@dataclass(slots=True)
class _Call:
    """The call of a model that this task is at: for what is asked after it, its usage and the memory tools."""

    session: str
    sent: Sent | None


_CALL: ContextVar[_Call | None] = ContextVar("ctxmem_call", default=None)


class _Ends(NamedTuple):
    """By what the list of a run is known again: whose it was, its first item and its last."""

    agent: Agent[Any]
    first: Any
    last: Any

    def are_of(self, data: CallModelData[Any]) -> bool:
        """Say whether a list goes on with this one. A handoff keeps the items, an agent that is a tool has none."""
        items = data.model_data.input
        return data.agent is self.agent or items[:1] == [self.first] or self.last in items


def context_filter(memory: Memory | str | os.PathLike[str], *, session: Naming, **options: Any) -> "ContextFilter":
    """Return a filter for `RunConfig(call_model_input_filter=...)` that sends, of all that was said, what fits.

    Args:
        memory: an open Memory, or the path of a store.
        session: the conversation's name, or a function that says it of each call (`lambda data: data.context.chat`).
        options: those of `adapters.hook.Follower`: model, window, reserve, reads, policy, recall, recall_tokens,
            strict. The model is the agent's own; `model` says it where `RunConfig.model` does, or where it is an
            object without a name.

    Raises:
        BadInput: a bad option. Whatever `ctxmem.open` raises, of a path.
    """
    return ContextFilter(Follower(memory, DIALECT, **options), session)


class ContextFilter:
    """What `context_filter` returns. Safe for any number of runs at once."""

    def __init__(self, follower: Follower, session: Naming) -> None:
        self.follower = follower
        self.hooks = UsageHooks()
        self._named = session
        self._ends = OrderedDict[str, _Ends]()

    async def __call__(self, data: CallModelData[Any]) -> ModelInputData:
        """Return what is to be sent, and keep the instructions."""
        given = data.model_data
        call = _Call("", None)

        async def described() -> ModelCall:
            call.session = self._session(data)
            return ModelCall(
                session=call.session,
                model=_model(data.agent),
                system=given.instructions or "",
                tools=await schemas(data.agent, data.context),
                settings=data.agent.model_settings.extra_args or {},
            )

        call.sent = await self.follower.asend(given.input, described)
        _CALL.set(call)
        return ModelInputData(input=call.sent.items, instructions=given.instructions)

    @property
    def tools(self) -> list[FunctionTool]:
        """The memory tools, for `Agent(tools=[...])`: with them the model can look up what is no longer shown."""
        return [self._tool(schema) for schema in memory_tools(PROVIDER)]

    def close(self) -> None:
        """Close the store where a path was given; else do nothing."""
        self.follower.close()

    def _session(self, data: CallModelData[Any]) -> str:
        """Name the session of a call, of its own where the list is that of an agent that runs as a tool."""
        name = self._named(data) if callable(self._named) else self._named
        if not isinstance(name, str) or not name:
            raise BadInput(f"session must be a name, or a function that returns one, not {name!r:.80}")
        items = data.model_data.input
        known = self._ends.pop(name, None)
        if known is not None and not known.are_of(data):
            self._ends[name] = known
            return f"{name}/{data.agent.name}"
        if items:
            self._ends[name] = _Ends(data.agent, items[0], items[-1])
        while len(self._ends) > _MOST_RUNS:
            self._ends.popitem(last=False)
        return name

    def _tool(self, schema: dict[str, Any]) -> FunctionTool:
        async def invoke(_: Any, arguments: str) -> str:
            call = _CALL.get()
            if call is None:
                return "Nothing can be looked up just now. Go on with what is shown."
            return self.follower.dispatch(call.session, schema["name"], parse_arguments(arguments) or {})

        return FunctionTool(
            name=schema["name"],
            description=schema["description"],
            params_json_schema=schema["parameters"],
            on_invoke_tool=invoke,
            strict_json_schema=False,
        )


class UsageHooks(RunHooks[Any]):
    """Tells ctxmem what the provider counted: `Runner.run(..., hooks=filter.hooks)`, or a base of your own hooks."""

    async def on_llm_end(self, context: RunContextWrapper[Any], agent: Agent[Any], response: ModelResponse) -> None:
        """Learn from the usage of a reply, once."""
        del context, agent
        call = _CALL.get()
        if call is None or call.sent is None:
            return
        sent, call.sent = call.sent, None
        requests = response.usage.request_usage_entries
        last = requests[-1] if requests else response.usage  # a reply may have taken several requests
        if last.input_tokens:
            details = {"cached_tokens": last.input_tokens_details.cached_tokens}
            sent.observe({"input_tokens": last.input_tokens, "input_tokens_details": details})


def _model(agent: Agent[Any]) -> str | None:
    """Return the name of an agent's model, None where it is an object without one."""
    model = get_default_model() if agent.model is None else agent.model
    name = model if isinstance(model, str) else getattr(model, "model", None)
    return str(name) if name else None
