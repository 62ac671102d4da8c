"""Options that several commands take, and how a command opens a store that is there already."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

import ctxmem
from ctxmem import inputs, moments
from ctxmem.errors import BadInput
from ctxmem.log import Log
from ctxmem.options import Durability

_Command = TypeVar("_Command", bound=Callable[..., Any])

DEFAULT_STORE = "agent.ctxmem"
_WHOLE = re.compile("-?[0-9]{1,18}")  # fits 64 bits

as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON for programs instead of tables.")


def store_option(command: _Command) -> _Command:
    """Add `--store`, which falls back on CTXMEM_STORE and then on agent.ctxmem here."""
    return click.option(
        "-s",
        "--store",
        type=click.Path(path_type=Path),
        envvar="CTXMEM_STORE",
        default=DEFAULT_STORE,
        show_default=True,
        show_envvar=True,
        help="The store's directory.",
    )(command)


def open_existing(store: Path, *, readonly: bool = True) -> ctxmem.Memory:
    """Open a store that must be there: looking must not make one.

    Raises:
        BadInput: there is none at that path.
    """
    _require(store)
    return ctxmem.open(store, readonly=readonly)


def open_with_log(store: Path) -> tuple[ctxmem.Memory, Log]:
    """Open a store for reading, with the log under it, which lists the sessions. Raises as `open_existing`."""
    _require(store)
    return _opened(store, ctxmem.Options(), readonly=True)


def open_for_writing(store: Path, durability: Durability = "full") -> tuple[ctxmem.Memory, Log]:
    """Open a store, making it where it is missing, with the log under it, which knows what a key names."""
    return _opened(store, ctxmem.Options(durability=durability), readonly=False)


def _opened(store: Path, options: ctxmem.Options, *, readonly: bool) -> tuple[ctxmem.Memory, Log]:
    log = Log.open(store, readonly=readonly, options=options)
    return ctxmem.Memory(log, options), log


def _require(store: Path) -> None:
    if not store.exists():
        raise BadInput(f"There is no store at {store}: name one with --store, or fill one with `ctxmem import`.")


def moment(_context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Read a time option: seconds since the epoch, or ISO 8601 in local time where no zone is given."""
    if value is None:
        return None
    try:
        return moments.read(value, parameter.name or "at")
    except BadInput as exc:
        raise click.BadParameter(str(exc)) from exc


def facet(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Read NAME=VALUE options into facets; a whole number is one, quotes keep it text; a name twice means both."""
    found: dict[str, Any] = {}
    for given in values:
        name, is_pair, text = given.partition("=")
        if not is_pair or not name or not text:
            raise click.BadParameter(f"{given!r} is no facet: give NAME=VALUE.")
        if name in inputs.RESERVED:
            raise click.BadParameter(f"{name!r} is a keyword and no facet: see --help for an option of that name.")
        add_facet(found, name, _value(text))
    return found


def _value(text: str) -> str | int:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    return int(text) if _WHOLE.fullmatch(text) else text


def add_facet(facets: dict[str, Any], name: str, value: str | int) -> None:
    """Add one value under a name; the second makes a list, which means all of them."""
    held = facets.get(name)
    if held is None:
        facets[name] = value
    else:
        facets[name] = [*(held if isinstance(held, list) else [held]), value]
