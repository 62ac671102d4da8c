"""Write docs/reference/*.md from the docstrings of the public surface: `make docs`.

tests/test_docs.py fails while a page differs from what this would write.
"""

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import ctxmem
import ctxmem.errors
from ctxmem.cli.app import COMMANDS, command_named

HERE = Path(__file__).resolve().parent / "reference"
MADE = "<!-- Made by docs/make_reference.py from the docstrings: edit those. -->\n"


def pages() -> dict[str, str]:
    """Return every page by its file name."""
    errors = [name for name, kind in vars(ctxmem.errors).items() if inspect.isclass(kind) and kind.__module__ == "ctxmem.errors"]
    values = [name for name in ctxmem.__all__ if dataclasses.is_dataclass(getattr(ctxmem, name))]
    functions = [name for name in ctxmem.__all__ if inspect.isfunction(getattr(ctxmem, name))]
    classes = [n for n in ctxmem.__all__ if inspect.isclass(getattr(ctxmem, n)) and n not in {*errors, *values}]
    return {
        "api.md": _page("API reference", [*map(_function, functions), *map(_class, classes)]),
        "values.md": _page("Values and options", map(_class, values)),
        "errors.md": _page("Errors", [_text(inspect.getdoc(ctxmem.errors) or ""), *map(_error, errors)]),
        "cli.md": _page("Command line", map(_command, COMMANDS)),
    }


def _page(title: str, parts: Any) -> str:
    return f"# {title}\n\n{MADE}\n" + "\n".join(parts)


def _text(docstring: str) -> str:
    """A docstring as Markdown: doctests and indented blocks as code, everything else as it is."""
    parts = re.split(r"\n{2,}", docstring.strip())
    return "\n\n".join(map(_paragraph, parts)) + "\n"


def _paragraph(text: str) -> str:
    if text.startswith(">>>"):
        # Without prompts: the doctest runs where it stands, in the source.
        lines = [line[4:] if line.startswith((">>>", "...")) else f"# {line}" for line in text.splitlines()]
        return "```py\n" + "\n".join(lines) + "\n```"
    head, *rest = text.splitlines()
    if head.startswith(" "):
        return f"```text\n{text}\n```"
    if rest and all(line.startswith(" ") for line in rest):
        return f"{head}\n\n" + "\n".join(_item(line) for line in rest)
    return text


def _item(line: str) -> str:
    """One line of a section: an entry of a list, or what goes on from the line before."""
    return f"- {line.strip()}" if re.match(r"    \S", line) else f"  {line.strip()}"


def _function(name: str) -> str:
    found = getattr(ctxmem, name)
    return f"## `ctxmem.{name}{_signature(found)}`\n\n{_text(inspect.getdoc(found) or '')}"


def _class(name: str) -> str:
    found = getattr(ctxmem, name)
    head = f"## `ctxmem.{name}`\n\n{_text(inspect.getdoc(found) or '')}"
    return "\n".join([head, *_fields(found), *_methods(found)])


def _fields(found: type) -> Iterator[str]:
    """The fields of a value with types and defaults as the source has them."""
    if not dataclasses.is_dataclass(found):
        return
    yield "| field | type | default |\n|---|---|---|"
    (tree,) = ast.parse(inspect.getsource(found)).body
    for one in tree.body if isinstance(tree, ast.ClassDef) else ():
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and not one.target.id.startswith("_"):
            kind = ast.unparse(one.annotation).strip("'").replace("|", chr(92) + "|")
            default = "" if one.value is None else ast.unparse(one.value)
            default = "empty" if default.startswith("field(") else f"`{default}`" if default else ""
            yield f"| `{one.target.id}` | `{kind}` | {default} |"
    yield ""


def _methods(found: type) -> Iterator[str]:
    for name, member in vars(found).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield f"### `{found.__name__}.{name}`\n\n{_text(inspect.getdoc(member) or '')}"
        elif inspect.isfunction(member):
            prefix = "await " if inspect.iscoroutinefunction(member) else ""
            yield f"### `{prefix}{found.__name__}.{name}{_signature(member)}`\n\n{_text(inspect.getdoc(member) or '')}"


def _signature(found: Any) -> str:
    """Names and defaults: the types stand in the editor, the reader wants the call."""
    signature = inspect.signature(found)
    shown = [p.replace(annotation=inspect.Parameter.empty) for n, p in signature.parameters.items() if n != "self"]
    return str(signature.replace(parameters=shown, return_annotation=inspect.Signature.empty))


def _error(name: str) -> str:
    found = getattr(ctxmem.errors, name)
    bases = ", ".join(base.__name__ for base in found.__bases__)
    return f"## `{name}({bases})`\n\n{_text(inspect.getdoc(found) or '')}"


def _command(name: str) -> str:
    """One command from its parameters: click's own layout differs from version to version."""
    command = command_named(name)
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    usage = [f"ctxmem {name}", "[OPTIONS]", *(_usage(one) for one in arguments)]
    rows = [_option(one) for one in command.params if isinstance(one, click.Option)]
    return "\n".join(
        [
            f"## `ctxmem {name}`\n",
            f"```text\n{' '.join(usage)}\n```\n",
            inspect.cleandoc(command.help or "") + "\n",
            "| option | what it does | default |\n|---|---|---|",
            *rows,
            "",
        ]
    )


def _usage(one: click.Argument) -> str:
    name = str(one.metavar or (one.name or "").upper()) + ("..." if one.nargs == -1 else "")
    return name if one.required else f"[{name}]"


def _option(one: click.Option) -> str:
    is_shown = one.show_default and isinstance(one.default, (str, int, float)) and not one.is_flag
    names = ", ".join(f"`{name}`" for name in sorted(one.opts, key=len, reverse=True))
    return f"| {names} | {one.help} | {f'`{one.default}`' if is_shown else ''} |"


def main() -> None:
    """Write the pages that have changed."""
    HERE.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = HERE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
