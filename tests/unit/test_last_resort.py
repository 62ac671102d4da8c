"""Never stuck: what gives way when what must stay is too large, and what is a request of a user at all."""

import pytest

import ctxmem
from ctxmem.collector.working import SHORT, Item, WorkingSet
from tests.dialogues import FAST, MODELS, assistant, text_of, tool, user
from tests.unit.test_collector import built, planned


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=FAST) as opened:
        yield opened


@pytest.mark.parametrize("provider", MODELS)
def test_a_user_message_larger_than_the_budget_is_shortened_and_the_prompt_says_so(memory, provider):
    context = memory.context("a", model=MODELS[provider], provider=provider, window=2_000, reserve=0)
    asked = context.append(user("the head of it " + "word " * 6_000 + "and its tail"))
    prompt = context.assemble()

    assert ctxmem.validate(prompt.kwargs(), provider) == []
    assert prompt.tokens <= prompt.budget
    assert asked.id in prompt.stubs
    assert asked.id not in prompt.segments
    text = text_of(prompt)
    assert "the head of it" in text
    assert "and its tail" in text
    assert f"[#{asked.id} cut here" in text
    assert memory.get(asked.id).text.endswith("and its tail")


def test_a_caller_may_rather_stop_than_send_a_shortened_message(memory):
    policy = ctxmem.Policy(oversized="raise")
    context = memory.context("a", model="gpt-4.1", window=2_000, reserve=0, policy=policy)
    context.append(user("word " * 6_000))
    with pytest.raises(ctxmem.WindowOverflow) as raised:
        context.assemble()

    assert raised.value.roots[0][0] == 0
    with pytest.raises(ctxmem.BadInput, match="oversized"):
        ctxmem.Policy(oversized="cut")


def test_a_message_that_leaves_a_tenth_of_the_budget_always_fits(memory):
    """One of 0.86 of the budget was refused: the ledger that there was left it too little."""
    context = memory.context("a", model="gpt-4.1", window=6_000, reserve=0)
    for n in range(30):
        context.append(user(f"Please look at part{n}.py and say what it does there, line by line."))
        context.append(assistant(None, (f"c{n}", "read_file", {"path": f"src/part{n}.py"})))
        context.append(tool(f"c{n}", f"value_{n} = {n}\n" * 80))
        context.assemble()
    context.append(user("word " * 5_150))
    context.append(assistant(None, ("last", "read_file", {"path": "src/last.py"})))
    context.append(tool("last", "line\n" * 900))
    prompt = context.assemble()

    assert prompt.tokens <= prompt.budget
    assert ctxmem.validate(prompt.kwargs(), "openai") == []


def test_many_results_at_once_fit_with_long_ids(memory):
    """Ids longer than a plan's estimate of them made every round of it fall short."""
    context = memory.context("a", model="gpt-4.1", window=4_000, reserve=0)
    context.append(user("Please read all of them and compare what they say about the parser."))
    ids = [f"call_{n:02d}_{'qz7x' * 8}" for n in range(16)]
    context.append(assistant(None, *((i, "read_file", {"path": "a.py"}) for i in ids)))
    for n, call_id in enumerate(ids):
        context.append(tool(call_id, f"line {n} of the file\n" * 300))
    prompt = context.assemble()

    assert prompt.tokens <= prompt.budget
    assert ctxmem.validate(prompt.kwargs(), "openai") == []


def test_an_overflow_names_its_roots(memory):
    context = memory.context("a", model="gpt-4.1", window=3_000, reserve=0)
    pinned = [context.append(user("word " * 900), pinned=True).id for _ in range(4)]
    with pytest.raises(ctxmem.WindowOverflow) as raised:
        context.assemble()

    assert {group for group, _, _ in raised.value.roots} == set(pinned)
    assert {rule for _, _, rule in raised.value.roots} == {"pinned"}
    assert raised.value.needed > raised.value.budget


def test_of_instructions_of_one_kind_the_newest_rules(memory):
    context = memory.context("a", model="gpt-4.1", window=4_000, reserve=0)
    context.append({"role": "system", "content": "You are a coding agent."})
    context.append(user("Please mend the parser, part by part, and say what you did."))
    last = -1
    for n in range(60):
        text = f"<permissions instructions> level {n}: " + "may read " * 60
        last = context.append({"role": "developer", "content": text}).id
        context.append(assistant(f"I have looked at part {n}."))
        context.append(user(f"Now part {n + 1}, please."))
        context.assemble()
    prompt = context.assemble()
    text = text_of(prompt)

    assert "level 59:" in text
    assert "level 3:" not in text
    context.collect(1_000)
    assert context.explain(last).rule == "system"


