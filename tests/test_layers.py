"""The rooms and their order, the owners of third-party packages and the sizes, by `ast` alone: no import of ctxmem.

A room is a folder of `ctxmem/`, or a module that stands beside them. A module may import its own room and the rooms
before it in `FLOORS`; no imports form a cycle. Deferred imports and those under TYPE_CHECKING count like any other.
"""

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ctxmem"

# (rooms, what they hold), lowest first. `docs/architecture.md` shows this list; a test compares the two.
FLOORS: list[tuple[str, str]] = [
    ("errors segment tokens", "values that travel, and the tokenizer"),
    (
        "inputs moments models prices options codec",
        "checks of arguments, times, the table of models, prices, options, bytes of records",
    ),
    ("providers ledger search", "messages, lines and words, as values"),
    ("collector prompt", "what goes and what a prompt is, as values"),
    ("store", "the disk: bytes under keys"),
    ("tables", "what stands under which key"),
    ("index log", "the durable log and its index"),
    (
        "library costs loading erasing entries retention context",
        "one session at work, and what reads and fills a store",
    ),
    ("contexts", "the sessions of one store, each opened once"),
    ("memory", "what callers open"),
    ("transcripts exchange adapters cli", "other programs' files, frameworks and hosts, and people"),
]
# (rooms, rooms that they never reach, why): not by a chain of imports either, and whatever the order above becomes.
NEVER: list[tuple[str, str, str]] = [
    ("providers ledger search collector prompt", "store tables index log", "a prompt is a function of values: 0009"),
    ("store", "codec providers search", "an engine keeps bytes and knows no records"),
    ("transcripts", "store tables index log context", "other programs' files become items, whoever stores them"),
]

# Third-party package -> the one module, or folder, that may import it. numpy is free.
OWNERS = {
    "lmdb": "store",
    "cachetools": "log.hot",
    "pyroaring": "search.facets",
    "msgpack": "codec",
    "zstandard": "codec",
    "tiktoken": "tokens",
    "Stemmer": "search.english",
    "sortedcontainers": "search.tail",
    "mcp": "adapters.mcp",
    "mcp_types": "adapters.mcp",
    "anyio": "adapters",
    "uvicorn": "adapters.mcp",
    "agents": "adapters.openai_agents",
    "anthropic": "adapters.anthropic",
    "claude_agent_sdk": "adapters.claude_agent",
    "langchain": "adapters.langchain",
    "langchain_core": "adapters",
    "langgraph": "adapters.langgraph",
    "pydantic_ai": "adapters.pydantic_ai",
    "click": "cli",
    "rich": "cli",
}
FREE = {"numpy"}

MAX_BODY_LINES = 60
P90_BODY_LINES = 20
MAX_FILE_LINES = 450  # a file is split where an idea ends; `log` and `index` are one seam each, a method a question
BANNED_NAMES = {"utils", "base", "helpers", "common"}


def top(module: str) -> str:
    """The module or package directly under the root that holds a dotted name."""
    return module.split(".", maxsplit=1)[0]


def modules(root: Path) -> dict[str, Path]:
    """Dotted names relative to the package -> files; the package's own __init__ is ''."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


def imports(module: str, path: Path, known: set[str]) -> Iterator[tuple[str, str]]:
    """('ours', dotted name) or ('theirs', package) for every import statement in the file, however deep."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from classify(alias.name, known)
        elif isinstance(node, ast.ImportFrom):
            stem = node.module or ""
            if node.level:
                parts = [p for p in package.split(".") if p]
                parts = parts[: len(parts) - (node.level - 1)]
                stem = ".".join([PACKAGE, *parts, *([stem] if stem else [])])
            for alias in node.names:
                yield from classify(f"{stem}.{alias.name}", known)


def classify(name: str, known: set[str]) -> Iterator[tuple[str, str]]:
    """One imported name: the longest module of ours that it names, or the package of theirs."""
    head, *rest = name.split(".")
    if head != PACKAGE:
        if head not in sys.stdlib_module_names:
            yield "theirs", head
        return
    while rest and ".".join(rest) not in known:
        rest.pop()
    yield "ours", ".".join(rest)


