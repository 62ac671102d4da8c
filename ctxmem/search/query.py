"""Parse a query: sort its words into what should, must and must not be there.

    word        ranks; a segment needs at least one of them where nothing is required
    +word       must be there          -word       must not be there
    "a phrase"  these words side by side, as written, stop words included
    prefix*     any word that begins so; three characters or more
    ...?        a question in prose: its quotes, signs and stars are no operators

Invariants:
I1. A word of the query becomes the terms that `terms.analyse` gives a segment.
I2. Parsing never takes more than a few milliseconds: longer texts are refused, further terms are left out.
Does not know: the index, scores.
"""

import re
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from itertools import islice

from ctxmem.errors import BadQuery
from ctxmem.search import terms
from ctxmem.search.english import stem

MAX_CHARS = 65_536  # a longer query is refused
READ_CHARS = 8_192  # of a shorter one the beginning is read: it holds more than the terms that are kept
MAX_TERMS = 64  # ranked terms kept: required ones first, then in order
MAX_READ = 1_024  # clauses read of a query with operators
MAX_CLAUSES = 16  # phrases, and excluded words: each kind
MAX_PREFIXES = 6  # each stands for up to 64 words
PREFIX_CHARS = 3  # a shorter prefix is refused
PREFIX_EXPANSIONS = 64  # most frequent words that a prefix stands for

_CLAUSE = re.compile(r'([+-]?)(?:"([^"]*)(?:"|$)|([^\s"]+))')
_PREFIX = re.compile(r"[\w.:/@'\u2019-]*\w\*$")


@lru_cache(64)
def _matcher(plain: str) -> re.Pattern[str]:
    """Return what finds a phrase in ASCII text, as looking for `plain` in `terms.plain` of the text would."""
    words = "[^A-Za-z0-9]+".join(plain.split())
    return re.compile(f"(?<![A-Za-z0-9]){words}(?![A-Za-z0-9])", re.ASCII | re.IGNORECASE)


class Sign(IntEnum):
    """Whether a phrase or prefix ranks, must be there, or must not."""

    EXCLUDED = -1
    SHOULD = 0
    REQUIRED = 1


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words side by side. `terms` are what the index can narrow it down with; `plain` is what verifies it on a text.

    A phrase is always REQUIRED or EXCLUDED. `terms` of a required phrase are in `Query.required` too.
    """

    terms: tuple[str, ...]
    plain: str
    sign: Sign = Sign.REQUIRED

    def is_in(self, text: str) -> bool:
        """Say whether a text holds the phrase, in any case and with any punctuation between its words: 3 us for 36."""
        if text.isascii() and self.plain.isascii():
            return _matcher(self.plain).search(text) is not None
        return self.plain in terms.plain(text)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning of a word: every indexed term that starts with `start`, and the terms in `stems` (endings cut)."""

    start: str
    stems: tuple[str, ...]
    sign: Sign = Sign.SHOULD


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. `should` and `required` are disjoint; both rank.

    A segment matches when it holds every required term, phrase and prefix, none of the excluded, and, where nothing
    is required, at least one term of `should` or of a prefix.
    """

    should: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    prefixes: tuple[Prefix, ...] = ()
    is_cut: bool = field(default=False, compare=False)  # some terms were left out

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked: the newest segments answer it."""
        return not (self.should or self.required or self.excluded or self.phrases or self.prefixes)


def parse(text: str, *, is_prose: bool = False) -> Query:
    """Return what a query text asks for; the empty `Query` for a text of nothing but white space.

    With `is_prose`, or where the text ends with a question mark, no character is an operator: a title in quotes is
    then looked for like other words, and a hyphen excludes nothing. The first `READ_CHARS` characters are read. At most
    `MAX_TERMS` ranked terms are kept, required ones first, then in the order written.

    Raises:
        BadQuery: the text is longer than `MAX_CHARS`, or holds nothing to look for (only stop words, operators or
            exclusions), or a prefix is too short.

    >>> parse('login +error -debug "disk full" auth*').required
    ('error', 'disk', 'full')
    >>> parse('Who wrote "Dune"?').required
    ()
    >>> parse("the").should
    Traceback (most recent call last):
    ...
    ctxmem.errors.BadQuery: nothing to look for in the query; give at least one word that is not a stop word
    """
    if len(text) > MAX_CHARS:
        raise BadQuery(f"the query has {len(text)} characters, at most {MAX_CHARS} are taken; give distinctive words")
    if not text or text.isspace():
        return Query()
    return _Parser().read(text, is_prose=is_prose or text.endswith("?") or text.rstrip().endswith("?"))


