"""`ctxmem replay`: run an existing transcript, turn by turn, through a window of any size."""

import tempfile
import time
from pathlib import Path
from typing import Any

import click

import ctxmem
from ctxmem.cli import output, shared, turntable
from ctxmem.cli.meter import Meter
from ctxmem.errors import BadInput, WindowOverflow
from ctxmem.transcripts import Conversation, conversations

_UNBOUNDED_TOKENS = 1_000_000_000


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", default="gpt-4.1", show_default=True, help="The model whose prompts are made; none is called.")
@click.option("--provider", help="The prompts' shape, where it is not the model's own.")
@click.option("--window", type=click.IntRange(256), help="Tokens of window; default: the model's.")
@click.option(
    "--budget", type=click.FloatRange(0.01, 1.0), help="Instead: a share of the transcript, system prompt on top."
)
@click.option("--recall", "has_recall", is_flag=True, help="Recall what fits the newest messages on every turn.")
@click.option("--limit", type=click.IntRange(1), help="Replay at most this many conversations.")
@click.option("--every", default=0, type=click.IntRange(0), help="Show every n-th turn (0: a choice).")
@shared.as_json
def replay_command(
    *,
    file: Path,
    model: str,
    provider: str | None,
    window: int | None,
    budget: float | None,
    has_recall: bool,
    limit: int | None,
    every: int,
    is_json: bool,
) -> None:
    """Replay OpenAI messages (a list, {"messages": ...} or JSONL) and show every prompt that would have been sent."""
    if window is not None and budget is not None:
        raise click.UsageError("Give --window or --budget, not both.")
    found: list[dict[str, Any]] = []
    for number, conversation in enumerate(conversations(file, "openai")):
        if number == limit:
            break
        replay = _Replay(conversation, model, provider, window, budget, has_recall=has_recall)
        with output.progress(conversation.name, total=len(conversation.messages)) as progress:
            replay.perform(progress)
        if is_json:
            found.append(replay.as_plain())
        else:
            replay.show(every)
    if is_json:
        output.print_json(found)
    elif found == [] and limit == 0:
        raise BadInput(f"{file.name} holds no conversation.")


class _Replay:
    """One conversation through one context in a store of its own."""

    def __init__(
        self,
        conversation: Conversation,
        model: str,
        provider: str | None,
        window: int | None,
        budget: float | None,
        *,
        has_recall: bool,
    ) -> None:
        self._conversation, self._has_recall = conversation, has_recall
        self._how: dict[str, Any] = {"model": model, "provider": provider}
        self._window, self._budget = window, budget
        self._overflows: list[str] = []
        self._tokens = 0

    def perform(self, progress: Any) -> None:
        """Append message by message; before each of the assistant's, assemble what it would have been sent."""
        with (
            tempfile.TemporaryDirectory(prefix="ctxmem-replay-") as folder,
            ctxmem.open(Path(folder, "store")) as memory,
        ):
            self._tokens, system = self._length(memory)
            if self._budget is not None:
                self._how |= {"window": system + int((self._tokens - system) * self._budget), "reserve": 0}
            elif self._window is not None:
                self._how["window"] = self._window
            with memory.context(self._conversation.name, **self._how) as context:
                self._meter = Meter(lambda segment_id: memory.get(segment_id).kind)
                for number, message in enumerate(self._conversation.messages):
                    if message.get("role") == "assistant" and number:
                        self._assemble(context, number)
                    context.append(message)
                    progress(number + 1)

    def _length(self, memory: ctxmem.Memory) -> tuple[int, int]:
        """Return the tokens of the whole conversation and of its system prompt alone, counted as the context counts."""
        system = 0
        with memory.context("length of the whole", **self._how, window=_UNBOUNDED_TOKENS, reserve=0) as context:
            for message in self._conversation.messages:
                context.append(message)
                if message.get("role") == "system" and not system:
                    system = context.tokens
            return context.tokens, system

    def _assemble(self, context: ctxmem.Context, number: int) -> None:
        before = self._conversation.messages[max(0, number - 3) : number]
        query = " ".join(m["content"] for m in before if isinstance(m.get("content"), str))[-2_000:]
        begun = time.perf_counter()
        try:
            prompt = context.assemble(recall=query if self._has_recall and query else None)
        except WindowOverflow as exc:
            self._overflows.append(f"message {number + 1}: {exc}")
            return
        self._meter.see(prompt, time.perf_counter() - begun)

    def as_plain(self) -> dict[str, Any]:
        """Return summary and turns as plain values."""
        return {"name": self._conversation.name, "summary": self._totals(), "turns": self._meter.as_dicts()}

    def _totals(self) -> dict[str, Any]:
        return {
            **self._meter.summary(),
            "transcript_tokens": self._tokens,
            "messages": len(self._conversation.messages),
            "overflows": self._overflows,
        }

    def show(self, every: int) -> None:
        """Print the turn table and the summary."""
        output.say(f"{self._conversation.name}: {len(self._conversation.messages):,} messages, {self._tokens:,} tokens")
        turntable.turn_table(self._meter, every=every)
        output.say("")
        more = (
            {"too large for the budget": f"{len(self._overflows)} turns, first: {self._overflows[0]}"}
            if self._overflows
            else {}
        )
        turntable.summary(self._meter.summary(), more=more)
        output.say("")
