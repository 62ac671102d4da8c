"""Write the line of one group: what was done, whether it failed and why, what was said, what its results named."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from ctxmem.ledger.arguments import arguments_text, string_values, target_of
from ctxmem.ledger.gist import cut_words, escaped, is_quotable, width, words_of
from ctxmem.ledger.line import ASKED, FAILED, NAMES, RECORD, SAID, TARGET, TYPED, USER, Doing, Line, Note
from ctxmem.ledger.nature import is_program, nature_of
from ctxmem.ledger.outcome import failure, failure_of
from ctxmem.ledger.results import notes_of
from ctxmem.ledger.sentences import SENTENCE_CHARS, SENTENCES, asks, findings, worth
from ctxmem.segment import Call, Nature, Record

USER_SAID: Final = f"{USER}: "
RESULT: Final = "result: "  # of a text protocol
RESULT_CHARS: Final = 160
ANSWER_CHARS: Final = 160  # a user message up to this is told with what it answers
ASKED_SENTENCES: Final = 4  # of that
USER_CHARS: Final = 300  # quoted of a user message
USER_BRIEF_CHARS: Final = 70
ARGUMENT_CHARS: Final = 240
BRIEF_CHARS: Final = 90  # of one call's arguments, where room is short
SAID_CHARS: Final = 60  # of an answer without a sentence
MOST_CHARS: Final = 4_000  # of arguments that are looked at
MOST_WORDS: Final = 40  # of the arguments of one call that the line itself does not show
LONG_WORD: Final = 4  # letters of a word that tells what a sentence is about
CALL_WEIGHT: Final = 4  # a name that the model itself wrote in a call, over one that it only saw

_WORDS = re.compile(r"[^\W_]+")


def line_of(
    group: int, members: Sequence[tuple[int, Record]], *, with_words: bool = True, in_full: bool = True
) -> Line:
    """Write the line of one group from its segments, in order.

    `with_words`: with what was said, unless that is shown still. `in_full`: with what can be quoted of results; else
    only what was called, and what failed.
    """
    step = _Step(members[0][0] if members else group, with_words=with_words and in_full, in_full=in_full)
    for segment_id, record in members:
        if record.call_id is not None:
            step.add_result(segment_id, record)
        elif record.calls:
            step.add_calls(segment_id, record)
        else:
            step.add_text(segment_id, record)
    return step.line(group)


def is_short_message(line: Line) -> bool:
    """Say whether a line quotes a user's message that is told with what it answers."""
    return line.head.startswith(USER_SAID) and width(line.head) <= len(USER_SAID) + ANSWER_CHARS


def with_offer(line: Line, before: Line, *, is_shown: bool = False) -> Line:
    """Return the line of a user's short answer with what it answers: an agreement alone says nothing.

    An answer weighs nothing, so that a line for several steps does not quote it: what it names, the calls name.
    `is_shown`: the offer stays in the prompt, so it is not told.

    >>> offer = Line(6, 6, 6, "", (Doing("said"),), (Note(6, SAID, "Shall I book HAT110 for $207?"),))
    >>> with_offer(Line(7, 7, 7, "user said: Yes", (), ()), offer).text()
    '[#7] asked: Shall I book HAT110 for $207?; user said: Yes'
    """
    said = list(before.told(SAID))
    if not is_short_message(line) or before.head or before.is_run or not said:
        return line
    best = sorted(said[:-1], key=lambda note: -note.weight)[: ASKED_SENTENCES - 1]
    told = [note._replace(kind=ASKED) for note in said if note in best or note is said[-1]]
    is_answer = any(asks(note.text) for note in said) or _agrees(line.head, said)
    answer = [note._replace(weight=0) if is_answer and note.kind == TYPED else note for note in line.notes]
    return line.with_notes(answer if is_shown else (*told, *answer))


def _agrees(head: str, said: Sequence[Note]) -> bool:
    """Say whether a user's message is mostly made of words of what was said before it."""
    words = _long_words(head.removeprefix(USER_SAID))
    return 2 * len(words & _long_words(" ".join(note.text for note in said))) >= len(words)


def _long_words(text: str) -> set[str]:
    return {word for word in _WORDS.findall(text.casefold()) if len(word) >= LONG_WORD}


