"""`ctxmem import`: load files of other programs into a store, streamed; a second run adds nothing twice."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

import ctxmem
from ctxmem.cli import output, shared
from ctxmem.errors import BadInput, WindowOverflow
from ctxmem.transcripts import FORMATS, Conversation, conversations, detect, items

# Messages between two barriers: bounds what is held in memory, costs one flush.
_FLUSH_EVERY = 1_000
_NAMED = 10  # files passed over that are named


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@shared.store_option
@click.option("--format", "form", type=click.Choice(FORMATS), help="Read as this format instead of guessing.")
@click.option(
    "--session", help="Put everything in this session; default: conversations in one each, other items in none."
)
@click.option(
    "--model", default="gpt-4.1", show_default=True, help="The model whose tokens conversations are counted in."
)
@click.option(
    "--facet", "facets", multiple=True, callback=shared.facet, metavar="NAME=VALUE", help="Add a facet to all."
)
@shared.as_json
def import_command(
    *,
    files: tuple[Path, ...],
    store: Path,
    form: str | None,
    session: str | None,
    model: str,
    facets: dict[str, Any],
    is_json: bool,
) -> None:
    """Import OpenAI messages, the old JSON stash, plain text and source trees.

    The store is made where it is missing. Each item has a key from its file, so importing again adds only what is new.
    Files are UTF-8 text from beginning to end: another is refused, or passed over in a tree and named on stderr.
    """
    passed_over: list[str] = []
    sources = [_source(file, form, passed_over.append) for file in files]  # each is looked at before a store is made
    done: list[dict[str, Any]] = []
    try:
        with ctxmem.open(store) as memory, output.progress("importing") as progress:
            load = _Load(memory, session, model, facets, progress)
            done += [load.source(source) for source in sources]
    except KeyboardInterrupt as exc:
        raise click.Abort("Interrupted: what was imported is kept, the same command goes on from there.") from exc
    if passed_over:
        more = f" and {len(passed_over) - _NAMED} more" if len(passed_over) > _NAMED else ""
        click.echo(output.harmless(f"Passed over: {', '.join(passed_over[:_NAMED])}{more}."), err=True)
    if is_json:
        output.print_json(done)
        return
    rows = [(one["file"], one["format"], f"{one['segments']:,}", f"{one['known']:,}") for one in done]
    output.table("", ["file", "format", "new segments", "known already"], rows, numbers=(2, 3))


class _Source(NamedTuple):
    """What one file or tree holds, not read yet: conversations of the format "openai", items of the others."""

    file: Path
    form: str
    conversations: Iterator[Conversation]
    items: Iterator[dict[str, Any]]


def _source(file: Path, given: str | None, passed_over: Callable[[str], None]) -> _Source:
    form = given or detect(file)
    if form == "openai":
        return _Source(file, form, conversations(file, form), iter(()))
    return _Source(file, form, iter(()), items(file, form, passed_over))


class _Load:
    """Loads items into one memory or session, and counts them."""

    def __init__(
        self,
        memory: ctxmem.Memory,
        session: str | None,
        model: str,
        facets: dict[str, Any],
        progress: Callable[[float], None],
    ) -> None:
        self._memory, self._session, self._model = memory, session, model
        self._facets, self._progress = facets, progress
        self._there = _segments(memory)
        self.count = 0
        self.known = 0

    def source(self, source: _Source) -> dict[str, Any]:
        """Load one file or tree; return what to print of it."""
        before, known = self.count, self.known
        for conversation in source.conversations:
            self.conversation(conversation, source.file)
        if source.form != "openai":
            self.items(source.items)
        new, known = self.count - before, self.known - known
        return {"file": str(source.file), "format": source.form, "segments": new, "known": known}

    def items(self, given: Iterator[dict[str, Any]]) -> None:
        """Stream items through `add_many`: constant memory but for the ids."""
        base = self.count + self.known
        ids = self._memory.add_many(
            ({**item, **self._facets, "session": self._session} for item in given),
            progress=lambda n: self._progress(base + n),
        )
        self._tally(ids)

    def conversation(self, conversation: Conversation, file: Path) -> None:
        """Append a conversation's messages as an agent would, so that its session can go on from there."""
        name = self._session or conversation.name
        ids = []
        with self._memory.context(name, model=self._model) as context:
            for number, message in enumerate(conversation.messages):
                key = f"{file.name[-80:]}#{conversation.name[-200:]}#{number}"
                ids.append(context.append(message, key=key, **self._facets).id)
                self._progress(self.count + self.known + len(ids))
                if number % _FLUSH_EVERY == _FLUSH_EVERY - 1:
                    self._memory.flush()
            # Assemble once: `show` has something to show, and the session resumes from it. There is none where
            # nothing is to be sent yet, or where the messages do not fit.
            with contextlib.suppress(WindowOverflow, BadInput):
                context.assemble()
        self._tally(ids)

    def _tally(self, ids: list[int]) -> None:
        """Count the segments that are new as what the store has grown by: a known key returns its old segment."""
        there = _segments(self._memory)
        new = min(len(ids), max(0, there - self._there))
        self._there = there
        self.count += new
        self.known += len(ids) - new


def _segments(memory: ctxmem.Memory) -> int:
    """Return how many segments the store holds."""
    return int(memory.stats()["segments"])
