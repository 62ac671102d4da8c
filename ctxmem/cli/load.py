"""`ctxmem import`: load files of other programs into a store, streamed; a second run adds nothing twice."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from ctxmem.cli import output, shared
from ctxmem.cli.importing import DEFAULT_MODEL, Import
from ctxmem.errors import BadInput, StoreError
from ctxmem.transcripts import FORMATS, ITEMS, detect, each_file, entries, items

_NAMED = 10  # files passed over that are named
_POLL_S = 2.0
_HOMES = {
    "claude-code": ("CLAUDE_CONFIG_DIR", ".claude", ("projects",)),
    "codex": ("CODEX_HOME", ".codex", ("sessions", "archived_sessions")),
}


@click.command("import")
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@shared.store_option
@click.option("--claude-code", is_flag=True, help="Import what Claude Code keeps in ~/.claude or CLAUDE_CONFIG_DIR.")
@click.option("--codex", is_flag=True, help="Import what Codex keeps in ~/.codex or CODEX_HOME.")
@click.option("--as", "form", type=click.Choice(FORMATS), help="Read as this format instead of guessing.")
@click.option(
    "--session", help="Put everything in this session; default: conversations in one each, other items in none."
)
@click.option(
    "--model",
    help=f"The model whose tokens are counted; default: the one a conversation names, else {DEFAULT_MODEL}.",
)
@click.option(
    "--facet", "facets", multiple=True, callback=shared.facet, metavar="NAME=VALUE", help="Add a facet to all."
)
@click.option("--watch", is_flag=True, help="Go on, and import what is new when a file grows, until Ctrl-C.")
@shared.as_json
def import_command(
    *,
    files: tuple[Path, ...],
    store: Path,
    claude_code: bool,
    codex: bool,
    form: str | None,
    session: str | None,
    model: str | None,
    facets: dict[str, Any],
    watch: bool,
    is_json: bool,
) -> None:
    """Import conversations of coding agents and chat programs, OpenAI messages, plain text and source trees.

    What a file or directory holds is told from its content. The store is made where it is missing. Each message has a
    key from its file, so importing again adds only what is new. Lines that cannot be read are counted and left out; a
    file that is no UTF-8 text is refused, or passed over in a tree and named on stderr. See docs/import.md.
    """
    named = [(file, form) for file in files]
    for is_wanted, program in ((claude_code, "claude-code"), (codex, "codex")):
        named += [(folder, program) for folder in _homes(program)] if is_wanted else []
    if not named:
        raise click.UsageError("Name a file or directory, or give --claude-code or --codex.")
    sources = [_source(file, given) for file, given in named]  # each is looked at before a store is made
    # What a power cut takes of an import, the next one brings again: it need not wait for the disk.
    memory, log = shared.open_for_writing(store, "last-commit-may-go")
    try:
        with memory:
            work = _Work(Import(memory, log, session=session, model=model, facets=facets))
            with output.progress("importing, MB", total=sum(source.megabytes for source in sources) or None) as bar:
                done = [work.source(source, bar) for source in sources]
            _report(done, work.passed_over, is_json=is_json)
            if watch:
                work.follow(sources, is_json=is_json)
    except KeyboardInterrupt as exc:
        raise click.Abort("Interrupted: what was imported is kept, the same command goes on from there.") from exc


def _homes(program: str) -> list[Path]:
    """Return the directories where a program keeps its transcripts.

    Raises:
        BadInput: there is none.
    """
    variable, default, below = _HOMES[program]
    home = Path(os.environ.get(variable) or Path.home() / default)
    found = [home / name for name in below if (home / name).is_dir()]
    if not found:
        raise BadInput(f"There are no transcripts of {program} in {home}: name their directory, or set {variable}.")
    return found


class _Source(NamedTuple):
    """One argument: a file or tree, and how it is read."""

    path: Path
    form: str

    def files(self, is_wanted: Callable[[Path], bool] = lambda _: True) -> list[tuple[Path, str]]:
        """List its transcripts as they are now, of those that are wanted; none of what holds items."""
        return [] if self.form in ITEMS else each_file(self.path, self.form, is_wanted)

    @property
    def megabytes(self) -> float:
        """The size of its transcripts."""
        return sum(_stamp(file)[1] for file, _ in self.files()) / 1e6


def _source(path: Path, given: str | None) -> _Source:
    form = given or detect(path)
    if not path.is_dir() or form in ITEMS:
        _ = items(path, form) if form in ITEMS else entries(path, form, Counter())
    return _Source(path, form)


def _stamp(file: Path) -> tuple[float, int]:
    """Return what changes when a file does: its time, in seconds, and its size; zeros where it is gone."""
    try:
        found = file.stat()
    except OSError:
        return 0.0, 0
    return found.st_mtime, found.st_size


class _Work:
    """Brings sources to an import, remembers which files it has seen, and says what came of each."""

    def __init__(self, target: Import) -> None:
        self._target = target
        self._seen: dict[Path, tuple[float, int]] = {}
        self._megabytes = 0.0
        self.passed_over: list[str] = []

    def source(self, source: _Source, progress: Callable[[float], None], *, is_alone: bool = True) -> dict[str, Any]:
        """Import one argument; return what to print of it. What cannot be read of a tree is passed over.

        Raises:
            BadInput: it is a file that cannot be read, and `is_alone`.
        """
        is_alone = is_alone and not source.path.is_dir()
        target = self._target
        known, skipped, segments = target.known, target.skipped.copy(), target.segments
        target.sessions.clear()
        found = source.files()
        for file, form in found:
            self._file(file, form, is_alone=is_alone)
            self._megabytes += self._seen[file][1] / 1e6
            progress(self._megabytes)
        if source.form == "log":
            target.log(items(source.path, source.form, self.passed_over.append), self.passed_over.append, progress)
        elif source.form in ITEMS:
            target.items(items(source.path, source.form, self.passed_over.append), progress)
        return {
            "file": str(source.path),
            "format": source.form,
            "files": len(found),
            "sessions": len(target.sessions),
            "segments": target.segments - segments,
            "known": target.known - known,
            "skipped": dict(target.skipped - skipped),
        }

    def _file(self, file: Path, form: str, *, is_alone: bool) -> None:
        self._seen[file] = written_at, _ = _stamp(file)
        try:
            found = entries(file, form, self._target.skipped)
            self._target.entries(found, written_at, is_shown=is_alone)
        except StoreError:  # a full disk is an OSError too, and no fault of the file
            raise
        except (BadInput, OSError) as exc:
            self._target.settle()
            if is_alone:
                raise
            self.passed_over.append(str(exc).rstrip("."))

    def follow(self, sources: list[_Source], *, is_json: bool) -> None:
        """Import what is new whenever a file has changed, until an interrupt."""
        try:
            while True:
                time.sleep(_POLL_S)
                done = [one for source in sources for one in self._changed(source)]
                if done:
                    _report(done, [], is_json=is_json)
        except KeyboardInterrupt:
            return

    def _changed(self, source: _Source) -> list[dict[str, Any]]:
        """Import the files that have changed; one that is being written and cannot be read now is read later."""
        changed = source.files(self._has_changed)
        done = (self.source(_Source(file, form), lambda _: None, is_alone=False) for file, form in changed)
        return [one for one in done if one["segments"]]

    def _has_changed(self, file: Path) -> bool:
        """Say whether a file is another than it was when it was looked at last."""
        before, self._seen[file] = self._seen.get(file), _stamp(file)
        return self._seen[file] != before


def _report(done: list[dict[str, Any]], passed_over: list[str], *, is_json: bool) -> None:
    if passed_over:
        more = f" and {len(passed_over) - _NAMED} more" if len(passed_over) > _NAMED else ""
        click.echo(output.harmless(f"Passed over: {', '.join(passed_over[:_NAMED])}{more}."), err=True)
    if is_json:
        output.print_json(done)
        return
    columns = ("files", "sessions", "segments", "known")
    rows = [(one["file"], one["format"], *(f"{one[name]:,}" for name in columns)) for one in done]
    titles = ["file", "format", "transcripts", "sessions", "new segments", "known already"]
    output.table("", titles, rows, numbers=(2, 3, 4, 5))
    skipped = sum((Counter(one["skipped"]) for one in done), Counter[str]())
    if skipped:
        output.say("Left out: " + "; ".join(f"{n:,} x {what}" for what, n in skipped.most_common()) + ".")
