"""Ask a real model what it had cached of each prompt: between two collections it is the whole prompt before.

    perf/real_cache.py DATA [--limit 2] [--calls 14] [--window 5000] [--json PATH]

DATA is a folder of traj_*.jsonl, as for simulate.py. Transcripts are replayed: at each message of the assistant the
prompt is assembled and sent to the model of local_model.py, which answers with one token and says in `cached_tokens`
how many tokens it did not have to compute. Its usage is observed, as an agent would; the transcript's message follows.

All lengths are in the model's own tokens, as its server makes them of the messages: T(n) is prompt n from the first
token to the marks that open the model's turn. The next message is the assistant's and stands behind these same marks,
so T(n) as a whole, marks included, must be a prefix of T(n+1). Two things are checked of each prompt:

held      unless a collection made it, or it is the first: cached >= len(T(n-1))
computed  cached == min(common, len(T(n)) - 1), where common is the length of the common prefix with the last prompt sent,
          found here by comparing the two token by token. The last token is always computed: the answer is read from it.
          This holds for every prompt, and shows that `cached_tokens` tells what it is taken to tell.

Beside it a sliding window that drops its oldest message, to show that the check can fail: the first transcript of each
source, until two prompts were not held, since each of them is computed almost as a whole. The exit code is 1 where
a prompt of ctxmem is not held, where a model's figure is not what was computed, or where the window's prompts pass.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import ctxmem  # noqa: E402
from ctxmem.transcripts import Conversation, conversations  # noqa: E402

RESERVE = 256  # tokens of the window that are left to the answer
MOST_MISSES = 2  # prompts of one sliding window that were not held
SHOWN = 5  # prompts that are printed where a check fails

Messages = Sequence[Mapping[str, Any]]


class Model(Protocol):
    """What is asked of a model; see local_model.py."""

    name: str

    def tokens(self, messages: Messages) -> list[int]:
        """Return the tokens that a prompt is made of."""

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a request, and return the usage."""


@dataclass(frozen=True)
class Sent:
    """One prompt that was sent.

    `previous` is the length of the prompt before in the same replay, 0 at the first; `common` is what the prompt begins
    with of the last that the model was sent, in whichever replay; `counted` and `cached` are the model's words.
    """

    strategy: str
    source: str
    transcript: str
    is_collected: bool
    tokens: int
    previous: int
    common: int
    counted: int
    cached: int

    @property
    def is_claimed(self) -> bool:
        """Say whether all of the prompt before should have been cached."""
        return self.previous > 0 and not self.is_collected

    @property
    def is_held(self) -> bool:
        """Say whether it was."""
        return self.cached >= self.previous

    @property
    def is_as_computed(self) -> bool:
        """Say whether the model counted and cached what follows from the tokens."""
        return self.counted == self.tokens and self.cached == min(self.common, self.tokens - 1)


class Slot:
    """The one slot of a model, which holds the tokens of the last prompt that was sent."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.sent: list[Sent] = []
        self._held: list[int] = []
        self._replay = ("", "", "")
        self._previous = 0

    def begin(self, strategy: str, source: str, transcript: str) -> None:
        """Begin the replay of a transcript."""
        self._replay, self._previous = (strategy, source, transcript), 0

    def send(self, request: Mapping[str, Any], *, is_collected: bool = False) -> dict[str, Any]:
        """Send a prompt, note what the model had cached of it, and return the usage."""
        tokens, usage = self.model.tokens(request["messages"]), self.model.ask(request)
        self.sent.append(
            Sent(
                *self._replay,
                is_collected=is_collected,
                tokens=len(tokens),
                previous=self._previous,
                common=common_prefix(self._held, tokens),
                counted=usage["prompt_tokens"],
                cached=usage["prompt_tokens_details"]["cached_tokens"],
            )
        )
        self._held, self._previous = tokens, len(tokens)
        return usage


@dataclass(frozen=True)
class Row:
    """What was seen of one strategy on one source: tokens are sums over its prompts."""

    strategy: str
    source: str
    transcripts: int
    prompts: int
    collections: int
    tokens: int
    cached: int
    largest: int
    claimed: int
    not_held: int
    not_as_computed: int


def common_prefix(before: Sequence[int], now: Sequence[int]) -> int:
    """Return how many tokens two prompts begin with alike.

    >>> common_prefix([2, 7, 1], [2, 7, 4, 1])
    2
    """
    return next((i for i, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), min(len(before), len(now)))


def turns(messages: Messages, calls: int) -> Iterator[tuple[bool, Mapping[str, Any]]]:
    """Yield each message and whether the model is asked before it, until it was asked `calls` times."""
    is_system = True
    for message in messages:
        is_asked = message["role"] == "assistant" and not is_system
        is_system = is_system and message["role"] == "system"
        yield is_asked, message
        calls -= is_asked
        if not calls:
            return


def replay_ctxmem(slot: Slot, one: Conversation, window: int, calls: int) -> None:
    """Send the prompts that a context assembles; end where what the transcript's assistant said last leaves no room."""
    with tempfile.TemporaryDirectory() as folder, ctxmem.open(Path(folder, "store")) as memory:
        context = memory.context(one.name, model=slot.model.name, provider="openai", window=window, reserve=RESERVE)
        for is_asked, message in turns(one.messages, calls):
            if is_asked:
                try:
                    prompt = context.assemble()
                except ctxmem.WindowOverflow as error:
                    print(f"{one.name} ends here: {error}", file=sys.stderr)
                    return
                context.observe(slot.send(prompt.kwargs(), is_collected=prompt.collection is not None))
            context.append(message)