class _Parser:
    """Collects the clauses of one query."""

    def __init__(self) -> None:
        self.should: dict[str, None] = {}
        self.required: dict[str, None] = {}
        self.excluded: dict[str, None] = {}
        self.phrases: dict[Phrase, None] = {}
        self.prefixes: dict[Prefix, None] = {}

    def read(self, whole: str, *, is_prose: bool) -> Query:
        text = whole if len(whole) <= READ_CHARS else whole[:READ_CHARS].rsplit(None, 1)[0]
        if is_prose or not any(mark in text for mark in '+-"*'):
            self.should = dict.fromkeys(terms.analyse_query(text, MAX_TERMS + 1))
        else:
            for clause in islice(_CLAUSE.finditer(text), MAX_READ):
                self._clause(*clause.groups(""))
        required = list(self.required)[:MAX_TERMS]
        should = [term for term in self.should if term not in self.required][: MAX_TERMS - len(required)]
        kept = Query(
            tuple(should),
            tuple(required),
            tuple(self.excluded)[:MAX_CLAUSES],
            tuple(self.phrases)[:MAX_CLAUSES],
            tuple(self.prefixes)[:MAX_PREFIXES],
            is_cut=len(whole) > READ_CHARS
            or len(self.should | self.required) > MAX_TERMS
            or max(len(self.excluded), len(self.phrases)) > MAX_CLAUSES
            or len(self.prefixes) > MAX_PREFIXES,
        )
        if not (kept.should or kept.required or any(prefix.sign >= 0 for prefix in kept.prefixes)):
            raise BadQuery("nothing to look for in the query; give at least one word that is not a stop word")
        return kept

    def _clause(self, sign: str, phrase: str, word: str) -> None:
        wish = {"+": Sign.REQUIRED, "-": Sign.EXCLUDED}.get(sign, Sign.SHOULD)
        if not word:
            self._phrase(phrase, Sign.EXCLUDED if sign == "-" else Sign.REQUIRED)
        elif _PREFIX.match(word):
            self._prefix(word[:-1], wish)
        else:
            self._word(word, wish)

    def _phrase(self, text: str, sign: Sign) -> None:
        words = terms.plain(text)
        if words.isspace():
            return
        found = tuple(terms.analyse_query(text, MAX_TERMS))
        self.phrases[Phrase(found, words, sign)] = None
        if sign is Sign.REQUIRED:
            self.required.update(dict.fromkeys(found))

    def _prefix(self, word: str, sign: Sign) -> None:
        start = terms.fold(word)
        if len(start) < PREFIX_CHARS:
            raise BadQuery(f"the prefix {word}* is too short; give at least {PREFIX_CHARS} characters before the *")
        stems = dict.fromkeys([stem(start), *(start[:-cut] for cut in (1, 2) if len(start) - cut > PREFIX_CHARS)])
        stems.pop(start, None)
        self.prefixes[Prefix(start, tuple(stems), sign)] = None

    def _word(self, word: str, sign: Sign) -> None:
        found = terms.analyse_query(word, MAX_TERMS)
        if sign is Sign.SHOULD:
            self.should.update(dict.fromkeys(found))
        elif sign is Sign.REQUIRED:
            self.required.update(dict.fromkeys(found))
        elif len(found) > 1 and not word.isascii():
            self._phrase(word, sign)
        elif found:
            self.excluded[found[0]] = None
