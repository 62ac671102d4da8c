"""Make the golden store of the format that this ctxmem writes, and what must be read out of it.

    python tests/golden/make.py

It writes `format2/`, a store of a few sealed runs and a tail, and `expected.json` beside it. Run it when the format
changes, into a new directory; a golden store of a format that is still read is never made again.
"""

import json
import shutil
import tempfile
from pathlib import Path

import ctxmem

HERE = Path(__file__).parent
STORE = HERE / "format2"
OPTIONS = ctxmem.Options(block_segments=128, tail_segments=16, merge_factor=3, clock=lambda: 1_700_000_000.0)
SEARCHES = (
    {"query": "login"},
    {"query": "+token -red", "limit": 30},
    {"query": '"expired token"'},
    {"query": "house*", "session": "notes"},
    {"query": "cat", "colour": "red"},
    {"query": "", "limit": 12},
)


def fill(memory: ctxmem.Memory) -> None:
    """Write everything that a store can hold: notes with keys and facets, a session that collects, marks, a load."""
    for n in range(60):
        text = f"The {('red', 'blue')[n % 2]} cat {n} sleeps in house{n % 7}."
        memory.add(text, session="notes", at=1_600_000_000.0 + n, key=f"cat {n}", colour=("red", "blue")[n % 2], n=n)
    memory.flush()
    memory.pin(5)
    for gone in (7, 21):
        memory.forget(gone)
    context = memory.context("agent", model="gpt-4.1", window=4_000)
    context.system("You are careful.")
    for n in range(14):
        context.append({"role": "user", "content": f"Why does login {n} fail? " + "The log says: expired token. " * 12})
        call = {
            "id": f"c{n}",
            "type": "function",
            "function": {"name": "read", "arguments": f'{{"path": "src/{n}.py"}}'},
        }
        context.append({"role": "assistant", "content": None, "tool_calls": [call]})
        context.append({"role": "tool", "tool_call_id": f"c{n}", "content": f"def login_{n}(): return token\n" * 20})
        context.append({"role": "assistant", "content": f"Since its token {n} has expired."})
        context.assemble()
    memory.flush()
    for n in range(9):
        memory.add(f"A late note {n} about the login.", session="notes", at=1_700_000_100.0 + n)


def read(memory: ctxmem.Memory) -> dict[str, object]:
    """Read everything back, as values of JSON."""
    ids = sorted(hit.segment.id for hit in memory.search("", limit=1_000))
    segments = []
    for segment_id in ids:
        found = memory.get(segment_id)
        row = [found.id, found.session, found.kind, found.role, found.text, found.tokens, found.at, found.group]
        segments.append([*row, found.pinned, dict(found.facets)])
    searches = [[[hit.segment.id, hit.score] for hit in memory.search(**asked)] for asked in SEARCHES]
    context = memory.context("agent", model="gpt-4.1", window=4_000)
    prompts = [context.replay(turn + 1).messages for turn in range(context.turn)]
    context.close()
    return {
        "segments": segments,
        "searches": searches,
        "prompts": prompts,
        "forgotten": [memory.get(segment_id).text for segment_id in (7, 21)],
    }


def main() -> None:
    """Write both."""
    with tempfile.TemporaryDirectory() as folder:
        memory = ctxmem.open(Path(folder) / "s", options=OPTIONS)
        fill(memory)
        shutil.rmtree(STORE, ignore_errors=True)
        memory.backup(STORE)
        expected = read(memory)
        memory.close()
    (HERE / "expected.json").write_text(json.dumps(expected, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
