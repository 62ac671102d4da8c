"""The floors, the owners of third-party packages and the sizes, by `ast` alone: nothing here imports ctxmem.

A module imports only lower floors; deferred imports and those under TYPE_CHECKING count like any other.
Beside it on its own floor a module may only name one that comes earlier in that floor's line below, so that a floor has no cycle.
Inside one package of a floor (providers, transcripts, cli) modules may import each other, as long as there is no cycle.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ctxmem"

# Lowest first. What needs no disk stands below the store, so that it cannot come to need one.
FLOORS: list[list[str]] = [
    ["errors", "segment"],
    # values and pure functions
    ["inputs"],
    ["models"],
    [
        "options",
        "codec",
        "search.terms",
        "tokens",
        "search.relevance",
        "prompt.calls",
        "ledger.gist",
        "prompt.quotes",
    ],
    [
        "collector.growable",
        "collector.item",
        "prompt.outstanding",
        "ledger.stubs",
        "prompt.memorytools",
        "log.hot",
        "search.postings",
        "search.columns",
    ],
    ["search.query", "search.facets", "collector.keepvalue", "collector.working", "ledger.abridge", "providers"],
    # a prompt, as values: what is shown, what goes, how it is laid out
    ["collector", "ledger.ledger"],
    ["prompt.intake", "prompt.prompt", "prompt.recall", "prompt.usage", "prompt.target"],
    ["prompt.state"],
    ["prompt.view"],
    # what is sealed and searched, as values
    ["search.forward", "search.parts"],
    ["search.runs", "search.tail", "search.scoring"],
    ["search.building", "search.thin", "search.conversation"],
    ["search.ranking"],
    ["search.search", "index.upkeep"],
    # the disk
    ["store"],
    ["tables.slots", "tables.changes", "tables.marks", "tables.names", "tables.frames", "tables.turns"],
    ["tables.leases", "index.manifest"],
    ["index.sealing", "index.merging"],
    ["index.audit"],
    ["index.index"],
    ["log"],
    ["search.analysis"],
    # what callers hold
    ["library", "loading", "context.session", "context.erasing"],
    ["context.appending", "context.calibrating", "context.collecting", "context.wayback"],
    ["context.assembly"],
    ["context.assembler", "context.choices", "context.history", "context.surgery"],
    ["context.context"],
    ["memory"],
    # other programs' files, and the command line
    ["transcripts"],
    ["cli"],
    ["__main__"],
]
# (importer, imported): one step sideways on the same floor. Each is a seam of its own and acyclic.
SIDEWAYS: set[tuple[str, str]] = set()

# Third-party package -> the one module, or package, that may import it. numpy is free.
OWNERS = {
    "lmdb": "store",
    "cachetools": "log.hot",
    "pyroaring": "search.facets",
    "msgpack": "codec",
    "zstandard": "codec",
    "tiktoken": "tokens",
    "Stemmer": "search.terms",
    "click": "cli",
    "rich": "cli",
}
FREE = {"numpy"}

MAX_BODY_LINES = 60
P90_BODY_LINES = 20
MAX_FILE_LINES = 400
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


def entry_of(module: str, floors: list[list[str]]) -> str | None:
    """The name that a module stands under: its own, or that of the room around it."""
    names = {name for line in floors for name in line}
    parts = module.split(".")
    return next((name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in names), None)


def is_sign(path: Path) -> bool:
    """Whether a room's __init__ only says what is in the room."""
    return path.name == "__init__.py" and len(ast.parse(path.read_text(encoding="utf-8")).body) <= 1


def floor_of(module: str, floors: list[list[str]]) -> int | None:
    entry = entry_of(module, floors)
    return next((number for number, line in enumerate(floors) if entry in line), None)


def violations(
    root: Path,
    floors: list[list[str]] = FLOORS,
    sideways: set[tuple[str, str]] = SIDEWAYS,
    owners: dict[str, str] = OWNERS,
) -> list[str]:
    """Everything that the walls forbid in the tree under `root`, one sentence each."""
    files = modules(root)
    known = set(files)
    found: list[str] = []
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        if module == "" or is_sign(path):  # the package's own __init__ only re-exports
            continue
        here = floor_of(module, floors)
        if here is None:
            found.append(f"{module} stands on no floor: name it in FLOORS")
            continue
        for kind, name in imports(module, path, known):
            if kind == "theirs":
                found += third_party(module, name, owners)
            elif name == "":
                # `from ctxmem import X` reaches through the roof, wherever it stands; only the top floors may.
                if top(module) not in {"cli", "__main__"}:
                    found.append(f"{module} imports the package root")
            else:
                graph.setdefault(module, set()).add(name)
                found += step(module, name, here, floors, sideways)
    found += [f"import cycle: {' -> '.join(cycle)}" for cycle in cycles(graph)]
    return found


