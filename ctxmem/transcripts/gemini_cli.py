"""Gemini CLI: `chats/session-*.jsonl`, one line a change of the conversation; before that one object a session.

I1. A record again replaces the one with its id; `$rewindTo` takes away a record and all after it; `$set` may replace
    all. So a file is read to its end before anything of it is given.
I2. A reply's record is written before its calls have ended, and again after: its key counts the calls it holds, and
    each result has a key of its own.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctxmem.segment import Facets
from ctxmem.transcripts.entry import Entry, Json, about, fields, name_of, result, user, values, when, words
from ctxmem.transcripts.lines import rows
from ctxmem.transcripts.pull import Pull

SOURCE = "gemini-cli"


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether an object is the first line of a session, or a whole one."""
    return "projectHash" in head


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:
    """Yield the messages of a session, as they stand at the end of its file.

    Raises:
        BadInput: it is an older file, and is not JSON.
    """
    session = _Session()
    for row in _changes(path, skipped):
        session.change(row)
    name = name_of(session.about.get("sessionId")) or path.stem
    directories = values(session.about.get("directories"))
    project = directories[0] if directories else session.about.get("projectHash")
    for record in session.records.values():
        kind, key = name_of(record.get("type")), name_of(record.get("id"))
        if kind not in {"user", "gemini"}:
            skipped["line without a message"] += 1
            continue
        facets, at = _facets(record, project), when(record.get("timestamp"))
        for entry in _reply(record, name, at, facets) if kind == "gemini" else _prompt(record, name, at, facets):
            yield entry._replace(undoes=session.undoes.get(key))


def _changes(path: Path, skipped: Counter[str]) -> Iterator[Json]:
    """Yield the objects of a file: its lines, or the one that it is."""
    if path.suffix.lower() != ".json":
        yield from (row for _, row in rows(path, skipped))
        return
    with path.open(encoding="utf-8") as stream:
        yield fields(Pull(stream, path.name).value())


class _Session:
    """The records of a session after the changes so far, by their ids, in order."""

    def __init__(self) -> None:
        self.about: Json = {}
        self.records: dict[str, Json] = {}
        self.undoes: dict[str, str] = {}  # of a record that came after a rewind: what was taken away
        self._undone = ""

    def change(self, row: Json) -> None:
        """Do what one line says (I1)."""
        if "$rewindTo" in row:
            self._rewind(name_of(row["$rewindTo"]))
        elif "$set" in row:
            self._set(fields(row["$set"]))
        elif "id" in row:
            self._put(row)
        else:
            self._set(row)

    def _set(self, changed: Json) -> None:
        self.about |= {key: value for key, value in changed.items() if key != "messages"}
        if isinstance(changed.get("messages"), list):
            self.records = {}
            for record in map(fields, changed["messages"]):
                self._put(record)

    def _put(self, record: Json) -> None:
        key = name_of(record.get("id"))
        if self._undone and key not in self.records:
            self.undoes[key], self._undone = self._undone, ""
        self.records[key] = record

    def _rewind(self, to: str) -> None:
        keys = list(self.records)
        gone = keys[keys.index(to) :] if to in self.records else keys
        self._undone = gone[0] if gone else ""
        for key in gone:
            del self.records[key]


def _facets(record: Json, project: Any) -> Facets:
    tokens = fields(record.get("tokens"))
    return about(
        SOURCE,
        project=project,
        model=record.get("model"),
        input_tokens=tokens.get("input"),
        cached_tokens=tokens.get("cached"),
        output_tokens=tokens.get("output"),
    )


def _prompt(record: Json, session: str, at: float | None, facets: Facets) -> Iterator[Entry]:
    text = words(record.get("content"))
    if text:
        yield Entry(session, name_of(record.get("id")), user(text), at, facets)


def _reply(record: Json, session: str, at: float | None, facets: Facets) -> Iterator[Entry]:
    """Yield a reply and the results of its calls (I2)."""
    key, text = name_of(record.get("id")), words(record.get("content"))
    calls = [fields(one) for one in values(record.get("toolCalls"))]
    said = [{"type": "text", "text": text}] if text else []
    uses = [
        {"type": "tool_use", "id": name_of(c.get("id")), "name": name_of(c.get("name")), "input": fields(c.get("args"))}
        for c in calls
    ]
    parts = [(f"{key}/{n}", len(said) + n) for n in range(len(uses)) if said or n]
    if said or uses:
        yield Entry(session, f"{key}/{len(uses)}", {"role": "assistant", "content": said + uses}, at, facets, parts)
    shared: Facets = {name: facets[name] for name in ("source", "project") if name in facets}
    for one in calls:
        if one.get("result") is not None:
            message = result(name_of(one.get("id")), _output(one["result"]), is_error=one.get("status") == "error")
            ended_at = when(one.get("timestamp")) or at
            yield Entry(session, f"{key}={name_of(one.get('id'))}", message, ended_at, shared)


def _output(found: Any) -> str:
    """Return what a call gave: the output or the error of each response, or its text."""
    texts = []
    for part in found if isinstance(found, list) else [found]:
        response = fields(fields(fields(part).get("functionResponse")).get("response"))
        said = response.get("output", response.get("error", response or None))
        texts.append(words(part) if said is None else said if isinstance(said, str) else json.dumps(said))
    return "\n".join(texts) or "[nothing]"
