"""`ctxmem mcp`: the server that a host starts, or reaches over HTTP."""

import os
import secrets
from pathlib import Path

import click

import ctxmem
from ctxmem.cli import shared

_TOKEN = "CTXMEM_MCP_TOKEN"  # noqa: S105 - the name of a variable
_TOKEN_BYTES = 32


@click.command("mcp")
@shared.store_option
@click.option("--session", help="The host's own session: notes go there. Default: none, and the whole store is read.")
@click.option("--reads", multiple=True, metavar="NAME", help="Another session that the host may read; '*' for all.")
@click.option("--allow-write", is_flag=True, help="Offer memory_add; the store is made where it is missing.")
@click.option("--allow-forget", is_flag=True, help="Offer memory_forget, which erases.")
@click.option("--aliases", is_flag=True, help="Offer `search` and `fetch` too, as OpenAI's connectors want them.")
@click.option("--http", is_flag=True, help=f"Serve HTTP at 127.0.0.1 instead of stdio; the token is in {_TOKEN}.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65_535), help="Of HTTP; 0: a free one.")
def mcp_command(
    *,
    store: Path,
    session: str | None,
    reads: tuple[str, ...],
    allow_write: bool,
    allow_forget: bool,
    aliases: bool,
    http: bool,
    port: int,
) -> None:
    """Serve a store to a host that speaks the Model Context Protocol: search, read, and add where it is allowed.

    Over stdio for one host, which starts it, or with --http for any on this machine that has the token.
    Without CTXMEM_MCP_TOKEN a token is made and printed to stderr. The page on hosts says what to paste where.
    """
    from ctxmem.adapters import mcp  # noqa: PLC0415 - half a second, and an extra

    may_change = allow_write or allow_forget
    memory = ctxmem.open(store) if allow_write else shared.open_existing(store, readonly=not may_change)
    with memory:
        made = mcp.server(
            memory,
            session=session,
            reads="*" if "*" in reads else reads,
            allow_write=allow_write,
            allow_forget=allow_forget,
            aliases=aliases,
        )
        if not http:
            mcp.serve_stdio(made, memory)
            return
        given = os.environ.get(_TOKEN)
        token = secrets.token_urlsafe(_TOKEN_BYTES) if given is None else given
        with mcp.listening(port) as at:
            app = mcp.http_app(made, token)
            click.echo(f"ctxmem: serving http://127.0.0.1:{at.getsockname()[1]}/mcp", err=True)
            if given is None:
                click.echo(f"ctxmem: the token of this run is {token}", err=True)
            mcp.serve_http(app, at)