def third_party(module: str, name: str, owners: dict[str, str]) -> list[str]:
    if name in FREE or owners.get(name) in {module, top(module)}:
        return []
    if name in owners:
        return [f"{module} imports {name}, which {owners[name]} owns"]
    return [f"{module} imports {name}, which nobody owns"]


def step(module: str, name: str, here: int, floors: list[list[str]], sideways: set[tuple[str, str]]) -> list[str]:
    there = floor_of(name, floors)
    if there is None or entry_of(name, floors) == entry_of(module, floors) or there < here:
        return []
    if there > here:
        return [f"{module} (floor {here}) imports upward: {name} (floor {there})"]
    return [] if (top(module), top(name)) in sideways else [f"{module} imports {name} on its own floor {here}"]


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


def test_the_tree_keeps_to_its_floors():
    assert violations(ROOT / PACKAGE) == []


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


SAMPLE_FLOORS = [["errors"], ["tokens", "terms", "query"], ["providers"], ["store"], ["memory"], ["cli"]]


@pytest.fixture
def tree(tmp_path):
    """Write a small package from {path: source} and return what the checker says of it."""

    def check(files: dict[str, str], sideways: set[tuple[str, str]] = frozenset()) -> list[str]:
        for name, source in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return violations(tmp_path, SAMPLE_FLOORS, set(sideways))

    return check


def test_a_legal_tree_passes(tree):
    assert (
        tree(
            {
                "__init__.py": "from ctxmem.memory import open",
                "errors.py": "import os",
                "tokens.py": "import tiktoken\nimport numpy as np\nfrom ctxmem.errors import CtxMemError",
                "store.py": "import lmdb\nfrom ctxmem import tokens",
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
        ("from ctxmem.store import Store", "tokens (floor 1) imports upward: store (floor 3)"),
        ("import ctxmem.store", "tokens (floor 1) imports upward: store (floor 3)"),
        ("from ctxmem import store", "tokens (floor 1) imports upward: store (floor 3)"),
        ("from . import store", "tokens (floor 1) imports upward: store (floor 3)"),
        ("def late():\n    from .store import Store", "tokens (floor 1) imports upward: store (floor 3)"),
        ("from ctxmem import open", "tokens imports the package root"),
        ("import lmdb", "tokens imports lmdb, which store owns"),
        ("from lmdb import Environment", "tokens imports lmdb, which store owns"),
        ("import requests", "tokens imports requests, which nobody owns"),
        ("from ctxmem.terms import analyse", "tokens imports terms on its own floor 1"),
    ],
)
def test_a_wall_that_is_broken_is_named(tree, source, said):
    assert said in tree({"store.py": "", "terms.py": "", "tokens.py": source})


def test_upward_imports_for_types_count_too(tree):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ctxmem.store import Store"

    assert tree({"store.py": "", "tokens.py": source}) == ["tokens (floor 1) imports upward: store (floor 3)"]


def test_a_step_sideways_must_be_written_down(tree):
    files = {"terms.py": "", "query.py": "from ctxmem.terms import analyse"}

    assert tree(files) == ["query imports terms on its own floor 1"]
    assert tree(files, {("query", "terms")}) == []


def test_a_cycle_on_one_floor_is_found_even_where_both_steps_are_written_down(tree):
    files = {"terms.py": "from ctxmem import query", "query.py": "from ctxmem import terms"}

    assert tree(files, {("query", "terms"), ("terms", "query")}) == ["import cycle: query -> terms -> query"]


def test_a_cycle_inside_a_package_is_found(tree):
    files = {
        "providers/__init__.py": "",
        "providers/a.py": "from ctxmem.providers import b",
        "providers/b.py": "from ctxmem.providers.a import x",
    }

    assert tree(files) == ["import cycle: providers.a -> providers.b -> providers.a"]


def test_a_module_without_a_floor_is_named(tree):
    assert tree({"misc.py": ""}) == ["misc stands on no floor: name it in FLOORS"]


def test_bodies_are_measured_without_signature_and_docstring(tmp_path):
    path = tmp_path / "x.py"
    path.write_text('def f(\n    a,\n):\n    """Say.\n\n    More.\n    """\n    a += 1\n    return a\n')

    assert [lines for _, lines in bodies(path)] == [2]
