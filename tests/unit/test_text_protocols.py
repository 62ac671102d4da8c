"""Results that come as user messages: told by form, in any language; and what people say in group chats is none."""

from dataclasses import replace

import pytest

from ctxmem.collector.item import RESULT, USER
from ctxmem.collector.working import WorkingSet
from ctxmem.ledger.step import line_of
from ctxmem.prompt.intake import item
from ctxmem.segment import Record


def record(role: str, text: str, kind: str = "") -> Record:
    return Record(0, kind or role, role, text, 40, 0.0)


def kinds(*turns: tuple[str, str]) -> list[int]:
    working = WorkingSet()
    for at, (role, text) in enumerate(turns):
        working.append(item(at, at, record(role, text)))
    made = WorkingSet.unpack(working.copy().pack()).groups
    return [int(kind) for kind in made["kind"] if kind in {USER, RESULT}]


ACTS = {
    "a code block": "Ich sehe nach.\n```\nls src{}\n```",
    "a tag": "Zuerst lesen.\n<read_file>\n<path>a{}.ts</path>\n</read_file>",
    "a label": "思考：先搜索。\n行动：搜索[向量 {}]",  # noqa: RUF001 - signs of other scripts are meant
    "two labels": 'Thought: look\nAction: stock_search\nAction Input: {{\n  "n": {}\n}}',
}
RESULTS = {
    "a code block": "a.py\nb{}.py\nbash-$",
    "a tag": "[read_file for 'src/a{}.ts'] Result:\nexport const a = 1",
    "a label": "观察结果：{} 个",  # noqa: RUF001 - signs of other scripts are meant
    "two labels": "Observation: [{}]",
}


@pytest.mark.parametrize("form", ACTS)
def test_what_answers_a_call_written_as_text_is_a_result(form):
    steps = [
        turn for n in range(5) for turn in (("assistant", ACTS[form].format(n)), ("user", RESULTS[form].format(n)))
    ]
    found = kinds(("user", "<task>\nMend the cache, please, and add tests.\n</task>"), *steps)

    assert found == [USER, *[RESULT] * 5]


def test_what_is_typed_between_results_is_no_result():
    steps = [turn for n in range(4) for turn in (("assistant", ACTS["a code block"]), ("user", f"a{n}\nbash-$"))]
    found = kinds(("user", "Mend it."), *steps, ("assistant", ACTS["a code block"]), ("user", "no, use port 8080"))

    assert found == [USER, *[RESULT] * 4, USER]


def test_people_named_in_a_group_chat_are_no_protocol():
    steps = [turn for n in range(6) for turn in (("assistant", f"Bob: and {n}?"), ("user", f"Ann: it is {n}"))]

    assert kinds(("user", "Ann: hello"), *steps) == [USER] * 7


def test_one_who_asks_for_code_only_is_heard():
    steps = [turn for n in range(6) for turn in (("assistant", "```\nx = 1\n```"), ("user", f"Now make it {n}"))]

    assert kinds(("user", "Write code only."), *steps) == [USER] * 7


def test_a_conversation_with_calls_has_no_text_protocol():
    working = WorkingSet()
    working.append(replace(item(0, 0, record("assistant", "see")), calls=1))
    for at in range(1, 13, 2):
        working.append(item(at, at, record("assistant", "see\n```\nls\n```")))
        working.append(item(at + 1, at + 1, record("user", "OBSERVATION:\na")))

    assert RESULT not in working.groups["kind"]


def test_a_result_of_a_text_protocol_is_told_as_one_its_failure_first():
    good = line_of(3, [(3, record("user", "Observation: 4 of 4 sent", "tool"))])
    bad = line_of(
        5, [(5, record("user", "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'x'", "tool"))]
    )

    assert good.text() == "[#3] result: Observation: 4 of 4 sent"
    assert bad.text().startswith("[#5] failed: KeyError: 'x'; result: Traceback")
    assert bad.has_failed
