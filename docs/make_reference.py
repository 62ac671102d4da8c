"""Write docs/reference/*.md from the docstrings of the public surface: `make docs`.

tests/test_docs.py fails while a page differs from what this would write.
"""

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
    """A docstring as Markdown: indented blocks and doctests as code, sections as paragraphs."""
    out, code = [], False
    for line in docstring.splitlines():
        is_code = line.startswith((" ", ">>>", "...")) or (code and bool(line.strip()) and out[-1] != "")
        if is_code != code and (line.strip() or not is_code):
            out.append("```" + ("" if code else "text"))
            code = is_code
        out.append(line)
    if code:
        out.append("```")
    return re.sub(r"\n\n```\n", "\n```\n\n", "\n".join(out)) + "\n"


def _function(name: str) -> str:
    found = getattr(ctxmem, name)
    return f"## `ctxmem.{name}{_signature(found)}`\n\n{_text(inspect.getdoc(found) or '')}"


def _class(name: str) -> str:
    found = getattr(ctxmem, name)
    head = f"## `ctxmem.{name}`\n\n{_text(inspect.getdoc(found) or '')}"
    return "\n".join([head, *_fields(found), *_methods(found)])


def _fields(found: type) -> Iterator[str]:
    """The fields of a value with their types and defaults."""
    if not dataclasses.is_dataclass(found):
        return
    yield "| field | type | default |\n|---|---|---|"
    for one in dataclasses.fields(found):
        has_factory = one.default_factory is not dataclasses.MISSING
        default = "" if one.default is dataclasses.MISSING else f"`{one.default!r}`"
        default = "empty" if has_factory else re.sub(r"<.*>", one.name, default)
        kind = one.type if isinstance(one.type, str) else inspect.formatannotation(one.type)
        yield f"| `{one.name}` | `{kind.replace('|', chr(92) + '|')}` | {default} |"
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
    command = command_named(name)
    context = click.Context(command, info_name=f"ctxmem {name}", terminal_width=100, max_content_width=100)
    return f"## `ctxmem {name}`\n\n```text\n{command.get_help(context)}\n```\n"


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
