"""A server of the Model Context Protocol over a store: any host that speaks it searches, reads and adds.

Several hosts may use one store at once: each starts a server process of its own, and what one adds the others find.
A server never owns its host's prompt: it answers what is asked, and each answer is bounded. See docs/mcp.md.

tools       what a model is shown
arguments   what it sent, read leniently
reach       which sessions the host may see
sheet       one answer, within its bound
answers     what is answered, as text
protocol    the server, as the SDK has it
serving     stdio, and HTTP behind a token
"""

from ctxmem.adapters import missing

try:
    from ctxmem.adapters.mcp.protocol import server
    from ctxmem.adapters.mcp.serving import http_app, listening, serve_http, serve_stdio
except ImportError as error:
    raise missing("mcp", error) from error

__all__ = ["http_app", "listening", "serve_http", "serve_stdio", "server"]
