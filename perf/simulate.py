"""Score the prompts that a context gives under a policy, beside plain strategies, on transcripts.

    perf/simulate.py SCORER DATA [--budget 0.6 ...] [--set low=0.5 ...] [--sources] [--plain]
    perf/simulate.py SCORER DATA --ledgers 50

SCORER is the path of trajectories.py, DATA the folder of its traj_*.jsonl; neither is part of the project. `--set` overrides
fields of `Policy` and, dotted, constants of a module (`collector.keepvalue.HALF_LIFE_TURNS=60`). `--ledgers N` prints N
ledgers to be read.
"""

import argparse
import hashlib
import importlib
import importlib.util
import json
import pickle
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import ctxmem  # noqa: E402
from ctxmem.options import Options, Policy  # noqa: E402

BUDGETS = (0.6, 0.3, 8_000, 16_000, 64_000)
PLAIN = ("sliding, pair-safe", "hysteresis 50%, pair-safe")
RECORD = "[ctxmem record"


def prompts(transcript: Any, budget: float, policy: Policy) -> Iterator[tuple[int, list[dict[str, Any]] | None, float]]:
    """Yield what each call would have been sent: (call index, messages, seconds); None where nothing fits.

    The system prompt comes on top of the budget, as it does in the scorer.
    """
    window = int(budget) + sum(transcript.tokens[: transcript.system])
    with (
        tempfile.TemporaryDirectory(prefix="ctxmem-simulate-") as folder,
        ctxmem.open(Path(folder, "store"), options=Options(durability="unsafe")) as memory,
    ):
        context = memory.context(transcript.id, model="gpt-4.1", window=window, reserve=0, policy=policy)
        done = 0
        for i in transcript.calls:
            start = time.perf_counter()
            for message in transcript.messages[done:i]:
                context.append(message)
            done = i
            try:
                made = [dict(message) for message in context.assemble().messages]
            except ctxmem.WindowOverflow:
                made = None
            yield i, made, time.perf_counter() - start


def load(scorer_path: Path, data: Path) -> tuple[Any, dict[str, list[Any]]]:
    """Import the scorer by path and read the transcripts; what it computes of each call is kept in the temporary folder."""
    spec = importlib.util.spec_from_file_location("trajectories", scorer_path)
    assert spec is not None
    assert spec.loader is not None
    scorer = importlib.util.module_from_spec(spec)
    sys.modules["trajectories"] = scorer
    spec.loader.exec_module(scorer)
    files = sorted(data.glob("traj_*.jsonl"))
    key = hashlib.sha256(b"".join(f"{f}{f.stat().st_mtime_ns}".encode() for f in [scorer_path, *files])).hexdigest()[
        :16
    ]
    cached = Path(tempfile.gettempdir()) / f"ctxmem-simulate-{key}.pickle"
    if cached.exists():
        sources, scorer._seen = pickle.loads(cached.read_bytes())
        return scorer, sources
    sources = {}
    for file in files:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        sources[file.stem.removeprefix("traj_")] = [scorer.Transcript(row) for row in rows]
    for transcript in (t for ts in sources.values() for t in ts):
        for i in transcript.calls:
            transcript.explained(transcript.messages[:i], i)
    cached.write_bytes(pickle.dumps((sources, scorer._seen)))
    return scorer, sources


def evaluate(scorer: Any, sources: dict[str, list[Any]], budget: float, make: Any) -> dict[str, dict[str, float]]:
    """Return figures by source, and their mean, of a strategy `make(transcript, budget tokens)`."""
    parts = {}
    for source, transcripts in sources.items():
        total, times = Counter(), []
        for t in transcripts:
            if budget > 1 and sum(t.tokens) < budget:
                continue
            tokens = budget if budget > 1 else budget * sum(t.tokens[t.system :])
            found, seconds = scorer.score(t, tokens, make(t, tokens))
            total += found
            times += seconds
        if total["calls"]:
            parts[source] = scorer.figures(total, times)
    return {"mean": scorer.mean(list(parts.values())), **parts}


def strategy(policy: Policy) -> Any:
    """Return a context under a policy as a strategy of the scorer."""
    return lambda t, budget: prompts(t, budget, policy)


def overridden(settings: list[str]) -> Policy:
    """Apply `name=value` settings: fields of the policy, or `module.CONSTANT`."""
    policy = Policy()
    for setting in settings:
        name, _, value = setting.partition("=")
        if "." not in name:
            policy = replace(policy, **{name: json.loads(value)})
            continue
        module, _, constant = name.rpartition(".")
        loaded = importlib.import_module(f"ctxmem.{module}")
        previous = getattr(loaded, constant)
        for other in list(sys.modules.values()):  # a constant that was imported by name
            if getattr(other, "__name__", "").startswith("ctxmem") and getattr(other, constant, None) is previous:
                setattr(other, constant, json.loads(value))
    return policy


def print_ledgers(sources: dict[str, list[Any]], n: int, policy: Policy) -> None:
    """Print the ledger at the end of transcripts of every source, in turn."""
    wanted = [
        (source, t, budget)
        for budget in (0.3, 0.6, 16_000)
        for source, ts in sources.items()
        for t in ts[:: max(1, len(ts) // 8)]
    ]
    for source, t, budget in wanted:
        if n <= 0:
            return
        tokens = budget if budget > 1 else budget * sum(t.tokens[t.system :])
        last: list[dict[str, Any]] = []
        for _, made, _ in prompts(t, tokens, policy):
            last = made or last
        record = [one["content"] for one in last if str(one.get("content") or "").startswith(RECORD)]
        if record:
            n -= 1
            print(f"\n===== {source} {t.id}, budget {tokens:.0f}")
            print("\n".join(record))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scorer", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--budget", type=float, action="append")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--sources", action="store_true", help="a row for each source")
    parser.add_argument("--plain", action="store_true", help="the plain strategies beside it")
    parser.add_argument("--ledgers", type=int, default=0)
    given = parser.parse_args()
    scorer, sources = load(given.scorer, given.data)
    policy = overridden(given.settings)
    if given.ledgers:
        print_ledgers(sources, given.ledgers, policy)
        return
    for budget in given.budget or BUDGETS:
        made = {name: scorer.STRATEGIES[name] for name in PLAIN} if given.plain else {}
        made["ctxmem"] = strategy(policy)
        for name, make in made.items():
            found = evaluate(scorer, sources, budget, make)
            for source, figures in found.items():
                if given.sources or source == "mean":
                    print(scorer.row(f"{budget:g} {name if source == 'mean' else '  ' + source}", figures), flush=True)


if __name__ == "__main__":
    main()
