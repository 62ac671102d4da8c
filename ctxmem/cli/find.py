"""`ctxmem search`: what was said of something, where, when, and what was said before and after it."""

from bisect import bisect_left
from pathlib import Path
from typing import Any

import click

import ctxmem
from ctxmem import moments
from ctxmem.cli import output, shared
from ctxmem.log import Log
from ctxmem.prompt.quotes import stretch, words_of

_STRETCH_CHARS = 700
_MOST_LINES = 10
_LINE_CHARS = 300
_INDENT = "    "


@click.command("search")
@click.argument("query", default="")
@shared.store_option
@click.option("--file", "files", multiple=True, help="Only segments of this file.")
@click.option("--tag", "tags", multiple=True, help="Only segments with this tag; twice: with both.")
@click.option("--task", help="Only segments of this task.")
@click.option("--project", help="Only segments of this project: its directory, or the directory's name.")
@click.option("--facet", "facets", multiple=True, callback=shared.facet, metavar="NAME=VALUE", help="Any other facet.")
@click.option("--session", help="Only this session.")
@click.option("--kind", help="Only this kind: user, assistant, tool, note, chunk, ...")
@click.option("--since", callback=shared.moment, metavar="TIME", help="Not older: ISO 8601 or seconds since the epoch.")
@click.option("--until", callback=shared.moment, metavar="TIME", help="Not newer.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 10_000), help="Show at most this many.")
@click.option(
    "--around", default=1, show_default=True, type=click.IntRange(0, 100), help="Messages to show before and after."
)
@click.option("--full", is_flag=True, help="Show whole texts instead of the lines that fit best.")
@click.option("--explain", is_flag=True, help="Show what each score is the sum of.")
@shared.as_json
def search_command(
    *,
    query: str,
    store: Path,
    files: tuple[str, ...],
    tags: tuple[str, ...],
    task: str | None,
    project: str | None,
    facets: dict[str, Any],
    session: str | None,
    kind: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    around: int,
    full: bool,
    explain: bool,
    is_json: bool,
) -> None:
    """Find segments by words, +required, -excluded, "phrases", prefix* and by facets; newest first without a query.

    Each is shown with its project, time, session and the messages around it; of a long text, the lines that fit best.
    """
    named = (("file", files), ("tags", tags), ("task", (task,)), ("project", (project,)))
    for name, values in named:
        for value in values:
            if value is not None:
                shared.add_facet(facets, name, value)
    memory, log = shared.open_with_log(store)
    with memory:
        hits = memory.search(
            query, limit=limit, session=session, kind=kind, since=since, until=until, explain=explain, **facets
        )
        surroundings = _Surroundings(memory, log, around)
        found = [(hit, *surroundings.of(hit.segment)) for hit in hits]
    if is_json:
        output.print_json([{**as_plain(hit), **_around(hit.segment.text, query, *sides)} for hit, *sides in found])
    elif not found:
        output.say("Nothing found.")
    else:
        for hit, before, after in found:
            _show(hit, query, before, after, full=full)
        if any(hit.partial for hit in hits):
            output.say("Not every candidate was verified: narrow the search.")


class _Surroundings:
    """What was said before and after a segment in its session; a session's ids are read once."""

    def __init__(self, memory: ctxmem.Memory, log: Log, reach: int) -> None:
        self._memory, self._log, self._reach = memory, log, reach
        self._ids: dict[str, list[int]] = {}

    def of(self, segment: ctxmem.Segment) -> tuple[list[ctxmem.Segment], list[ctxmem.Segment]]:
        """Return the segments before and after, in order; none of what belongs to no session."""
        if segment.session is None or not self._reach:
            return [], []
        ids = self._ids.get(segment.session)
        if ids is None:
            number = self._log.session(segment.session, create=False)
            ids = self._ids[segment.session] = [] if number is None else self._log.index.session_ids(number)
        at = bisect_left(ids, segment.id)
        before, after = ids[max(0, at - self._reach) : at], ids[at + 1 : at + 1 + self._reach]
        return [self._memory.get(i) for i in before], [self._memory.get(i) for i in after]


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


def _around(text: str, query: str, before: list[ctxmem.Segment], after: list[ctxmem.Segment]) -> dict[str, Any]:
    """Return as plain values the stretch of a text that fits the query best, and what was said around it."""
    start, stop = stretch(text, words_of(query), _STRETCH_CHARS)
    sides = {"before": before, "after": after}
    told = {side: [{"id": one.id, "kind": one.kind, "text": one.text} for one in said] for side, said in sides.items()}
    return {"excerpt": text[start:stop], **told}


def _show(
    hit: ctxmem.Hit, query: str, before: list[ctxmem.Segment], after: list[ctxmem.Segment], *, full: bool
) -> None:
    """Print a hit: where and when, what was said before it, its lines, what was said after it."""
    segment = hit.segment
    output.say(f"[#{segment.id}] {', '.join(_about(segment))}")
    if hit.parts:
        output.say(f"{_INDENT}score {hit.score} = " + " + ".join(f"{name} {part}" for name, part in hit.parts.items()))
    for one in before:
        output.say(f"{_INDENT}{_who(one)}: {output.excerpt(one.text)}")
    for line in segment.text.splitlines() if full else _lines(segment.text, query):
        output.say(f"  > {line}")
    for one in after:
        output.say(f"{_INDENT}{_who(one)}: {output.excerpt(one.text)}")
    output.say("")


def _lines(text: str, query: str) -> list[str]:
    """Return the lines of a text that fit a query best, at most `_MOST_LINES`; of a long one, what fits best."""
    words = words_of(query)
    start, stop = stretch(text, words, _STRETCH_CHARS)
    lines = [line for line in text[start:stop].splitlines() if line.strip()]
    shown = []
    for line in lines[:_MOST_LINES]:
        left, right = stretch(line, words, _LINE_CHARS)
        shown.append("..." * (left > 0) + output.excerpt(line[left:right], _LINE_CHARS) + "..." * (right < len(line)))
    is_cut = start > 0 or stop < len(text) or len(lines) > _MOST_LINES
    return [*shown, f"({len(text):,} characters; --full shows all)"] if is_cut else shown


def _about(segment: ctxmem.Segment) -> list[str]:
    """Say where and when a segment was said, and by whom."""
    facets = segment.facets
    place = _first(facets.get("project")) or _first(facets.get("title"))
    branch = _first(facets.get("branch"))
    files = _first(facets.get("file"))
    session = f"session {segment.session}" if segment.session else ""
    named = (f"{place} ({branch})" if place and branch else place, moments.shown(segment.at), _who(segment))
    return [part for part in (*named, files, session) if part]


def _first(value: Any) -> str:
    return "" if value in (None, []) else str(value[0] if isinstance(value, list) else value)


def _who(segment: ctxmem.Segment) -> str:
    tool = _first(segment.facets.get("tool"))
    return f"{segment.kind} {tool}" if tool and segment.kind == "tool" else segment.kind
