"""A session changes itself, and nobody else does: what the types cannot say of `context`, by `ast` alone.

No assignment outside context/session.py goes to a field of a session, or through one; no function there takes so many
positional arguments that a caller could mix them up; no module of the package reaches into another's private names.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "ctxmem"
OWNER = PACKAGE / "context" / "session.py"
MAX_POSITIONAL = 6  # without self

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
HOLDERS = {"_session"}  # attributes that hold a session
ENTRIES = {"locked", "turn"}  # methods of a session whose `with` gives it


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


# --- whose fields are assigned


def links(node: ast.expr) -> list[str]:
    """The names along a chain of attributes, items and calls, outermost first: `a.b[0].c` gives c, b, a."""
    found = []
    while True:
        if isinstance(node, ast.Attribute):
            found.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript | ast.Starred):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return [*found, node.id] if isinstance(node, ast.Name) else found


def session_names(tree: ast.AST) -> set[str]:
    """The names that hold a session somewhere in a module: by annotation, by `with`, or made or copied from one."""
    names = {"session"}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None and "Session" in ast.unparse(node.annotation):
            names.add(node.arg)
        if isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            call = node.context_expr
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ENTRIES:
                names.add(node.optional_vars.id)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            is_held = isinstance(node.value, ast.Attribute) and node.value.attr in HOLDERS
            is_made = isinstance(node.value, ast.Call) and links(node.value)[:1] == ["Session"]
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {each.id for each in targets if isinstance(each, ast.Name) and (is_held or is_made)}
    return names


def targets(node: ast.AST) -> Iterator[ast.expr]:
    """What a statement, a loop, a `with` or `setattr` assigns or deletes."""
    if isinstance(node, ast.Assign | ast.Delete):
        pending: list[ast.expr] = list(node.targets)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.AsyncFor):
        pending = [node.target]
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        pending = [node.optional_vars]
    elif isinstance(node, ast.Call) and links(node)[0:1] in (["setattr"], ["__setattr__"], ["delattr"]) and node.args:
        pending = [ast.Attribute(node.args[0], "?")]
    else:
        return
    while pending:
        each = pending.pop()
        if isinstance(each, ast.Tuple | ast.List):
            pending += each.elts
        else:
            yield each


def foreign_changes(tree: ast.AST) -> list[str]:
    """The assignments to, or through, a session's fields."""
    names = session_names(tree)
    found = []
    for node in ast.walk(tree):
        for target in targets(node):
            chain = links(target)
            whose = chain[1:] if isinstance(target, ast.Attribute) else chain
            is_field = isinstance(target, ast.Attribute | ast.Subscript)
            if is_field and (HOLDERS & set(whose) or (whose and whose[-1] in names)):
                found.append(ast.unparse(node).splitlines()[0])
    return found


def test_only_a_session_changes_a_session():
    found = {
        path.name: changes
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != OWNER
        and (path.parent.name == "context" or path.parent == PACKAGE)
        and (changes := foreign_changes(parsed(path)))
    }
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "def f(s: Session): s.state = 1",
        "def f(it: 'Session'): it.row.turn += 1",
        "def f(it: Session | None): it.now.row.observed[0] = 1",
        "def f(s: Session): del s.staged",
        "def f(s: Session): a, s.view = 1, 2",
        "def f(s: Session): s.view: int = 2",
        "def f(s: Session): setattr(s, 'view', 2)",
        "def f(s: Session): object.__setattr__(s.now, 'row', 2)",
        "def f(s: Session):\n for s.row in (): pass",
        "def f(self):\n def act(s: Session): s.now = 1\n self._session.locked(act)",
        "def f(self): self._session.now.row.turn = 3",
        "def f(self):\n mine = self._session\n mine.now = 3",
        "def f(self):\n made = Session(1)\n made.lock = 3",
    ],
)
def test_a_change_from_outside_is_seen(code):
    assert len(foreign_changes(ast.parse(code))) == 1


def test_what_is_no_change_of_a_session_is_let_through():
    code = "def f(self, s: Session):\n self._session = s\n row = s.now.row\n made = State()\n made.row = s.row\n s = 3"
    assert foreign_changes(ast.parse(code)) == []


# --- how many arguments a function takes by position


def positional(function: Function) -> int:
    taken = [each.arg for each in [*function.args.posonlyargs, *function.args.args]]
    return len(taken) - (taken[:1] in (["self"], ["cls"]))


def crowded(tree: ast.AST) -> list[str]:
    """The functions with too many positional parameters."""
    return [node.name for node in ast.walk(tree) if isinstance(node, FUNCTIONS) and positional(node) > MAX_POSITIONAL]


def test_no_function_of_a_context_takes_many_arguments_by_position():
    found = {path.name: names for path in (PACKAGE / "context").glob("*.py") if (names := crowded(parsed(path)))}
    assert found == {}


def test_a_crowded_function_is_seen():
    code = "class C:\n def f(self, a, b, c, d, e, f): 1\n async def g(a, b, /, c, d, e, f, g): 1\ndef h(a, *, b, c, d, e, f, g): 1"
    assert crowded(ast.parse(code)) == ["g"]


# --- no exception from the rule that private names are private


def test_nothing_in_the_package_reaches_into_what_is_private():
    """But by one door: `memory.log_of`, for what is built on ctxmem."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}

    assert {name: text.count("SLF001") for name, text in texts.items() if "SLF001" in text} == {"memory.py": 1}
