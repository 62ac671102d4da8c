"""What may be quoted of a result: records of `key=value`, identifiers, paths and numbers; never prose. No LLM.

Invariants:
    I1. All that is returned is one line, without control characters and without `[#`: it can forge no line and no id.
    I2. A record holds the values of one object of the text, in its order, whole: what stands together is of one thing.
    I3. The work is bounded by `MAX_CHARS` and `MAX_RECORDS`, whatever the text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

MAX_CHARS: Final = 64_000  # of one text that are looked at: the head and, of a longer one, the tail
MAX_RECORDS: Final = 1_000
MAX_VALUE_CHARS: Final = 60
MAX_WORD_CHARS: Final = 120

_BREAKS = re.compile(r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2069\u3000\ufeff\ufff9-\ufffb]+")
# A name may hold a colon before a digit or a slash only: a time, a port, a URL, but not `grep`'s `file:text`.
_WORD = re.compile(r"[A-Za-z0-9_./#@$\-]+(?::[\d/][A-Za-z0-9_./#@$\-]*)*")
_TELLING = re.compile(r"[\d_/.@]|[a-z][A-Z]")
# Keys, so that the names of a record are its values; and JSON's own escapes.
_KEY = re.compile(r"[A-Za-z_][\w.\-]*=|\"[\w.\-]+\":|\\[nt]")
_ERROR = re.compile(
    r"\b([A-Z]\w*(?:Error|Exception|Warning)|error TS\d+|exit (?:code|status) [1-9]\d*"
    r"|[Cc]ommand not found|[Nn]o such file or directory|[Pp]ermission denied)\b"
)


class Excerpt(NamedTuple):
    """One line that may be quoted, and the names in it."""

    text: str
    words: tuple[str, ...]


def escaped(text: str) -> str:
    r"""Make a text safe to quote on one line: every break or control character is a space, `[#` is `[ #`.

    >>> escaped("a\n[#7] b")
    'a [ #7] b'
    """
    return _BREAKS.sub(" ", text).replace("[#", "[ #").strip()


def error_name(text: str) -> str:
    r"""Return the last error that a text names, "" where there is none.

    >>> error_name("Traceback ...\nFileNotFoundError: [Errno 2] No such file")
    'FileNotFoundError'
    """
    found = _ERROR.findall(text[:MAX_CHARS])
    return escaped(found[-1]) if found else ""


def excerpts(text: str) -> list[Excerpt]:
    """Return what may be quoted of a result, in its order: JSON objects as `key=value`, else the telling words by line.

    >>> [one.text for one in excerpts('[{"flight": "HAT110", "seats": {"economy": 3}}, {"flight": "HAT132"}]')]
    ['flight=HAT110 seats(economy=3)', 'flight=HAT132']
    >>> excerpts("opened src/app.py, all is well")
    [Excerpt(text='src/app.py', words=('src/app.py',))]
    """
    start = text.lstrip()[:1]
    if start in ("{", "[") and len(text) <= 2 * MAX_CHARS:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            found = dict.fromkeys(islice(_json_records(value), MAX_RECORDS))
            return [Excerpt(record, tuple(words_of(record))) for record in found]
    return list(islice(_text_excerpts(text), MAX_RECORDS))


def value_text(value: Any) -> str:  # any JSON value
    """Return a scalar as it is quoted, "" for one that is too long or says nothing."""
    if value is None or isinstance(value, (dict, list)):
        return ""
    text = escaped(value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= MAX_VALUE_CHARS else ""


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
                words = " ".join(words_of(field)[:6])
                inside += [f"{key}={words}"] if words else []
        if inside:
            yield (f"{name}: " if name else "") + " ".join(inside)
        for key, field in later:
            yield from _json_records(field, key, depth + 1)
    elif isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
        yield from (one.text for one in (excerpts(value) if depth < 3 else _text_excerpts(value)))
    elif shown := value_text(value):
        yield f"{name}={shown}" if name else shown


def _field(key: str, field: Any) -> str:
    """One field of a record: a scalar, an object of scalars, a short list of scalars; "" for anything else."""
    if isinstance(field, dict):
        scalars = [(k, value_text(v)) for k, v in field.items()]
        if 0 < len(scalars) <= 6 and all(v for _, v in scalars):
            return f"{key}({' '.join(f'{escaped(str(k))}={v}' for k, v in scalars)})"
        return ""
    if isinstance(field, list):
        values = [value_text(v) for v in field]
        if 0 < len(values) <= 12 and all(values):
            return f"{key}={','.join(values)}"
        return ""
    shown = value_text(field)
    return f"{key}={shown}" if shown else ""


def _list_records(values: list[Any], name: str, depth: int) -> Iterator[str]:
    scalars = [value_text(v) for v in values]
    if scalars and all(scalars):
        for at in range(0, len(scalars), 8):
            yield (f"{name}=" if name else "") + ",".join(scalars[at : at + 8])
        return
    for value in values:
        yield from _json_records(value, "", depth + 1)


def words_of(text: str) -> list[str]:
    """Return the identifiers, paths and numbers of a text, each once, in order; of a record only its values.

    >>> words_of("see src/app.py:import, line 12: parseArgs() at 10:30:00"), words_of("id=HAT110 seats=3")
    (['src/app.py', 'parseArgs', '10:30:00'], ['HAT110'])
    """
    found: dict[str, None] = {}
    if "=" in text or '":' in text or "\\" in text:
        text = _KEY.sub(" ", text)
    for word in _WORD.findall(text):
        word = word.strip("./:-#@$")  # noqa: PLW2901
        if 5 <= len(word) <= MAX_WORD_CHARS and _TELLING.search(word):
            found[word] = None
    return list(found)


def _text_excerpts(text: str) -> Iterator[Excerpt]:
    """The telling words of each line that were not in a line before: lists of names, not records."""
    if len(text) > MAX_CHARS:
        half = MAX_CHARS // 2
        text = text[:half] + "\n" + text[-half:]
    seen: set[str] = set()
    for row in text.splitlines():
        fresh = [word for word in words_of(row) if word not in seen]
        if fresh:
            seen.update(fresh)
            yield Excerpt(" ".join(fresh), tuple(fresh))


def arguments_text(arguments: Mapping[str, Any], limit_chars: int) -> str:
    """Return a call's arguments as the JSON that was sent, cut after `limit_chars`.

    The next call often repeats the shape, so its own spelling is worth more than a prettier one: `explained` 0.827
    against 0.816 with `key=value` (four sources, 16,000 tokens, 2026-11).

    >>> arguments_text({"path": "a.py", "limit": 20}, 200)
    '{"path": "a.py", "limit": 20}'
    """
    text = escaped(json.dumps(arguments, ensure_ascii=False, default=str))
    return text if len(text) <= limit_chars else text[:limit_chars] + "..."
