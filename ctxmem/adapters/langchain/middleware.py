"""The middleware of LangChain's agents that gives each call of a model the prompt of its messages.

I1. The agent's state is never changed: it keeps every message, and so does a checkpointer.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, ensure_config

from ctxmem.adapters.hook import Dialect, Follower, ModelCall, Sent
from ctxmem.adapters.langchain.messages import content_of, make, read
from ctxmem.adapters.langchain.tooling import Schemas, memory_tools, structured
from ctxmem.context.context import Context
from ctxmem.errors import BadInput
from ctxmem.memory import Memory
from ctxmem.options import Policy

_DIALECT = Dialect("openai", read, make)
_MODEL_NAMES = ("model_name", "model", "model_id")  # the attributes in which chat models have theirs

Session = str | Callable[[RunnableConfig], str]


class ContextMiddleware(AgentMiddleware[Any, Any, Any]):
    """Give each call of a model the prompt of its messages: what fits, and what of the rest it needs.

    It stands last in `middleware=[...]`: what is behind it would change a prompt that was fitted. One middleware serves
    many threads, agents and models at once.

    Args:
        memory: an open Memory; or a path, opened at once and closed by `close`, or when the program ends.
        session: the session's name, or a function of the run's config. Else it is the thread id, and for an agent that
            is run by a tool of another one, the thread id and the place of that call.
        model: name of the model whose sizes count, in place of the one that serves the call.
        window, reserve, reads, policy: as in `Memory.context`. A model that no table describes needs a `window`.
        recall, recall_tokens: whether what a user says last is searched for in what is not shown, and how much of it
            is quoted (`Context.assemble`).
        memory_tools: whether the agent gets the tools `memory_search` and `memory_read`.
        strict: whether an error of ours is raised. Else a run goes on with the newest messages that fit, a warning
            says why, and `stats` counts it.

    Raises:
        BadInput: an option that every call would fail with.
    """

    def __init__(
        self,
        memory: Memory | str | os.PathLike[str],
        *,
        session: Session | None = None,
        model: str | None = None,
        window: int | None = None,
        reserve: int | None = None,
        reads: Sequence[str] | str = (),
        policy: Policy | None = None,
        recall: bool = True,
        recall_tokens: int | None = None,
        memory_tools: bool = True,
        strict: bool = False,
    ) -> None:
        super().__init__()
        self._follower = Follower(
            memory,
            _DIALECT,
            model=model,
            window=window,
            reserve=reserve,
            reads=reads,
            policy=policy,
            recall=recall,
            recall_tokens=recall_tokens,
            strict=strict,
        )
        self._session = session
        self._schemas, self._structured = Schemas(), Schemas()
        self.tools = _tools(self._answer) if memory_tools else []

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Call the model with the prompt of the request's messages."""
        sent = self._follower.send(request.messages, lambda: self._call(request))
        response = handler(request.override(messages=sent.items))
        _observe(sent, response)
        return response

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Do as `wrap_model_call`; awaits the commit and the model."""
        sent = await self._follower.asend(request.messages, lambda: self._call(request))
        response = await handler(request.override(messages=sent.items))
        _observe(sent, response)
        return response

    def context(self, session: str) -> Context | None:
        """Return the context of a session, to search, explain or replay with; None where it is not open here."""
        return self._follower.context(session)

    def stats(self) -> dict[str, Any]:
        """Return how many calls were served, how many of them by a cut of the list, and the errors by kind."""
        return self._follower.stats()

    def close(self) -> None:
        """Close the memory where a path was given; else do nothing."""
        self._follower.close()

    def _call(self, request: ModelRequest[Any]) -> ModelCall:
        system = request.system_message
        return ModelCall(
            session=self._session_of(ensure_config()),
            model=_model_name(request.model),
            system="" if system is None else content_of(system),
            tools=[*self._schemas.of(request.tools), *self._structured.of(structured(request.response_format))],
            settings=request.model_settings,
        )

    def _session_of(self, config: RunnableConfig) -> str:
        """Return the name of the session of a run.

        Raises:
            BadInput: it has no thread id, and no session was given.
        """
        if self._session is not None:
            return self._session if isinstance(self._session, str) else self._session(config)
        configurable = config.get("configurable", {})
        thread = configurable.get("thread_id")
        if thread is None:
            raise BadInput(
                "the run has no thread id: pass config={'configurable': {'thread_id': ...}}, or session= to the adapter"
            )
        # One node a part; the last is the one that runs. An agent within a tool of another has that tool's before it.
        place, _, _ = str(configurable.get("checkpoint_ns") or "").rpartition("|")
        return f"{thread}/{place}" if place else str(thread)

    def _answer(self, config: RunnableConfig, name: str, arguments: Mapping[str, Any]) -> str:
        try:
            session = self._session_of(config)
        except Exception:  # noqa: BLE001 - the call of the model said so already
            session = ""  # no session has that name
        return self._follower.dispatch(session, name, arguments)


_tools = memory_tools  # an option has that name


def _model_name(model: Any) -> str | None:
    """Return the name of a chat model, through what it is wrapped in."""
    while model is not None:
        for name in _MODEL_NAMES:
            found = getattr(model, name, None)
            if isinstance(found, str) and found:
                return found
        model = getattr(model, "bound", None)
    return None


def _observe(sent: Sent, response: Any) -> None:
    """Learn from what the provider counted of a response."""
    for message in getattr(response, "result", ()):
        usage = message.usage_metadata if isinstance(message, AIMessage) else None
        if usage:
            cached = (usage.get("input_token_details") or {}).get("cache_read")
            details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
            sent.observe({"prompt_tokens": usage["input_tokens"], **details})
            return
