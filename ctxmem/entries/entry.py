r"""What a log entry is: a segment of kind `log`, whose facets say who, where and when in the run.

I1. Names stand in facets without their sign: `@alice` is the entity `alice`, `#general` the space `general`. Only in
    the facet `mentions` they keep it, since both kinds stand there.
I2. Whatever passes here can be stored, asked for and exported; whatever does not raises `BadInput`.
Does not know: the store, how entries are found.
"""

import re
from collections.abc import Mapping
from typing import Any

from ctxmem import inputs
from ctxmem.errors import BadInput
from ctxmem.segment import Facets, Record, Segment, logged_text

KIND = "log"
ENTITY, SPACE = "@", "#"
MOST_MENTIONS = 64
MOST_TICK = 2**63 - 1
_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029"]')  # a quote ends a name in a query
_MENTION = re.compile(r'(?<![\w@#])([@#])(?:"([^"\n]+)"|(\w[\w./-]*))')


def name(value: object, sign: str, what: str) -> str:
    """Return the name of an entity or a space without its sign, or raise `BadInput`.

    >>> name("@alice", "@", "entity"), name("alice", "@", "entity")
    ('alice', 'alice')
    """
    given = inputs.short(value, what, inputs.MAX_FACET_BYTES)
    plain = given.removeprefix(sign)
    if not plain.strip():
        raise BadInput(f"{what}={inputs.shown(value)} is only a sign or blanks: give a name such as {sign}alice")
    if _UNFIT.search(plain):
        raise BadInput(f"{what}={inputs.shown(value)} holds a control character, a line end or a double quote")
    return plain


def mention(value: object) -> str:
    """Return a mention with its sign, or raise `BadInput`.

    >>> mention("@bob"), mention("#general")
    ('@bob', '#general')
    """
    sign = value[:1] if isinstance(value, str) else ""
    if sign not in {ENTITY, SPACE}:
        raise BadInput(f"mention={inputs.shown(value)} must begin with @ for an entity or # for a space")
    return sign + name(value, sign, "mention")


def mentions(command: str) -> list[str]:
    """Return whom and what a command names, in its order, each once; names that cannot be stored are left out.

    >>> mentions("@bob: see #general, mail a@b.org, ask @bob.")
    ['@bob', '#general']
    """
    found: dict[str, None] = {}
    for sign, quoted, plain in _MENTION.findall(command):
        try:
            found[mention(sign + (quoted or plain.rstrip("./-")))] = None
        except BadInput:
            continue
        if len(found) == MOST_MENTIONS:
            break
    return list(found)


def record(
    command: object,
    output: object,
    *,
    entity: object,
    space: object,
    tick: object,
    tokens_in: object,
    tokens_out: object,
    at: float,
) -> Record:
    """Make the record of an entry, all of it checked first; its own tokens are not counted."""
    said = inputs.text(command, "command")
    answer = inputs.text(output, "output") if output != "" else ""
    message: Mapping[str, Any] = {
        "command": said,
        "output": answer,
        "tokens_in": inputs.count(tokens_in, "tokens_in", 0),
        "tokens_out": inputs.count(tokens_out, "tokens_out", 0),
    }
    facets: Facets = {"entity": name(entity, ENTITY, "entity")}
    if space is not None:
        facets["space"] = name(space, SPACE, "space")
    if tick is not None:
        facets["tick"] = inputs.count(tick, "tick", 0, MOST_TICK)
    named = mentions(said)
    if named:
        facets["mentions"] = list(named)
    text = inputs.text(logged_text(said, answer), "command and output")
    return Record(0, KIND, None, text, 0, at, message=dict(message), facets=facets)


def plain(segment: Segment) -> dict[str, Any]:
    """Return an entry as plain values: what is printed and exported."""
    message, facets = segment.message or {}, segment.facets
    return {
        "id": segment.id,
        "at": segment.at,
        "entity": facets.get("entity"),
        "space": facets.get("space"),
        "tick": facets.get("tick"),
        "command": message.get("command", segment.text),
        "output": message.get("output", ""),
        "mentions": facets.get("mentions", []),
        "tokens_in": message.get("tokens_in", 0),
        "tokens_out": message.get("tokens_out", 0),
    }
