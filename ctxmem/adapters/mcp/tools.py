"""The tools that a model is shown: names, what they say of themselves, what they take, and what they do to the store.

Names and arguments are those of `ctxmem.tools` where both have them: a model that knows one knows the other.
"""

from dataclasses import dataclass
from typing import Any

MAX_HITS = 20
MAX_RECENT = 40
MAX_OFFSET = 400
MAX_AROUND = 10
MAX_TEXT_CHARS = 100_000  # of a note: a longer one is a file, which `ctxmem import` takes
MAX_TAGS = 20

_TEXT = {"type": "string"}
_SESSION = {"type": "string", "description": "Only this session, by the name that answers show."}
_KIND = {"type": "string", "description": "Only this kind: user, assistant, tool, note, ..."}
_OFFSET = {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `is_write` and `is_destructive` say what it does to the store; `is_repeatable`: twice is as once."""

    name: str
    title: str
    text: str
    properties: dict[str, Any]
    required: tuple[str, ...] = ()
    is_write: bool = False
    is_destructive: bool = False
    is_repeatable: bool = True

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""
        return {
            "type": "object",
            "properties": self.properties,
            "required": list(self.required),
            "additionalProperties": False,
        }


SEARCH = Tool(
    "memory_search",
    "Search the memory",
    "Search what was said, done and noted in earlier work, in this and other conversations. Use two to six distinctive "
    "words: names, paths, error text. Returns excerpts, best first, each with its [#number]; pass a number to "
    "memory_read for the whole text and what stood around it. A higher `limit` gives shorter excerpts.",
    {
        "query": _TEXT,
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_HITS, "default": 5},
        "offset": _OFFSET,
        "session": _SESSION,
        "kind": _KIND,
        "file": {"type": "string", "description": "Only what is about this file, by its path as stored."},
        "tag": {"type": "string", "description": "Only what has this tag."},
        "since": {"type": "string", "description": "Not older: 2026-11-21 or 2026-11-21T10:00."},
        "until": {"type": "string", "description": "Not newer."},
    },
    ("query",),
)
READ = Tool(
    "memory_read",
    "Read an item of the memory",
    "Return the exact text of an item by its [#number], with the `before` and `after` items that stood next to it in "
    "its conversation as excerpts. Long items come in pages of about 3,000 tokens; pass the offset named at the end "
    "of a page to go on.",
    {
        "id": {"type": "integer", "minimum": 0},
        "before": {"type": "integer", "minimum": 0, "maximum": MAX_AROUND, "default": 0},
        "after": {"type": "integer", "minimum": 0, "maximum": MAX_AROUND, "default": 0},
        "offset": {"type": "integer", "minimum": 0, "default": 0},
    },
    ("id",),
)
RECENT = Tool(
    "memory_recent",
    "List what came last",
    "List the newest items of the memory, newest first, with their [#number], session and time. Use it to see what was "
    "worked on last; use memory_search to find something.",
    {
        "session": _SESSION,
        "kind": _KIND,
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_RECENT, "default": 10},
        "offset": _OFFSET,
    },
)
ADD = Tool(
    "memory_add",
    "Add a note to the memory",
    "Keep a note for later work: a decision and its reason, a fact that was hard to find, what the user prefers. Write "
    "it so that it can be understood alone, with the names and paths by which it will be searched. It is kept for "
    "good. No secrets. With a `key`, the same note again is not stored twice.",
    {
        "text": _TEXT,
        "kind": {"type": "string", "default": "note", "description": "What it is: note, decision, fact, ..."},
        "tags": {"type": "array", "items": _TEXT, "maxItems": MAX_TAGS},
        "key": {"type": "string", "description": "A name for this note, so that it is stored once."},
    },
    ("text",),
    is_write=True,
    is_repeatable=False,
)
FORGET = Tool(
    "memory_forget",
    "Erase an item of the memory",
    "Erase one item by its [#number], for good: it cannot be brought back. Only where the user asks for it, or where "
    "a secret was stored.",
    {"id": {"type": "integer", "minimum": 0}},
    ("id",),
    is_write=True,
    is_destructive=True,
)
# The two tools that OpenAI's connectors look for, with the answers that they expect.
ALIAS_SEARCH = Tool(
    "search",
    "Search the memory",
    "Search earlier work. Returns a JSON object with `results`: id, title and url of each.",
    {"query": _TEXT},
    ("query",),
)
ALIAS_FETCH = Tool(
    "fetch",
    "Read an item of the memory",
    "Return an item that search found, by its id, as a JSON object with its text; `metadata.next` is the id of the "
    "next page of a long one.",
    {"id": _TEXT},
    ("id",),
)


def offered(*, allow_write: bool, allow_forget: bool, aliases: bool) -> dict[str, Tool]:
    """Return the tools of a server by their names, in the order in which they are listed."""
    found = [SEARCH, READ, RECENT]
    found += [ADD] if allow_write else []
    found += [FORGET] if allow_forget else []
    found += [ALIAS_SEARCH, ALIAS_FETCH] if aliases else []
    return {tool.name: tool for tool in found}
