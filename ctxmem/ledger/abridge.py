"""What of some lines fits a number of tokens: the choice that seals a piece of the ledger, and that merges two.

Every step first gets the least that tells it: the call, and whether it failed or what came of it. Where that does not
fit, neighbours that only read are joined, one tool with itself before others; what changes something keeps its line as
long as it can, and is named where it cannot. What room is left goes, newest first, to reasons, offers, names, results,
what was said, calls at length and whole records.

Invariants:
    I1. The lines stay in the order of events.
    I2. No failure is hidden: a line that stands for a failed step says so, at any room.
    I3. Nothing is told twice: equal steps in a row are one line with a count, a record or a name stands on one line.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from math import log2
from string import ascii_letters
from typing import Final, NamedTuple, TypeAlias

from ctxmem.ledger.gist import cut_words, is_quotable
from ctxmem.ledger.line import ASKED, FAILED, NAMES, OUTCOME, RECORD, SAID, SIZE, TARGET, Doing, Line, Note

Count: TypeAlias = Callable[[str], int]

LEAST_TEXT_CHARS: Final = 60  # of a reason, or of what was said, at least
LEAST_ASKED_CHARS: Final = 100  # of a sentence of an offer that the user answered
LEAST_OUTCOME_CHARS: Final = 24
NAME_SHARE: Final = 0.35  # of the room, for names at most
NAME_EXPONENT: Final = 0.25  # how much a long name must be worth more than a short one
RECORD_TOKENS: Final = 80  # a longer record is not quoted
MOST_RECORDS: Final = 12  # of one line
MOST_SAID: Final = 8  # sentences of one line that tells nothing else
MOST_SAID_OF_STEP: Final = 3
MOST_CHANGED: Final = 12  # names of what a line for several steps changed
MOST_READ: Final = 3  # the same, where they only read
LINE_TOKENS: Final = 6  # of a label with its signs
CHARS_A_TOKEN: Final = 3.2  # of ledgers of real transcripts, their ids and paths included

LEAST_SHARE: Final = 0.34  # of the ledger's bound: the room of a new piece, at least
FREE_SHARE: Final = 0.90  # of what is free in the bound: the same, at most
LEAST_BOUND_TOKENS: Final = 400
LEAST_BOUND_SHARE: Final = 0.25
HEADING_TOKENS: Final = 32  # of the ledger's first message, with its framing

_NO_LETTERS: Final = dict.fromkeys(map(ord, ascii_letters))
_FIELD = re.compile(r" (?=[\w.\-]+[=(])")


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
    the tokens. A record is whole, or only those of its fields that the names of others ask for. Deterministic.
    """
    if room_tokens <= 0:
        return ()
    whole = _fitting(_repeated(_told_once(lines)), room_tokens)
    made = [_least(line) for line in whole]
    costs = [cost(line) for line in made]
    left = room_tokens - sum(costs)
    n_gone = 0
    while left < 0 and n_gone < len(made):  # nothing can be joined any more
        left += costs[n_gone]
        n_gone += 1
    whole, made, costs = whole[n_gone:], made[n_gone:], costs[n_gone:]
    passes = (
        _with_reason,
        _with_offer,
        _with_asked,
        _with_said,
        _Names(whole, room_tokens, seen),
        _with_outcome,
        _with_head,
        _with_records,
    )
    for better in passes:
        for at in reversed(range(len(made))):
            line = better(whole[at], made[at])
            if line is not made[at]:
                price = cost(line) - costs[at]
                if price <= left:
                    left -= price
                    costs[at] += price
                    made[at] = line
    return tuple(made)


def cost(line: Line) -> float:
    """Estimate the tokens of a line, without writing it."""
    tokens = LINE_TOKENS + (text_cost(line.head) if line.head else 0.0)
    if line.is_run:
        tokens += sum(3 + text_cost(doing.name) for doing in line.doings)
    for note in line.notes:
        if note.kind != TARGET or (line.is_run and not line.head):
            tokens += 1 + text_cost(note.text)
    return tokens


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


# -- fewer lines --------------------------------------------------------------------------------------------------