def test_a_replaced_instruction_says_so():
    working = WorkingSet()
    working.append(Item(0, 0, "user", 40, 0, is_request=True))
    for n in range(1, 20):
        working.append(Item(n, n, "system", 400, n, tool=7 if n < 19 else 8))
    made = planned(working, 4_000, 2_000)

    assert [made.decision(n).rule for n in (17, 18, 19)] == ["superseded", "system", "system"]
    assert 1 in made.dropped


def test_the_task_is_the_first_message_that_says_enough_to_work_by(memory):
    context = memory.context("a", model="gpt-4.1", window=3_000, reserve=0)
    hello = context.append(user("/mode plan")).id
    context.append(assistant("Ready."))
    asked = context.append(user("Please rewrite the renderer so that it keeps its cache between two frames.")).id
    context.append(user("go on"))
    for n in range(20):
        context.append(assistant(None, (f"c{n}", "read_file", {"path": f"src/part{n}.py"})))
        context.append(tool(f"c{n}", f"value_{n} = {n}\n" * 60))
        context.assemble()

    assert context.explain(asked).rule == "task"
    assert context.explain(hello).rule != "task"


@pytest.mark.parametrize(
    "text", ["请帮我把这个解析器改成逐行读取文件", "パーサーを一行ずつ読むように書き直してください"]
)
def test_a_request_without_spaces_is_one(memory, text):
    context = memory.context("a", model="gpt-4.1", window=3_000, reserve=0)
    context.append(user("hi"))
    context.append(user(text))

    assert context._session.now.state.working.groups["is_request"].tolist() == [0, 1]


@pytest.mark.parametrize("said_by", ["caller", "form"])
@pytest.mark.parametrize("provider", MODELS)
def test_results_that_come_as_user_messages_are_no_requests(memory, provider, said_by):
    context = memory.context("a", model=MODELS[provider], provider=provider, window=2_500, reserve=0)
    asked = context.append(user("Please find out why the parser loses lines and mend it, with tests for it."))
    more = {"kind": "tool"} if said_by == "caller" else {}
    for n in range(25):
        context.append(assistant(f"I run it again.\n```bash\npytest part{n}\n```"))
        context.append(user(f"OBSERVATION:\nline {n} of the run\n" + "passed\n" * 150), **more)
        prompt = context.assemble()
        assert ctxmem.validate(prompt.kwargs(), provider) == []
        assert prompt.tokens <= prompt.budget

    rules = {one: context.explain(one).rule for one in prompt.segments if one != asked.id}
    assert context.explain(asked.id).rule in {"task", "newest user message"}
    assert "newest user message" not in rules.values()
    assert context.explain(asked.id).state == "shown"


def test_the_kind_of_a_message_is_tool_or_left_to_its_form(memory):
    context = memory.context("a", model="gpt-4.1", window=2_500, reserve=0)
    with pytest.raises(ctxmem.BadInput, match="kind="):
        context.append(user("hello"), kind="note")
    made = context.append(user("OBSERVATION: done"), kind="tool")

    assert made.kind == "tool"
    assert context.assemble().messages[-1] == user("OBSERVATION: done")


def test_a_cut_result_gets_the_room_that_there_is():
    """A result of 10,000 tokens went to a mark of 100 and left the window half empty."""
    made = planned(built([100, 200, 10_000, 3_000]), budget=16_000, target=9_600)

    assert made.forms[21].code == SHORT
    assert int(made.tokens_after.sum()) > 5_000


def test_an_agreement_stays_with_the_offer_that_it_answers():
    working = WorkingSet()
    working.append(Item(0, 0, "user", 60, 0, is_request=True))
    for n in range(1, 60, 3):
        working.append(Item(n, n, "assistant", 250, n, text_tokens=250))
        working.append(Item(n + 1, n + 1, "user", 12, n))
        working.append(Item(n + 2, n + 2, "assistant", 120, n, calls=0, text_tokens=120))
    made = planned(working, 4_000, 2_000)

    for n in range(1, 57, 3):
        if n + 1 in made.kept:
            assert n in made.kept
    assert {n for n in range(1, 60, 3) if n in made.dropped}
    assert {n for n in range(1, 60, 3) if n + 1 in made.kept}


def test_what_the_newest_user_message_answers_stays_however_old_and_large_it_is_worth():
    working = WorkingSet()
    working.append(Item(0, 0, "user", 60, 0, is_request=True))
    working.append(Item(1, 1, "assistant", 500, 1, text_tokens=500))
    working.append(Item(2, 2, "user", 12, 1))
    for n in range(3, 40):
        working.append(Item(n, n, "assistant", 120, n, calls=0, text_tokens=120))
    made = planned(working, 4_000, 1_500)

    assert made.decision(1).rule == "answered"
    assert made.decision(1).action == "keep"
    assert len(made.dropped) > 20
    assert planned(working, 500, 400).decision(1).action == "line"  # before the task and the answer do
