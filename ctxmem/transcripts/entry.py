"""What a reader of conversations yields, one entry a message, and the messages that readers make.

I1. An entry's key names it for ever: the same file read again gives the same keys, a longer one the same and more.
I2. Messages have a shape that every context reads: the chat API's, or the Messages API's where only that holds it all.
"""

import json
from collections.abc import Container, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from ctxmem import inputs
from ctxmem.errors import BadInput
from ctxmem.segment import Facets
from ctxmem.transcripts.fitting import fitting
from ctxmem.transcripts.stash import seconds

Json = dict[str, Any]

_KINDS = ("type", "kind", "content_type", "part_kind")


class Entry(NamedTuple):
    """One message of one session.

    `at`: seconds since the epoch, None where the file does not say. `parts`: of a message joined from several lines,
    for each line but the last its key and how many blocks stand up to its end; a line that is stored already is then
    left out. `undoes`: the key of the first entry that was rewound before this one was said.
    """

    session: str
    key: str
    message: Json
    at: float | None = None
    facets: Mapping[str, Any] = {}
    parts: Sequence[tuple[str, int]] = ()
    undoes: str | None = None


def fields(value: Any) -> Json:
    """Return an object, an empty one in the place of anything else: what a file holds may be of any type."""
    return value if isinstance(value, dict) else {}


def values(value: Any) -> list[Any]:
    """Return a list, an empty one in the place of anything else."""
    return value if isinstance(value, list) else []


def name_of(value: Any) -> str:
    """Return a text or a number as a name, the empty one in the place of anything else."""
    return str(value) if isinstance(value, str | int) else ""


def words(content: Any, left_out: Container[str] = ()) -> str:
    r"""Return what content says: a text, or the texts of its parts; a part without one is named by its type.

    >>> words(["Look:", {"type": "text", "text": "a boat"}, {"type": "image_url", "image_url": {}}])
    'Look:\na boat\n[image_url]'
    """
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        kind = next((content[name] for name in _KINDS if isinstance(content.get(name), str)), "part")
        text = content.get("text")
        return "" if kind in left_out else text if isinstance(text, str) else f"[{kind}]"
    return "\n".join([text for one in values(content) if (text := words(one, left_out))])


def user(text: str) -> Json:
    """Make a user's message."""
    return {"role": "user", "content": text}


def assistant(text: str, calls: Sequence[Json] = ()) -> Json:
    """Make an assistant's message; `calls` are made by `call`."""
    return {"role": "assistant", "content": text or None, **({"tool_calls": list(calls)} if calls else {})}


def call(call_id: str, name: str, arguments: Any) -> Json:
    """Make a tool call; arguments that are no text are written as JSON."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": written}}


def result(call_id: str, content: Any, *, is_error: bool = False) -> Json:
    """Make the message of a tool's result; content that is no text is written as JSON."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    if not is_error:
        return {"role": "tool", "tool_call_id": call_id, "content": text}
    block = {"type": "tool_result", "tool_use_id": call_id, "content": text, "is_error": True}
    return {"role": "user", "content": [block]}


def when(timestamp: Any) -> float | None:
    """Return a time as seconds since the epoch; None for what is none: one odd time is no reason to lose a message."""
    try:
        found = seconds(timestamp)
    except BadInput:
        return None
    return found if found is None or abs(found) <= inputs.MAX_TIME_S else None


def about(
    source: str, *, project: Any = None, branch: Any = None, model: Any = None, agent: Any = None, **more: Any
) -> Facets:
    """Make the facets that readers share; what is empty is left out.

    `project` is a directory: it is found by its path and by its name.

    >>> about("codex", project="/work/shop", branch="main", model="", input_tokens=7)
    {'source': 'codex', 'project': ['/work/shop', 'shop'], 'branch': 'main', 'input_tokens': 7}
    """
    found: Facets = {"source": source}
    if isinstance(project, str) and project:
        name = PurePath(project.replace("\\", "/")).name
        found["project"] = [fitting(one, inputs.MAX_FACET_BYTES) for one in dict.fromkeys((project, name)) if one]
    for facet, value in {"branch": branch, "model": model, "agent": agent, **more}.items():
        if isinstance(value, str) and value:
            found[facet] = fitting(value, inputs.MAX_FACET_BYTES)
        elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
            found[facet] = value
    return found
