"""Which sentences of an assistant's text tell something: by form alone, since conversations are in any language.

Invariants:
    I1. A sentence is one line of bounded width, without control characters and without `[#`.
    I2. What is quoted stands in the text as it is, but for emphasis and the signs before a list's item; an item keeps
        its number, since a later answer may refer to it.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from ctxmem.ledger.gist import cut_words, escaped, is_quotable, width, words_of

SENTENCE_CHARS: Final = 200
SENTENCES: Final = 4  # quoted of one assistant message
MOST_CHARS: Final = 4_000  # of a text that are looked at

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
# Where a sentence may end: a sign with space after it, or, where words are not spaced, the sign alone.
_END = re.compile(r"(?<=[^\s.!?])[.!?؟।]+[\"'”’»)*_]*\s+|[。！？]+[」』）”]*")  # noqa: RUF001 - signs of other scripts are meant
# No sentence ends inside code, brackets and quotations.
_SPAN = re.compile(r"`[^`]*`|\([^()]*\)|\[[^\[\]]*\]|（[^（）]*）|「[^「」]*」|『[^『』]*』|“[^“”]*”|«[^«»]*»")  # noqa: RUF001
_LAST_WORD = re.compile(r"\w+\Z")
_TAG = r"(?:<|&lt;)/?[A-Za-z][\w.-]{0,40}(?:>|&gt;)"
_MARKUP = re.compile(rf"^(?:[\s>#*+\-•–|]|{_TAG})+|\*\*|(?:{_TAG}\s*)+$")  # noqa: RUF001
_ITEM = re.compile(r"^(?:(?:\(?\d{1,3}[.)]|\[[ xX]\])\s+)+")
_TELLS = re.compile(r"`[^`]+`|\*\*[^*]+\*\*|\"[^\"]{2,60}\"|“[^”]{2,60}”|「[^」]{1,60}」|\d+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_CLOSERS: Final = "\"'”’»)*_]」』）"  # noqa: RUF001 - signs of other scripts are meant
_ASKS: Final = ("?", "？", "؟")  # noqa: RUF001 - signs of other scripts are meant
_ANNOUNCES: Final = (":", "：", "...", "…")  # noqa: RUF001 - signs of other scripts are meant
_MOST_WORTH: Final = 8  # of a sentence, by what it names
_LEAST_WORDS: Final = 4  # a row of fewer is a heading, a greeting, a fragment; one less where it names something
_LEAST_SIGNS: Final = 8  # the same, where words are not spaced
_SHORT: Final = 3  # letters of an abbreviation, with a capital
_BEFORE_NUMBER: Final = 4  # letters of one before a number


def findings(text: str, most: int = SENTENCES) -> list[str]:
    r"""Return the sentences of an assistant's text that tell something, in their order.

    A sentence that names or counts something (code, a quotation, a number, a path), the first one, and the last
    question go before others. What only announces the next thing (it ends with a colon and stands last), a question
    that was followed by another, headings and code blocks are left out. Of a form to fill in, a numbered list of
    questions or labels, what stands before it is told, and the items that name something.

    >>> findings("Let me look. The bug is in `parse()`: it drops line 3.\n\n```\nx = 1\n```\nNow the fix:")
    ['The bug is in `parse()`: it drops line 3.']
    """
    rows = list(filter(None, dict.fromkeys(_sentences(_FENCE.sub("\n", text[:MOST_CHARS])))))
    lead_of = _forms(rows)
    leads = set(lead_of.values())
    asked = max((lead_of.get(at, at) for at, row in enumerate(rows) if asks(row)), default=-1)
    told = [at for at, row in enumerate(rows) if at in leads or _is_sentence(row)]
    found: list[tuple[int, int, str]] = []
    for at in told:
        row, is_last = rows[at], at == told[-1]
        bare = _ITEM.sub("", row)
        is_counted = _TELLS.search(bare) is not None
        announces = at not in leads and row.rstrip(_CLOSERS).endswith(_ANNOUNCES)
        named = _names_one(bare)
        is_of_form = at in lead_of and (asks(row) or not (is_counted or named))
        if is_of_form or (announces and is_last and not is_counted):
            continue
        value = 2 * is_counted + named + (is_last and (is_counted or named)) + (at == told[0]) + 2 * (at == asked)
        value -= 3 * (asks(row) and at != asked) + 2 * announces
        if value >= 0:
            found.append((-value, at, shortened(escaped(row), SENTENCE_CHARS)))
    best = sorted(found)[:most]
    return [row for _, _, row in sorted(best, key=lambda one: one[1])]


def _forms(rows: Sequence[str]) -> dict[int, int]:
    """Return the items of each numbered list that is for the most part questions and labels, with what is before it."""
    lead_of: dict[int, int] = {}
    for is_item, run in groupby(range(len(rows)), lambda at: _ITEM.match(rows[at]) is not None):
        items = list(run)
        if (
            is_item
            and items[0] > 0
            and 2 * sum(asks(rows[at]) or not _is_sentence(rows[at]) for at in items) > len(items)
        ):
            lead_of.update(dict.fromkeys(items, items[0] - 1))
    return lead_of


def worth(sentence: str) -> int:
    """Weigh a sentence: the more it names or counts, the earlier it is told where room is short."""
    bare = _ITEM.sub("", sentence)
    return 1 + min(len(words_of(bare)) + len(_TELLS.findall(bare)), _MOST_WORTH)


def asks(sentence: str) -> bool:
    """Say whether a sentence is a question.

    >>> asks("Shall I book it?"), asks("予約しますか？」"), asks("I booked it.")
    (True, True, False)
    """  # noqa: RUF002 - a sign of another script is meant
    return sentence.rstrip(_CLOSERS).endswith(_ASKS)


def shortened(sentence: str, most: int) -> str:
    """Cut a sentence to a width; a question that is cut is one still.

    >>> shortened("Shall I book HAT110 for $207?", 20)
    'Shall I book HAT110...?'
    """
    is_cut = asks(sentence) and width(sentence) > most
    return cut_words(sentence, most - 1) + "?" if is_cut else cut_words(sentence, most)


def _sentences(text: str) -> Iterator[str]:
    for row in text.splitlines():
        row = _MARKUP.sub("", row.strip()).strip()  # noqa: PLW2901
        hidden = _SPAN.sub(lambda span: "x" * len(span.group()), row)
        start = 0
        for end in _END.finditer(hidden):
            if not _goes_on(hidden[start : end.start()], end.group()[0], row[end.end() : end.end() + 1]):
                yield row[start : end.end()].strip()
                start = end.end()
        yield row[start:]


def _goes_on(before: str, sign: str, after: str) -> bool:
    """Say whether a sentence goes on after a sign: a small letter follows, or the sign is of a number, or shortens."""
    if after.islower():
        return True
    last = _LAST_WORD.search(before)
    if sign != "." or last is None:
        return False
    word, is_first = last.group(), not _LAST_WORD.sub("", before).strip("( ")
    if is_first:
        return word.isdecimal()
    if after.isdecimal() and word.isalpha() and len(word) <= _BEFORE_NUMBER:
        return True
    return word.isalpha() and (len(word) == 1 or (len(word) <= _SHORT and word.istitle()))


def _is_sentence(row: str) -> bool:
    bare = _ITEM.sub("", row)
    if bare != row and _names_one(bare):
        return True
    least = _LEAST_WORDS - (_TELLS.search(bare) is not None)
    return len(bare.split()) >= least or (_UNSPACED.search(bare) is not None and len(bare) >= _LEAST_SIGNS)


def _names_one(text: str) -> bool:
    return any(map(is_quotable, words_of(text)))