def join(lines: Sequence[Line]) -> Line:
    """Make one line of several: their tools counted, their notes together, their heads gone but for one they share.

    >>> a, b = (Line(n, n, n, "read {}", (Doing("read"),), ()) for n in (2, 4))
    >>> join([a, b]).text()
    '[#2-#4] read {} x2'
    """
    if len(lines) == 1:
        return lines[0]
    n: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for line in lines:
        for doing in line.doings:
            n[doing.name] += doing.n
            failed[doing.name] += doing.n_failed
    if len(n) > 1:
        n.pop("said", None)  # its sentences are notes
    doings = tuple(Doing(name, times, failed[name]) for name, times in n.items())
    first = lines[0]
    alike = all(line.head == first.head for line in lines)
    notes = (note for line in lines for note in line.notes if alike or note.kind != SIZE)
    made = Line(
        first.first,
        max(line.last for line in lines),
        first.source,
        first.head if alike else "",
        doings,
        (),
        any(line.changes for line in lines),
        is_apart=first.is_apart,
    )
    return made.with_notes(notes)


def _told_once(lines: Sequence[Line]) -> list[Line]:
    """Leave out records and sentences that an earlier line has."""
    seen: set[tuple[int, str]] = set()
    found: list[Line] = []
    for line in lines:
        again = {note[1:3] for note in line.told(SAID, RECORD, NAMES)} & seen
        seen.update(note[1:3] for note in line.told(SAID, RECORD, NAMES))
        found.append(line.with_notes(note for note in line.notes if note[1:3] not in again) if again else line)
    return found


def _repeated(lines: Sequence[Line]) -> list[Line]:
    """Make one line of equal steps in a row: the same calls, and the same came of them."""
    found: list[Line] = []
    for line in lines:
        if found and not line.is_apart and _is_again(found[-1], line):
            found[-1] = join([found[-1], line])
        else:
            found.append(line)
    return found


def _is_again(one: Line, other: Line) -> bool:
    if not one.head or one.head != other.head or other.is_run or _is_user(one):
        return False
    came = ({note.text for note in line.told(FAILED, OUTCOME, SIZE)} for line in (one, other))
    return next(came) == next(came)


def _fitting(lines: Sequence[Line], room_tokens: float) -> list[Line]:
    """Join neighbours, as few as make the least of all fit: reads of one tool, all reads, and last the oldest."""
    found = [line for line in lines if line.head or line.notes or line.is_run or line.has_failed]
    for may_join in (_are_same_reads, _are_reads):
        total = sum(cost(_least(line)) for line in found)
        if total <= room_tokens:
            return found
        found = _joined(found, may_join, total - room_tokens)
    over = sum(cost(_least(line)) for line in found) - room_tokens
    n = 0
    while over > 0 and n < len(found) - 1:
        over -= cost(_least(found[n]))
        n += 1
    return [join(found[: n + 1]), *found[n + 1 :]] if n else found


def _is_user(line: Line) -> bool:
    return line.head.startswith("user said")


def _are_reads(one: Line, other: Line) -> bool:
    return not any(line.changes or line.has_failed or _is_user(line) for line in (one, other))


def _are_same_reads(one: Line, other: Line) -> bool:
    return _are_reads(one, other) and {doing.name for doing in one.doings} == {doing.name for doing in other.doings}


def _joined(lines: Sequence[Line], may_join: Callable[[Line, Line], bool], over: float) -> list[Line]:
    """Join neighbours from the oldest on until `over` tokens are saved."""
    found: list[Line] = []
    waiting: list[Line] = []  # neighbours that become one
    for line in [*lines, None]:
        if waiting and line is not None and over > 0 and not line.is_apart and may_join(waiting[-1], line):
            waiting.append(line)
            over -= cost(_least(line)) - 2
            continue
        if waiting:
            found.append(join(waiting))
        waiting = [] if line is None else [line]
    return found


# -- how much of one line -----------------------------------------------------------------------------------------


def _least(line: Line) -> Line:
    """Return the least that tells a step: its call, and that it failed, or how large its result is."""
    kept = [_cut(note, LEAST_TEXT_CHARS) for note in line.told(FAILED)]
    if line.is_run:
        most = MOST_CHANGED if line.changes else MOST_READ
        kept = kept[-1:] + list({note.text: note for note in line.told(TARGET)}.values())[-most:]
        if [doing.name for doing in line.doings] == ["said"]:
            kept += [_cut(note, LEAST_TEXT_CHARS) for note in _most_telling(line, SAID)]
        return line.with_notes(iter(kept))
    kept += [_cut(note, LEAST_ASKED_CHARS) for note in _offer(line)]
    if not line.has_failed:
        kept += [_cut(note, LEAST_OUTCOME_CHARS) for note in (list(line.told(SIZE)) or list(line.told(OUTCOME)))[:1]]
    if not line.head:
        kept += [_cut(note, LEAST_TEXT_CHARS) for note in _most_telling(line, SAID)]
    made = line.with_notes(chain(kept, line.told(TARGET)))
    return replace(made, head=line.brief, brief="") if line.brief else made


