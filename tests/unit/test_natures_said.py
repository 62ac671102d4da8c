"""What the caller or a tool's hints say of a call: who goes before whom, and that it is kept with the call."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import ctxmem
from ctxmem import codec
from ctxmem.providers import registry
from tests.dialogues import MODELS, assistant, fast, text_of, user

PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer"}}}
DONE, AGAIN = "it was done; do not run it again", "run the call again if needed"


def hinted(provider: str, name: str, **hints: object) -> dict:
    """A tool's schema with annotations, as a caller who has them from an MCP server would write it."""
    return {**registry.named(provider).tool(name, "Does it.", dict(PARAMETERS)), "annotations": hints}


def said(memory, context, name: str, arguments: dict | None = None) -> tuple[int, ...]:
    """What is kept of a call of that name."""
    made = context.append(assistant(None, (f"call_{name}", name, arguments or {})))
    return memory._log.get(made.id).facts.natures


def opened(path, **options) -> ctxmem.Memory:
    return ctxmem.open(path / "s", options=fast(clock=lambda: 1.0, **options))


@pytest.mark.parametrize("provider", MODELS)
def test_hints_are_read_in_every_shape_and_never_sent(tmp_path, provider):
    tools = [
        hinted(provider, "frob", readOnlyHint=True, destructiveHint=True, title="Frob"),
        hinted(provider, "get_it", readOnlyHint=False),
        hinted(provider, "find_it", destructiveHint=True),
        hinted(provider, "show_it", readOnlyHint="no", destructiveHint=False, openWorldHint=True),
    ]
    with opened(tmp_path) as memory:
        context = memory.context("a", model=MODELS[provider], provider=provider, tools=tools)
        context.append(user("hello"))
        found = [said(memory, context, name) for name in ("frob", "get_it", "find_it", "show_it", "other")]
        prompt = context.assemble()

    assert found == [(0,), (1,), (1,), (), ()]
    bare = [{key: value for key, value in tool.items() if key != "annotations"} for tool in tools]
    assert prompt.tools == bare
    assert "Hint" not in str(prompt.kwargs())
    assert "Hint" not in str(prompt.kwargs(tools=tools))  # the same tools may be passed again
    assert "annotations" in tools[0]


def test_hints_stand_beside_a_function_in_it_or_in_declarations(tmp_path):
    reads, changes = {"readOnlyHint": True}, {"readOnlyHint": False}
    nested = {"type": "function", "function": {"name": "frob", "annotations": reads}, "annotations": changes}
    declared = [{"name": "frob", "parameters": PARAMETERS, "annotations": reads}, {"name": "nudge"}]
    with opened(tmp_path) as memory:
        context = memory.context("a", model="gpt-4.1", tools=[nested])
        context.append(user("hello"))
        assert said(memory, context, "frob") == (0,)  # its own go first
        assert context.assemble().tools == [{"type": "function", "function": {"name": "frob"}}]

        tools = [{"function_declarations": declared, "annotations": changes}]
        context = memory.context("b", model="gemini-2.5-pro", tools=tools)
        context.append(user("hello"))
        assert said(memory, context, "frob") == (0,)
        assert said(memory, context, "nudge") == (1,)
        assert "Hint" not in str(context.assemble().kwargs())


def test_memory_read_among_declarations_is_known(tmp_path):
    with opened(tmp_path) as memory:
        tools = [{"function_declarations": ctxmem.tools("gemini")}]
        context = memory.context("a", model="gemini-2.5-pro", window=2_000, reserve=0, tools=tools)
        asked = context.append(user("word " * 6_000))
        assert f"memory_read({asked.id}) shows it" in text_of(context.assemble())


def test_the_callers_function_goes_before_hints_and_hints_before_names(tmp_path):
    asked = []

    def nature_of_call(name, arguments):
        asked.append((name, arguments))
        return {"get_it": "run", "other": "change"}.get(name)

    tools = [hinted("openai", "get_it", readOnlyHint=False), hinted("openai", "put_it", readOnlyHint=True)]
    with opened(tmp_path, nature_of_call=nature_of_call) as memory:
        context = memory.context("a", model="gpt-4.1", tools=tools)
        context.append(user("hello"))
        made = context.append(assistant(None, ("c1", "get_it", {"n": 1}), ("c2", "put_it", {}), ("c3", "x", {})))
        assert memory._log.get(made.id).facts.natures == (2, 0, -1)
        assert said(memory, context, "other") == (1,)
        context.result("c1", "ok")
    assert asked == [("get_it", {"n": 1}), ("put_it", {}), ("x", {}), ("other", {})]


def test_the_callers_function_is_called_without_a_lock(tmp_path):
    def nature_of_call(_name, _arguments):
        with ThreadPoolExecutor(1) as other:
            return "read" if other.submit(lambda: context.tokens).result(timeout=60) else None

    with opened(tmp_path, nature_of_call=nature_of_call) as memory:
        context = memory.context("a", model="gpt-4.1")
        context.append(user("hello"))
        assert said(memory, context, "frob") == (0,)


def test_a_tool_that_can_change_things_is_asked_by_its_arguments_whether_it_does(tmp_path):
    tools = [hinted("openai", name, readOnlyHint=False) for name in ("bash", "get_it")]
    with opened(tmp_path) as memory:
        context = memory.context("a", model="gpt-4.1", tools=tools)
        context.append(user("hello"))
        assert said(memory, context, "bash", {"command": "ls"}) == ()
        assert said(memory, context, "get_it", {"n": 1}) == (1,)


