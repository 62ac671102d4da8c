"""Anthropic, async and streaming, with thinking and cache marks."""

import asyncio
import tempfile
from pathlib import Path

from fake_clients import FakeAsyncAnthropic, call

import ctxmem

TOOLS = [
    {
        "name": "read_file",
        "description": "Read a file.",
        "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    }
]


def thinking(text: str) -> dict[str, str]:
    return {"type": "thinking", "thinking": text, "signature": "c2lnbmVk"}


client = FakeAsyncAnthropic(
    [
        [
            thinking("The configuration first."),
            "Looking.",
            call("read_file", path="app.toml"),
            call("read_file", path="b.toml"),
        ],
        [thinking("Two ports."), "app.toml says 8080, b.toml says 9090."],
    ]
)


def marks(request: dict) -> int:
    """Count the cache marks of a request."""
    blocks = [*request.get("tools", []), *request["system"]]
    blocks += [b for m in request["messages"] if isinstance(m["content"], list) for b in m["content"]]
    return sum("cache_control" in block for block in blocks)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ctxmem.open(Path(folder, "agent.ctxmem")) as memory:
        context = memory.context("ports", model="claude-opus-5-5", tools=TOOLS)
        context.system("You are a coding agent.")
        context.append({"role": "user", "content": "Do the ports agree?"})
        while True:
            prompt = await context.aassemble()  # many contexts on one loop share one fsync
            async with client.messages.stream(**prompt.kwargs()) as stream:
                async for text in stream.text_stream:
                    print(text, end="", flush=True)
                said = context.append(await stream.get_final_message())
            if not said.calls:
                break
            for number, one in enumerate(said.calls):
                context.result(one.id, f"port = {8080 + 1010 * number}", file=one.arguments["path"])
        print()
        await memory.aflush()

        first, second = client.requests
        print(f"cache marks: {marks(first)}, then {marks(second)}; max_tokens {second['max_tokens']}")
        assert 1 <= marks(first) <= 4
        assert 1 <= marks(second) <= 4
        # The thinking of the open tool loop goes back as it came; both results share one message.
        assert second["messages"][1]["content"][0] == thinking("The configuration first.")
        assert [b["type"] for b in second["messages"][2]["content"]] == ["tool_result", "tool_result"]


asyncio.run(main())
