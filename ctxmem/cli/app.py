"""The `ctxmem` command: a group that loads each command when it is asked for, and turns errors into sentences.

Exit codes: 0 done, 1 the store or the input is at fault, 2 the command line is.
"""

import importlib
import os
import sys

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
    "stats": "care",
    "check": "care",
    "backup": "care",
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
    """Context memory for LLM agents: look into a store, fill it, and see how prompts are made from it."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: what the `ctxmem` script calls."""
    try:
        _group.main(args=arguments, prog_name="ctxmem", standalone_mode=False)
    except click.exceptions.Exit as exc:
        sys.exit(exc.exit_code)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.Abort:
        _fail("Interrupted.", 130)
    except BrokenPipeError:
        # The reader has gone (`ctxmem search x | head`): what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except CtxMemError as exc:
        _fail(str(exc), 1)
    except OSError as exc:
        _fail(f"{exc.filename or ''}: {exc.strerror or exc}".lstrip(": "), 1)


def _fail(text: str, code: int) -> None:
    click.echo(f"ctxmem: {text}", err=True)
    sys.exit(code)
