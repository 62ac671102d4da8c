"""Build the prompts that the collector would give, with plain lists and no store, and score them beside plain strategies.

    perf/simulate.py SCORER DATA [--budget 0.6 ...] [--set low=0.5 ...] [--sources]
    perf/simulate.py SCORER DATA --ledgers 50

SCORER is the path of trajectories.py, DATA the folder of its traj_*.jsonl; neither is part of the project. `--set` overrides
fields of `Policy` and, dotted, constants of a module (`keepvalue.HALF_LIFE_TURNS=60`). `--ledgers N` prints N ledgers to be read.
The layout is that of a context: system, task, ledger, groups in order, stubs in place; a store, providers and calibration
are left out, so a figure here agrees with the real thing within a few thousandths, in a tenth of the time.
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

from ctxmem import collector  # noqa: E402
from ctxmem.collector.working import FULL, SHORT, WHOLE_FILE, FileUse, Item, WorkingSet  # noqa: E402
from ctxmem.errors import WindowOverflow  # noqa: E402
from ctxmem.ledger import abridge, stubs  # noqa: E402
from ctxmem.ledger import ledger as ledgers  # noqa: E402
from ctxmem.options import Policy  # noqa: E402
from ctxmem.prompt import calls  # noqa: E402
from ctxmem.segment import Call, Record  # noqa: E402

BUDGETS = (0.6, 0.3, 4_000, 16_000, 64_000)
PLAIN = ("sliding, pair-safe", "hysteresis 50%, pair-safe")
CALL_TOKENS = RESULT_TOKENS = 8  # what a context counts beyond the scorer's 4 a message


class Run:
    """One transcript through the collector at one budget: `prompts` yields (call index, messages, seconds)."""

    def __init__(self, scorer: Any, transcript: Any, budget: float, policy: Policy) -> None:
        self.scorer, self.t, self.budget, self.policy = scorer, transcript, int(budget), policy
        self.working, self.ledger = WorkingSet(), ledgers.Ledger()
        self.records: dict[int, Record] = {}
        self.group, self.turn, self.n_collections, self.mean = -1, 0, 0, 0.0
        self.outstanding: dict[str, Call] = {}

    def count(self, text: str) -> int:
        """Count with the scorer's tokenizer."""
        return count(self.scorer, text)

    def append(self, i: int) -> None:
        """Append message i."""
        message = self.t.messages[i]
        is_result = message["role"] == "tool" and self.group >= 0
        made = tuple(call_of(c) for c in message.get("tool_calls") or [])
        call = self.outstanding.pop(message.get("tool_call_id"), None) if is_result else None
        is_result = call is not None
        if not is_result:
            self.group = i
            self.outstanding = {c.id: c for c in made}
        text = self.scorer.text_of({"content": message.get("content")})
        tokens = self.t.tokens[i] + CALL_TOKENS * len(made) + RESULT_TOKENS * is_result
        self.records[i] = Record(
            1, "message", message["role"], text, tokens, 0.0, calls=made, call_id=call.id if call else None
        )
        digest = (
            int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
            if is_result and tokens >= 64
            else None
        )
        self.working.append(
            Item(
                i,
                self.group,
                "result" if is_result else message["role"],
                tokens,
                self.turn,
                files=files_of(call),
                is_result=is_result,
                digest=digest,
                calls=len(made),
            )
        )

    def total(self) -> int:
        """Return what the prompt takes."""
        return self.working.tokens + self.ledger.tokens

    def collect(self) -> None:
        """Collect where it is due."""
        water = collector.levels(self.budget, self.policy, turn_tokens=self.mean)
        if not collector.is_due(self.total(), self.budget, water):
            return
        made = collector.plan(
            self.working,
            budget_tokens=self.budget,
            target_tokens=water.low_tokens,
            overhead_tokens=0,
            ledger_tokens=self.ledger.tokens,
            turn=self.turn,
            policy=self.policy,
        )
        if not made.dropped and not made.forms:
            return
        self.n_collections += 1
        lines = ledgers.lines_of(made, self.members)
        forms = {
            i: form._replace(tokens=self.count(self.cut_text(i, form.code, form.limit_tokens)) + 20)
            for i, form in made.forms.items()
        }
        self.working.apply(made.dropped, forms, {})
        bound = abridge.ledger_bound(self.budget, self.policy.ledger_share, self.policy.ledger_tokens)
        self.ledger = self.ledger.extended(lines, min(bound, self.budget - self.working.tokens), self.count)

    def members(self, group: int) -> list[tuple[int, Record]]:
        """Return the records of a group."""
        return [(i, self.records[i]) for i in self.working.segments_of(group)]

    def cut_text(self, i: int, form: int, limit: int) -> str:
        """Return what stands for a result."""
        record = self.records[i]
        if form == SHORT:
            return stubs.shortened(i, record.text, limit, self.count, has_memory_read=False)
        return stubs.stub(i, record.tokens, has_memory_read=False)

    def prompt(self) -> list[dict[str, Any]]:
        """Build the messages."""
        out, messages = self.t.messages[: self.t.system], self.t.messages
        record = [{"role": "user", "content": text} for text in self.ledger.render()]
        first = min((one.first for piece in self.ledger.pieces for one in piece.lines), default=-1)
        for shown in self.working.shown():
            if record and shown.group > first and shown.segment_id == shown.group:
                out, record = out + record, []
            message = messages[shown.segment_id]
            if shown.form != FULL:
                message = {**message, "content": self.cut_text(shown.segment_id, shown.form, shown.limit_tokens)}
            out = [*out, message]
        return out + record

    def prompts(self) -> Iterator[tuple[int, list[dict[str, Any]] | None, float]]:
        """Yield what each call would have been sent."""
        done = self.t.system
        for i in self.t.calls:
            start = time.perf_counter()
            before = self.working.tokens
            for j in range(done, i):
                self.append(j)
            done = i
            self.mean += (self.working.tokens - before - self.mean) / (self.turn + 1)
            try:
                self.collect()
                prompt = self.prompt()
            except WindowOverflow:
                prompt = None
            self.turn += 1
            yield i, prompt, time.perf_counter() - start