def rooms_of(floors: list[tuple[str, str]]) -> list[str]:
    return [room for rooms, _ in floors for room in rooms.split()]


def violations(
    root: Path,
    floors: list[tuple[str, str]] = FLOORS,
    never: list[tuple[str, str, str]] = NEVER,
    owners: dict[str, str] = OWNERS,
) -> list[str]:
    """Everything that the walls forbid in the tree under `root`, one sentence each."""
    rooms = [*rooms_of(floors), "__main__"]
    files = modules(root)
    known = set(files)
    found: list[str] = []
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        if module == "":  # the package's own __init__ only re-exports
            continue
        if top(module) not in rooms:
            found.append(f"{module} stands in no room: name it in FLOORS")
            continue
        for kind, name in imports(module, path, known):
            if kind == "theirs":
                found += third_party(module, name, owners)
            elif name == "":
                # `from ctxmem import X` reaches through the roof, wherever it stands; only the top rooms may.
                if top(module) not in {"cli", "__main__"}:
                    found.append(f"{module} imports the package root")
            else:
                graph.setdefault(module, set()).add(name)
                if top(name) in rooms and rooms.index(top(name)) > rooms.index(top(module)):
                    found.append(f"{module} imports upward: {name}")
    found += [f"import cycle: {' -> '.join(cycle)}" for cycle in cycles(graph)]
    return found + forbidden(graph, never)


def third_party(module: str, name: str, owners: dict[str, str]) -> list[str]:
    if name in FREE:
        return []
    if name in owners:
        if f"{module}.".startswith(f"{owners[name]}."):
            return []
        return [f"{module} imports {name}, which {owners[name]} owns"]
    return [f"{module} imports {name}, which nobody owns"]


def forbidden(graph: dict[str, set[str]], never: list[tuple[str, str, str]]) -> list[str]:
    """The shortest chain from each module to a room that its own must never reach."""
    found = []
    for rooms, barred, why in never:
        for module in sorted(graph):
            if top(module) in rooms.split():
                chain = next((path for path in chains(graph, module) if top(path[-1]) in barred.split()), None)
                if chain is not None:
                    found.append(f"{' -> '.join(chain)} must not be: {why}")
    return found


def chains(graph: dict[str, set[str]], start: str) -> Iterator[list[str]]:
    """A shortest path from `start` to every module that it imports, directly or not; short ones first."""
    seen, waiting = {start}, [[start]]
    while waiting:
        path = waiting.pop(0)
        for name in sorted(graph.get(path[-1], set()) - seen):
            seen.add(name)
            yield [*path, name]
            waiting.append([*path, name])


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Each import cycle once, as the path that closes it."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> None:
        if node in path:
            found.append([*path[path.index(node) :], node])
            return
        if node in done:
            return
        for peer in sorted(graph.get(node, ())):
            if peer != node:
                visit(peer, [*path, node])
        done.add(node)

    for node in sorted(graph):
        visit(node, [])
    return found


def bodies(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines without signature and docstring) of every function in the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                body = body[1:]
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            yield f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{node.lineno} {node.name}", lines


# --- the tree as it is -----------------------------------------------------------------------------------------


def test_the_tree_keeps_to_its_rooms():
    assert violations(ROOT / PACKAGE) == []


def test_every_room_is_there():
    here = {top(module) for module in modules(ROOT / PACKAGE)} - {"", "__main__"}

    assert sorted(rooms_of(FLOORS)) == sorted(here)


def test_the_page_shows_the_floors():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (.*) \| (.*) \|$", page.partition("| floor | holds |\n|---|---|\n")[2].split("\n\n")[0], re.MULTILINE
    )

    assert rows == [(", ".join(f"`{room}`" for room in rooms.split()), holds) for rooms, holds in FLOORS]


def test_bodies_are_short():
    found = [item for path in modules(ROOT / PACKAGE).values() for item in bodies(path)]
    too_long = {name: lines for name, lines in found if lines > MAX_BODY_LINES}
    p90 = statistics.quantiles([lines for _, lines in found], n=10)[-1]

    assert too_long == {}
    assert p90 <= P90_BODY_LINES


