"""Questions about what the agent saw, their right answers from the real files, and answers from memory.

I1. A right answer comes from the file on disk through `ast`; no answer is written down here.
I2. An answer from memory is found in text that came out of the store, and nowhere else.
"""

import ast
import itertools
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ctxmem.cli.demo.shelf import PAGE_LINES, Shelf

_LONGEST_ANSWER_CHARS = 100
_TRIED_FILES = 12


@dataclass(frozen=True, slots=True)
class Question:
    """One question: what the user asks, what to search for, the right answer, and how to find it in a text."""

    asks: str
    query: str
    file: str
    right: str
    find: Callable[[str], str | None]


def questions(shelf: Shelf, seen: Sequence[str], count: int, seed: int = 7) -> list[Question]:
    """Choose questions spread evenly over the files read, the same for the same files. Cost: O(count) files parsed."""
    rng = random.Random(seed)  # noqa: S311 - which questions are asked is no secret
    found: list[Question] = []
    bounds = [len(seen) * n // max(1, count) for n in range(count + 1)]
    for number, (low, high) in enumerate(itertools.pairwise(bounds)):
        slot = rng.sample(list(seen[low:high]), high - low)[:_TRIED_FILES]
        kinds = _KINDS[number % len(_KINDS) :] + _KINDS[: number % len(_KINDS)]
        asked = (question for kind in kinds for path in slot for question in _from(kind, shelf, path, rng))
        found += itertools.islice(asked, 1)
    return found


def _from(kind: "_Kind", shelf: Shelf, path: str, rng: random.Random) -> list[Question]:
    """Return all questions of one kind about a file, shuffled; none where it cannot be parsed."""
    text = "".join(shelf.lines(path))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    found = [question for question in kind(tree, path) if question.find(text) == question.right]
    rng.shuffle(found)
    return found


def _on_one_page(node: ast.AST) -> bool:
    """Say whether the node's beginning stands on one page of `read_file`."""
    first, last = getattr(node, "lineno", 0), getattr(node, "lineno", 0) + 8
    return first > 0 and (first - 1) // PAGE_LINES == (last - 1) // PAGE_LINES


def _docstrings(tree: ast.Module, path: str) -> Iterator[Question]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and _on_one_page(node):
            said = _first_line(node)
            if said:
                pattern = rf'(?m)^def {node.name}\((?:[^"]|"(?!""))*?:\s*r?"""\\?\s*([^\n]*?)\s*(?:"""|\n)'
                yield Question(
                    asks=f"What does the docstring of {node.name} in {path} say first?",
                    query=f"def {node.name} {_stem(path)}",
                    file=path,
                    right=said,
                    find=_finder(pattern),
                )


def _first_line(node: ast.FunctionDef) -> str:
    """Return the docstring's first line, if the source shows it as it is; else an empty text."""
    said = (ast.get_docstring(node) or "").split("\n")[0].strip()
    return said if 12 < len(said) <= _LONGEST_ANSWER_CHARS and "\\" not in said and '"' not in said else ""


def _constants(tree: ast.Module, path: str) -> Iterator[Question]:
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            continue
        name, value = node.targets[0].id, node.value
        if name.isupper() and len(name) > 4 and isinstance(value, ast.Constant) and isinstance(value.value, int | str):
            right = repr(value.value)
            if value.value and len(right) <= _LONGEST_ANSWER_CHARS and value.lineno == value.end_lineno:
                yield Question(
                    asks=f"To what is {name} set in {path}?",
                    query=f"{name} {_stem(path)}",
                    file=path,
                    right=right,
                    find=_finder(rf"(?m)^{name} *= *(.+)$", _literal),
                )


def _bases(tree: ast.Module, path: str) -> Iterator[Question]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.bases and _on_one_page(node) and not node.keywords:
            right = ", ".join(ast.unparse(base) for base in node.bases)
            if '"' not in right and "'" not in right:
                yield Question(
                    asks=f"Which are the bases of class {node.name} in {path}?",
                    query=f"class {node.name} {_stem(path)}",
                    file=path,
                    right=right,
                    find=_finder(
                        rf"(?m)^class {node.name}\(([^)]*)\):", lambda text: re.sub(r"\s*,\s*", ", ", text.strip())
                    ),
                )


_Kind: TypeAlias = Callable[[ast.Module, str], Iterator[Question]]
_KINDS: list[_Kind] = [_docstrings, _constants, _bases]


def _stem(path: str) -> str:
    return path.removesuffix(".py").replace("/", " ")


def _finder(pattern: str, shape: Callable[[str], str | None] = str) -> Callable[[str], str | None]:
    wanted = re.compile(pattern)

    def find(text: str) -> str | None:
        match = wanted.search(text)
        return shape(match[1]) if match else None

    return find


def _literal(source: str) -> str | None:
    """Return the repr of the literal that a line assigns, a comment behind it ignored; None for no literal."""
    try:
        node = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return repr(node.value) if isinstance(node, ast.Constant) else None


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a prompt's messages, of whatever shape: all that the model can see."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)
