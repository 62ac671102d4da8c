"""A forgotten segment's key is free: what is added with it next is stored, in every process, before and after compact."""

import subprocess
import sys

import pytest

import ctxmem

FORGOTTEN = "[forgotten]"


def compacted(memory, path):
    memory.compact()
    return memory


def reopened(memory, path):
    memory.compact()
    memory.close()
    return ctxmem.open(path)


def unchanged(memory, path):
    return memory


@pytest.mark.parametrize("between", [unchanged, compacted, reopened])
@pytest.mark.parametrize("text", ["the same", "something else"])
@pytest.mark.parametrize("is_flushed", [True, False])
def test_the_key_of_a_forgotten_segment_is_free(tmp_path, between, text, is_flushed):
    memory = ctxmem.open(tmp_path / "s")
    old = memory.add("the same", key="k", session="a")
    if is_flushed:
        memory.flush()
    memory.forget(old.id)
    memory = between(memory, tmp_path / "s")

    new = memory.add(text, key="k", session="a")

    assert (new.id != old.id, new.text) == (True, text)
    assert memory.add(text, key="k", session="a").id == new.id
    with pytest.raises(ctxmem.KeyConflict):
        memory.add("other content", key="k", session="a")
    memory.close()
    with ctxmem.open(tmp_path / "s") as memory:
        assert memory.add(text, key="k", session="a").id == new.id
        assert memory.get(new.id).text == text
        assert memory.get(old.id).text == FORGOTTEN
        memory.compact()
        assert memory.add(text, key="k", session="a").id == new.id
        assert memory.check() == []


@pytest.mark.parametrize("is_many", [False, True])
def test_add_many_stores_under_a_free_key(tmp_path, monkeypatch, is_many):
    monkeypatch.setattr("ctxmem.loading.MANY", 2 if is_many else 1000)
    items = [{"text": f"text {n}", "key": f"k{n}"} for n in range(5)]
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(load_workers=0)) as memory:
        old = memory.add_many(items)
        memory.forget(old[2])
        memory.compact()

        new = memory.add_many(items)

        assert [a == b for a, b in zip(old, new, strict=True)] == [True, True, False, True, True]
        assert [memory.get(i).text for i in new] == [item["text"] for item in items]


def test_another_process_sees_that_the_key_is_free(tmp_path):
    other = "import ctxmem, sys; m = ctxmem.open(sys.argv[1]); print(m.add(sys.argv[2], key='k').id); m.close()"
    with ctxmem.open(tmp_path / "s") as memory:
        old = memory.add("secret", key="k")
        memory.forget(old.id)

        made = subprocess.run(
            [sys.executable, "-c", other, tmp_path / "s", "new"], capture_output=True, text=True, check=True
        )

        assert memory.get(int(made.stdout)).text == "new"
        assert memory.add("new", key="k").id == int(made.stdout)


@pytest.mark.parametrize("between", [unchanged, compacted, reopened])
def test_a_context_appends_under_a_free_key(tmp_path, between):
    memory = ctxmem.open(tmp_path / "s")
    context = memory.context("a", model="gpt-4.1", window=8_000)
    old = context.append({"role": "user", "content": "my secret"}, key="k")
    context.assemble()
    memory.forget(old.id)
    memory = between(memory, tmp_path / "s")
    context = memory.context("a", model="gpt-4.1", window=8_000)

    new = context.append({"role": "user", "content": "my question"}, key="k")

    assert new.id != old.id
    assert new.text == "my question"
    assert "my question" in str(context.assemble().messages)
    memory.close()


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("between", [unchanged, compacted, reopened])
def test_the_result_of_a_call_stays_forgotten(tmp_path, between, key):
    """A call has one result: replaying the conversation must not bring back what was forgotten of it."""
    call = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    memory = ctxmem.open(tmp_path / "s")
    context = memory.context("a", model="gpt-4.1", window=8_000)
    context.append({"role": "user", "content": "read it"})
    context.append({"role": "assistant", "content": None, "tool_calls": [call]})
    old = context.result("c1", "a secret", key=key)
    context.assemble()
    memory.forget(old.id)
    memory = between(memory, tmp_path / "s")
    context = memory.context("a", model="gpt-4.1", window=8_000)

    again = context.result("c1", "a secret", key=key)

    assert (again.id, again.text) == (old.id, FORGOTTEN)
    assert "a secret" not in str(context.assemble().messages)
    memory.close()
