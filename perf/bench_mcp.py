"""Calls of an MCP server over stdio: what each costs, and that ten thousand of them leave its memory as it was.

A real child process on a store of made-up texts, asked by the SDK's client one call at a time; beside each tool stands
the list of tools, which is what the protocol alone costs. Memory is the resident size of the server, read from /proc, after
each tenth of the calls.
"""

import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import anyio
import workloads
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from measuring import Figure, arguments, figure, keep, machine, show

import ctxmem

_CHILD = "import os, sys; sys.stderr.write(f'{os.getpid()}\\n'); from ctxmem.cli import main; main()"


def resident_mb(pid: int) -> float:
    """Return the memory of a process that is in RAM."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def calls(n_texts: int) -> list[tuple[str, dict]]:
    """Return one round of calls: every reading tool, and two that are wrong."""
    mixes = workloads.queries(list(workloads.zipf(n_texts)))
    found = [("memory_search", {"query": query}) for mix in mixes.values() for query in mix[:5]]
    found += [("memory_read", {"id": n * 997 % n_texts, "before": 3, "after": 3}) for n in range(len(found))]
    found += [("memory_recent", {"limit": 10}), ("memory_read", {"id": 2**40}), ("memory_search", {"query": "the"})]
    return found


async def measured(store: Path, n_calls: int, n_texts: int) -> list[Figure]:
    """Start a server, ask it, and return the figures."""
    rounds = calls(n_texts)
    taken: dict[str, list[float]] = {"tools/list": []}
    with tempfile.TemporaryFile("w+") as said:
        parameters = StdioServerParameters(command=sys.executable, args=["-c", _CHILD, "mcp", "--store", str(store)])
        start = time.perf_counter()
        async with Client(stdio_client(parameters, errlog=said), mode="legacy") as client:
            await client.list_tools()
            started = time.perf_counter() - start
            said.seek(0)
            pid = int(said.readline())
            sizes = []
            for number, (name, given) in enumerate(islice(cycle(rounds), n_calls)):
                begun = time.perf_counter()
                await client.call_tool(name, given)
                taken.setdefault(name, []).append(time.perf_counter() - begun)
                if number % 10 == 0:
                    begun = time.perf_counter()
                    await client.list_tools()
                    taken["tools/list"].append(time.perf_counter() - begun)
                if number % (n_calls // 10) == n_calls // 10 - 1:
                    sizes.append(resident_mb(pid))
    figures = [figure("start, to the list of tools", [started])]
    figures += [figure(name, values) for name, values in sorted(taken.items())]
    note = " ".join(f"{size:.1f}" for size in sizes)
    return [*figures, figure("memory after each tenth", sizes, scale=1, unit="MB", note=note)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--texts", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        with ctxmem.open(store) as memory:
            memory.add_many(workloads.items(workloads.zipf(given.texts)))
        figures = anyio.run(measured, store, given.calls, given.texts)
    about = machine()
    show(figures, about)
    if given.json:
        keep("mcp", figures, about, given.json)


if __name__ == "__main__":
    main()
