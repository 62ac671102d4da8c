"""One line of the ledger: what was done, what came of it, what was said; and how it reads. Values only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from ctxmem.segment import FORGOTTEN_TEXT

# What a note tells; notes of one line stand in this order. On disk: never renumber.
# TARGET: what a call read or changed, by name; told where a line stands for several steps: the call of one says it.
FAILED, ASKED, SAID, TARGET, OUTCOME, SIZE, RECORD, NAMES = range(8)


class Note(NamedTuple):
    """Something quoted: the segment it is from, what it tells, one line of text, the names in it and their weight."""

    source: int
    kind: int
    text: str
    words: tuple[str, ...] = ()
    weight: int = 1


class Doing(NamedTuple):
    """A tool that was called, or something that was said, and how often; how many of the calls failed.

    >>> str(Doing("book", 3, 1)), str(Doing("book", 1, 1)), str(Doing("book", 2, 2))
    ('book x3 (1 failed)', 'book (failed)', 'book x2 (both failed)')
    """

    name: str
    n: int = 1
    n_failed: int = 0

    def __str__(self) -> str:
        times = f" x{self.n}" if self.n > 1 else ""
        if not self.n_failed:
            return self.name + times
        failed = (
            {self.n: "all failed"} if self.n > 2 else {1: "failed", 2: "both failed"} if self.n == self.n_failed else {}
        )
        return f"{self.name}{times} ({failed.get(self.n_failed, f'{self.n_failed} failed')})"


@dataclass(frozen=True, slots=True)
class Line:
    """What is left of one group, or of several neighbours, in the order of events.

    `source` is the segment that `head` quotes: the calls with their arguments, or what a user said; `brief` is the
    same at its shortest. `changes`: the step changed something, or may have; it keeps a line of its own. Where a line
    stands for several groups `doings` are shown in place of heads, unless all have one head. `is_apart`: when it was
    written, something between it and the line before was still shown; it joins no line before it, so that a range is
    of what it stands for.
    """

    first: int
    last: int
    source: int
    head: str
    doings: tuple[Doing, ...]
    notes: tuple[Note, ...]
    changes: bool = False
    brief: str = ""
    is_apart: bool = False

    @property
    def is_run(self) -> bool:
        """Whether it stands for several groups."""
        return self.first != self.last

    @property
    def has_failed(self) -> bool:
        """Whether a call of it failed."""
        return any(doing.n_failed for doing in self.doings)

    def told(self, *kinds: int) -> Iterator[Note]:
        """Yield the notes of these kinds, in order."""
        return (note for note in self.notes if note.kind in kinds)

    def with_notes(self, notes: Iterator[Note]) -> "Line":
        """Return the line with these notes alone, each once, in the order of kinds."""
        return replace(self, notes=tuple(dict.fromkeys(sorted(notes, key=lambda note: note.kind))))

    def with_more(self, other: "Line") -> "Line":
        """Return the line of one step with what another line tells of it."""
        doings = {doing.name: doing for doing in (*other.doings, *self.doings)}
        made = self.with_notes(iter((*self.notes, *other.notes)))
        calls = self if self.head else other
        return replace(
            made,
            head=calls.head,
            brief=calls.brief,
            source=calls.source,
            doings=tuple(doings.values()),
            changes=self.changes or other.changes,
        )

    def text(self, is_forgotten: Callable[[int], bool] = lambda _: False) -> str:
        """Return the line as it is shown: `[#12] failed: why; tool {...}; said: words -> what came | of it`."""

        def shown(*kinds: int) -> list[str]:
            texts = (FORGOTTEN_TEXT if is_forgotten(note.source) else note.text for note in self.told(*kinds))
            return list(dict.fromkeys(texts))

        label = f"[#{self.first}-#{self.last}]" if self.is_run else f"[#{self.first}]"
        parts = [f"failed: {text}" for text in shown(FAILED)]
        if asked := shown(ASKED):
            parts.append("asked: " + " / ".join(asked))
        done = FORGOTTEN_TEXT if self.head and is_forgotten(self.source) else self.head
        if self.is_run:
            parts.insert(0, self._several(done, shown(TARGET)))
        elif done:
            parts.append(done)
        if said := shown(SAID):
            parts.append("said: " + " / ".join(said))
        after = shown(OUTCOME, RECORD, NAMES) or shown(SIZE)
        return f"{label} {'; '.join(parts)}".rstrip() + (" -> " + " | ".join(after) if after else "")

    def _several(self, head: str, targets: list[str]) -> str:
        """Say what several steps did: the call that all of them made, or their tools, and on what."""
        if not head:
            return ", ".join(map(str, self.doings)) + (f" of {', '.join(targets)}" if targets else "")
        n, n_failed = self.doings[0].n, max(doing.n_failed for doing in self.doings)
        return head + str(Doing("", n, n_failed))
