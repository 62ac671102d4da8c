"""The demo at a small scale: its tools, its questions, and that what it shows is so."""

import ast
import json

import pytest

from ctxmem.cli import main
from ctxmem.cli.demo.agent import Agent, Step, steps
from ctxmem.cli.demo.exam import questions
from ctxmem.cli.demo.shelf import PAGE_LINES, TOOLS, Shelf


@pytest.fixture
def shelf():
    return Shelf()


def test_the_tools_really_read_the_library(shelf):
    assert "json/" in shelf.list_dir().splitlines()
    page, failed = shelf.run("read_file", {"path": "json/decoder.py"})
    assert not failed
    heading, _, text = page.partition("\n")
    assert heading.startswith(f"[json/decoder.py lines 1-{PAGE_LINES} of ")
    assert (shelf.root / "json/decoder.py").read_text().startswith(text)
    assert "json/decoder.py:" in shelf.run("grep", {"pattern": "^class JSONDecoder", "path": "json"})[0]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read_file", {"path": "json/nothing.py"}),
        ("read_file", {"path": "../../../etc/passwd"}),
        ("read_file", {"path": "json/decoder.py", "start": 1_000_000}),
        ("grep", {"pattern": "(", "path": ""}),
        ("list_dir", {"path": "nowhere"}),
    ],
)
def test_a_tool_that_fails_says_so(shelf, name, arguments):
    text, failed = shelf.run(name, arguments)

    assert failed
    assert ": " in text


def test_pages_cover_a_file(shelf):
    text = ""
    for start in range(1, len(shelf.lines("json/decoder.py")) + 1, PAGE_LINES):
        text += shelf.read_file("json/decoder.py", start).partition("\n")[2]

    assert text == (shelf.root / "json/decoder.py").read_text()


def test_the_script_calls_only_tools_that_exist_and_is_the_same_twice(shelf):
    names = {tool["function"]["name"] for tool in TOOLS}
    first = [step for step, _ in zip(steps(shelf), range(200), strict=False)]

    assert {name for step in first for name, _ in step.calls} == names
    assert first == [step for step, _ in zip(steps(shelf), range(200), strict=False)]


def test_messages_have_calls_with_ids_of_their_own():
    agent = Agent()
    step = Step(says="x", calls=[("list_dir", {"path": ""}), ("list_dir", {"path": "json"})])

    ids = [call["id"] for _ in range(2) for call in agent.message(step)["tool_calls"]]

    assert len(set(ids)) == 4


def test_right_answers_come_from_the_files_and_can_be_found_in_their_text(shelf):
    seen = [shelf.name(path) for path in shelf.files_in(shelf.root)]

    asked = questions(shelf, seen, 12)

    assert len(asked) >= 10
    assert asked == questions(shelf, seen, 12) or [q.asks for q in asked] == [
        q.asks for q in questions(shelf, seen, 12)
    ]
    for question in asked:
        text = "".join(shelf.lines(question.file))
        assert ast.parse(text)
        assert question.find(text) == question.right, question.asks


def demo(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["demo", *arguments])
    assert ended.value.code == 0


def test_the_demo_shows_what_it_promises(capsys, tmp_path):
    demo("--tokens", "150000", "--window", "16000", "--questions", "6", "--json", "--keep", str(tmp_path / "s"))
    summary = json.loads(capsys.readouterr().out)["summary"]

    assert summary["tokens_seen"] >= 150_000
    assert summary["epochs"] > 3
    assert (summary["invalid_prompts"], summary["prompts_over_budget"], summary["prefix_breaks"]) == (0, 0, 0)
    assert summary["largest_prompt_tokens"] <= summary["budget_tokens"]
    assert summary["same_after_restart"] is True
    assert summary["restored_exactly"] == summary["restores"] > 0
    assert summary["answers_right"] == summary["questions"] == 6
    assert summary["cache_hit_share"] > 0.3


def test_the_demo_prints_its_tables(capsys):
    demo("--tokens", "30000", "--questions", "2")
    out = capsys.readouterr().out

    for words in ("turn", "epoch", "Answers from memory", "Summary", "answers right", "cache hit share"):
        assert words in out


def test_the_demo_does_not_overwrite(capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["demo", "--keep", str(tmp_path)])

    assert stopped.value.code == 1
    assert "exists already" in capsys.readouterr().err
