"""`ctxmem show`: the sessions of a store, or the prompt of one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import ctxmem
from ctxmem import moments
from ctxmem.cli import output, shared
from ctxmem.cli.sessions import SessionEntry, context_of, sessions
from ctxmem.errors import BadInput


@click.command("show")
@click.argument("session", required=False)
@shared.store_option
@click.option("--turn", type=click.IntRange(1), help="An earlier turn's prompt instead of the newest.")
@click.option("--full", is_flag=True, help="Show whole texts instead of their beginnings.")
@shared.as_json
def show_command(*, session: str | None, store: Path, turn: int | None, full: bool, is_json: bool) -> None:
    """List the sessions of a store, or show the newest prompt of SESSION, to the byte as it was sent."""
    memory, log = shared.open_with_log(store)
    with memory:
        if session is None:
            _list(sessions(log), is_json=is_json)
            return
        found, context = context_of(memory, log, session)
        newest = found.row.turn if found.row else 0
        if not newest:
            raise BadInput(f"Session {session!r} has sent no prompt yet: use `ctxmem search --session {session}`.")
        prompt = context.replay(turn or newest)
    if is_json:
        output.print_json(as_plain(prompt))
    else:
        _show(session, prompt, full=full)


def _list(found: list[SessionEntry], *, is_json: bool) -> None:
    plain = [one.as_plain() for one in found]
    if is_json:
        output.print_json(plain)
    elif not plain:
        output.say("No sessions yet.")
    else:
        columns = ["session", "segments", "turns", "epoch", "model", "last prompt"]
        rows = [
            (
                one["session"],
                f"{one['segments']:,}",
                f"{one['turn']:,}",
                f"{one['epoch']:,}",
                one["model"] or "",
                moments.shown(one["last_at"]) if one["last_at"] else "",
            )
            for one in plain
        ]
        output.table("", columns, rows, numbers=(1, 2, 3))


def as_plain(prompt: ctxmem.Prompt) -> dict[str, Any]:
    """Return a prompt as plain values."""
    return {
        "turn": prompt.turn,
        "model": prompt.model,
        "provider": prompt.provider,
        "tokens": prompt.tokens,
        "budget": prompt.budget,
        "exact": prompt.exact,
        "segments": list(prompt.segments),
        "stubs": list(prompt.stubs),
        "system": prompt.system,
        "messages": prompt.messages,
        "tools": prompt.tools,
    }


def _show(session: str, prompt: ctxmem.Prompt, *, full: bool) -> None:
    exact = "" if prompt.exact else "about "
    output.say(
        f"{session}, turn {prompt.turn}, {prompt.model}: {exact}{prompt.tokens:,} of {prompt.budget:,} tokens, "
        f"{len(prompt.segments):,} segments in full, {len(prompt.stubs):,} stubbed or shortened"
    )
    messages = [*([{"role": "system", "content": prompt.system}] if prompt.system else []), *prompt.messages]
    for number, message in enumerate(messages):
        output.say("")
        output.say(f"--- {number} {message.get('role', message.get('type', ''))}")
        for part in _parts(message):
            output.say(part if full else output.excerpt(part, 400))


def _parts(message: dict[str, Any]) -> Iterator[str]:
    """Yield the texts of a message, then whatever else it carries, as one JSON line each."""
    content = message.get("content")
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, dict) and isinstance(block.get("text"), str):
            yield block["text"]
        elif block is not None:
            yield block if isinstance(block, str) else json.dumps(block, ensure_ascii=False)
    for call in message.get("tool_calls") or ():
        function = call.get("function", {})
        yield f"calls {function.get('name')}({function.get('arguments')})"
