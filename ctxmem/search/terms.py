"""Turn text into terms: the only place that knows what a word is, for segments and queries alike.

Owns the version of the analysis.
Invariants:
I1. Segments and queries go through the same function, so a term of a text is found by the text.
I2. A term is 1 to `TERM_BYTES` bytes of UTF-8 and holds no NUL and no lone surrogate.
I3. The terms of a text depend on the text and `ANALYSIS_VERSION` alone.
Does not know: postings, scores, the store.
"""

import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from operator import add

from ctxmem.search.english import STOP_WORDS, stem

ANALYSIS_VERSION = 1  # On disk: raised with every change of what a text's terms are.
TERM_BYTES = 64  # longest term in UTF-8; LMDB keys end at 511
MAX_TERMS = 32_768  # distinct terms kept of one segment, the most frequent
MAX_LENGTH = 65_535  # bound of a segment's length in words
SPEAKER_COUNT = 2
_SAFE_CHARS = TERM_BYTES // 4  # always short enough; what is kept of a word that is too long
_MEMO_ENTRIES = 16_384  # of each of two generations of each of two memos; about 25 MB in all when full
_MEMO_CHARS = 40
_BLOB_CHARS = 200  # an unbroken run of ASCII this long is data, not words
_BLOB_KEPT = 2_000  # of minified code, what is still read for words

# Combining marks, and vowel signs of Indic scripts, are parts of a word; re's \w leaves them out.
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u06d6-\u06ed\u0900-\u0963\u0971-\u0e4e"
    "\u0e80-\u0fff\u1000-\u1049\u1780-\u17d3"
)
# Thai, Lao, Burmese, Khmer, kana, Han, Hangul: words are not set apart by spaces, or carry endings.
_JOINED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
    "\U00020000-\U0003ffff"
)
_WORD = rf"[\w{_MARKS}]"
_LINKED = r"""{word}{{1,256}}(?:(?:[-./@'{quote}]|:(?://|:)?){word}{{1,256}}|\+\+|\#|,(?<=\d,)\d{{3}}{word}{{0,253}}){{0,31}}"""
_TOKEN = re.compile(_LINKED.format(word=_WORD, quote="\u2019"))
_ASCII_TOKEN = re.compile(
    _LINKED.format(word="[A-Za-z0-9_]", quote="")
)  # the same for ASCII, in two thirds of the time
_BLOB = re.compile(rf"(?<![!-~])[!-~]{{{_BLOB_CHARS},}}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_=-]{100,}")
_COMPONENT = re.compile(r"[/:@]+")
_BARE = re.compile(r"\w+$", re.ASCII)
_NAME = re.compile(rf"{_WORD}+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]{2,}")
_CONTRACTION = re.compile(r"'(?:s|ll|d|re|ve|m)$")
_HYPHEN = re.compile(r"(?<=[^\W\d])-(?=[^\W\d])")
_LETTERS_DIGITS = re.compile(r"([a-z]{3,})\d+$")
_NUMBER = re.compile(r"\d[\d.,:]*$")
_STRIPPED = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f]")
_LATIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i", "ŋ": "n"}
)

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


# Compiled at first use: sets that reach beyond the basic plane take 2-3 ms each, and `import ctxmem` must stay cheap.
@cache
def _joined() -> re.Pattern[str]:
    return re.compile(f"[{_JOINED}]")


@cache
def _runs() -> re.Pattern[str]:
    return re.compile(rf"[{_JOINED}]+|[^\W_{_JOINED}]+")


@cache
def _plain() -> re.Pattern[str]:
    return re.compile(rf"[{_JOINED}]|(?:(?![{_JOINED}]){_WORD})+")


@cache
def _han() -> re.Pattern[str]:
    return re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def analyse(text: str) -> list[tuple[str, int]]:
    """Return the terms of a text, each with the number of times it occurs, in order of first occurrence.

    Costs about 15 us for 36 words.

    >>> analyse("Users log in; logins fail")
    [('user', 1), ('log', 1), ('login', 1), ('fail', 1)]
    >>> [term for term, _ in analyse("app/parse_date.py")]
    ['app/parse_date.py', 'app', 'parse_date.py', 'parse_date', 'pars', 'date', 'py']
    """
    return _most(_counts(text))


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return list(counts.items()) if len(counts) <= MAX_TERMS else counts.most_common(MAX_TERMS)