def _most_telling(line: Line, kind: int) -> list[Note]:
    """Return the one sentence that names most, the last of equals; none where there is none."""
    said = list(line.told(kind))
    return [max(reversed(said), key=lambda note: note.weight)] if said else []


def _offer(line: Line) -> list[Note]:
    """Return the question that a user answered, the last, and of the sentences before it the one that names most."""
    asked = list(line.told(ASKED))
    return [max(reversed(asked[:-1]), key=lambda note: note.weight), asked[-1]] if len(asked) > 1 else asked


def _cut(note: Note, most: int) -> Note:
    return note if len(note.text) <= most else note._replace(text=cut_words(note.text, most), words=())


def _with(made: Line, more: Iterable[Note], *without: int) -> Line:
    """Return a line with more notes and none of the kinds `without`."""
    return made.with_notes(chain((note for note in made.notes if note.kind not in without), more))


def _with_reason(line: Line, made: Line) -> Line:
    reasons = list(line.told(FAILED))
    return _with(made, reasons[-1:] if line.is_run else reasons, FAILED) if reasons else made


def _with_offer(line: Line, made: Line) -> Line:
    return _with(made, _offer(line), ASKED) if not line.is_run and any(line.told(ASKED)) else made


def _with_asked(line: Line, made: Line) -> Line:
    asked = list(line.told(ASKED))
    return _with(made, asked, ASKED) if asked and not line.is_run else made


def _with_said(line: Line, made: Line) -> Line:
    said = list(line.told(SAID))[: MOST_SAID_OF_STEP if line.head or line.is_run else MOST_SAID]
    return _with(made, said, SAID) if said else made


def _with_outcome(line: Line, made: Line) -> Line:
    if line.is_run or line.has_failed:
        return made
    outcome = list(line.told(OUTCOME)) or list(_short_records(line))[:1]
    return _with(made, outcome, OUTCOME) if outcome else made


def _with_head(line: Line, made: Line) -> Line:
    return replace(made, head=line.head, brief=line.brief) if line.brief else made


def _with_records(line: Line, made: Line) -> Line:
    records = list(_short_records(line))[:MOST_RECORDS]
    return _with(made, records, RECORD) if records and not line.is_run else made


def _short_records(line: Line) -> Iterator[Note]:
    """Yield the records that are short enough to be quoted; those that name something before others."""
    records = [note for note in line.told(RECORD) if text_cost(note.text) <= RECORD_TOKENS]
    yield from sorted(records, key=lambda note: not any(map(is_quotable, note.words)))


class _Place(NamedTuple):
    """Where a name stands: on the first line for one step that has it, or else on the first that has it."""

    is_run: bool
    at: int


class _Names:
    """Choose names by how much they are used for their tokens, and put each on one line, with its field of a record."""

    def __init__(self, lines: Sequence[Line], room_tokens: float, seen: Collection[str]) -> None:
        uses: Counter[str] = Counter()
        places: dict[str, _Place] = {}
        for at, line in enumerate(lines):
            for note in line.told(RECORD, NAMES):
                for word in note.words:
                    uses[word] += note.weight
                    places[word] = min(places.get(word, _Place(is_run=True, at=at)), _Place(line.is_run, at))
        heads = " ".join(line.brief or line.head for line in lines if not line.is_run)
        costs = {word: cost_of(word) for word, n in uses.items() if n > 0 and word not in seen and word not in heads}
        left = NAME_SHARE * room_tokens
        self._chosen: dict[int, set[str]] = {}
        for word in sorted(costs, key=lambda word: (NAME_EXPONENT * log2(costs[word]) - log2(1 + uses[word]), word)):
            if costs[word] <= left:
                left -= costs[word]
                self._chosen.setdefault(id(lines[places[word].at]), set()).add(word)

    def __call__(self, line: Line, made: Line) -> Line:
        chosen = self._chosen.get(id(line))
        if not chosen:
            return made
        notes = []
        for note in line.told(RECORD, NAMES):
            words = tuple(word for word in note.words if word in chosen)
            if words:
                text = " ".join(words)
                if note.kind == RECORD:
                    text = " ".join(field for field in _FIELD.split(note.text) if any(word in field for word in words))
                notes.append(note._replace(text=text, words=words))
        return _with(made, notes)
