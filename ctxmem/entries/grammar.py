"""The language of log queries: `?(@alice today)` as values. Pure: the time of the question is given.

I1. Every term narrows. A term that is said twice where only one can hold is refused, and so is one that says nothing.
I2. Every refusal is a `BadQuery` whose sentence ends with `GRAMMAR`.
Does not know: the store, facets.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from math import inf, nextafter
from typing import NamedTuple

from ctxmem import inputs, moments
from ctxmem.entries import entry
from ctxmem.errors import BadInput, BadQuery

MOST_CHARS = 8_192
GRAMMAR = (
    "A query is ?(TERMS), and TERMS are any of: last 10, today, yesterday, 2025-12-06, since 2h, "
    "since 2025-12-06T10:00, until 2025-12-07, @alice, @alice @bob (all between the two), #general, to @bob, tick 42, "
    'words, "words as they are"'
)
_SHELL = re.compile(r"\s*(?:\\log\b)?\s*\?\s*\((.*)\)\s*(?:---)?\s*", re.DOTALL)
_LOGGED = re.compile(r"\s*\\log\b[ \t]*(.*?)\s*(?:---)?\s*", re.DOTALL)
_TERM = re.compile(r'([@#]?)"([^"]*)"|(\S+)')
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_AGO = re.compile(r"(\d{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class _Term(NamedTuple):
    text: str
    is_quoted: bool


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What a query asks for; `last` None: all. Times are in seconds, both ends included; `entities` are one or two."""

    last: int | None = None
    entities: tuple[str, ...] = ()
    space: str | None = None
    mention: str | None = None
    tick: int | None = None
    since: float | None = None
    until: float | None = None
    words: tuple[str, ...] = field(default=())


def is_query(text: str) -> bool:
    r"""Say whether a text asks, as `?(...)` or `\log ?(...) ---`, rather than being a message.

    >>> is_query("?(today)"), is_query(r"\log ?(last 10) ---"), is_query("who?(me)")
    (True, True, False)
    """
    return re.match(r"\s*(?:\\log\b)?\s*\?\s*\(", text) is not None


def logged(text: str) -> str:
    r"""Return the message of a text, without the `\log ... ---` of a document around it.

    >>> logged(r"\log the build is green ---"), logged("as it is")
    ('the build is green', 'as it is')
    """
    found = _LOGGED.fullmatch(text)
    return text if found is None else found[1]


def parse(text: object, now: float) -> LogQuery:
    """Read a query.

    Raises:
        BadQuery: it is none; the sentence shows the grammar.

    >>> found = parse("?(@alice #general last 5 deploy)", 0.0)
    >>> found.entities, found.space, found.last, found.words
    (('alice',), 'general', 5, ('deploy',))
    """
    if not isinstance(text, str):
        raise BadQuery(f"a query must be a str, not {type(text).__name__}. {GRAMMAR}.")
    shell = _SHELL.fullmatch(text) if len(text) <= MOST_CHARS else None
    if shell is None:
        raise BadQuery(f"{inputs.shown(text)} is no query of the log. {GRAMMAR}.")
    terms = iter([_term(match) for match in _TERM.finditer(shell[1])])
    query = LogQuery()
    try:
        for term in terms:
            query = _narrowed(query, term, terms, now)
    except BadInput as error:
        raise BadQuery(f"{error}. {GRAMMAR}.") from error
    if query == LogQuery():
        raise BadQuery(f"{inputs.shown(text)} asks for nothing. {GRAMMAR}.")
    if query.since is not None and query.until is not None and query.since > query.until:
        raise BadQuery(f"{inputs.shown(text)} ends before it begins. {GRAMMAR}.")
    return query


def _term(match: "re.Match[str]") -> _Term:
    sign, quoted, plain = match.groups()
    return _Term(plain, is_quoted=False) if plain is not None else _Term(sign + quoted, is_quoted=not sign)


def _narrowed(query: LogQuery, term: _Term, rest: Iterator[_Term], now: float) -> LogQuery:
    """Return the query with one more term; one of two words takes its second from the rest."""
    word = term.text
    if term.is_quoted or word not in {"last", "tick", "since", "until", "to"}:
        return _simple(query, term, now)
    value = next(rest, None)
    if value is None or value.is_quoted:
        raise BadInput(f'{word} needs a value after it, or quotes where the word itself is meant: "{word}"')
    if word == "last":
        return _once(query, word, last=_count(value.text, word, 1))
    if word == "tick":
        return _once(query, word, tick=_count(value.text, word, 0))
    if word == "to":
        return _once(query, word, mention=entry.mention(value.text))
    return _once(query, word, **{word: _moment(value.text, word, now)})


def _simple(query: LogQuery, term: _Term, now: float) -> LogQuery:
    word = term.text
    if term.is_quoted or word[:1] not in {entry.ENTITY, entry.SPACE}:
        day = None if term.is_quoted else _day(word, now)
        if day is None:
            return replace(query, words=(*query.words, word)) if word.strip() else query
        begins, ends = day
        return _once(query, word, since=begins, until=ends)
    if word[0] == entry.SPACE:
        return _once(query, word, space=entry.name(word, entry.SPACE, "space"))
    named = entry.name(word, entry.ENTITY, "entity")
    if len(query.entities) == 2 or named in query.entities:
        raise BadInput(f"{word} is one name too many: give one entity, or two different ones")
    return replace(query, entities=(*query.entities, named))


def _once(query: LogQuery, word: str, **said: object) -> LogQuery:
    for part in said:
        if getattr(query, part) is not None:
            raise BadInput(f"{word} says what another term says already")
    return replace(query, **said)  # type: ignore[arg-type]


def _count(text: str, word: str, low: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadInput(f"{word} {inputs.shown(text)} is no number")
    return inputs.count(int(text), word, low, entry.MOST_TICK)


def _day(word: str, now: float) -> tuple[float, float] | None:
    """Return the first and the last moment of a day in local time; None where the word is no day."""
    if word in {"today", "yesterday"}:
        day = _calendar(now) - timedelta(days=word == "yesterday")
    elif _DAY.fullmatch(word):
        try:
            day = date.fromisoformat(word)
        except ValueError as error:
            raise BadInput(f"{word} is no day of the calendar") from error
    else:
        return None
    return day_bounds(day)


def _calendar(now: float) -> date:
    return datetime.fromtimestamp(now).astimezone().date()


def day_bounds(day: date) -> tuple[float, float]:
    """Return the first and the last moment of a day in local time, in seconds."""
    try:
        begins = datetime.combine(day, time()).astimezone().timestamp()
        ends = datetime.combine(day + timedelta(days=1), time()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise BadInput(f"{day} lies beyond the calendar") from error
    return begins, nextafter(ends, -inf)


def _moment(text: str, word: str, now: float) -> float:
    ago = _AGO.fullmatch(text)
    return moments.read(text, word) if ago is None else now - int(ago[1]) * _SECONDS[ago[2]]