def test_files_are_short():
    sizes = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(ROOT / PACKAGE).values()}

    assert {path: lines for path, lines in sizes.items() if lines > MAX_FILE_LINES} == {}


def test_no_module_has_a_name_that_says_nothing():
    names = {part for module in modules(ROOT / PACKAGE) for part in module.split(".")}

    assert names & BANNED_NAMES == set()
    assert names & (sys.stdlib_module_names - {"__main__"}) == set()


# --- the checker itself ----------------------------------------------------------------------------------------


SAMPLE_FLOORS = [("errors", ""), ("tokens terms", ""), ("providers", ""), ("store", ""), ("memory", ""), ("cli", "")]
SAMPLE_NEVER = [("memory", "store", "it asks the log")]


@pytest.fixture
def tree(tmp_path):
    """Write a small package from {path: source} and return what the checker says of it."""

    def check(files: dict[str, str], never: list[tuple[str, str, str]] = []) -> list[str]:  # noqa: B006 - read only
        for name, source in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return violations(tmp_path, SAMPLE_FLOORS, never)

    return check


def test_a_legal_tree_passes(tree):
    assert (
        tree(
            {
                "__init__.py": "from ctxmem.memory import open",
                "errors.py": "import os",
                "tokens.py": "import tiktoken\nimport numpy as np\nfrom ctxmem.errors import CtxMemError",
                "terms.py": "from ctxmem import tokens",
                "store/__init__.py": "from ctxmem.store.disk import Disk",
                "store/disk.py": "import lmdb\nfrom ctxmem import tokens",
                "providers/__init__.py": "from ctxmem.providers.openai import x",
                "providers/openai.py": "from ..errors import CtxMemError",
                "cli/__init__.py": "import click, rich.table\nimport ctxmem",
            }
        )
        == []
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from ctxmem.store import Store", "tokens imports upward: store"),
        ("import ctxmem.store", "tokens imports upward: store"),
        ("from ctxmem import store", "tokens imports upward: store"),
        ("from . import store", "tokens imports upward: store"),
        ("def late():\n    from .store import Store", "tokens imports upward: store"),
        ("from ctxmem import open", "tokens imports the package root"),
        ("import lmdb", "tokens imports lmdb, which store owns"),
        ("from lmdb import Environment", "tokens imports lmdb, which store owns"),
        ("import requests", "tokens imports requests, which nobody owns"),
        ("from ctxmem.terms import analyse", "tokens imports upward: terms"),
    ],
)
def test_a_wall_that_is_broken_is_named(tree, source, said):
    assert said in tree({"store.py": "", "terms.py": "", "tokens.py": source})


def test_upward_imports_for_types_count_too(tree):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ctxmem.store import Store"

    assert tree({"store.py": "", "tokens.py": source}) == ["tokens imports upward: store"]


def test_a_chain_to_a_room_that_is_never_reached_is_named(tree):
    files = {"memory.py": "from ctxmem import terms", "terms.py": "from ctxmem import store", "store.py": ""}

    assert "memory -> terms -> store must not be: it asks the log" in tree(files, SAMPLE_NEVER)


def test_a_cycle_between_rooms_is_found(tree):
    files = {"terms.py": "from ctxmem import tokens", "tokens.py": "def late():\n    from ctxmem import terms"}

    assert tree(files) == ["tokens imports upward: terms", "import cycle: terms -> tokens -> terms"]


def test_a_cycle_inside_a_package_is_found(tree):
    files = {
        "providers/__init__.py": "",
        "providers/a.py": "from ctxmem.providers import b",
        "providers/b.py": "from ctxmem.providers.a import x",
    }

    assert tree(files) == ["import cycle: providers.a -> providers.b -> providers.a"]


def test_a_module_without_a_room_is_named(tree):
    assert tree({"misc.py": ""}) == ["misc stands in no room: name it in FLOORS"]


def test_bodies_are_measured_without_signature_and_docstring(tmp_path):
    path = tmp_path / "x.py"
    path.write_text('def f(\n    a,\n):\n    """Say.\n\n    More.\n    """\n    a += 1\n    return a\n')

    assert [lines for _, lines in bodies(path)] == [2]