@pytest.mark.parametrize("wrong", ["reads", "", 0, False, b"read", ["read"], {"read"}])
def test_what_is_no_nature_is_an_error_and_nothing_is_written(tmp_path, wrong):
    with opened(tmp_path, nature_of_call=lambda *_: wrong) as memory:
        context = memory.context("a", model="gpt-4.1")
        context.append(user("hello"))
        before = memory._log.index.session_ids(1)
        with pytest.raises(
            ctxmem.BadInput, match=r"nature_of_call.*'frob'.*must return one of 'read', 'change', 'run'"
        ):
            context.append(assistant("now", ("c1", "frob", {})), key="k")
        assert memory._log.index.session_ids(1) == before
        assert context.open_calls == ()


def test_hints_come_and_go_with_the_tools(tmp_path):
    says = hinted("openai", "frob", readOnlyHint=True)
    plain = {key: value for key, value in says.items() if key != "annotations"}
    with opened(tmp_path) as memory:
        context = memory.context("a", model="gpt-4.1", tools=[plain])
        context.append(user("hello"))
        assert said(memory, context, "frob") == ()
        memory.context("a", model="gpt-4.1", tools=[says])
        assert said(memory, context, "frob") == (0,)
        context.switch("gpt-4o")  # its tools are kept
        assert said(memory, context, "frob") == (0,)
        assert said(memory, context.fork("b"), "frob") == (0,)
        context.switch("gpt-4o", tools=[plain])
        assert said(memory, context, "frob") == ()
        context.switch("gpt-4o", tools=[says])
        assert said(memory, context, "frob") == (0,)


def play(context, names, rounds: int = 4) -> None:
    """Steps with a word to each and results that are cut where room is short."""
    context.append(user("Please do all of these one after another, and say when you are done."))
    for n in range(rounds):
        for name in names:
            said = "I think that this is what we need here. " * 6
            context.append(assistant(said, (f"{name}{n}", name, {"n": n})))
            context.result(f"{name}{n}", f"line of {name} {n}\n" * 90)


def told(context) -> str:
    """What is left when some steps were cut, then when most are lines."""
    texts = []
    for goal in (3_000, 1_000):
        context.collect(goal)
        texts.append(text_of(context.assemble()))
    return "\n".join(texts)


def test_stubs_and_lines_follow_what_was_said(tmp_path):
    texts = {}
    for nature in ("read", "change"):
        (tmp_path / nature).mkdir()
        with opened(tmp_path / nature, nature_of_call=lambda *_, nature=nature: nature) as memory:
            context = memory.context("a", model="gpt-4.1", window=8_000, reserve=0)
            play(context, ["frob"], rounds=8)
            texts[nature] = told(context)
    assert AGAIN in texts["read"]
    assert DONE not in texts["read"]
    assert "90 lines" in texts["read"]
    assert DONE in texts["change"]
    assert AGAIN not in texts["change"]
    assert "90 lines" not in texts["change"]


def test_what_was_said_is_told_the_same_after_the_store_was_opened_without_it(tmp_path):
    natures = {"frob": "read", "get_it": "change"}
    texts = {}
    for place, later in (("with", natures), ("without", {})):
        (tmp_path / place).mkdir()
        with opened(tmp_path / place, nature_of_call=lambda name, _: natures.get(name)) as memory:
            context = memory.context("a", model="gpt-4.1", window=8_000, reserve=0)
            play(context, natures)
            context.fork("b")
            context.collect(3_000)
            before = text_of(context.assemble())
        with opened(tmp_path / place, nature_of_call=lambda name, _, later=later: later.get(name)) as memory:
            context = memory.context("a", model="gpt-4.1", window=8_000, reserve=0)
            assert text_of(context.assemble()) == text_of(context.replay(1)) == before
            copy = memory.context("b", model="gpt-4.1", window=8_000, reserve=0)
            texts[place] = told(context) + told(copy)

    assert texts["with"] == texts["without"]
    assert AGAIN in before
    assert DONE in before


def test_a_record_of_which_nothing_was_said_has_no_byte_more(tmp_path):
    with opened(tmp_path, nature_of_call=lambda *_: None) as memory:
        context = memory.context("a", model="gpt-4.1", tools=[hinted("openai", "frob", readOnlyHint=True)])
        context.append(user("hello"))
        nothing = context.append(assistant(None, ("c1", "get_it", {})))
        record = memory._log.get(nothing.id)
    assert codec.unpack(codec.pack_record(record))[16] == {0: 0}


@pytest.mark.parametrize("provider", MODELS)
def test_a_cut_user_message_is_no_call_to_run_again(tmp_path, provider):
    with opened(tmp_path) as memory:
        chosen = {"model": MODELS[provider], "provider": provider, "window": 2_000, "reserve": 0}
        context = memory.context("a", **chosen)
        asked = context.append(user("the head of it " + "word " * 6_000))
        text = text_of(context.assemble())
        assert "the rest is kept, not shown; ask the user if needed" in text
        assert "run the call" not in text

        context = memory.context("b", tools=ctxmem.tools(provider), **chosen)
        asked = context.append(user("the head of it " + "word " * 6_000))
        text = text_of(context.assemble())
        assert f"memory_read({asked.id}) shows it" in text
        assert "ask the user" not in text


def test_a_cut_result_of_a_text_protocol_promises_no_call(tmp_path):
    with opened(tmp_path) as memory:
        context = memory.context("a", model="gpt-4.1", window=2_000, reserve=0)
        context.append(user("Please look at all the files and tell me what they do there."))
        context.append(assistant("ACTION: cat a.py"))
        context.append(user("OBSERVATION: " + "word " * 6_000), kind="tool")
        text = text_of(context.assemble())
    assert "the rest is kept, not shown" in text
    assert "run the call" not in text
    assert "ask the user" not in text