def replay_sliding(slot: Slot, one: Conversation, window: int, calls: int) -> None:
    """Send the newest messages that fit behind the system prompt; end where the newest alone does not, or at MOST_MISSES."""
    system: list[Mapping[str, Any]] = []
    shown: list[Mapping[str, Any]] = []
    misses = 0
    for is_asked, message in turns(one.messages, calls):
        if is_asked:
            while shown and len(slot.model.tokens([*system, *shown])) > window - RESERVE:
                del shown[0]
            if not shown:
                return
            slot.send({"messages": [*system, *shown]})
            misses += not slot.sent[-1].is_held
            if misses == MOST_MISSES:
                return
        (shown if shown or message["role"] != "system" else system).append(message)


def rows_of(sent: Sequence[Sent]) -> list[Row]:
    """Sum up by strategy and source, and by strategy."""
    rows = []
    for strategy in dict.fromkeys(one.strategy for one in sent):
        own = [one for one in sent if one.strategy == strategy]
        rows += [
            _row(strategy, source, [one for one in own if one.source == source])
            for source in dict.fromkeys(one.source for one in own)
        ]
        rows.append(_row(strategy, "all", own))
    return rows


def _row(strategy: str, source: str, sent: Sequence[Sent]) -> Row:
    return Row(
        strategy,
        source,
        transcripts=len({(one.source, one.transcript) for one in sent}),
        prompts=len(sent),
        collections=sum(one.is_collected for one in sent),
        tokens=sum(one.tokens for one in sent),
        cached=sum(one.cached for one in sent),
        largest=max(one.tokens for one in sent),
        claimed=sum(one.is_claimed for one in sent),
        not_held=sum(one.is_claimed and not one.is_held for one in sent),
        not_as_computed=sum(not one.is_as_computed for one in sent),
    )


def faults(sent: Sequence[Sent]) -> list[str]:
    """Name what refutes the claim, or the check."""
    found = [
        f"{one.strategy}, {one.transcript}: {one.cached} cached of {one.tokens} tokens ({one.counted} by the model),"
        f" {one.previous} in the prompt before, {one.common} in common"
        for one in sent
        if not one.is_as_computed or (one.strategy == "ctxmem" and one.is_claimed and not one.is_held)
    ]
    totals = {row.strategy: row for row in rows_of(sent) if row.source == "all"}
    if "ctxmem" not in totals or not totals["ctxmem"].claimed or not totals["ctxmem"].collections:
        found.append("ctxmem: too few prompts: none that should be cached, or no collection; give more calls")
    if "sliding window" not in totals or not totals["sliding window"].not_held:
        found.append("sliding window: every prompt was held, so the check shows nothing; give a smaller window")
    return found


def show(rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """Print the machine and a line for each row."""
    print("  ".join(f"{name}: {value}" for name, value in about.items()))
    print(
        f"{'':34} {'runs':>4} {'prompts':>7} {'coll.':>5} {'largest':>7} {'cached':>6} {'to hold':>7} {'held':>5} {'miscounted':>10}"
    )
    for row in rows:
        held = row.claimed - row.not_held
        print(
            f"{row.strategy:16} {row.source:17} {row.transcripts:>4} {row.prompts:>7} {row.collections:>5} {row.largest:>7}"
            f" {row.cached / row.tokens:>6.1%} {row.claimed:>7} {held:>5} {row.not_as_computed:>10}"
        )


def replay_all(slot: Slot, given: argparse.Namespace) -> None:
    """Replay the transcripts of every source, the first of each through the sliding window too."""
    for file in sorted(given.data.glob("traj_*.jsonl")):
        source = file.stem.removeprefix("traj_")
        if given.source and source not in given.source:
            continue
        for n, one in enumerate(islice(conversations(file), given.limit)):
            print(f"{source}: {one.name}", file=sys.stderr)
            slot.begin("ctxmem", source, one.name)
            replay_ctxmem(slot, one, given.window, given.calls)
            if n == 0:
                slot.begin("sliding window", source, one.name)
                replay_sliding(slot, one, given.window, given.calls)


def main() -> None:
    import local_model
    import measuring

    parser = measuring.arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--source", action="append", help="only traj_<source>.jsonl; may be given again")
    parser.add_argument("--limit", type=int, default=2, help="transcripts of each source")
    parser.add_argument("--calls", type=int, default=14, help="prompts of each transcript, at most")
    parser.add_argument("--window", type=int, default=5_000, help=f"tokens; {RESERVE} are left to the answer")
    given = parser.parse_args()
    if missing := local_model.missing():
        print(f"real_cache.py needs a model, for development only: pip install {' '.join(missing)}", file=sys.stderr)
        raise SystemExit(2)
    about = {**measuring.machine(), "model": local_model.LocalModel.name, "window": given.window, "calls": given.calls}
    slot = Slot(local_model.LocalModel(n_ctx=2 * given.window))  # beyond the window: counts are estimates at first
    replay_all(slot, given)
    rows, found = rows_of(slot.sent), faults(slot.sent)
    show(rows, about)
    print(
        *(found[:SHOWN] or ["Between two collections every prompt's cached part was the whole prompt before."]),
        sep="\n",
    )
    if given.json:
        measuring.keep("real_cache", rows, about, given.json)
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
