"""Adapters: ctxmem inside other programs, a module for each framework or protocol.

An adapter is imported when it is asked for, and `import ctxmem` imports none. Its third-party package comes with an
extra of the same name (`pip install 'ctxmem-engine[mcp]'`); without it the import raises `PackageMissing`.

mcp    a server of the Model Context Protocol: search, read, add and forget for any host that speaks it

hook   what the adapters that own a framework's prompt share: no adapter itself
"""

from ctxmem.errors import PackageMissing


def missing(extra: str, error: ImportError) -> PackageMissing:
    """Return the error to raise where an adapter's third-party package cannot be imported.

    >>> print(missing("mcp", ImportError("No module named 'mcp'")))
    ctxmem.adapters.mcp cannot be used here (No module named 'mcp'): pip install 'ctxmem-engine[mcp]'
    """
    return PackageMissing(
        f"ctxmem.adapters.{extra} cannot be used here ({error}): pip install 'ctxmem-engine[{extra}]'", extra
    )
