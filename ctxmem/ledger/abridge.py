"""Which notes of some lines fit a number of tokens: the choice that seals a piece of the ledger, and that merges two.

First the heads (what was done), shortened and at last joined into runs; then names, the most used and the shortest
first, each once in the whole ledger; then whole records, newest first, while there is room.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, log2
from string import ascii_letters
from typing import Final, TypeAlias

from ctxmem.ledger.gist import words_of

Count: TypeAlias = Callable[[str], int]

HEAD_CHARS: Final = 240  # of one group's head, and what it is shortened to before heads are joined
LEAST_HEAD_CHARS: Final = 60
HEAD_SHARE: Final = 0.40  # of the room, for heads
RUN_SHARE: Final = 0.25  # the same once heads are joined: a run says little for its tokens
_LEAST_RUN_TOKENS: Final = 10
_NO_LETTERS: Final = dict.fromkeys(map(ord, ascii_letters))
NAME_SHARE: Final = 0.95  # of what is left, for names; the rest is for whole records
RECORD_TOKENS: Final = 80  # a longer record is not quoted whole
NAME_EXPONENT: Final = 0.25  # how much a long name must be worth more than a short one
CALL_WEIGHT: Final = 3  # a name that the model itself wrote in a call, over one that it only saw

LEAST_SHARE: Final = 0.34  # of the ledger's bound: the room of a new piece, at least
FREE_SHARE: Final = 0.90  # of what is free in the bound: the same, at most
HEADING_TOKENS: Final = 50  # of the ledger's first message, with its framing


def room_of_next(bound_tokens: int, taken_tokens: int) -> int:
    """Return the room of the next piece of a ledger that takes `taken_tokens` of its bound."""
    free = bound_tokens - taken_tokens - HEADING_TOKENS
    return max(0, int(max(LEAST_SHARE * bound_tokens, FREE_SHARE * free)))


def ledger_bound(budget_tokens: int, share: float, most_tokens: int) -> int:
    """Return what a ledger may take: a share of the budget, or a number of tokens, whichever is less."""
    return max(0, min(int(share * budget_tokens), most_tokens))


@dataclass(frozen=True, slots=True)
class Note:
    """Something quoted: the segment it is from, one line of text, the names in it, and how much they are used."""

    source: int
    text: str
    words: tuple[str, ...]
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """What is left of one group, or of a run of them: `[#first] head -> note | note`.

    `source` is the segment that `head` quotes. `doings` are the names of the tools called, with counts; a run is
    rendered with them in place of heads.
    """

    first: int
    last: int
    source: int
    head: str
    doings: tuple[tuple[str, int], ...]
    notes: tuple[Note, ...]

    @property
    def words(self) -> Iterator[str]:
        """All names that stand in the line."""
        yield from words_of(self.head)
        for note in self.notes:
            yield from note.words

    @property
    def label(self) -> str:
        """What stands before the notes."""
        if self.first == self.last:
            return f"[#{self.first}] {self.head}".rstrip()
        return f"[#{self.first}-#{self.last}] " + ", ".join(
            name if n == 1 else f"{name} x{n}" for name, n in self.doings
        )


def abridge(lines: Sequence[Line], room_tokens: int, seen: Collection[str]) -> tuple[Line, ...]:
    """Return what of the lines fits the room; names in `seen` stand elsewhere in the ledger already.

    The result takes about `room_tokens`: an estimate, made without a tokenizer; a caller that needs a guarantee counts
    the tokens. A record is never cut: a note is whole, or the names of its record, or left out. Deterministic.
    """
    if not lines or room_tokens <= 0:
        return ()
    lines = _with_short_heads(lines, room_tokens)
    left = room_tokens - sum(map(label_cost, lines))
    while left < 0 and lines:
        left += label_cost(lines[0])
        lines = lines[1:]
    names, used = _names(lines, int(left * NAME_SHARE), seen)
    whole = _records(lines, left - used, names)
    return tuple(_noted(lines, names, whole))


def _with_short_heads(lines: Sequence[Line], room_tokens: int) -> Sequence[Line]:
    """Shorten the heads until they fit their share; then join neighbours into runs."""
    limit = HEAD_CHARS
    while limit >= LEAST_HEAD_CHARS:
        short = [_cut(line, limit) for line in lines]
        if sum(label_cost(line) for line in short) <= HEAD_SHARE * room_tokens:
            return short
        limit = limit * 3 // 4
    n_lines = max(1, min(len(lines), int(RUN_SHARE * room_tokens / _LEAST_RUN_TOKENS)))
    while n_lines > 1:
        n_lines = max(1, n_lines * 4 // 5)
        joined = _joined(lines, ceil(len(lines) / n_lines))
        if sum(label_cost(line) for line in joined) <= RUN_SHARE * room_tokens:
            return joined
    return _joined(lines, len(lines))


def _cut(line: Line, limit_chars: int) -> Line:
    if len(line.head) <= limit_chars:
        return line
    return replace(line, head=line.head[:limit_chars].removesuffix("...") + "...")


def _joined(lines: Sequence[Line], size: int) -> list[Line]:
    """Join every `size` neighbours into a run."""
    return [join(lines[at : at + size]) for at in range(0, len(lines), size)]


def join(lines: Sequence[Line]) -> Line:
    """Make one line of several: their tools counted, their notes together, their heads gone."""
    if len(lines) == 1:
        return lines[0]
    doings: Counter[str] = Counter()
    for line in lines:
        doings.update(dict(line.doings))
    notes = tuple(note for line in lines for note in line.notes)
    return Line(lines[0].first, lines[-1].last, lines[0].source, "", tuple(doings.items()), notes)


def cost_of(word: str) -> float:
    """Estimate the tokens of a name with its space, without the tokenizer: 1 for 4 letters, more for digits and signs.

    >>> cost_of("HAT110"), cost_of("src/app.py")
    (2.75, 3.5)
    """
    return 0.5 + (len(word) + len(word.translate(_NO_LETTERS))) / 4


def text_cost(text: str) -> float:
    """Estimate the tokens of a quoted text."""
    return len(text) / 3.2


def label_cost(line: Line) -> int:
    """Estimate the tokens of a line's label."""
    return 3 + int(text_cost(line.label))