class _Step:
    """One group, read member by member."""

    def __init__(self, source: int, *, with_words: bool, in_full: bool) -> None:
        self.source, self.with_words, self.in_full = source, with_words, in_full
        self.heads: list[str] = []
        self.briefs: list[str] = []
        self.notes: list[Note] = []
        self.calls: list[tuple[Call, Nature]] = []
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.changes = False

    def add_calls(self, segment_id: int, record: Record) -> None:
        self.calls = [(call, nature_of(record, index)) for index, call in enumerate(record.calls)]
        if self.with_words:
            self.notes += [_said(segment_id, text) for text in findings(record.text)]
        for call, nature in self.calls:
            name, arguments = escaped(call.name), call.arguments
            shown = arguments_text(arguments, ARGUMENT_CHARS)
            self.heads.append(f"{name} {shown}")
            self.briefs.append(f"{name} {arguments_text(arguments, BRIEF_CHARS)}")
            self.done[name] += 1
            self.changes = self.changes or nature == "change"
            if target := target_of(arguments):
                self.notes.append(Note(segment_id, TARGET, target))
            if not self.in_full:
                continue
            words = words_of(" ".join(string_values(arguments, MOST_CHARS)))
            more = [word for word in words if word not in shown and is_quotable(word)][:MOST_WORDS]
            self.notes += [Note(segment_id, NAMES, word, (word,), CALL_WEIGHT) for word in more]

    def add_result(self, segment_id: int, record: Record) -> None:
        index = record.facts.call_index
        is_known = 0 <= index < len(self.calls)
        call, nature = self.calls[index] if is_known else (Call(record.call_id or "", "", {}), "change")
        why = failure_of(record.text, call, nature, is_error=record.facts.is_error)
        if why:
            self.notes.append(Note(segment_id, FAILED, why))
            name = escaped(call.name)
            self.done[name] = max(self.done[name], 1)
            self.failed[name] += 1
        else:
            if nature == "change" and is_program(call.name, call.arguments):
                nature = "run"  # what a program printed tells last what came of it, also where it changed something
            self.notes += notes_of(segment_id, record.text, call.arguments, nature=nature, in_full=self.in_full)

    def add_text(self, segment_id: int, record: Record) -> None:
        if record.kind == "tool":
            self._add_result_text(segment_id, record)
        elif record.role == "user":
            text = escaped(record.text[: 2 * USER_CHARS])
            self.heads.append(USER_SAID + cut_words(text, USER_CHARS))
            self.briefs.append(USER_SAID + cut_words(text, USER_BRIEF_CHARS))
            self.notes.append(_said(segment_id, cut_words(text, SENTENCE_CHARS), TYPED))
            self.done[USER] += 1
        else:
            opening = cut_words(escaped(record.text[: 2 * SAID_CHARS]), SAID_CHARS)
            told = findings(record.text, most=2 * SENTENCES) or [opening] * bool(opening)
            self.notes += [_said(segment_id, text) for text in told]
            self.done["said"] += 1

    def _add_result_text(self, segment_id: int, record: Record) -> None:
        """Tell a result of a text protocol: how it begins, whether it failed, what it names."""
        text = escaped(record.text[: 2 * USER_CHARS])
        self.heads.append(RESULT + cut_words(text, RESULT_CHARS))
        self.briefs.append(RESULT + cut_words(text, USER_BRIEF_CHARS))
        self.done["result"] += 1
        if why := failure(record.text, is_error=record.facts.is_error, is_program=True):
            self.notes.append(Note(segment_id, FAILED, why))
            self.failed["result"] += 1
        elif len(text) > RESULT_CHARS:
            notes = notes_of(segment_id, record.text, {}, nature="run", in_full=self.in_full)
            self.notes += [note for note in notes if note.kind in {RECORD, NAMES}]

    def line(self, group: int) -> Line:
        doings = tuple(Doing(name, n, min(n, self.failed[name])) for name, n in self.done.items())
        head, brief = "; ".join(self.heads), "; ".join(self.briefs)
        notes = tuple(sorted(self.notes, key=lambda note: note.kind))
        return Line(group, group, self.source, head, doings, notes, self.changes, brief if brief != head else "")


def _said(segment_id: int, sentence: str, kind: int = SAID) -> Note:
    return Note(segment_id, kind, sentence, weight=worth(sentence))
