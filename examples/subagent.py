"""A subagent with a session of its own that may read its parent's: by recall, by search and by its own tools."""

import tempfile
from pathlib import Path

from fake_clients import FakeOpenAI, call

import ctxmem

with tempfile.TemporaryDirectory() as folder, ctxmem.open(Path(folder, "agent.ctxmem")) as memory:
    parent = memory.context("parent", model="gpt-6.1-sol")
    parent.append({"role": "user", "content": "Deploy the shop to the cluster in Falun."})
    parent.append({"role": "assistant", "content": "The deploy token is kept in vault path kv/shop/falun."})
    parent.assemble()

    child = memory.context("child", model="gpt-4.1", tools=ctxmem.tools("openai"), reads=("parent",))
    child.append({"role": "user", "content": "Where is the deploy token kept?"})

    # The host recalls for it: a quoted message at the end of the prompt, within recall_tokens.
    prompt = child.assemble(recall="deploy token vault path")
    assert any("kv/shop/falun" in str(message["content"]) for message in prompt.messages)

    # Or the subagent looks itself.
    client = FakeOpenAI([[call("memory_search", query="deploy token vault")], "In kv/shop/falun."])
    while True:
        said = child.append(client.chat.completions.create(**child.assemble().kwargs()))
        if not said.calls:
            break
        for one in said.calls:
            text = child.dispatch(one.name, one.arguments)  # None: not one of ours, the agent runs it
            child.result(one.id, text)
            print(text)
    print(said.text)

    # A session that it was not given stays closed to it.
    memory.context("stranger", model="gpt-4.1").append(
        {"role": "user", "content": "The deploy token of another customer."}
    )
    assert {hit.segment.session for hit in child.search("deploy token")} <= {"parent", "child"}