def _names(lines: Sequence[Line], room_tokens: int, seen: Collection[str]) -> tuple[dict[str, int], int]:
    """Choose names by how much they are used for their tokens; return them with their tokens, and the tokens used."""
    uses: Counter[str] = Counter()
    labels = " ".join(line.label for line in lines)
    for line in lines:
        for note in line.notes:
            for word in note.words:
                uses[word] += note.weight
    costs = {word: cost_of(word) for word in uses if word not in seen and word not in labels}
    order = sorted(costs, key=lambda word: (NAME_EXPONENT * log2(costs[word]) - log2(1 + uses[word]), word))
    chosen: dict[str, int] = {}
    blob, used = "", 0.0
    for word in order:
        if used + costs[word] <= room_tokens and word not in blob:
            used += costs[word]
            chosen[word] = uses[word]
            blob += word + "\n"
    return chosen, ceil(used)


def _records(lines: Sequence[Line], room_tokens: int, names: Collection[str]) -> set[Note]:
    """Choose the notes that stay whole: newest first, while their tokens beyond the names they hold fit the room."""
    whole: set[Note] = set()
    for line in reversed(lines):
        for note in line.notes:
            if room_tokens <= 0:
                return whole
            is_list = len(note.text) == sum(map(len, note.words)) + len(note.words) - 1  # names alone: no record
            if is_list or len(note.text) > 6 * RECORD_TOKENS or note in whole:
                continue
            tokens = 2 + int(text_cost(note.text))
            extra = max(0, tokens - int(sum(cost_of(word) for word in note.words if word in names)))
            if tokens <= RECORD_TOKENS and extra <= room_tokens:
                room_tokens -= extra
                whole.add(note)
    return whole


def _noted(lines: Sequence[Line], names: dict[str, int], whole: set[Note]) -> Iterable[Line]:
    """Give each line the notes that were chosen, each name where it stands first."""
    left = dict(names)
    for line in lines:
        notes = []
        for note in line.notes:
            words = tuple(word for word in note.words if word in left)
            for word in words:
                del left[word]
            if note in whole:
                whole.discard(note)
                notes.append(note)
            elif words:
                weight = max(names[word] for word in words)
                notes.append(Note(note.source, " ".join(words), words, weight))
        if notes or line.doings:  # of a group that is still shown in part, only what it named
            yield replace(line, notes=tuple(notes))
