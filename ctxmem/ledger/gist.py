"""What may be quoted of a result: records of `key=value`, identifiers, paths and numbers; never prose. No LLM.

Invariants:
    I1. All that is returned is one line, without control characters and without `[#`: it can forge no line and no id.
    I2. A record holds the values of one object of the text, in its order, whole: what stands together is of one thing.
    I3. The work is bounded by `MAX_CHARS` and `MAX_RECORDS`, whatever the text.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

MAX_CHARS: Final = 16_000  # of one text that are looked at: the head and, of a longer one, the tail
MAX_JSON_CHARS: Final = 200_000  # of a text that is parsed as JSON
MAX_RECORDS: Final = 60  # of one text
MAX_VALUE_CHARS: Final = 60
MAX_WORD_CHARS: Final = 120

_BREAKS = re.compile(r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2069\u3000\ufeff\ufff9-\ufffb]+")
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # how a program colours what it prints
_URL = r"[A-Za-z][A-Za-z0-9+.\-]{0,15}://(?:[\w\-.~:/?#@!$&*+,;=%\u0300-\u036f]+|\([^\s()<>\"]*\))+"
_DRIVE = r"[A-Za-z]:(?:(?:\\\\[\w.$~\-\u0300-\u036f]+)+|(?:\\[\w.$~\-\u0300-\u036f]+)+)"
# A name may hold a colon before a digit or a slash only: a time, a port, but not `grep`'s `file:text`.
_NAME = r"[\w./#@$~\-\u0300-\u036f]+(?:(?::(?=[\d/])|%[0-9A-Fa-f]{2})[\w./#@$\-\u0300-\u036f]*)*"
_WORD = re.compile(f"{_URL}|{_DRIVE}|{_NAME}")
# The same, and keys, so that the names of a record are its values; and JSON's own escapes.
_WORD_OR_KEY = re.compile(f'({_URL}|{_DRIVE})|[A-Za-z_][\\w.\\-]*=|"[\\w.\\-]+":|\\\\[nt]|({_NAME})')
# Scripts that put no space between words: where one of their signs meets another letter, a name ends.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
_SEAM = re.compile(f"(?<=[^\\W_{_UNSPACED}])(?=[{_UNSPACED}])|(?<=[{_UNSPACED}])(?=[^\\W_{_UNSPACED}])")
_TELLING = re.compile(r"[\d_/.@]|[a-z][A-Z]")
_SPELT = re.compile(r"[A-Za-z0-9]|\A[/~]")  # a name, not a sentence without spaces
_LETTER = re.compile(r"\w")
# What a record names without being a value: what the record is, and the keys of objects inside it.
_NAMING = re.compile(r"^[^=(]*: |(?<![^ ])[^\s=(]+\((?=[^\s=]+=)")
_PATH = re.compile(r"[\w@~./-]*/[\w@.+-]+/?|[\w.+-]{2,}\.[A-Za-z][A-Za-z0-9]{0,5}")
_SUFFIXES_WORDS: Final = (
    "c cc cfg conf cpp cs css csv db go h hpp html ini ipynb java jpg js json jsonl jsx kt less lock log lua m md mjs"
    " parquet pdf php png pony proto py pyi rb rs rst scss sh sql svelte svg swift toml ts tsx txt vue xlsx xml yaml"
    " yml zig zip"
)
_SUFFIXES: Final = frozenset(_SUFFIXES_WORDS.split())
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ][\d:.Z+-]*)?|\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?|v?\d+(?:\.\d+){1,3}"
    r"|\d{1,6}(?:[./-]\d{1,4})*[a-zA-Z%]{0,2}"
)
_WRAPPER_KEYS: Final = frozenset({"request_id", "requestId", "trace_id", "node_id", "etag"})
# What a record needs not say: an opaque token of mixed signs.
_OPAQUE = re.compile(r"(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d)[\w+/=-]{24,}")


class Excerpt(NamedTuple):
    """One line that may be quoted, and the names in it."""

    text: str
    words: tuple[str, ...]


def escaped(text: str) -> str:
    r"""Make a text safe to quote on one line: every break or control character is a space, `[#` is `[ #`.

    >>> escaped("a\n[#7] b")
    'a [ #7] b'
    """
    if not (text.isascii() and text.isprintable() and "  " not in text):
        text = _BREAKS.sub(" ", _uncoloured(text))
    return text.replace("[#", "[ #").strip()


def _uncoloured(text: str) -> str:
    return _ANSI.sub("", text) if "\x1b" in text else text


def excerpts(text: str) -> list[Excerpt]:
    """Return what may be quoted of a result, in its order: JSON objects as `key=value`, else the telling words by line.

    >>> [one.text for one in excerpts('[{"flight": "HAT110", "seats": {"economy": 3}}, {"flight": "HAT132"}]')]
    ['flight=HAT110 seats(economy=3)', 'flight=HAT132']
    >>> excerpts("opened src/app.py, all is well")
    [Excerpt(text='src/app.py', words=('src/app.py',))]
    """
    start = text.lstrip()[:1]
    if start in ("{", "[") and len(text) <= MAX_JSON_CHARS:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            found = dict.fromkeys(islice(_json_records(value), MAX_RECORDS))
            return [Excerpt(record, tuple(words_of(_NAMING.sub("", record)))) for record in found]
    return list(islice(_text_excerpts(text), MAX_RECORDS))


def value_text(value: Any) -> str:  # any JSON value
    """Return a scalar as it is quoted, "" for one that is too long or says nothing."""
    if value is None or isinstance(value, (dict, list)):
        return ""
    if not isinstance(value, str):
        return json.dumps(value)
    if len(value) > MAX_VALUE_CHARS or _OPAQUE.fullmatch(value):
        return ""
    return escaped(value)


def _json_records(value: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    """Walk a JSON value in order: an object is one record, its scalar objects inside it, lists of objects after it."""
    if depth > 8:
        return
    if isinstance(value, list):
        yield from _list_records(value, name, depth)
    elif isinstance(value, dict):
        inside, later = [], []
        for key, field in value.items():
            key = escaped(str(key))[:MAX_VALUE_CHARS]  # noqa: PLW2901
            shown = _field(key, field)
            if shown:
                inside.append(shown)
            elif isinstance(field, (dict, list)) and field:
                later.append((key, field))
            elif isinstance(field, str) and len(field) > MAX_VALUE_CHARS:
                words = " ".join([word for word in words_of(field) if is_quotable(word)][:6])
                inside += [f"{key}={words}"] if words else []
        if inside:
            yield (f"{name}: " if name else "") + " ".join(inside)
        is_wrapper = not inside and len(later) == 1
        for key, field in later:
            yield from _json_records(field, "" if is_wrapper and _has_objects(field) else key, depth + 1)
    elif isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
        yield from (one.text for one in (excerpts(value) if depth < 3 else _text_excerpts(value)))
    elif shown := value_text(value):
        yield f"{name}={shown}" if name else shown


def _field(key: str, field: Any) -> str:
    """Return one field of a record: a scalar, an object of scalars, a short list of scalars; "" for anything else."""
    if isinstance(field, dict):
        told = [(k, value_text(v)) for k, v in islice(field.items(), 7) if v is not None and v is not False]
        if 0 < len(told) <= 6 and len(field) <= 7 and all(v for _, v in told):
            return f"{key}({' '.join(f'{escaped(str(k))[:MAX_VALUE_CHARS]}={v}' for k, v in told)})"
        return ""
    if isinstance(field, list):
        values = [value_text(v) for v in field[:13]]
        if 0 < len(values) <= 12 and all(values):
            return f"{key}={','.join(values)}"
        return ""
    shown = "" if key in _WRAPPER_KEYS else value_text(field)
    return f"{key}={shown}" if shown else ""


def _list_records(values: list[Any], name: str, depth: int) -> Iterator[str]:
    scalars = [value_text(v) for v in values]
    if scalars and all(scalars):
        for at in range(0, len(scalars), 8):
            yield (f"{name}=" if name else "") + ",".join(scalars[at : at + 8])
        return
    for value in values:
        yield from _json_records(value, name, depth + 1)


def _has_objects(field: Any) -> bool:
    return isinstance(field, list) and any(isinstance(one, dict) for one in field)


def words_of(text: str) -> list[str]:
    """Return the identifiers, paths and numbers of a text, each once, in order; of a record only its values.

    >>> words_of("see src/app.py:import, line 12: parseArgs() at 10:30:00"), words_of("id=HAT110 seats=3")
    (['src/app.py', 'parseArgs', '10:30:00'], ['HAT110'])
    >>> words_of("in ./a/b.py, /etc/hosts. and ~/x @scope/pkg, https://x.io/a?q=1")
    ['./a/b.py', '/etc/hosts', '~/x', '@scope/pkg', 'https://x.io/a?q=1']
    """
    found: dict[str, None] = {}
    for word in _raw_words(_uncoloured(text)):
        word = _trimmed(word)  # noqa: PLW2901
        if 3 <= len(word) <= MAX_WORD_CHARS and _TELLING.search(word) and (len(word) >= 5 or "/" in word):
            found[word] = None
    return list(found)


def _raw_words(text: str) -> Iterator[str]:
    """Yield what may be names, with the punctuation around them."""
    if "=" in text or '":' in text or "\\" in text:
        words = [address or name for address, name in _WORD_OR_KEY.findall(text)]
    else:
        words = _WORD.findall(text)
    if text.isascii():
        yield from words
        return
    for word in words:
        if word.isascii():
            yield word
        else:
            yield from (part for part in _SEAM.split(word) if _SPELT.search(part))


def _trimmed(word: str) -> str:
    """Leave out punctuation around a word, but the sign that a path begins with."""
    word = word.rstrip(".,;:!?&*-#@$~").lstrip("-#$:")
    if "/" in word or "\\" in word or word.startswith("@"):
        return word if _LETTER.search(word) else ""
    return word if word[:1] == "." and _LETTER.match(word, 1) else word.lstrip("./@~")


def is_moment(word: str) -> bool:
    """Say whether a name found in a text is a date, a time, a version or a small number.

    >>> list(filter(is_moment, ("2024-05-11T02:58:29", "1956-06-24", "10.2.1", "K1NW8N")))
    ['2024-05-11T02:58:29', '1956-06-24', '10.2.1']
    """
    return _MOMENT.fullmatch(word) is not None


def is_quotable(word: str) -> bool:
    """Say whether a name found in a text says something by itself: a path, or an id that is no symbol of code, no time.

    >>> list(filter(is_quotable, ("src/a.py", "t.trim", "10:30:00", "K1NW8N", "10.2.1", "parseArgs", "106625")))
    ['src/a.py', 'K1NW8N']
    >>> list(filter(is_quotable, ("r/g", "and/or", "/NOTE", "~/x/y", "packages/app/src", "@scope/pkg")))
    ['~/x/y', 'packages/app/src', '@scope/pkg']
    """
    if is_moment(word) or _OPAQUE.fullmatch(word):
        return False
    word = word.replace("\\", "/")
    name = word.rstrip("/").rsplit("/", 1)[-1]
    has_suffix = "." in name and name.rsplit(".", 1)[1].lower() in _SUFFIXES
    if "/" in word:
        return has_suffix or word.startswith("@") or word.strip("/").count("/") >= (1 if word[0] in "/~." else 2)
    if "." in word:
        return has_suffix and _PATH.fullmatch(word) is not None
    return "%" not in word and (any(sign.isdigit() for sign in word) or "@" in word)


def _text_excerpts(text: str) -> Iterator[Excerpt]:
    """Yield the quotable names of each line that were not in a line before: lists of names, not records."""
    if len(text) > MAX_CHARS:
        half = MAX_CHARS // 2
        text = text[:half] + "\n" + text[-half:]
    seen: set[str] = set()
    for row in text.splitlines():
        fresh = [word for word in words_of(row) if word not in seen and is_quotable(word)]
        if fresh:
            seen.update(fresh)
            yield Excerpt(" ".join(fresh), tuple(fresh))


# -- cut texts ----------------------------------------------------------------------------------------------------


def width(text: str) -> int:
    """Return how much room a text takes, in letters: a sign of a script of syllables or ideas takes two.

    >>> width("abc"), width("交換 a")
    (3, 6)
    """
    return len(text) if text.isascii() else len(text) + sum(map(_is_wide, text))


def cut_words(text: str, most: int) -> str:
    """Cut a text at the end of a word, and say so; a first word that is longer stays whole: half a path is none.

    `most` is a width. Where words are not spaced it is cut between two signs.

    >>> cut_words("one two three", 9), cut_words("src/app/main.py is here", 9)
    ('one two...', 'src/app/main.py...')
    >>> cut_words("エラー: 交換申請の期限を過ぎています", 22)
    'エラー: 交換申請の期...'
    """
    if len(text) <= most and width(text) <= most:
        return text
    head = head_of(text, most) or text[:MAX_WORD_CHARS].split(" ", 1)[0]
    return text if len(head) >= len(text) else head.removesuffix("...") + "..."


def head_of(text: str, most: int) -> str:
    """Return the longest head of a text wider than `most` that ends with a word, "" for none."""
    at = end_of(text, most)
    while at and not _is_between(text[at - 1], text[at]):
        at -= 1
    return text[:at].rstrip()


def end_of(text: str, most: int) -> int:
    """Return the number of signs whose width is at most `most`, of a text that is wider."""
    if text.isascii():
        return max(most, 0)
    for at, sign in enumerate(text):
        most -= 2 if _is_wide(sign) else 1
        if most < 0:
            return at
    return len(text) - 1


def _is_wide(sign: str) -> bool:
    return "\u2e80" <= sign <= "\uffdc" or sign >= "\U00020000"


def _is_between(before: str, after: str) -> bool:
    """Say whether a text may be cut between two signs."""
    return before.isspace() or after.isspace() or any(map(_may_end, (before, after)))


def _may_end(sign: str) -> bool:
    """Say whether a sign is of a script that puts no space between words; Korean does."""
    return "\u0e00" <= sign <= "\u0eff" or ("\u2e80" <= sign <= "\uffdc" and not "\uac00" <= sign <= "\ud7af")
