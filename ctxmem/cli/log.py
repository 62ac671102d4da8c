"""`ctxmem log`: append to the log of a run of agents, or ask it."""

from collections.abc import Iterable
from pathlib import Path

import click

import ctxmem
from ctxmem import moments
from ctxmem.cli import output, shared
from ctxmem.entries import entry, grammar
from ctxmem.errors import BadInput


@click.command("log", context_settings={"ignore_unknown_options": True})
@click.argument("text", nargs=-1, required=True)
@shared.store_option
@click.option("--as", "entity", metavar="@NAME", envvar="CTXMEM_ENTITY", help="Who says it; or set CTXMEM_ENTITY.")
@click.option("--space", metavar="#NAME", help="Where it is said.")
@click.option("--tick", type=int, help="The tick of the run in which it is said.")
@click.option("--output", "answer", default="", help="What came of it.")
@click.option("--tokens-in", type=int, default=0, help="Tokens that the entity's model read.")
@click.option("--tokens-out", type=int, default=0, help="Tokens that it wrote.")
@click.option("--at", callback=shared.moment, metavar="TIME", help="When: ISO 8601 or seconds since the epoch.")
@click.option("--key", help="The same key and message again add nothing.")
@shared.as_json
def log_command(
    *,
    text: tuple[str, ...],
    store: Path,
    entity: str | None,
    space: str | None,
    tick: int | None,
    answer: str,
    tokens_in: int,
    tokens_out: int,
    at: float | None,
    key: str | None,
    is_json: bool,
) -> None:
    r"""Append a message, or ask with ?(...): ?(last 10), ?(today), ?(2025-12-06), ?(#general), ?(@alice), ?(tick 42).

    ?(@alice @bob) are all between the two; terms and words can be combined: ?(@alice since 2h deploy). The form of the
    document, \log message --- and \log ?(last 10) ---, is accepted as it stands. See docs/logs.md.
    """
    said = " ".join(text)
    if grammar.is_query(said):
        with shared.open_existing(store) as memory:
            _show(memory.logs.query(said), is_json=is_json)
        return
    if entity is None:
        raise click.UsageError("Say who logs it with --as @NAME, or ask with ?(...).")
    memory, _ = shared.open_for_writing(store)
    with memory:
        made = memory.logs.append(
            _message(said),
            answer,
            entity=entity,
            space=space,
            tick=tick,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            at=at,
            key=key,
        )
    if is_json:
        output.print_json(entry.plain(made))
    else:
        output.say(f"Logged as #{made.id}: {_head(made)}")


def _message(said: str) -> str:
    message = grammar.logged(said)
    if not message.strip():
        raise BadInput("There is nothing to log: give a message, or ask with ?(...).")
    return message


def _head(segment: ctxmem.Segment) -> str:
    facets = segment.facets
    named = [moments.shown(segment.at), f"@{facets.get('entity', '?')}"]
    named += [f"#{facets['space']}"] if "space" in facets else []
    named += [f"tick {facets['tick']}"] if "tick" in facets else []
    return " ".join(named)


def _show(found: Iterable[ctxmem.Segment], *, is_json: bool) -> None:
    if is_json:
        output.print_json([entry.plain(segment) for segment in found])
        return
    is_empty = True
    for segment in found:
        is_empty = False
        output.say(f"{_head(segment)}  {segment.text}")
    if is_empty:
        output.say("Nothing found.")
