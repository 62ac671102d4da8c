"""What of some lines fits a number of tokens: the choice that seals a piece of the ledger, and that merges two.

Every step first gets the least that tells it: the call, and whether it failed or what came of it. Where that does not
fit, neighbours that only read are joined, one tool with itself before others; what changes something keeps its line as
long as it can, and is named where it cannot; what users said is quoted there. What room is left goes, newest first, to
reasons, offers, outcomes, what was said, names, calls at length and whole records.

Invariants:
    I1. The lines stay in the order of events; their ranges do not overlap.
    I2. No failure is hidden: a line that stands for a failed step says so, at any room.
    I3. Nothing is told twice: equal steps in a row are one line with a count, a record or a name stands on one line.
    I4. Nothing is told nowhere: every step is within the range of a line, at any room. Words alone that an earlier line
        has are not repeated.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from math import log2
from typing import Final, TypeAlias

from ctxmem.ledger.gist import is_moment
from ctxmem.ledger.joining import fewer, fewest, is_user, repeated, told_once
from ctxmem.ledger.least import Told, cost_of, most_telling, offer, spoken, text_cost
from ctxmem.ledger.line import ASKED, FAILED, NAMES, OUTCOME, RECORD, SAID, TYPED, Line, Note

Count: TypeAlias = Callable[[str], int]
Notes: TypeAlias = dict[int, list[Note]]  # by kind

NAME_SHARE: Final = 0.35  # of the room, for names at most
NAME_EXPONENT: Final = 0.25  # how much a long name must be worth more than a short one
MOST_RECORDS: Final = 12  # of one line
MOST_SAID: Final = 8  # sentences of one line that tells nothing else
MOST_SAID_OF_STEP: Final = 3
MOST_TYPED: Final = 8  # user messages of a line for several steps

LEAST_SHARE: Final = 0.34  # of the ledger's bound: the room of a new piece, at least
FREE_SHARE: Final = 0.90  # of what is free in the bound: the same, at most
LEAST_BOUND_TOKENS: Final = 400
LEAST_BOUND_SHARE: Final = 0.25
HEADING_TOKENS: Final = 32  # of the ledger's first message, with its framing

_FIELD = re.compile(r" (?=[\w.\-]+[=(])(?![^()]*\))")  # not those inside brackets


def room_of_next(bound_tokens: int, taken_tokens: int) -> int:
    """Return the room of the next piece of a ledger that takes `taken_tokens` of its bound."""
    free = bound_tokens - taken_tokens - HEADING_TOKENS
    return max(0, int(max(LEAST_SHARE * bound_tokens, FREE_SHARE * free)))


def ledger_bound(budget_tokens: int, share: float, most_tokens: int) -> int:
    """Return what a ledger may take: a share of the budget, or a number of tokens, whichever is less."""
    least = min(LEAST_BOUND_TOKENS, int(LEAST_BOUND_SHARE * budget_tokens))  # a small window is not told less of
    return max(0, min(max(int(share * budget_tokens), least if share > 0 else 0), most_tokens))


def abridge(lines: Sequence[Line], room_tokens: float, seen: Collection[str]) -> tuple[Line, ...]:
    """Return what of the lines fits the room; names in `seen` stand elsewhere in the ledger already.

    The result takes about `room_tokens`: an estimate, made without a tokenizer; a caller that needs a guarantee counts
    the tokens. Where there is some room, however little, there is a line. A record is whole, or only those of its
    fields that the names of others ask for. Deterministic.
    """
    return Choice(lines, seen).within(room_tokens)


class Choice:
    """What `abridge` does, for callers that try several rooms: what does not depend on the room is worked out once."""

    def __init__(self, lines: Sequence[Line], seen: Collection[str]) -> None:
        kept = repeated(told_once(lines))
        self._told = [Told(line) for line in kept if line.head or line.notes or line.is_run or line.has_failed]
        self._seen = seen

    def within(self, room_tokens: float) -> tuple[Line, ...]:
        """Return what fits the room."""
        if room_tokens <= 0 or not self._told:
            return ()
        made = _started(self._told, room_tokens)
        left = room_tokens - sum(one.tokens for one in made)
        names = _Names([one.told for one in made], room_tokens, self._seen)
        for better in (_reason, _offer, _asked, _outcome, _typed):
            for one in reversed(made):
                left -= one.give(better(one), left)
        for one in reversed(made):
            left -= one.give_head(left) if is_user(one.told.line) else 0.0
        for better in (_said, names):
            for one in reversed(made):
                left -= one.give(better(one), left)
        for one in reversed(made):
            left -= one.give_head(left)
        for one in reversed(made):
            left -= one.give(_records(one), left)
        return tuple(one.line() for one in made)


class _Draft:
    """A line on its way into the ledger: what is told of it so far, and what that takes."""

    __slots__ = ("brief", "head", "notes", "tokens", "told")

    def __init__(self, told: Told) -> None:
        self.told = told
        self.head, self.brief = told.head, ""
        self.notes: Notes = dict(told.least)
        self.tokens = told.tokens

    def make_barest(self) -> float:
        """Leave out all but the names of the tools and what came of them; return the tokens that saves."""
        saved = self.tokens - self.told.barest_tokens
        if saved > 0:
            self.head = self.told.barest_head
            self.notes = dict(self.told.barest)
            self.tokens -= saved
        return max(saved, 0.0)

    def give(self, more: Notes, left: float) -> float:
        """Tell these notes in place of those of their kinds, if that fits what is left; return what it takes."""
        if not more:
            return 0.0
        price = sum(
            self.told.cost_of_notes(kind, notes) - self.told.cost_of_notes(kind, self.notes.get(kind, ()))
            for kind, notes in more.items()
        )
        if price > left:
            return 0.0
        self.notes.update(more)
        self.tokens += price
        return price

    def give_head(self, left: float) -> float:
        """Tell the calls at length, if that fits what is left; return what it takes."""
        line = self.told.line
        if not line.brief:
            return 0.0
        price = text_cost(line.head) - text_cost(self.head)
        if price > left:
            return 0.0
        self.head, self.brief = line.head, line.brief
        self.tokens += price
        return price

    def line(self) -> Line:
        """Return it as a line."""
        one = self.told.line
        notes = tuple(chain.from_iterable(dict.fromkeys(self.notes[kind]) for kind in sorted(self.notes)))
        return Line(
            one.first, one.last, one.source, self.head, one.doings, notes, one.changes, self.brief, one.is_apart
        )


def _started(told: Sequence[Told], room_tokens: float) -> list[_Draft]:
    """Return the least that tells all of the lines: within the room, if that can be."""
    made = [_Draft(one) for one in fewer(told, room_tokens)]
    over = sum(one.tokens for one in made) - room_tokens
    for one in made:
        if over <= 0:
            return made
        over -= one.make_barest()
    if over <= 0:
        return made
    made = [_Draft(one) for one in fewest([one.told for one in made], room_tokens)]
    for one in made:
        one.make_barest()
    return made


# -- what more is told of one line: notes in place of those of their kinds, nothing where there are none ------------


def _reason(one: _Draft) -> Notes:
    reasons = one.told.notes.get(FAILED)
    return {FAILED: reasons[-1:] if one.told.line.is_run else reasons} if reasons else {}


def _offer(one: _Draft) -> Notes:
    return {ASKED: offer(one.told)} if ASKED in one.told.notes and not one.told.line.is_run else {}


def _asked(one: _Draft) -> Notes:
    return {ASKED: one.told.notes[ASKED]} if ASKED in one.told.notes and not one.told.line.is_run else {}


def _typed(one: _Draft) -> Notes:
    typed = one.told.notes.get(TYPED)
    return {TYPED: most_telling(typed, MOST_TYPED)} if typed and one.told.line.is_run else {}


def _said(one: _Draft) -> Notes:
    line, said = one.told.line, one.told.notes.get(SAID)
    if not said:
        return {}
    if line.is_run:
        return {SAID: spoken(one.told, MOST_SAID_OF_STEP)}
    return {SAID: said[: MOST_SAID_OF_STEP if line.head else MOST_SAID]}


def _outcome(one: _Draft) -> Notes:
    if one.told.line.is_run or one.told.line.has_failed:
        return {}
    if outcome := one.told.notes.get(OUTCOME):
        return {OUTCOME: outcome}
    return {RECORD: [*one.notes.get(RECORD, ()), one.told.records[0]]} if one.told.records else {}


def _records(one: _Draft) -> Notes:
    return {RECORD: one.told.records[:MOST_RECORDS]} if one.told.records and not one.told.line.is_run else {}


class _Names:
    """Choose names by how much they are used for their tokens, and put each on one line, with its field of a record.

    A name stands on the first line for one step that has it, or else on the first that has it.
    """

    def __init__(self, told: Sequence[Told], room_tokens: float, seen: Collection[str]) -> None:
        uses: Counter[str] = Counter()
        places: dict[str, Told] = {}
        for one in sorted(told, key=lambda one: one.line.is_run):
            for note in chain(one.notes.get(RECORD, ()), one.notes.get(NAMES, ())):
                for word in note.words:
                    uses[word] += note.weight
                    places.setdefault(word, one)
        heads = " ".join(one.head for one in told if not one.line.is_run)
        worth = [word for word, n in uses.items() if n > 0 and word not in seen and not is_moment(word)]
        costs = {word: cost_of(word) for word in worth if word not in heads}
        left = NAME_SHARE * room_tokens
        self._chosen: dict[int, set[str]] = {}
        for word in sorted(costs, key=lambda word: (NAME_EXPONENT * log2(costs[word]) - log2(1 + uses[word]), word)):
            if costs[word] <= left:
                left -= costs[word]
                self._chosen.setdefault(id(places[word]), set()).add(word)

    def __call__(self, one: _Draft) -> Notes:
        chosen = self._chosen.get(id(one.told))
        if not chosen:
            return {}
        more: Notes = {}
        shown = " ".join(note.text for note in one.notes.get(RECORD, ()))
        for note in chain(one.told.notes.get(RECORD, ()), one.told.notes.get(NAMES, ())):
            words = tuple(word for word in note.words if word in chosen and word not in shown)
            if words:
                text = " ".join(words)
                if note.kind == RECORD:
                    text = " ".join(field for field in _FIELD.split(note.text) if any(word in field for word in words))
                told = more.setdefault(note.kind, list(one.notes.get(note.kind, ())))
                told.append(note._replace(text=text, words=words))
        return more
