"""Fewer lines: neighbours that become one, so that the least of all fits a room.

Invariants:
    I1. What is joined are neighbours: the ranges of the lines do not overlap, and every step stays within one.
    I2. A line counts every call of what it was made of, and every failure.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ctxmem.ledger.least import DOING_TOKENS, LINE_TOKENS, MOST_CHANGED, Told, text_cost
from ctxmem.ledger.line import ASKED, FAILED, NAMES, OUTCOME, RECORD, SAID, SIZE, TARGET, TYPED, USER, Doing, Line, Note


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
    since: dict[str, int] = {}
    for line in lines:
        for doing in line.doings:
            since[doing.name] = min(doing.first or line.first, since.get(doing.name, line.last))
    first = lines[0]
    alike = first.head != first.tools and all(line.head == first.head for line in lines)
    made = Line(
        first.first,
        max(line.last for line in lines),
        first.source,
        first.head if alike else "",
        tuple(Doing(name, n[name], failed[name], since[name]) for name in sorted(n, key=since.__getitem__)),
        (),
        any(line.changes for line in lines),
        is_apart=first.is_apart,
    )
    # Beside a failure, what other steps returned reads as what the failed one did.
    left_out = {*(() if alike else (SIZE,)), *((OUTCOME, RECORD, NAMES) if made.has_failed else ())}
    return made.with_notes([note for line in lines for note in _notes_of(line) if note.kind not in left_out])


def _notes_of(line: Line) -> Iterable[Note]:
    """Return its notes for a line of several: no answer, and what was said before a user's message as said."""
    if any(note.weight == 0 for note in line.told(TYPED)):
        return [note for note in line.notes if note.kind not in (ASKED, TYPED)]
    return [note._replace(kind=SAID) if note.kind == ASKED else note for note in line.notes]


def told_once(lines: Sequence[Line]) -> list[Line]:
    """Leave out records and sentences that an earlier line has."""
    seen: set[tuple[int, str]] = set()
    found: list[Line] = []
    for line in lines:
        told = {note[1:3] for note in line.notes if note.kind in (SAID, RECORD, NAMES)}
        again = told & seen
        seen |= told
        found.append(line.with_notes(note for note in line.notes if note[1:3] not in again) if again else line)
    return found


def repeated(lines: Sequence[Line]) -> list[Line]:
    """Make one line of equal steps in a row: the same calls, and the same came of them."""
    found: list[Line] = []
    for line in lines:
        if found and not line.is_apart and _is_again(found[-1], line):
            found[-1] = join([found[-1], line])
        else:
            found.append(line)
    return found


def _is_again(one: Line, other: Line) -> bool:
    if not one.head or one.head != other.head or other.is_run or is_user(one):
        return False
    came = ({note.text for note in line.told(FAILED, OUTCOME, SIZE)} for line in (one, other))
    return next(came) == next(came)


def fewer(told: Sequence[Told], room_tokens: float) -> list[Told]:
    """Join neighbours, as few as make the least of all fit: reads of one tool, all reads, and last what is oldest.

    Lines with something between them that was still shown stay apart, so the least of what is left may still be over.
    """
    found = list(told)
    for may_join in (_are_same_reads, _are_reads, lambda _one, _other: True):
        over = sum(one.tokens for one in found) - room_tokens
        while over > 0:
            n = len(found)
            found = _joined(found, may_join, over)
            if len(found) == n:
                break
            over = sum(one.tokens for one in found) - room_tokens
    return found


def fewest(told: Sequence[Told], room_tokens: float) -> list[Told]:
    """Join the oldest, apart or not, until the lines fit with nothing but the names of their tools.

    Where even one line of all does not fit, its tools have no names either.
    """
    left = sum(one.barest_tokens for one in told)
    taken: float = LINE_TOKENS
    names: set[str] = set()
    n = 0
    while n < len(told) and (n < 2 or left + taken > room_tokens):
        left -= told[n].barest_tokens
        fresh = {doing.name for doing in told[n].line.doings} - names
        taken += sum(DOING_TOKENS + text_cost(name) for name in fresh)
        names |= fresh
        n += 1
    made = join([one.line for one in told[:n]])
    if left + taken > room_tokens and made.is_run:
        n_steps = sum(doing.n for doing in made.doings)
        doings = (Doing("steps", n_steps, sum(doing.n_failed for doing in made.doings)),)
        made = Line(made.first, made.last, made.source, "", doings, made.notes, made.changes, is_apart=made.is_apart)
    return [Told(made), *told[n:]]


def is_user(line: Line) -> bool:
    """Say whether a line tells of a user's message."""
    return any(doing.name == USER for doing in line.doings)


def _are_reads(one: Line, other: Line) -> bool:
    return not any(line.changes or line.has_failed or is_user(line) for line in (one, other))


def _are_same_reads(one: Line, other: Line) -> bool:
    return _are_reads(one, other) and {doing.name for doing in one.doings} == {doing.name for doing in other.doings}


def _joined(told: Sequence[Told], may_join: Callable[[Line, Line], bool], over: float) -> list[Told]:
    """Join neighbours from the oldest on until about `over` tokens are saved."""
    found: list[Told] = []
    waiting: list[Told] = []  # neighbours that become one
    for one in told:
        if waiting and over > 0 and not one.line.is_apart and may_join(waiting[-1].line, one.line):
            waiting.append(one)
            over -= _saved(one, len(waiting))
            continue
        if waiting:
            found.append(_one_of(waiting))
        waiting = [one]
    return [*found, _one_of(waiting)] if waiting else found


def _saved(one: Told, n: int) -> float:
    """Estimate what a line no longer takes that becomes the n-th of one: its names still stand."""
    names = 0.0
    if one.line.changes and n <= MOST_CHANGED:
        names = sum(1 + text_cost(note.text) for note in one.notes.get(TARGET, ()))
    return one.tokens - 2 - names


def _one_of(told: Sequence[Told]) -> Told:
    return told[0] if len(told) == 1 else Told(join([one.line for one in told]))
