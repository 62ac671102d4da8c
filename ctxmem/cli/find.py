"""`ctxmem search`."""

from pathlib import Path
from typing import Any

import click

import ctxmem
from ctxmem import moments
from ctxmem.cli import output, shared


@click.command("search")
@click.argument("query", default="")
@shared.store_option
@click.option("--file", "files", multiple=True, help="Only segments of this file.")
@click.option("--tag", "tags", multiple=True, help="Only segments with this tag; twice: with both.")
@click.option("--task", help="Only segments of this task.")
@click.option("--facet", "facets", multiple=True, callback=shared.facet, metavar="NAME=VALUE", help="Any other facet.")
@click.option("--session", help="Only this session.")
@click.option("--kind", help="Only this kind: user, assistant, tool, note, chunk, ...")
@click.option("--since", callback=shared.moment, metavar="TIME", help="Not older: ISO 8601 or seconds since the epoch.")
@click.option("--until", callback=shared.moment, metavar="TIME", help="Not newer.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 10_000), help="Show at most this many.")
@click.option("--full", is_flag=True, help="Show whole texts instead of excerpts.")
@click.option("--explain", is_flag=True, help="Show what each score is the sum of.")
@shared.as_json
def search_command(
    *,
    query: str,
    store: Path,
    files: tuple[str, ...],
    tags: tuple[str, ...],
    task: str | None,
    facets: dict[str, Any],
    session: str | None,
    kind: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    full: bool,
    explain: bool,
    is_json: bool,
) -> None:
    """Find segments by words, +required, -excluded, "phrases", prefix* and by facets; newest first without a query."""
    for name, values in (("file", files), ("tags", tags), ("task", () if task is None else (task,))):
        for value in values:
            shared.add_facet(facets, name, value)
    with shared.open_existing(store) as memory:
        hits = memory.search(
            query, limit=limit, session=session, kind=kind, since=since, until=until, explain=explain, **facets
        )
    if is_json:
        output.print_json([as_plain(hit) for hit in hits])
    elif not hits:
        output.say("Nothing found.")
    elif full:
        for hit in hits:
            output.say(f"[#{hit.segment.id}] {_about(hit.segment)}\n{hit.segment.text}\n")
    else:
        _show(hits, explain=explain)


def as_plain(hit: ctxmem.Hit) -> dict[str, Any]:
    """Return a hit as plain values."""
    segment = hit.segment
    return {
        "id": segment.id,
        "score": hit.score,
        "parts": dict(hit.parts),
        "partial": hit.partial,
        "session": segment.session,
        "kind": segment.kind,
        "role": segment.role,
        "at": segment.at,
        "tokens": segment.tokens,
        "facets": dict(segment.facets),
        "text": segment.text,
    }


def _about(segment: ctxmem.Segment) -> str:
    named = [segment.session or "", segment.kind, moments.shown(segment.at)]
    named += [f"{name}={value}" for name, value in segment.facets.items()]
    return " ".join(part for part in named if part)


def _show(hits: list[ctxmem.Hit], *, explain: bool) -> None:
    columns = ["id", "score", "kind", "session", "file", "text"]
    rows = []
    for hit in hits:
        text = output.excerpt(hit.segment.text)
        if explain and hit.parts:
            text += "\n" + " + ".join(f"{name} {part}" for name, part in hit.parts.items())
        file = hit.segment.facets.get("file", "")
        rows.append((hit.segment.id, hit.score, hit.segment.kind, hit.segment.session or "", file, text))
    output.table("", columns, rows, numbers=(0, 1))
    if any(hit.partial for hit in hits):
        output.say("Not every candidate was verified: narrow the search.")
