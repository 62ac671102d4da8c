"""What the collector knows of one segment, and the columns that hold it. Values only.

Owns the codes of forms, kinds and file operations, which reach the disk.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

# How one segment is shown. On disk: never renumber.
# LABELLED: its text in full, a label in the place of each image. TEXT: an assistant's text, without its calls.
FULL, STUB, SHORT, GONE, LABELLED, TEXT = 0, 1, 2, 3, 4, 5

# What a group is, by its first segment. On disk: never renumber.
KINDS: Final = ("assistant", "user", "system", "note", "recall", "result")
ASSISTANT, USER, SYSTEM, NOTE, RECALL, RESULT = range(len(KINDS))

# What a call did to a file. On disk: never renumber.
OPS: Final = ("read", "write", "edit")
READ, WRITE, EDIT = range(len(OPS))

GROUP_COLUMNS: Final = {
    "id": "<i8",  # id of the first segment
    "tokens": "<i4",  # shown now
    "full_tokens": "<i4",
    "result_tokens": "<i4",  # of full_tokens, what a stub would save at most
    "turn": "<i4",  # of the newest segment
    "kind": "u1",
    "pins": "<i2",
    "open_calls": "<i2",
    "hits": "<i2",
    "restored_until": "<i4",  # turn; 0: not restored
    "task": "<i2",
    "text_tokens": "<i4",  # of the assistant's own text, as a message of its own
    "tool": "<u4",  # crc32 of the name of its first call, or of how an instruction or a user message begins; 0: none
    "has_list": "u1",  # that text is a plan, a to-do list or a summary
    "is_request": "u1",  # a user message that says enough to work by
    "form": "<u4",  # an assistant's text ends as a call does, in this form; of an output: what it answers ends so
}
SEGMENT_COLUMNS: Final = {
    "id": "<i8",
    "group": "<i4",  # row of the group
    "tokens": "<i4",
    "shown_tokens": "<i4",
    "image_tokens": "<i4",  # of tokens, what labels in the place of the images save
    "form": "u1",
    "is_result": "u1",
    "is_error": "u1",
    "calls": "<i2",
    "pinned": "u1",
    "limit_tokens": "<i4",  # SHORT: what the text is cut to
    "superseded_by": "<i4",  # row of the segment, -1: none
    "digest": "<u8",  # of the content; 0: too short to compare
}
USE_COLUMNS: Final = {"segment": "<i4", "path": "<i4", "low": "<i4", "high": "<i4", "op": "u1"}
REF_COLUMNS: Final = {"segment": "<i4", "target": "<i8"}

WHOLE_FILE: Final = 1 << 30


class FileUse(NamedTuple):
    """A file that a tool result shows or changed: lines low..high (0, WHOLE_FILE where the whole), op as in `OPS`."""

    path: str
    low: int = 0
    high: int = WHOLE_FILE
    op: str = "read"


@dataclass(frozen=True, slots=True)
class Item:
    """One segment as the collector sees it.

    `group` is the id of the first segment of its group (its own id where it opens one). `tokens` is its o200k count
    with framing. `calls` counts the tool calls it makes, `is_result` says that it answers one. `digest` is 64 bits of
    a hash of a result's content, None where it has under 64 tokens. `image_tokens` are those of `tokens` that go where
    a label stands in the place of each image. `text_tokens`, `tool`, `has_list`, `is_request`: as the columns say.
    `form` is the form in which an assistant's text ends as a call does; 1: a user message that looks like an output.
    """

    segment_id: int
    group: int
    kind: str
    tokens: int
    turn: int
    pinned: bool = False
    task: str | None = None
    files: tuple[FileUse, ...] = ()
    is_result: bool = False
    is_error: bool = False
    digest: int | None = None
    refs: tuple[int, ...] = ()
    calls: int = 0
    image_tokens: int = 0
    text_tokens: int = 0
    tool: int = 0
    has_list: bool = False
    is_request: bool = False
    form: int = 0


class Form(NamedTuple):
    """How a plan shows one segment from now on: `code` is STUB, SHORT (cut to `limit_tokens`), LABELLED or FULL."""

    code: int
    limit_tokens: int
    tokens: int  # that it takes then


class Shown(NamedTuple):
    """One segment as it is shown: `form` is FULL, STUB, SHORT (cut to `limit_tokens`), LABELLED or TEXT."""

    segment_id: int
    group: int
    form: int
    limit_tokens: int
