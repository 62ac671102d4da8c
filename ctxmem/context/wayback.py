"""The way back: restore a group at the end of the prompt, and answer the model's own memory tools.

I1. A wrong request of the model is answered with a sentence; a wrong request of the caller raises.
I2. An id is checked against the sessions in reach before anything of its segment is shown.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ctxmem import tokens
from ctxmem.context import appending
from ctxmem.context.session import Session, recall_text
from ctxmem.errors import CtxMemError, SegmentNotFound, WindowOverflow
from ctxmem.prompt import intake, memorytools
from ctxmem.prompt.memorytools import PAGE_TOKENS, QUOTED, SEARCH, whole
from ctxmem.prompt.quotes import page, stretch, words_of
from ctxmem.prompt.recall import EXCERPT_CHARS, compose, escaped, heading, plain_query, quoted
from ctxmem.segment import MAX_ID, Quote, Record

RESTORE_SHARE = 0.5  # of the budget: what one restore may take
_MAX_QUERY_CHARS = 2_000
_NEAR = 4_096  # segments after a call among which its results are looked for


def in_reach(s: Session, segment_id: int, reach: set[int] | None) -> Record:
    """Return a record that this session may see.

    Raises:
        SegmentNotFound: no such id, or it belongs to a session out of reach.
    """
    record = s.log.get(segment_id)
    if reach is None or record.session in reach:
        shared = {one.session: one.newest for one in s.now.row.ancestors}
        if record.session == s.number or segment_id <= shared.get(record.session, segment_id):
            return record
    raise SegmentNotFound(
        f"segment {segment_id} belongs to another session; name that session in reads= to reach it", segment_id
    )


def own(s: Session, segment_id: int) -> Record:
    """Return a record of this very session, or of one that it was forked from, up to the fork.

    Raises:
        SegmentNotFound: it is another session's.
    """
    return in_reach(s, segment_id, {s.number, *(one.session for one in s.now.row.ancestors)})


def restore(s: Session, segment_id: int, now: float) -> int:
    """Bring the group of a segment back at the end, in full, as a root for some turns.

    Returns the id of the segment that shows it, or the id asked for where the prompt shows it in full already. The
    caller holds the session's own lock (`Session.locked`).

    Raises:
        SegmentNotFound: not in reach. WindowOverflow: it takes more than half of the budget.
    """
    record, shown = in_reach(s, segment_id, s.reach()), s.now.state.visible()
    if segment_id in shown:
        return segment_id
    group = record.group_id(segment_id)
    if record.facts.quotes:  # a recall: restore what it quotes
        quotes = [quote for quote in record.facts.quotes if quote.segment_id not in shown]
        if not quotes:
            return segment_id
    else:
        quotes = [Quote(i, 0, len(s.log.get(i).text)) for i in members(s, group, record) if i not in shown]
    n_tokens = tokens.count(compose(quotes, s.log.get, is_verbatim=True))
    size = n_tokens + intake.MESSAGE_FRAME_TOKENS
    room = int(RESTORE_SHARE * s.now.capacity_tokens)
    if size > room:
        listed = [(i, s.log.get(i).tokens, "restore") for i, _, _ in quotes]
        raise WindowOverflow(
            f"group {group} takes {size} tokens, a restore at most {room}; read it in pages with memory_read",
            room,
            size,
            sorted(listed, key=lambda row: -row[1]),
        )
    until = s.now.row.turn + s.now.policy.restore_turns
    return appending.recall(s, quotes, n_tokens, now, until=until)[0]


def members(s: Session, group: int, record: Record) -> list[int]:
    """Return the ids of a group's segments, in order; its results follow it in its session, or in a fork's.

    Without what was rewound or dropped, unless that is the group itself.
    """
    first, hidden = s.log.get(group), s.now.state.hidden
    found, shared = [group], {one.session: one.newest for one in s.now.row.ancestors}
    for session in dict.fromkeys((first.session, record.session, s.number)) if first.calls else ():
        for segment_id in s.log.index.session_ids(session, group)[:_NEAR]:
            if len(found) > len(first.calls) or segment_id > shared.get(session, segment_id):
                break
            if segment_id not in hidden and s.log.get(segment_id).group == group:
                found.append(segment_id)
    return found


# -- the model's tools --------------------------------------------------------------------------------------------


def dispatch(s: Session, name: str, arguments: Any) -> str | None:
    """Answer a call of the model to one of our tools; None for a name that is not ours.

    The caller holds the session's own lock (`Session.locked`).
    """
    if not isinstance(name, str) or name not in memorytools.NAMES:
        return None
    if isinstance(arguments, str):  # some SDKs keep the JSON text that the model wrote
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    if not isinstance(arguments, Mapping):
        return f"{QUOTED}\nThe arguments must be an object."
    try:
        answer = _search(s, arguments) if name == SEARCH else _read(s, arguments)
    except SegmentNotFound as error:
        answer = f"There is no item [#{error.segment_id}] in this work. Use memory_search to find its number."
    except CtxMemError as error:
        answer = f"That did not work: {escaped(str(error))[:300]}"
    return f"{QUOTED}\n{answer}"


def _search(s: Session, arguments: Mapping[str, Any]) -> str:
    text, file = arguments.get("query"), arguments.get("file")
    if not isinstance(text, str) or not text.strip():
        return "`query` must be a text of two to six distinctive words."
    limit = whole(arguments, "limit", 5, 1, 10)
    if isinstance(limit, str):
        return limit
    query = plain_query(text[:_MAX_QUERY_CHARS])
    if query is None:
        return "The query holds only common words. Use names, paths, numbers or error text."
    facets = {"file": file} if isinstance(file, str) and file else {}
    exclude = s.now.state.hidden | s.beyond_fork()
    found = s.log.index.search(query, limit=limit, sessions=s.reach(), facets=facets, exclude=exclude)
    if not found:
        return "Nothing found. Try other words, such as names, paths or numbers."
    words = words_of(text)
    parts = []
    for hit in found:
        record = s.log.get(hit.id)
        start, stop = stretch(record.text, words, EXCERPT_CHARS)
        parts.append(quoted(hit.id, record, start, stop))
    return "\n\n".join(parts)


def _read(s: Session, arguments: Mapping[str, Any]) -> str:
    asked = whole(arguments, "id", None, 0, MAX_ID)
    if isinstance(asked, str):
        return asked
    record = in_reach(s, asked, s.reach())
    if not record.text and record.facts.quotes:
        return recall_text(s.log, record)
    offset = whole(arguments, "offset", 0, 0, max(len(record.text) - 1, 0))
    if isinstance(offset, str):
        return offset
    stop = page(record.text, offset, PAGE_TOKENS, tokens.count)
    more = f"\n[continues: memory_read(id={asked}, offset={stop})]" if stop < len(record.text) else ""
    return (
        f"{heading(asked, record)}, characters {offset}-{stop} of {len(record.text)}:\n{record.text[offset:stop]}{more}"
    )