def _counts(text: str) -> Counter[str]:
    text = _readable(text)
    tokens = (_ASCII_TOKEN if text.isascii() else _TOKEN).findall(text)
    return Counter(chain.from_iterable(map(_known.__getitem__, tokens)))


def analyse_query(text: str, limit: int = 256) -> list[str]:
    """Return the first `limit` distinct terms of a query, in order: terms that `analyse` gives a segment too (I1).

    Stops reading at the limit, so its cost is bounded.

    >>> analyse_query("When did Anna adopt the dog?")
    ['anna', 'adopt', 'dog']
    """
    found: dict[str, None] = {}
    text = _readable(text)
    for match in (_ASCII_TOKEN if text.isascii() else _TOKEN).finditer(text):
        found.update(dict.fromkeys(_known[match.group()]))
        if len(found) >= limit:
            break
    return list(found)[:limit]


def document(text: str, speakers: str | Sequence[str] | None, at: float) -> tuple[list[tuple[str, int]], int]:
    """Return what is indexed of a segment: its terms with counts, speaker and date words among them, and its length.

    The length is the number of words of the text that are terms, at most `MAX_LENGTH`; extra words do not add to it.
    A speaker counts as named `SPEAKER_COUNT` times, a date as named once; words of the text are not counted again.

    >>> document("Adopted a dog", "Anna", 0.0)
    ([('adopt', 1), ('dog', 1), ('anna', 2), ('1970', 1), ('januari', 1), ('1', 1)], 2)
    """
    found = _counts(text)
    length = min(sum(found.values()), MAX_LENGTH)
    counts = found if len(found) <= MAX_TERMS else dict(_most(found))
    for word in _speaker_words(speakers):
        counts[word] = max(counts.get(word, 0), SPEAKER_COUNT)
    for word in _date_words(at):
        counts.setdefault(word, 1)
    return list(counts.items()), length


def extra_words(speakers: str | Sequence[str] | None, at: float) -> list[str]:
    """Return the terms indexed with a segment beside its text: its speaker (the facet `entity`) and its date in UTC.

    >>> extra_words("Anna", 1683554160.0)
    ['anna', '2023', 'may', '8']
    """
    return list(dict.fromkeys([*_speaker_words(speakers), *_date_words(at)]))


def _speaker_words(speakers: str | Sequence[str] | None) -> list[str]:
    names = [speakers] if isinstance(speakers, str) else speakers or ()
    return [word for name in names[:4] for word in _known_name(name[:200])]


def _known_name(name: str) -> list[str]:
    words = _speakers.get(name)
    if words is None:
        if len(_speakers) >= 4_096:
            _speakers.clear()
        words = _speakers[name] = analyse_query(name, 8)
    return words


def _date_words(at: float) -> tuple[str, ...]:
    day = at // 86_400
    words = _dates.get(day)
    if words is None:
        try:
            date = time.gmtime(day * 86_400)
        except (OverflowError, ValueError, OSError):  # no calendar reaches there
            return ()
        words = tuple(analyse_query(f"{date.tm_year} {_MONTHS[date.tm_mon - 1]} {date.tm_mday}"))
        if len(_dates) >= 4_096:
            _dates.clear()
        _dates[day] = words
    return words


def plain(text: str) -> str:
    """Return the text as phrases are compared: folded words with one space between, and one at each end.

    Stop words and endings stay, so a phrase is found as it was written.

    >>> plain("To be, or not to be!")
    ' to be or not to be '
    """
    return f" {' '.join(_plain().findall(_fold(text.replace('_', ' '))))} "


def fold(word: str) -> str:
    """Return a word in the letters that terms are written in: lower case, accents removed.

    >>> fold("Café")
    'cafe'
    """
    return _fold(word)


def _readable(text: str) -> str:
    """Cut long blobs down: of base64 its first 32 characters are kept, of minified code the first 2,000."""
    if "\\n" in text:
        text = text.replace("\\n", " ").replace("\\t", " ")  # text inside JSON inside text
    if len(text) <= _BLOB_CHARS:
        return text
    return _BLOB.sub(_shorten, text)


def _shorten(match: re.Match[str]) -> str:
    return _BASE64.sub(lambda blob: blob.group()[:32] + " ", match.group())[:_BLOB_KEPT]


