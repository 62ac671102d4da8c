"""Printing for every command: tables for people, JSON for programs, progress on a terminal and nothing in a pipe.

Results go to stdout, progress and errors to stderr, so that a pipe gets results alone.
I1. Stored text cannot control the terminal: control characters are shown as U+FFFD; JSON, for programs, keeps them.
I2. Any stored text can be printed, whatever the encoding of stdout: characters it lacks are replaced, in JSON escaped.
"""

import codecs
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

_REFRESH_S = 0.1
_PIPE_WIDTH = 160
_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Of C0 and C1, directions of writing, and halves of characters.
_CONTROLS = re.compile(r"\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def console() -> Console:
    """Return a console on today's stdout; in a pipe it is wide, since no terminal's edge cuts it there."""
    if sys.stdout.isatty():
        return _Console(highlight=False)
    return _Console(file=sys.stdout, width=_PIPE_WIDTH, highlight=False)


class _Console(Console):
    """A console that leaves a closed pipe to `app.main`, where it is no error."""

    def on_broken_pipe(self) -> None:
        """Raise again what rich would turn into exit code 1."""
        raise BrokenPipeError


def print_json(value: Any) -> None:
    """Print a value for programs, one document."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_as_json)
    if not (text.isascii() or (_is_utf8(sys.stdout) and not _SURROGATES.search(text))):
        text = json.dumps(value, indent=2, default=_as_json)
    sys.stdout.write(text + "\n")


def _is_utf8(stream: TextIO) -> bool:
    return codecs.lookup(stream.encoding or "utf-8").name == "utf-8"


def _as_json(value: Any) -> Any:
    """Return what JSON lacks as what it has: sets, mappings and objects with fields."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def say(text: str) -> None:
    """Print plain text; brackets are not markup."""
    console().print(escape(harmless(text)), soft_wrap=True)


def harmless(text: str) -> str:
    r"""Return the text without what a terminal would obey, or could not show: controls but for line ends and tabs.

    >>> harmless("a\x1b[31mb\tc\n") == "a\ufffd[31mb\tc\n"
    True
    """
    return _CONTROLS.sub("\ufffd", text)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers: Sequence[int] = ()) -> None:
    """Print a table; the columns in `numbers` stand to the right."""
    grid = Table(title=harmless(title) or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        is_number = position in numbers
        grid.add_column(column, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in rows:
        grid.add_row(*(escape(harmless(str(cell))) for cell in row))
    console().print(grid)


def pairs(title: str, values: Mapping[str, Any]) -> None:
    """Print names and values under each other."""
    table(title, ["", ""], [(name, value) for name, value in values.items()])


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
    """Return a function that takes how much is done; it draws a bar on a terminal and does nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        drawn_at = 0.0

        def draw(done: float) -> None:
            nonlocal drawn_at
            if time.monotonic() - drawn_at > _REFRESH_S:
                drawn_at = time.monotonic()
                bar.update(task, completed=done)

        yield draw


def size(n_bytes: float) -> str:
    """Show a number of bytes for people.

    >>> size(1536), size(12)
    ('1.5 KB', '12 B')
    """
    for unit in ("B", "KB", "MB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.2f} GB"


def excerpt(text: str, width: int = 100) -> str:
    r"""Show the beginning of a text on one line.

    >>> excerpt("a\n  b", 10), excerpt("abcdefgh", 5)
    ('a b', 'abcd…')
    """
    line = " ".join(text[: width * 4].split())
    line = "".join(c if c.isprintable() else "\ufffd" for c in line)
    return line if len(line) <= width else line[: width - 1] + "…"
