"""LangChain's agents, driven by the script."""

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRetryMiddleware
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from ctxmem.adapters.langchain import ContextMiddleware
from tests.adapters import script
from tests.adapters.script import MODEL, PNG, RESERVE, SYSTEM, WINDOW


class Scripted(BaseChatModel):
    """A chat model that answers by the script."""

    _driver: Any = PrivateAttr()  # LangChain writes every field down at every call
    model_name: str = MODEL
    tools: list = []  # noqa: RUF012 - a field of pydantic's

    def __init__(self, driver):
        super().__init__()
        self._driver = driver

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools, **_):
        return self.model_copy(update={"tools": [convert_to_openai_tool(each) for each in tools]})

    def _generate(self, messages, stop=None, run_manager=None, **_):  # noqa: ARG002
        return ChatResult(generations=[ChatGeneration(message=self._driver.answer(messages, self.tools))])

    def _stream(self, messages, stop=None, run_manager=None, **_):  # noqa: ARG002
        whole = self._driver.answer(messages, self.tools)
        pieces = [AIMessageChunk(content=word) for word in whole.content.split(" ")]
        pieces = [AIMessageChunk(content=f"{p.content} ") for p in pieces[:-1]] + pieces[-1:]
        calls = [
            {
                "name": c["name"],
                "args": script.json.dumps(c["args"]),
                "id": c["id"],
                "index": i,
                "type": "tool_call_chunk",
            }
            for i, c in enumerate(whole.tool_calls)
        ]
        last = AIMessageChunk(
            content="", tool_call_chunks=calls, usage_metadata=whole.usage_metadata, chunk_position="last"
        )
        for piece in [*pieces, last]:
            chunk = ChatGenerationChunk(message=piece)
            if run_manager:
                run_manager.on_llm_new_token(piece.content, chunk=chunk)
            yield chunk


class Recorder(AgentMiddleware):
    """Hands every request to a function, on its way in."""

    tools = ()

    def __init__(self, name, seen):
        super().__init__()
        self._name, self._seen = name, seen

    @property
    def name(self):
        return self._name

    def wrap_model_call(self, request, handler):
        self._seen(request)
        return handler(request)

    async def awrap_model_call(self, request, handler):
        self._seen(request)
        return await handler(request)


class Driver(script.Driver):
    def begin(self):
        chosen = {"model": None, "window": WINDOW, "reserve": RESERVE, "strict": True, **self.options}
        self.middleware = ContextMiddleware(self.memory, **chosen)
        self.given = self.sent = None
        self.failed = set()
        self.agent = create_agent(
            Scripted(self),
            tools=[tool(script.look)],
            system_prompt=SYSTEM,
            middleware=[
                ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False, on_failure="error"),
                Failures(),
                Recorder("before", lambda request: setattr(self, "given", list(request.messages))),
                self.middleware,
                Recorder("behind", lambda request: setattr(self, "sent", list(request.messages))),
            ],
        )

    def answer(self, messages, tools) -> AIMessage:
        assert messages[0].text == SYSTEM
        wire, self.schemas = self.wire(messages[1:]), tools
        reply = self.next_reply(script.Request(self.given, self.sent, wire))
        counted = self.counted(wire, tools)
        return AIMessage(
            reply.text,
            tool_calls=[{"id": i, "name": name, "args": args} for i, name, args in reply.calls],
            usage_metadata={"input_tokens": counted, "output_tokens": 9, "total_tokens": counted + 9},
        )

    def user(self, text, *, image=False):
        if not image:
            return HumanMessage(text)
        return HumanMessage(
            [{"type": "text", "text": text}, {"type": "image", "base64": PNG, "mime_type": "image/png"}]
        )

    def run(self, history):
        config = {"configurable": {"thread_id": self.thread}, "recursion_limit": 1_000}
        state = {"messages": history}
        if self.mode == "async":
            return asyncio.run(self.agent.ainvoke(state, config))["messages"]
        if self.mode == "stream":
            found = None
            for kind, part in self.agent.stream(state, config, stream_mode=["messages", "values"]):
                found = part if kind == "values" else found
            return found["messages"]
        return self.agent.invoke(state, config)["messages"]

    def wire(self, items):
        return convert_to_openai_messages(items)

    def is_ours(self, item):
        return item.id.startswith("ctxmem-")

    def context(self):
        return self.middleware.context(self.thread)

    def stats(self):
        return self.middleware.stats()


class Failures(AgentMiddleware):
    """Turns an error of a tool into its result, as agents in production do."""

    tools = ()

    def wrap_tool_call(self, request, handler):
        try:
            return handler(request)
        except ValueError as error:
            return _failed(request, error)

    async def awrap_tool_call(self, request, handler):
        try:
            return await handler(request)
        except ValueError as error:
            return _failed(request, error)


def _failed(request, error):
    from langchain_core.messages import ToolMessage

    call = request.tool_call
    return ToolMessage(str(error), tool_call_id=call["id"], name=call["name"], status="error")