class _Memo(dict[str, tuple[str, ...]]):
    """Text -> terms, computed once; of two generations, so that frequent words stay when many rare ones arrive."""

    def __init__(self, compute: Callable[[str], tuple[str, ...]]) -> None:
        super().__init__()
        self._compute = compute
        self._older: dict[str, tuple[str, ...]] = {}

    def __missing__(self, text: str) -> tuple[str, ...]:
        terms = self._older.get(text)
        if terms is None:
            terms = self._compute(text)
        if len(text) <= _MEMO_CHARS:
            if len(self) >= _MEMO_ENTRIES:
                self._older = dict(self)
                self.clear()
            self[text] = terms
        return terms


def _terms(token: str) -> tuple[str, ...]:
    """Return the terms of one token: of a plain word its stem, of a compound the whole and its parts, each once."""
    if token.isascii():
        if token.isalpha() and len(token) <= TERM_BYTES and (token.islower() or token.istitle()):
            word = token.lower()
            return () if word in STOP_WORDS else (stem(word),)
        if len(token) > 1 and _BARE.match(token):
            return _name(token)
    elif _joined().search(token) is not None:
        return tuple(_spaceless(_fold(token)))
    return tuple(_compound(token))


def _word(word: str) -> Iterator[str]:
    """Yield the stem of a folded word, nothing for a stop word, the beginning of a very long one."""
    if word not in STOP_WORDS:
        yield stem(word) if len(word) <= _SAFE_CHARS or len(word.encode()) <= TERM_BYTES else word[:_SAFE_CHARS]


def _compound(token: str) -> dict[str, None]:
    """Return the terms of a compound: the whole, what stands between slashes, and every word; in order."""
    whole = _whole(token)
    if _NUMBER.match(whole):
        return dict.fromkeys(_word(whole.replace(",", "")))
    if not whole or whole in STOP_WORDS:
        return {}
    found: dict[str, None] = {}
    if whole.isalnum() or len(whole.encode()) <= TERM_BYTES:
        found.update(dict.fromkeys(_word(whole)))
    components = _COMPONENT.split(token)
    for component in components:
        if len(components) > 1:
            found.update(dict.fromkeys(_component(component)))
        for name in _NAME.findall(component):
            found.update(dict.fromkeys(_names[name]))
    return found


def _component(component: str) -> tuple[str, ...]:
    """Return what stands between slashes, colons and at signs as one term, where it is itself a compound."""
    whole = _whole(component)
    return (whole,) if len(whole) > 1 and not whole.isalnum() and len(whole.encode()) <= TERM_BYTES else ()


def _whole(token: str) -> str:
    """Return a compound as one term: endings after an apostrophe, and hyphens between letters, removed."""
    folded = _fold(token).replace("\u2019", "'").strip("_'")
    if "'" in folded:
        if folded.endswith("n't"):
            return ""  # all of them stop words
        folded = _CONTRACTION.sub("", folded).replace("'", "")
    return _HYPHEN.sub("", folded) if "-" in folded else folded


def _name(name: str) -> tuple[str, ...]:
    """Return the terms of an identifier: itself, its words, and the words of those in camel case."""
    found: dict[str, None] = {}
    words = name.split("_")
    _take(name.strip("_") if len(words) > 1 else name, found)
    for word in words:
        if len(words) > 1:
            _take(word, found)
        if word.isascii() and not word.islower() and not word.isupper():
            for part in _CAMEL.findall(word):
                _take(part, found)
    return tuple(found)


def _take(part: str, found: dict[str, None]) -> None:
    """Add the terms of one word of an identifier; a single letter or digit is none."""
    folded = _fold(part)
    if len(folded) > 1 or not folded.isascii():
        found.update(dict.fromkeys(_word(folded)))
        if not folded.isalpha() and (match := _LETTERS_DIGITS.match(folded)):
            found.update(dict.fromkeys(_word(match[1])))


def _spaceless(folded: str) -> Iterator[str]:
    """Yield the words of a token that holds a script written without spaces, and that script in pairs of characters."""
    for run in _runs().findall(folded):
        if _joined().match(run) is None:
            yield from _word(run)
        elif len(run) == 1:
            yield run
        else:
            yield from map(add, run, run[1:])
            yield from _han().findall(run)


def _fold(word: str) -> str:
    if word.isascii():
        return word.lower()
    marked = unicodedata.normalize("NFKD", word.casefold())
    return unicodedata.normalize("NFC", _STRIPPED.sub("", marked)).casefold().translate(_LATIN)


_known = _Memo(_terms)  # by token
_names = _Memo(_name)  # by identifier inside a compound
_speakers: dict[str, list[str]] = {}  # speaker -> terms
_dates: dict[float, tuple[str, ...]] = {}  # day since the epoch -> date words
