"""A process that dies between a tool call and its result; the next one goes on where it stopped."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fake_clients import FakeOpenAI, call

import ctxmem

TOOLS = [{"type": "function", "function": {"name": "build", "description": "Build.", "parameters": {"type": "object"}}}]


def first(store: str) -> None:
    """Ask for two builds, finish one, and die."""
    memory = ctxmem.open(store)
    context = memory.context("release", model="gpt-4.1", tools=TOOLS)
    context.append({"role": "user", "content": "Build both targets."}, key="task")
    client = FakeOpenAI([[call("build", target="arm"), call("build", target="x86")]])
    said = context.append(client.chat.completions.create(**context.assemble().kwargs()))
    context.result(said.calls[0].id, "arm: built")
    memory.flush()  # a barrier, as the next assemble would be: all that was appended before is on disk
    os.kill(os.getpid(), 9)


def second(store: str) -> None:
    """Resume: the lease of the dead process is free, the open call is known, its result takes its place."""
    with ctxmem.open(store) as memory:
        context = memory.context("release", model="gpt-4.1", tools=TOOLS)
        # A re-run script says everything again: equal keys and an equal system prompt double nothing.
        context.append({"role": "user", "content": "Build both targets."}, key="task")
        print("still open:", [(one.name, one.arguments["target"]) for one in context.open_calls])
        assert len(context.open_calls) == 1
        for one in context.open_calls:
            context.result(one.id, f"{one.arguments['target']}: built")
        prompt = context.assemble()
        assert ctxmem.validate(prompt.kwargs(), "openai") == []
        print([message["content"] for message in prompt.messages])
        client = FakeOpenAI(["Both are built."])
        print(context.append(client.chat.completions.create(**prompt.kwargs())).text)
        assert memory.check() == []


if __name__ == "__main__":
    if len(sys.argv) > 1:
        first(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "agent.ctxmem"))
        died = subprocess.run([sys.executable, __file__, path], check=False)
        assert died.returncode == -9
        second(path)
