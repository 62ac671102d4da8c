"""One conversation that begins with an OpenAI model and goes on with an Anthropic one, calls and all."""

import asyncio
import tempfile
from pathlib import Path

from fake_clients import FakeAsyncAnthropic, FakeOpenAI, call

import ctxmem

PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
OPENAI_TOOLS = [{"type": "function", "function": {"name": "read", "description": "Read.", "parameters": PARAMETERS}}]
ANTHROPIC_TOOLS = [{"name": "read", "description": "Read.", "input_schema": PARAMETERS}]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ctxmem.open(Path(folder, "agent.ctxmem")) as memory:
        context = memory.context("tour", model="gpt-6.1-sol", tools=OPENAI_TOOLS)
        context.system("Be brief.")
        context.append({"role": "user", "content": "What is in a.txt and b.txt?"})
        openai = FakeOpenAI([[call("read", path="a.txt"), call("read", path="b.txt")]])
        said = context.append(openai.chat.completions.create(**context.assemble().kwargs()))
        for one in said.calls:
            context.result(one.id, f"text of {one.arguments['path']}")

        # From now on another model, with other counts, another wire shape and its own cache.
        context.switch("claude-opus-5-5", tools=ANTHROPIC_TOOLS)
        prompt = context.assemble()
        anthropic = FakeAsyncAnthropic([["a.txt and b.txt hold their own names."]])
        async with anthropic.messages.stream(**prompt.kwargs()) as stream:
            said = context.append(await stream.get_final_message())

        (request,) = anthropic.requests
        print(
            [
                (m["role"], [b["type"] for b in m["content"]] if isinstance(m["content"], list) else "text")
                for m in request["messages"]
            ]
        )
        print(said.text)

        # And back: the Anthropic reply is rendered for OpenAI.
        context.switch("gpt-6.1-sol", tools=OPENAI_TOOLS)
        context.append({"role": "user", "content": "Thanks."})
        prompt = context.assemble()
        assert ctxmem.validate(prompt.kwargs(), "openai") == []
        print([message["role"] for message in prompt.messages])


asyncio.run(main())
