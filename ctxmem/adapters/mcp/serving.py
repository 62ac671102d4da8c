"""Run a server: on this process's standard streams, or on HTTP at a loopback address behind a token.

I1. Nothing but the protocol goes to stdout, and nothing that was asked or stored into a log.
I2. HTTP listens on 127.0.0.1 alone, and a request without the token, compared in constant time, reaches no handler.
"""

import hmac
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from ctxmem.errors import BadInput
from ctxmem.memory import Memory

MIN_TOKEN_CHARS = 16
PATH = "/mcp"
_HOST = "127.0.0.1"
_MAX_BODY_BYTES = 1_000_000  # the longest note, escaped
_GRACE_S = 5  # for requests that are being answered when a signal comes
_REFUSED = {
    401: b'{"error": "This server wants its token: Authorization: Bearer TOKEN."}',
    405: b'{"error": "This server answers POST alone."}',
}

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def serve_stdio(made: Server[Any], memory: Memory) -> None:
    """Serve one host on stdin and stdout until stdin ends; to be called on the main thread.

    SIGINT and SIGTERM close the memory and end the process.
    """
    _silence()
    anyio.run(_on_streams, made, memory)


async def _on_streams(made: Server[Any], memory: Memory) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_on_signal, memory)
        async with stdio_server() as (reading, writing):
            await made.run(reading, writing, made.create_initialization_options())
        tasks.cancel_scope.cancel()


async def _end_on_signal(memory: Memory) -> None:
    """End the process on SIGINT and SIGTERM: a thread that waits for stdin could be ended by nothing else."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            await anyio.to_thread.run_sync(memory.close)
            os._exit(128 + number)


def listening(port: int) -> socket.socket:
    """Return a socket that listens on the loopback address; port 0 takes a free one.

    Raises:
        BadInput: the port is taken, or not to be had.
    """
    try:
        return socket.create_server((_HOST, port))
    except (OSError, OverflowError) as error:
        raise BadInput(f"port {port} of {_HOST} cannot be had ({error}); name another with --port") from error


def serve_http(app: App, at: socket.socket) -> None:
    """Serve hosts with an application of `http_app` on a socket of `listening`, until a signal ends it."""
    _silence()
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE_S
    )
    uvicorn.Server(config).run(sockets=[at])


def http_app(made: Server[Any], token: str) -> App:
    """Return the ASGI application of a server, behind its token, at `/mcp`.

    Each request is answered with one JSON body, and none is remembered: a host may come and go.

    Raises:
        BadInput: the token is too short, or no header can hold it.
    """
    if not isinstance(token, str) or len(token) < MIN_TOKEN_CHARS or not token.isascii() or not token.isprintable():
        raise BadInput(f"the token must be {MIN_TOKEN_CHARS} or more printable ASCII characters")
    app = made.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=_MAX_BODY_BYTES,
        host=_HOST,
    )
    return _behind(token, app)


def _behind(token: str, app: Any) -> App:
    """Return an application that answers 401 to what does not bring the token, and 405 to all but requests.

    A GET would wait for what the server has to say by itself, which is nothing.
    """
    wanted = token.encode()

    async def guarded(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        given = [value.partition(b" ") for name, value in scope.get("headers", ()) if name == b"authorization"]
        is_bearer = len(given) == 1 and given[0][0].lower() == b"bearer"
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif not (is_bearer and hmac.compare_digest(given[0][2].strip(), wanted)):
            await _refuse(send, 401, (b"www-authenticate", b"Bearer"))
        elif scope["method"] != "POST":
            await _refuse(send, 405, (b"allow", b"POST"))
        else:
            await app(scope, receive, send)

    return guarded


async def _refuse(send: _Send, status: int, header: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", b"application/json"), header]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSED[status]})


def _silence() -> None:
    """Keep what the SDK and its server log to themselves: it may quote a request, and hosts keep stderr in files."""
    for name in ("mcp", "uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
