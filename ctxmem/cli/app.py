"""The `ctxmem` command: a group that loads each command when it is asked for, and turns errors into sentences.

Exit codes: 0 done, 1 the store or the input is at fault, 2 the command line is, 130 interrupted.
A standard stream that is closed is treated like /dev/null.
"""

import importlib
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

import click

from ctxmem import __version__
from ctxmem.errors import CtxMemError

# Name -> module below ctxmem.cli; the function has the command's name with "_command" after it.
COMMANDS = {
    "demo": "demo.command",
    "replay": "replay",
    "import": "load",
    "search": "find",
    "show": "show",
    "explain": "explain",
    "log": "log",
    "retain": "retain",
    "export": "export",
    "stats": "care",
    "check": "care",
    "backup": "care",
    "mcp": "mcp",
    "costs": "costs",
    "plan": "plan",
}


class _Commands(click.Group):
    """Commands by name, imported one at a time: `ctxmem --help` must not wait for all of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        return command_named(cmd_name) if cmd_name in COMMANDS else None


def command_named(name: str) -> click.Command:
    """Load one command by its name in `COMMANDS`."""
    module = importlib.import_module(f"ctxmem.cli.{COMMANDS[name]}")
    command: click.Command = getattr(module, f"{name}_command")
    return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ctxmem")
def _group() -> None:
    """Look into a store of agents' context memory, fill it, and see how prompts are made from it."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: what the `ctxmem` script calls."""
    _fill_closed_streams()
    _print_any_text()
    code = _run(sys.argv[1:] if arguments is None else arguments)
    trouble = _flush(sys.stdout)
    if trouble is not None and code == 0 and not isinstance(trouble, BrokenPipeError):
        code = _say(f"the output could not be written: {trouble.strerror}", 1)
    _flush(sys.stderr)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Run one command and say in one sentence what goes wrong; returns the exit code.

    Not by click's own `main`, which has exit codes of its own for a closed pipe and loses that of `check`.
    """
    try:
        with _group.make_context("ctxmem", list(arguments)) as context:
            _group.invoke(context)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        with suppress(OSError):
            exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt) as exc:
        return _say(str(exc) or "Interrupted.", 130)
    except CtxMemError as exc:
        return _say(str(exc), 1)
    except BrokenPipeError:
        return 0  # the reader of the pipe has ended (`ctxmem search x | head`), which is no error
    except OSError as exc:
        return _say(f"{exc.filename or ''}: {exc.strerror or exc}".lstrip(": "), 1)
    return 0


def _say(text: str, code: int) -> int:
    """Print a sentence to stderr, where that is still open; return the exit code."""
    with suppress(OSError):
        click.echo(f"ctxmem: {text}", err=True)
    return code


def _fill_closed_streams() -> None:
    """Open /dev/null where a standard stream was closed (`ctxmem stats >&-`).

    Python has None there, and the next file that is opened, the store's, would get the stream's number.
    """
    number = 0
    while number <= 2:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)  # the first that was not needed
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - open to the end


def _print_any_text() -> None:
    """Let both streams replace what their encoding lacks: the text around it is worth more than a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _flush(stream: TextIO) -> OSError | None:
    """Write what is buffered; where that fails, send it to /dev/null, as the interpreter flushes again at its end."""
    try:
        stream.flush()
    except OSError as exc:
        with suppress(OSError):  # a stream without a number is flushed nowhere
            number = os.open(os.devnull, os.O_WRONLY)
            os.dup2(number, stream.fileno())
            os.close(number)
        return exc
    return None
