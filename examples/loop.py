"""The agent loop, whole: assemble, ask, append, run the calls, give the results."""

import tempfile
from pathlib import Path

from fake_clients import FakeOpenAI, call

import ctxmem

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "description": "Read a file.",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        },
    }
]
FILES = {"app/login.py": "def login(user, password):\n    return password == user.passwrd\n"}
client = FakeOpenAI([[call("read_file", path="app/login.py")], "The attribute is misspelt: user.passwrd."])


def run(one: ctxmem.Call) -> str:
    return FILES[one.arguments["path"]]


with tempfile.TemporaryDirectory() as folder:
    memory = ctxmem.open(Path(folder, "agent.ctxmem"))
    context = memory.context("fix-login", model="gpt-6.1-sol", tools=TOOLS)
    context.system("You are a coding agent.")
    context.append({"role": "user", "content": "Why does login fail?"}, task="T-7", tags=["bug"])
    while True:
        prompt = context.assemble()  # collects first when near the limit
        reply = client.chat.completions.create(**prompt.kwargs())
        said = context.append(reply)  # the SDK's whole reply: its usage is observed too
        if not said.calls:
            break
        for one in said.calls:
            context.result(one.id, run(one), file=one.arguments.get("path"))

    print(said.text)
    print([hit.segment.kind for hit in memory.search("passwrd", file="app/login.py")])
    assert memory.check() == []
    memory.close()