def call_of(raw: dict[str, Any]) -> Call:
    try:
        arguments = json.loads(raw["function"]["arguments"])
    except ValueError:
        arguments = {"": raw["function"]["arguments"]}
    return Call(raw["id"], raw["function"]["name"], arguments if isinstance(arguments, dict) else {"": arguments})


def files_of(call: Call | None) -> tuple[FileUse, ...]:
    said = calls.facets_of_call(call.name, call.arguments) if call else {}
    if "file" not in said:
        return ()
    low, high = said.get("lines", (0, WHOLE_FILE))
    return (FileUse(said["file"], max(0, int(low)), min(int(high), WHOLE_FILE), said.get("op", "read")),)


_counts: dict[str, int] = {}


def count(scorer: Any, text: str) -> int:
    """Count with the scorer's tokenizer, remembered: the same pieces are counted for every policy."""
    known = _counts.get(text)
    if known is None:
        known = _counts[text] = len(scorer.ENC.encode_ordinary(text))
    return known


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


def strategy(scorer: Any, policy: Policy) -> Any:
    """Return the collector under a policy as a strategy of the scorer."""
    return lambda t, budget: Run(scorer, t, budget, policy).prompts()


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


def print_ledgers(scorer: Any, sources: dict[str, list[Any]], n: int, policy: Policy) -> None:
    """Print the ledger in the middle and at the end of transcripts of every source, in turn."""
    wanted = [
        (source, t, budget)
        for budget in (0.3, 0.6, 16_000)
        for source, ts in sources.items()
        for t in ts[:: max(1, len(ts) // 8)]
    ]
    for source, t, budget in wanted:
        tokens = budget if budget > 1 else budget * sum(t.tokens[t.system :])
        run = Run(scorer, t, tokens, policy)
        shown = [run.ledger.render() for _ in run.prompts()]
        if n > 0 and shown and shown[-1]:
            n -= 1
            print(
                f"\n===== {source} {t.id}, budget {tokens:.0f}, {run.n_collections} collections, {run.ledger.tokens} tokens"
            )
            print("\n".join(shown[-1]))


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
        print_ledgers(scorer, sources, given.ledgers, policy)
        return
    for budget in given.budget or BUDGETS:
        made = {name: scorer.STRATEGIES[name] for name in PLAIN} if given.plain else {}
        made["collector"] = strategy(scorer, policy)
        for name, make in made.items():
            found = evaluate(scorer, sources, budget, make)
            for source, figures in found.items():
                if given.sources or source == "mean":
                    print(scorer.row(f"{budget:g} {name if source == 'mean' else '  ' + source}", figures), flush=True)


if __name__ == "__main__":
    main()
