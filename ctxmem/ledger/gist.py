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

MAX_CHARS: Final = 16_000  # of one text that are looked at: the head and, of a longer one, the tail
MAX_JSON_CHARS: Final = 200_000  # of a text that is parsed as JSON
MAX_RECORDS: Final = 60  # of one text
MAX_VALUE_CHARS: Final = 60
MAX_WORD_CHARS: Final = 120
_LEAST_VALUE_CHARS: Final = 12  # of an argument, cut; with less room it is left out
_TARGET_CHARS: Final = 48
STATEMENTS_CHARS: Final = 100  # with less room, of a long SQL text its verbs and tables are shown

_BREAKS = re.compile(r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2069\u3000\ufeff\ufff9-\ufffb]+")
# A name may hold a colon before a digit or a slash only: a time, a port, a URL, but not `grep`'s `file:text`.
_WORD = re.compile(r"[A-Za-z0-9_./#@$~\-]+(?::[\d/][A-Za-z0-9_./#@$\-]*)*")
_TELLING = re.compile(r"[\d_/.@]|[a-z][A-Z]")
# Keys, so that the names of a record are its values; and JSON's own escapes.
_KEY = re.compile(r"[A-Za-z_][\w.\-]*=|\"[\w.\-]+\":|\\[nt]")
_LETTER = re.compile(r"\w")
_PREFIX = re.compile(r"^[^=(]*: ")  # of a record, what it is
_PATH = re.compile(r"[\w@~./-]*/[\w@.+-]+/?|[\w.+-]{2,}\.[A-Za-z][A-Za-z0-9]{0,5}")
_SUFFIXES_WORDS: Final = (
    "c cc cfg conf cpp cs css csv db go h hpp html ini ipynb java jpg js json jsx kt less lock log lua m md mjs php"
    " png pony py pyi rb rs rst scss sh sql svelte svg swift toml ts tsx txt vue xml yaml yml zig zip"
)
_SUFFIXES: Final = frozenset(_SUFFIXES_WORDS.split())
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ][\d:.Z+-]*)?|\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?|v?\d+(?:\.\d+){1,3}"
    r"|\d{1,6}(?:[./-]\d{1,4})*[a-zA-Z%]{0,2}"
)
_WRAPPER_KEYS: Final = frozenset({"request_id", "requestId", "trace_id", "node_id", "etag"})
# What a record needs not say: an opaque token of mixed signs.
_OPAQUE = re.compile(r"(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d)[\w+/=-]{24,}")
_GO_THERE = re.compile(r"\s*cd [^\s&;|]+ && ")
_TABLE = re.compile(
    r"\b(?:insert\s+into|update|delete\s+from|(?:create|alter|drop)\s+(?:\w+\s+){0,3}?(?:table|function|view|policy|trigger"
    r"|index|role|type|schema)(?:\s+if\s+(?:not\s+)?exists)?)\s+([\w.\"]{3,})",
    re.IGNORECASE,
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
    if not (text.isascii() and text.isprintable() and "  " not in text):
        text = _BREAKS.sub(" ", text)
    return text.replace("[#", "[ #").strip()


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
            return [Excerpt(record, tuple(words_of(_PREFIX.sub("", record)))) for record in found]
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
        for key, field in later:
            yield from _json_records(field, key, depth + 1)
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
        yield from _json_records(value, "", depth + 1)


def words_of(text: str) -> list[str]:
    """Return the identifiers, paths and numbers of a text, each once, in order; of a record only its values.

    >>> words_of("see src/app.py:import, line 12: parseArgs() at 10:30:00"), words_of("id=HAT110 seats=3")
    (['src/app.py', 'parseArgs', '10:30:00'], ['HAT110'])
    >>> words_of("in ./a/b.py, /etc/hosts. and ~/x @scope/pkg")
    ['./a/b.py', '/etc/hosts', '~/x', '@scope/pkg']
    """
    found: dict[str, None] = {}
    if "=" in text or '":' in text or "\\" in text:
        text = _KEY.sub(" ", text)
    for word in _WORD.findall(text):
        word = _trimmed(word)  # noqa: PLW2901
        if 3 <= len(word) <= MAX_WORD_CHARS and _TELLING.search(word) and (len(word) >= 5 or "/" in word):
            found[word] = None
    return list(found)


def _trimmed(word: str) -> str:
    """Leave out punctuation around a word, but the sign that a path begins with."""
    word = word.rstrip(".:-#@$~").lstrip("-#$:")
    if "/" in word or word.startswith("@"):
        return word if _LETTER.search(word) else ""
    return word if word[:1] == "." and _LETTER.match(word, 1) else word.lstrip("./@~")


def is_quotable(word: str) -> bool:
    """Say whether a name found in a text says something by itself: a path, or an id that is no symbol of code, no time.

    >>> list(filter(is_quotable, ("src/a.py", "t.trim", "10:30:00", "K1NW8N", "10.2.1", "parseArgs", "106625")))
    ['src/a.py', 'K1NW8N']
    >>> list(filter(is_quotable, ("r/g", "and/or", "/NOTE", "~/x/y", "packages/app/src", "@scope/pkg")))
    ['~/x/y', 'packages/app/src', '@scope/pkg']
    """
    if _MOMENT.fullmatch(word) or _OPAQUE.fullmatch(word):
        return False
    name = word.rstrip("/").rsplit("/", 1)[-1]
    has_suffix = "." in name and name.rsplit(".", 1)[1].lower() in _SUFFIXES
    if "/" in word:
        return has_suffix or word.startswith("@") or word.strip("/").count("/") >= (1 if word[0] in "/~." else 2)
    if "." in word:
        return has_suffix and _PATH.fullmatch(word) is not None
    return any(sign.isdigit() for sign in word) or "@" in word


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


# -- arguments of calls -------------------------------------------------------------------------------------------


def arguments_text(arguments: Mapping[str, Any], limit_chars: int) -> str:
    """Return a call's arguments as the JSON that was sent, cut to about `limit_chars`, each value for itself.

    The next call often repeats the shape, so its own spelling is worth more than a prettier one: `explained` 0.827
    against 0.816 with `key=value` (four sources, 16,000 tokens, 2026-11). Names, paths and numbers stay whole as long
    as they can; a long path keeps its end; texts share what is left, and those that get next to nothing are left out.

    >>> arguments_text({"path": "a.py", "limit": 20}, 200)
    '{"path": "a.py", "limit": 20}'
    >>> arguments_text({"path": "/home/me/app/src/main.py", "old": "x = 1 + 2 + 3 + 4 + 5 + 6 + 7", "new": "y"}, 60)
    '{"path": "/home/me/app/src/main.py", "new": "y", ...}'
    """
    if not arguments:
        return ""
    if sum(len(value) if isinstance(value, str) else 8 for value in arguments.values()) <= limit_chars:
        text = escaped(_json(arguments))
        if len(text) <= limit_chars:
            return text
    left = limit_chars
    fields: dict[str, str] = {}
    values = {escaped(str(key))[:MAX_VALUE_CHARS]: _value(value, limit_chars) for key, value in arguments.items()}
    n_texts = sum(" " in value for value in values.values())
    for key, value in sorted(values.items(), key=lambda item: (" " in item[1], len(item[1]))):
        is_text = " " in value
        share = (left // n_texts if is_text else left) - len(key) - 6
        if "/" in value and not is_text:
            share = min(share, max(limit_chars * 5 // 6, _LEAST_VALUE_CHARS))
        n_texts -= is_text
        if share >= min(len(value), _LEAST_VALUE_CHARS):
            fields[key] = f'"{key}": {_cut_value(value, share)}'
            left -= len(fields[key]) + 2
    kept = [fields[key] for key in values if key in fields]
    return "{" + ", ".join(kept if len(kept) == len(values) else [*kept, "..."]) + "}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _value(value: Any, limit_chars: int) -> str:
    """Return one argument as JSON on one line: of a long SQL text its verbs and tables, else what can be shown."""
    most = 4 * limit_chars + MAX_WORD_CHARS
    if not isinstance(value, str):
        return escaped(_json(value)[:most])
    if len(value) > limit_chars and limit_chars <= STATEMENTS_CHARS:
        statements = dict.fromkeys(" ".join(found.group().split()) for found in _TABLE.finditer(value[:MAX_CHARS]))
        if statements:
            return escaped(_json("; ".join(statements)))
    return escaped(_json(_GO_THERE.sub("", value[:most], count=1)))


def _cut_value(text: str, most: int) -> str:
    """Cut one JSON value: a path keeps its end, from a separator on; a text its head, to the end of a word."""
    if len(text) <= most:
        return text
    is_text = text.startswith('"')
    room = max(most - (5 if is_text else 3), 1)
    if is_text and " " not in text and "/" in text and "://" not in text:
        tail = text[1:].rstrip('"')[-room:]
        return f'"...{tail[tail.find("/") :] if "/" in tail else tail}"'
    shown = text[int(is_text) :][:room]
    shown = shown.rsplit(" ", 1)[0] if " " in shown else shown
    return f'"{shown}..."' if is_text else f"{shown}..."


def target_of(arguments: Mapping[str, Any]) -> str:
    """Return the name of what a call changes: the table of an SQL statement, a file's name, the first id; "" for none.

    >>> target_of({"path": "/a/b/main.py", "text": "x"}), target_of({"sql": "INSERT INTO users VALUES (1)"})
    ('main.py', 'users')
    >>> target_of({"reservation_id": "K1NW8N", "cabin": "economy"}), target_of({"text": "hello there"})
    ('K1NW8N', '')
    """
    for value in arguments.values():
        if not isinstance(value, str):
            continue
        if table := _TABLE.search(value[:MAX_CHARS]):
            return escaped(table.group(1).replace('"', ""))[:_TARGET_CHARS]
        word = escaped(value[: 4 * MAX_WORD_CHARS])
        if " " not in word and len(word) <= 2 * MAX_WORD_CHARS and (is_quotable(word) or "/" in word):
            return word.rstrip("/").rsplit("/", 1)[-1][-_TARGET_CHARS:]
    return ""


def string_values(value: Any, most_chars: int) -> Iterator[str]:
    """Yield the texts in a JSON value, in order, up to about `most_chars`."""
    waiting = [value]
    while waiting and most_chars > 0:
        one = waiting.pop()
        if isinstance(one, str):
            yield one[:most_chars]
            most_chars -= len(one)
        elif isinstance(one, Mapping):
            waiting += reversed(list(one.values()))
        elif isinstance(one, list):
            waiting += reversed(one)


def cut_words(text: str, most: int) -> str:
    """Cut a text at the end of a word, and say so; a first word that is longer stays whole: half a path is none.

    >>> cut_words("one two three", 9), cut_words("src/app/main.py is here", 9)
    ('one two...', 'src/app/main.py...')
    """
    if len(text) <= most:
        return text
    head = text[:most]
    if " " in head:
        head = head.rsplit(" ", 1)[0]
    elif text.isascii():
        head = text[:MAX_WORD_CHARS].split(" ", 1)[0]
    return text if len(head) >= len(text) else head.removesuffix("...") + "..."
