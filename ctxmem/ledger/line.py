"""One line of the ledger: what was done, what came of it, what was said; and how it reads. Values only."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from ctxmem.ledger.sentences import asks
from ctxmem.segment import FORGOTTEN_TEXT

# What a note tells; notes of one line stand in this order. On disk: never renumber.
# ASKED: what a user answered, a question or not.
# TARGET: what a call read or changed, by name; TYPED: what a user said. Both are told where a line stands for several
# steps only: the head of one says it.
FAILED, ASKED, SAID, TARGET, OUTCOME, SIZE, RECORD, NAMES, TYPED = range(9)
OF_SEVERAL: Final = (TARGET, TYPED)

_WORDS: Final = re.compile(r"[^\s=,]*[^\s=,.][^\s=,]*")
USER: Final = "user said"  # the doing of a user's message


class Note(NamedTuple):
    """Something quoted: the segment it is from, what it tells, one line of text, the names in it and their weight."""

    source: int
    kind: int
    text: str
    words: tuple[str, ...] = ()
    weight: int = 1


class Doing(NamedTuple):
    """A tool that was called, or something that was said, and how often; how many of the calls failed.

    `first`: the group of the first of them, where a line stands for several.

    >>> str(Doing("book", 3, 1)), str(Doing("book", 1, 1)), str(Doing("book", 2, 2))
    ('book x3 (1 failed)', 'book (failed)', 'book x2 (both failed)')
    """

    name: str
    n: int = 1
    n_failed: int = 0
    first: int = 0

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

    @property
    def tools(self) -> str:
        """The tools that were called and how often, how many calls failed: the shortest that can be told of it."""
        return ", ".join(map(str, self.doings))

    def told(self, *kinds: int) -> Iterator[Note]:
        """Yield the notes of these kinds, in order."""
        return (note for note in self.notes if note.kind in kinds)

    def with_notes(self, notes: Iterable[Note]) -> "Line":
        """Return the line with these notes alone, each once, by kind and in the order of events."""
        return Line(
            self.first,
            self.last,
            self.source,
            self.head,
            self.doings,
            tuple(dict.fromkeys(sorted(notes, key=_place))),
            self.changes,
            self.brief,
            self.is_apart,
        )

    def with_more(self, other: "Line") -> "Line":
        """Return the line of one step with what another line tells of it."""
        doings = {doing.name: doing for doing in (*other.doings, *self.doings)}
        calls = self if self.head else other
        made = Line(
            self.first,
            self.last,
            calls.source,
            calls.head,
            tuple(doings.values()),
            (),
            self.changes or other.changes,
            calls.brief,
            self.is_apart,
        )
        return made.with_notes((*self.notes, *other.notes))

    def text(self, is_forgotten: Callable[[int], bool] = lambda _: False) -> str:
        """Return the line as it is shown: `[#12] failed: why; tool {...}; said: words -> what came | of it`."""
        told: dict[int, dict[str, None]] = {}
        asked_by = min((note.source for note in self.told(TYPED)), default=0) if self.is_run else 0
        for note in self.notes:
            text = FORGOTTEN_TEXT if is_forgotten(note.source) else note.text
            kind = ASKED if note.kind == SAID and note.source < asked_by else note.kind
            told.setdefault(kind, {})[text] = None
        label = f"[#{self.first}-#{self.last}]" if self.is_run else f"[#{self.first}]"
        failed = [f"failed: {text}" for text in told.get(FAILED, ())]
        head = FORGOTTEN_TEXT if self.head and is_forgotten(self.source) else self.head
        said = ["said: " + " / ".join(told[SAID])] if SAID in told else []
        asked = []
        if ASKED in told:
            asked = [("asked: " if any(map(asks, told[ASKED])) else "said: ") + " / ".join(told[ASKED])]
        if self.is_run:
            parts = [*self._done(head, told.get(TARGET, ())), *failed, *asked, *self._typed(told.get(TYPED, ())), *said]
        else:
            parts = [*failed, *asked, *([head] if head else ()), *said]
        records = " ".join(told.get(RECORD, ()))
        came = {one: None for one in told.get(OUTCOME, ()) if not _stands_in(one, records)}
        came = came or ({} if RECORD in told else told.get(SIZE)) or {}
        after = list({**came, **told.get(RECORD, {}), **told.get(NAMES, {})})
        return f"{label} {'; '.join(parts)}".rstrip() + (" -> " + " | ".join(after) if after else "")

    def _done(self, head: str, targets: Iterable[str]) -> Iterator[str]:
        """Say what several steps did: the call that all of them made, or their tools, and on what."""
        if head:
            yield head + str(Doing("", self.doings[0].n, max(doing.n_failed for doing in self.doings)))
        elif done := ", ".join(str(doing) for doing in self.doings if doing.name != USER):
            of = ", ".join(targets)
            yield f"{done} of {of}" if of else done

    def _typed(self, typed: Iterable[str]) -> Iterator[str]:
        """Say what users said in several steps, unless all of them are what one said."""
        quoted = " / ".join(typed)
        for doing in self.doings:
            if doing.name == USER and not self.head:
                yield f"{doing}: {quoted}" if quoted else str(doing)


def _stands_in(outcome: str, records: str) -> bool:
    """Say whether records hold all that an outcome tells."""
    return bool(records) and all(word in records for word in _WORDS.findall(outcome))


def _place(note: Note) -> tuple[int, int]:
    return note.kind, note.source
