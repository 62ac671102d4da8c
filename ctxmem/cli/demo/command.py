"""`ctxmem demo`."""

import tempfile
from pathlib import Path
from typing import Any

import click

from ctxmem.cli import output, shared, turntable
from ctxmem.cli.demo.run import Outcome, Run
from ctxmem.cli.demo.shelf import Shelf
from ctxmem.errors import BadInput


@click.command("demo")
@click.option("--tokens", default=3_000_000, show_default=True, type=click.IntRange(1_000), help="Tokens to read.")
@click.option("--window", default=32_000, show_default=True, type=click.IntRange(8_000), help="The model's window.")
@click.option("--questions", default=12, show_default=True, type=click.IntRange(0, 500), help="Questions to answer.")
@click.option("--model", default="gpt-4.1", show_default=True, help="The model whose prompts are made; none is called.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the store in this new directory, to look into it.")
@click.option("--every", default=0, type=click.IntRange(0), help="Show every n-th turn (0: a choice).")
@shared.as_json
def demo_command(
    *, tokens: int, window: int, questions: int, model: str, keep: Path | None, every: int, is_json: bool
) -> None:
    """Let a scripted agent read the standard library and answer from memory.

    No model and no network: the agent follows a script, its tools really read this machine's Python library.
    Far more goes in than the window holds; at the end it answers questions about what it saw long ago.
    """
    if keep is not None and keep.exists():
        raise BadInput(f"{keep} exists already: name a new directory with --keep.")
    with tempfile.TemporaryDirectory(prefix="ctxmem-demo-") as folder:
        outcome = _perform(keep or Path(folder, "store"), tokens, window, questions, model)
    if is_json:
        output.print_json(as_plain(outcome))
    else:
        _show(outcome, every)
        if keep is not None:
            output.say(f"The store is kept: ctxmem search --store {keep} 'some words'")


def _perform(store: Path, tokens: int, window: int, questions: int, model: str) -> Outcome:
    with output.progress("reading the library", total=tokens) as progress:
        run = Run(store, model=model, window=window, shelf=Shelf(), progress=progress)
        try:
            return run.perform(tokens, questions)
        finally:
            run.close()


def as_plain(outcome: Outcome) -> dict[str, Any]:
    """Return everything that a run showed as plain values."""
    return {
        "summary": {
            **outcome.meter.summary(),
            "tokens_seen": outcome.tokens_seen,
            "files_read": outcome.files_read,
            "restores": outcome.restores,
            "restored_exactly": outcome.restored_exactly,
            "same_after_restart": outcome.same_after_restart,
            "questions": len(outcome.answers),
            "answers_right": sum(one.is_right for one in outcome.answers),
            "seconds": outcome.seconds,
        },
        "answers": [
            {"asks": a.asks, "way": a.way, "found": a.found, "right": a.right, "is_right": a.is_right, "turns": a.turns}
            for a in outcome.answers
        ],
        "turns": outcome.meter.as_dicts(),
        "store": outcome.stats,
    }


def _show(outcome: Outcome, every: int) -> None:
    turntable.turn_table(outcome.meter, every=every)
    output.say("")
    rows = [
        (a.asks, a.way, output.excerpt(a.found or "not found", 60), "yes" if a.is_right else "NO")
        for a in outcome.answers
    ]
    output.table("Answers from memory (right: as the file on disk says)", ["question", "by", "answer", "right"], rows)
    output.say("")
    right = sum(one.is_right for one in outcome.answers)
    restart = {None: "not tried", True: "the same prompt", False: "ANOTHER PROMPT"}[outcome.same_after_restart]
    size = outcome.stats.get("file_bytes")
    more = {
        "tokens seen": f"{outcome.tokens_seen:,} in {outcome.files_read:,} files",
        "after a restart half-way": restart,
        "restored byte for byte": f"{outcome.restored_exactly} of {outcome.restores}",
        "answers right": f"{right} of {len(outcome.answers)}",
        "store": output.size(size) if isinstance(size, int) else "?",
        "time": f"{outcome.seconds:.1f} s",
    }
    turntable.summary(outcome.meter.summary(), more=more)
