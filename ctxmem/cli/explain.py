"""`ctxmem explain`: one segment, and why it is in its session's prompt or not."""

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import click

from ctxmem import moments
from ctxmem.cli import find, output, shared
from ctxmem.cli.sessions import context_of
from ctxmem.segment import Hit


@click.command("explain")
@click.argument("segment_id", metavar="ID", type=click.IntRange(0))
@shared.store_option
@shared.as_json
def explain_command(*, segment_id: int, store: Path, is_json: bool) -> None:
    """Say why segment ID is in its session's prompt or not: the rule, its score, and the path from a root."""
    memory, log = shared.open_with_log(store)
    with memory:
        segment = memory.get(segment_id)
        why: Any = None
        if segment.session is not None and segment.role is not None:
            why = context_of(memory, log, segment.session)[1].explain(segment_id)
    plain = asdict(why) if is_dataclass(why) and not isinstance(why, type) else why
    if is_json:
        output.print_json({**find.as_plain(Hit(segment, 0)), "explanation": plain})
        return
    output.pairs(
        f"#{segment.id} {segment.kind}" + (f" in session {segment.session}" if segment.session else ""),
        {
            "at": moments.shown(segment.at),
            "tokens": f"{segment.tokens:,}",
            "group": segment.group,
            "facets": ", ".join(f"{name}={value}" for name, value in segment.facets.items()) or "none",
            "pinned": "yes" if segment.pinned else "no",
            "text": output.excerpt(segment.text, 200),
            **(
                plain
                if isinstance(plain, dict)
                else {"explanation": why or "no part of a conversation, so in no prompt"}
            ),
        },
    )


def _reasons(plain: dict[str, Any]) -> dict[str, str]:
    """Return an explanation in words, by name; what is not known is left out."""
    path = " <- ".join(f"#{one}" for one in plain.get("path") or ())
    shown = {name: plain.get(name) for name in ("state", "rule", "score", "rank")}
    shown |= {"path from a root": path or None, "collection": plain.get("collection"), "in turn": plain.get("turn")}
    return {
        name: f"{value:.3f}" if isinstance(value, float) else str(value)
        for name, value in shown.items()
        if value is not None
    }
