"""The least that tells of a line, and about how many tokens a line takes. No tokenizer."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from string import ascii_letters
from typing import Final

from ctxmem.ledger.gist import is_quotable, width
from ctxmem.ledger.line import ASKED, FAILED, OF_SEVERAL, OUTCOME, RECORD, SAID, SIZE, TARGET, TYPED, Line, Note
from ctxmem.ledger.sentences import shortened

LEAST_TEXT_CHARS: Final = 60  # of a reason, or of what was said, at least
LEAST_ASKED_CHARS: Final = 100  # of a sentence of an offer that the user answered
LEAST_OUTCOME_CHARS: Final = 40
MOST_CHANGED: Final = 12  # names of what a line for several steps changed
MOST_READ: Final = 3  # the same, where they only read
LEAST_TYPED: Final = 3  # user messages that a line for several steps quotes, of those that name most
RECORD_TOKENS: Final = 80  # a longer record is not quoted
LINE_TOKENS: Final = 6  # of a label with its signs
DOING_TOKENS: Final = 3  # of a tool's count
CHARS_A_TOKEN: Final = 3.2  # of ledgers of real transcripts, their ids and paths included

_NO_LETTERS: Final = dict.fromkeys(map(ord, ascii_letters))


class Told:
    """A line that waits for its room: its notes by kind, the least that tells it, and what that takes.

    Each is worked out once, however often a choice is tried.
    """

    __slots__ = ("__dict__", "line", "notes")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.notes: dict[int, list[Note]] = {}
        for note in line.notes:
            self.notes.setdefault(note.kind, []).append(note)

    @cached_property
    def head(self) -> str:
        """The call at its shortest, or a user message."""
        return self.line.brief or self.line.head

    @cached_property
    def least(self) -> Mapping[int, list[Note]]:
        """The least that tells a step beside its call: that it failed, or how large its result is."""
        return _least_of_several(self) if self.line.is_run else _least_of_one(self)

    @property
    def barest_head(self) -> str:
        """The names of its tools; a line for several steps says them anyway."""
        return "" if self.line.is_run else self.line.tools

    @cached_property
    def barest(self) -> Mapping[int, list[Note]]:
        """What still stands where only the names of tools do: of one step what came of it."""
        return {} if self.line.is_run else {kind: self.least[kind] for kind in _BAREST if kind in self.least}

    @cached_property
    def tokens(self) -> float:
        """What the least of it takes."""
        return self.cost(self.head, self.least)

    @cached_property
    def barest_tokens(self) -> float:
        """What it takes where only its tools are named."""
        return self.cost(self.barest_head, self.barest)

    @cached_property
    def records(self) -> list[Note]:
        """The records that are short enough to be quoted; those that name something before others."""
        records = [note for note in self.notes.get(RECORD, ()) if text_cost(note.text) <= RECORD_TOKENS]
        return sorted(records, key=lambda note: not any(map(is_quotable, note.words)))

    def cost(self, head: str, notes: Mapping[int, Sequence[Note]]) -> float:
        """Estimate the tokens of the line with this head and these notes."""
        tokens = LINE_TOKENS + (text_cost(head) if head else 0.0)
        if self.line.is_run and not head:
            tokens += sum(DOING_TOKENS + text_cost(doing.name) for doing in self.line.doings)
        return tokens + sum(self.cost_of_notes(kind, of_kind) for kind, of_kind in notes.items())

    def cost_of_notes(self, kind: int, notes: Sequence[Note]) -> float:
        """Estimate the tokens of notes of a kind; some are not shown on the line of one step."""
        if kind in OF_SEVERAL and (not self.line.is_run or self.line.head):
            return 0.0
        return sum(1 + text_cost(note.text) for note in notes)


_BAREST: Final = (TARGET, OUTCOME, SIZE, TYPED)


def cost(line: Line) -> float:
    """Estimate the tokens of a line, without writing it."""
    told = Told(line)
    return told.cost(line.head, told.notes)


def text_cost(text: str) -> float:
    """Estimate the tokens of a quoted text: other scripts take up to one a sign."""
    if text.isascii():
        return len(text) / CHARS_A_TOKEN
    n_ascii = len(text.encode("ascii", "ignore"))
    return n_ascii / CHARS_A_TOKEN + 0.8 * (len(text) - n_ascii)


def cost_of(word: str) -> float:
    """Estimate the tokens of a name with its space, without the tokenizer: 1 for 4 letters, more for digits and signs.

    >>> cost_of("HAT110"), cost_of("src/app.py")
    (2.75, 3.5)
    """
    return 0.5 + (len(word) + len(word.translate(_NO_LETTERS))) / 4


def most_telling(notes: Sequence[Note], most: int) -> list[Note]:
    """Return the sentences that name most, the last of equals, in their order.

    >>> notes = [Note(1, SAID, "a", (), 1), Note(1, SAID, "b", (), 2), Note(1, SAID, "c", (), 1)]
    >>> [note.text for note in most_telling(notes, 2)]
    ['b', 'c']
    """
    if len(notes) <= most:
        return list(notes)
    best = sorted(range(len(notes)), key=lambda at: (-notes[at].weight, -at))[:most]
    return [notes[at] for at in sorted(best)]


def offer(told: Told) -> list[Note]:
    """Return the question that a user answered, the last, and of the sentences before it the one that names most."""
    asked = told.notes.get(ASKED, [])
    return [*most_telling(asked[:-1], 1), *asked[-1:]]


def spoken(told: Told, most: int) -> list[Note]:
    """Return the sentences of several steps that name most, and the last before a user's message that is quoted."""
    said = told.notes.get(SAID, [])
    until = max((note.source for note in told.notes.get(TYPED, ())), default=0)
    best = most_telling(said, most)
    last = [note for note in said if note.source < until][-1:]
    return [note for note in said if note in best or note in last]


def _least_of_several(told: Told) -> dict[int, list[Note]]:
    line, notes = told.line, told.notes
    targets = list({note.text: note for note in notes.get(TARGET, ())}.values())
    least = {
        FAILED: _cut(notes.get(FAILED, ())[-1:], LEAST_TEXT_CHARS),
        TARGET: targets[-(MOST_CHANGED if line.changes else MOST_READ) :],
        TYPED: _cut(most_telling(notes.get(TYPED, ()), LEAST_TYPED), LEAST_TEXT_CHARS),
    }
    if not any(least.values()):  # with nothing but the names of its tools it tells nothing
        least[SAID] = _cut(most_telling(notes.get(SAID, ()), 1), LEAST_TEXT_CHARS)
    return least


def _least_of_one(told: Told) -> dict[int, list[Note]]:
    line, notes = told.line, told.notes
    least = {kind: notes[kind] for kind in OF_SEVERAL if kind in notes}
    least[FAILED] = _cut(notes.get(FAILED, ()), LEAST_TEXT_CHARS)
    least[ASKED] = _cut(offer(told), LEAST_ASKED_CHARS)
    if not line.has_failed:
        came = SIZE if SIZE in notes else OUTCOME
        least[came] = _cut(notes.get(came, ())[:1], LEAST_OUTCOME_CHARS)
    if not line.head:
        least[SAID] = _cut(most_telling(notes.get(SAID, ()), 1), LEAST_TEXT_CHARS)
    return least


def _cut(notes: Iterable[Note], most: int) -> list[Note]:
    cut = [
        note if width(note.text) <= most else Note(note.source, note.kind, shortened(note.text, most), (), note.weight)
        for note in notes
    ]
    return list(dict.fromkeys(cut))
