"""Words outlive calls: an assistant's text stays as a message of its own when its calls and results become a line."""

import pytest

import ctxmem
from ctxmem.collector.working import TEXT
from tests.dialogues import FAST, MODELS, assistant, blocks, seen, text_of, tool, user


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as opened:
        yield opened


def step(context, n: int, message=None) -> int:
    """A call with something said beside it, and a long result; returns the id of the assistant's message."""
    said = f"The parser of part{n} drops line {n}00 because its buffer is too short; I will change it there first."
    call = (f"call_{n}", "run_query", {"text": f"select {n} " * 30})
    made = context.append(message or assistant(said, call))
    context.append(tool(f"call_{n}", f"row {n} of the answer\n" * 60))
    return made.id


def worded(context) -> list[int]:
    return [one.segment_id for one in context._session.now.state.working.shown() if one.form == TEXT]


def played(context, steps: int = 14) -> dict[int, dict]:
    """A task and steps with a turn after each; what was sent by turn."""
    context.append(user("Please find out why the parser loses lines, part by part, and mend it."))
    sent = {}
    for n in range(steps):
        step(context, n)
        prompt = context.assemble()
        assert ctxmem.validate(prompt.kwargs(), context.provider) == []
        assert prompt.tokens <= prompt.budget
        sent[prompt.turn] = seen(prompt)
    return sent


@pytest.mark.parametrize("provider", MODELS)
def test_words_stay_where_calls_went(memory, tmp_path, provider):
    context = memory.context("a", model=MODELS[provider], provider=provider, window=3_000, reserve=0)
    sent = played(context)
    ids = worded(context)
    assert ids
    text = text_of(context.assemble())
    for segment_id in ids:
        n = memory.get(segment_id).text.split("part")[1].split(" ")[0]
        assert f"The parser of part{n} drops line {n}00" in text
        assert f"call_{n}\\" not in text
        assert context.explain(segment_id).state == "stub"
    assert {turn: seen(context.replay(turn)) for turn in sent} == sent
    memory.close()
    with ctxmem.open(tmp_path / "s", options=FAST) as again:
        context = again.context("a", model=MODELS[provider], provider=provider, window=3_000, reserve=0)
        assert seen(context.assemble())["kwargs"] == sent[max(sent)]["kwargs"]
        assert worded(context) == ids
        assert {turn: seen(context.replay(turn)) for turn in sent} == sent


def test_an_announcement_goes_with_its_call(memory):
    context = memory.context("a", model=MODELS["openai"], provider="openai", window=3_000, reserve=0)
    context.append(user("Please find out why the parser loses lines, part by part, and mend it."))
    announced = set()
    for n in range(14):
        call = (f"call_{n}", "run_query", {"text": f"select {n} " * 30})
        said = assistant("Now let me run the next one of the queries:", call) if n % 2 else None
        made = step(context, n, said)
        announced |= {made} if said else set()
        context.assemble()

    assert worded(context)
    assert not announced & set(worded(context))


def test_between_two_collections_every_prompt_begins_with_the_one_before(memory):
    context = memory.context("a", model="gpt-4.1", window=3_000, reserve=0)
    context.append(user("Please find out why the parser loses lines, part by part, and mend it."))
    before, n_worded = None, 0
    for n in range(30):
        step(context, n)
        prompt = context.assemble()
        if before is not None and prompt.collection is None:
            assert blocks(prompt)[: len(before)] == before
        before = blocks(prompt)
        n_worded += bool(worded(context))
    assert n_worded > 10


def test_a_step_of_words_is_restored_whole(memory):
    context = memory.context("a", model="gpt-4.1", window=3_000, reserve=0)
    played(context)
    first = worded(context)[0]
    context.restore(first)
    prompt = context.assemble()

    n = memory.get(first).text.split("part")[1].split(" ")[0]
    assert f"row {n} of the answer" in text_of(prompt)
    assert ctxmem.validate(prompt.kwargs(), "openai") == []


def test_rewind_and_fork_keep_words(memory):
    context = memory.context("a", model="gpt-4.1", window=3_000, reserve=0)
    played(context)
    ids = worded(context)
    fork = context.fork("b")
    assert worded(fork) == ids
    step(fork, 90)
    assert ctxmem.validate(fork.assemble().kwargs(), "openai") == []
    context.rewind(ids[-1])
    assert worded(context) == ids[:-1]
    step(context, 91)
    assert ctxmem.validate(context.assemble().kwargs(), "openai") == []


def test_a_forgotten_step_says_nothing(memory):
    context = memory.context("a", model="gpt-4.1", window=3_000, reserve=0)
    played(context)
    first = worded(context)[0]
    said = memory.get(first).text[:60]
    memory.forget(first)
    prompt = context.assemble()

    assert said not in text_of(prompt)
    assert ctxmem.validate(prompt.kwargs(), "openai") == []


def test_reasoning_leaves_with_the_calls_that_it_led_to(memory):
    context = memory.context("a", model=MODELS["anthropic"], window=3_000, reserve=0)
    context.append(user("Please find out why the parser loses lines, part by part, and mend it."))
    for n in range(14):
        thinking = {"type": "thinking", "thinking": f"private thought {n}.", "signature": "s" * 60}
        text = {"type": "text", "text": f"The parser of part{n} drops line {n}00 because its buffer is too short."}
        use = {"type": "tool_use", "id": f"call_{n}", "name": "run_query", "input": {"text": f"select {n} " * 30}}
        step(context, n, {"role": "assistant", "content": [thinking, text, use]})
        prompt = context.assemble()
        assert ctxmem.validate(prompt.kwargs(), "anthropic") == []
    text = text_of(prompt)
    ids = worded(context)
    assert ids
    for segment_id in ids:
        n = memory.get(segment_id).text.split("part")[1].split(" ")[0]
        assert f"part{n} drops line" in text
        assert f"private thought {n}." not in text


@pytest.mark.parametrize("provider", MODELS)
def test_a_result_that_comes_late_is_told_as_text(memory, tmp_path, provider):
    """A call is open for 64 turns; then its step may be put in words, and a result answers nothing any more."""
    context = memory.context("a", model=MODELS[provider], provider=provider, window=2_500, reserve=0)
    context.append(user("Please find out why the parser loses lines, part by part, and mend it."))
    said = "The plan:\n1. start the long job of part 999\n2. read what it found\n3. mend the parser and run the tests"
    late = context.append(assistant(said, ("late", "run_job", {"text": "job " * 60}))).id
    for n in range(80):
        step(context, n)
        context.assemble()
        if late in worded(context):
            break
    assert late in worded(context)
    context.result("late", "the job found nothing at all")
    prompt = context.assemble()

    assert ctxmem.validate(prompt.kwargs(), provider) == []
    assert "the job found nothing at all" in text_of(prompt)
    assert context._session.now.state.working.segments_of(late) == [late]
    before = seen(prompt)
    memory.close()
    with ctxmem.open(tmp_path / "s", options=FAST) as again:
        context = again.context("a", model=MODELS[provider], provider=provider, window=2_500, reserve=0)
        assert seen(context.assemble())["kwargs"] == before["kwargs"]
