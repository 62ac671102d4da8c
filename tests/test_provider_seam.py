"""That a provider is one module and one row: nothing else names a wire shape or reaches into a provider's modules."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctxmem.providers.registry import SHAPES
from ctxmem.providers.shape import Shape

ROOT = Path(__file__).resolve().parent.parent
# The provider's own modules: `openai`, and what only it needs beside it, `openai_calls`.
OWN = {name: type(shape).__module__ for name, shape in SHAPES.items()}
REGISTRY = "ctxmem.providers.registry"

# Modules that hold the same words and mean something else by them.
OTHER_MEANINGS = {
    "ctxmem.models": "data about models: the shape that each one is called with, and its company",
    "ctxmem.transcripts.formats": "formats of files",
    "ctxmem.transcripts.gemini_cli": "who speaks in its files",
    "ctxmem.cli.replay": "formats of files",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "ctxmem").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def is_own(module: str, home: str) -> bool:
    return module == home or module.startswith(f"{home}_")


def foreign_names(module: str, tree: ast.Module) -> list[str]:
    """Give each mention of a shape's name as a value in a module that is not the shape's own."""
    return [
        f"{module}:{node.lineno} {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in OWN and not is_own(module, OWN[node.value])
    ]


def foreign_imports(module: str, tree: ast.Module) -> list[str]:
    """Give each import of a provider's module from outside it, however deep it stands."""
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        homes = [(name, home) for name in names for home in OWN.values() if is_own(name, home)]
        found += [f"{module}:{node.lineno} {name}" for name, home in homes if not is_own(module, home)]
    return found


def test_no_module_names_a_shape_but_its_own():
    found = [line for module, tree in modules() if module not in OTHER_MEANINGS for line in foreign_names(module, tree)]

    assert found == []


def test_only_the_table_imports_a_provider_s_modules():
    found = [line for module, tree in modules() if module != REGISTRY for line in foreign_imports(module, tree)]

    assert found == []


def test_the_exceptions_are_in_use():
    assert {module for module, tree in modules() if foreign_names(module, tree)} == set(OTHER_MEANINGS)


def test_the_page_names_every_member_and_what_must_be_written():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Adding a provider\n")[2].partition("\n## ")[0]
    must, _, may = section.partition("What is inherited")
    members = {name for name in (*vars(Shape), *Shape.__annotations__) if not name.startswith("_")}
    written = Shape.__abstractmethods__ | {name for name in Shape.__annotations__ if not hasattr(Shape, name)}

    assert members_in(must) == written
    assert members_in(may) == members - written


def members_in(text: str) -> set[str]:
    """The names in the first column of a table."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)", row)}


@pytest.mark.parametrize(
    "source",
    [
        'def f(provider):\n    return provider == "gemini"',
        'LIMITS = {"openai": 1}',
        'def f(provider):\n    return provider in {"anthropic", "gemini"}',
        'def f(provider):\n    match provider:\n        case "openai-responses":\n            return 1',
        'def f(limits):\n    return limits["openai"]',
    ],
)
def test_a_branch_is_found(source):
    assert foreign_names("ctxmem.prompt.target", ast.parse(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "from ctxmem.providers import openai",
        "from ctxmem.providers.anthropic_blocks import THINKING",
        "def late():\n    import ctxmem.providers.gemini",
    ],
)
def test_an_import_is_found(source):
    assert foreign_imports("ctxmem.prompt.target", ast.parse(source)) != []
    assert foreign_imports("ctxmem.providers.wire", ast.parse(source)) != []


def test_a_provider_s_own_modules_may_do_both():
    assert foreign_names("ctxmem.providers.openai_calls", ast.parse('NAME = "openai"')) == []
    assert foreign_imports("ctxmem.providers.openai", ast.parse("from ctxmem.providers import openai_calls")) == []
