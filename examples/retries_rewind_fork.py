"""What goes wrong between two turns: a request that fails, a reply to take back, a second way to try."""

import tempfile
from pathlib import Path

from fake_clients import FakeOpenAI

import ctxmem


def failing(_request: dict) -> str:
    raise ConnectionError("the network is gone")


client = FakeOpenAI([failing, "Drop the table.", "Rename the column.", "Add a view."])

with tempfile.TemporaryDirectory() as folder, ctxmem.open(Path(folder, "agent.ctxmem")) as memory:
    context = memory.context("migration", model="gpt-4.1")
    context.system("You plan database migrations.")
    asked = context.append({"role": "user", "content": "How do we get rid of users.name?"}, key="request-1")

    # A retry: nothing was appended, so the turn and the prompt are the same and nothing is recalled twice.
    prompt = context.assemble()
    try:
        client.chat.completions.create(**prompt.kwargs())
    except ConnectionError:
        again = context.assemble()
        assert (again.turn, again.messages) == (prompt.turn, prompt.messages)
    # A host that retries its own work gives the same key: the same segment comes back, nothing doubles.
    assert (
        context.append({"role": "user", "content": "How do we get rid of users.name?"}, key="request-1").id == asked.id
    )
    bad = context.append(client.chat.completions.create(**again.kwargs()))

    # Rewind: undo to just before a segment. The log keeps it; no prompt shows it, no recall brings it back.
    context.rewind(bad.id)
    good = context.append(client.chat.completions.create(**context.assemble().kwargs()))
    shown = [message["content"] for message in context.assemble().messages]
    assert bad.text not in shown
    assert good.text in shown
    assert memory.get(bad.id).text == bad.text

    # Fork: a branch that shares everything up to the question.
    branch = context.fork("migration-b", at=asked.id)
    other = branch.append(client.chat.completions.create(**branch.assemble().kwargs()))
    print("main:  ", [m["content"] for m in context.assemble().messages][-1])
    print("branch:", [m["content"] for m in branch.assemble().messages][-1])
    assert good.text not in [m["content"] for m in branch.assemble().messages]
    assert other.text not in [m["content"] for m in context.assemble().messages]
