"""The documents say what is so: every example runs, every command is documented, the reference is up to date."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ctxmem.cli.app import COMMANDS, _group, command_named

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """(line, source) of the fenced blocks of one language; those with prompts are doctests, which pytest runs itself."""
    text = path.read_text(encoding="utf-8")
    found = [
        (text[: match.start()].count("\n") + 2, match[2]) for match in BLOCK.finditer(text) if match[1] == language
    ]
    return [(line, source) for line, source in found if ">>>" not in source]


# The working paper between the engineers is no documentation.
WITH_PYTHON = [path for path in PAGES if blocks(path, "python")]


@pytest.mark.parametrize("path", WITH_PYTHON, ids=name_of)
def test_every_example_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "example"}
    for line, source in blocks(path, "python"):
        # The line numbers of a failure are those of the page.
        exec(compile("\n" * (line - 1) + source, str(path), "exec"), scope)


def test_the_readme_and_the_tutorial_have_examples():
    assert {"README.md", "docs/tutorial.md"} <= {name_of(path) for path in WITH_PYTHON}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path):
    targets = [one.partition("#")[0] for one in LINK.findall(path.read_text(encoding="utf-8")) if ":" not in one]

    assert [one for one in targets if one and not (path.parent / one).exists()] == []


def test_every_command_that_a_page_shows_is_one():
    """`$ ctxmem ...` and `$ make ...` in console blocks: the command, its options and the target exist."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in PAGES:
        for _, source in blocks(path, "console"):
            for line in re.findall(r"^\$ (.*)$", source, re.MULTILINE):
                words = line.split("#")[0].split()
                if words[0] == "make":
                    assert set(words[1:]) <= targets, line
                if words[0] == "ctxmem" and not words[1].startswith("-"):
                    known = {name for one in command_named(words[1]).params for name in one.opts}
                    assert {word for word in words[2:] if word.startswith("--")} <= known, line


def test_every_config_of_a_host_starts_a_command_that_there_is():
    known = {name for one in command_named("mcp").params for name in one.opts}
    page = ROOT / "docs/mcp.md"
    for _, source in blocks(page, "json"):
        json.loads(source)
    starts = [json.loads(one) for one in re.findall(r'"?args"?(?: =|:) (\[.*\])', page.read_text(encoding="utf-8"))]

    assert len(starts) == 4
    for words in starts:
        assert words[0] == "mcp"
        assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    reference = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")

    assert f"## `ctxmem {name}`" in reference
    for parameter in command_named(name).params:
        for option in parameter.opts:
            assert not option.startswith("--") or option in reference


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_says_what_it_does(name):
    command = command_named(name)
    undescribed = [one.name for one in command.params if one.param_type_name == "option" and not one.help]

    assert command.help
    assert undescribed == []
    assert CliRunner().invoke(_group, [name, "--help"]).exit_code == 0


def test_the_reference_is_what_the_docstrings_say():
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs/make_reference.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)

    for name, text in made.pages().items():
        assert (ROOT / "docs/reference" / name).read_text(encoding="utf-8") == text, "run `make docs`"


def test_every_word_of_the_glossary_is_defined_once():
    words = re.findall(r"^\| \*\*(\w+)\*\*", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(words) == len(set(words)) > 20
