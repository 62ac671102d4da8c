"""The Claude Agent SDK's transcripts, kept as they are written: for resuming a session, and for searching all of them.

I1. Entries are opaque: they come back equal and in order, whatever they hold. What a user or the model said in one is
    the text of its segment, in the session `SESSION_ID/entries`.
I2. An entry with a `uuid` is stored once. Those of one transcript are numbered, so that their order is that of their
    appends, while their times are their own.
I3. Each append leaves a note of how far the transcript goes, and what the SDK makes of it for its list of sessions: the
    newest note counts.
"""

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from ctxmem import inputs
from ctxmem.adapters import missing
from ctxmem.adapters.shelf import Row, Shelf, said_in
from ctxmem.errors import BadInput, KeyConflict
from ctxmem.memory import Memory

Key: TypeAlias = Mapping[str, Any]  # the SDK's SessionKey: project_key, session_id and, for a subagent's, subpath
Entry: TypeAlias = Any


class TranscriptStore:
    """A `SessionStore` for `ClaudeAgentOptions(session_store=...)`. Safe from any thread."""

    def __init__(self, memory: Memory) -> None:
        try:
            from claude_agent_sdk import fold_session_summary  # noqa: PLC0415 - 365 MB, not needed to import this
        except ImportError as error:
            raise missing("claude-agent", error) from error
        self._fold = fold_session_summary
        self._entries = Shelf(memory, "claude_entry")
        self._transcripts = Shelf(memory, "claude_transcript")  # one row for each
        self._notes = Shelf(memory, "claude_note")  # one row for each append (I3)
        self._lock = threading.Lock()  # an append reads the last note and writes the next

    async def append(self, key: Key, entries: Sequence[Entry]) -> None:
        """Store a batch of entries; on disk when this returns."""
        if entries:
            await asyncio.to_thread(self._append, key, list(entries))

    async def load(self, key: Key) -> list[Entry] | None:
        """Return all entries of a transcript in order; None where there are none."""
        rows = await asyncio.to_thread(lambda: [*self._entries.rows(facets={"transcript": _transcript(key)})])
        return [row.value["entry"] for row in sorted(rows, key=lambda row: (row.value["n"], row.id))] or None

    async def list_sessions(self, project_key: str) -> list[dict[str, Any]]:
        """Return the sessions of a project with the time of their last append, in milliseconds since the epoch."""
        notes = await asyncio.to_thread(self._newest_notes, project_key)
        return [{"session_id": row.value["session"], "mtime": _mtime(row)} for row in notes]

    async def list_session_summaries(self, project_key: str) -> list[dict[str, Any]]:
        """Return what the SDK made of each session of a project, for its list."""
        notes = await asyncio.to_thread(self._newest_notes, project_key)
        return [{"session_id": row.value["session"], "mtime": _mtime(row), "data": row.value["data"]} for row in notes]

    async def list_subkeys(self, key: Key) -> list[str]:
        """Return the subpaths of a session: its subagents' transcripts."""
        facets = {"claude_session": _session(key)}
        rows = await asyncio.to_thread(lambda: [*self._transcripts.rows(facets=facets)])
        return [row.value["subpath"] for row in rows if row.value["subpath"]]

    async def delete(self, key: Key) -> None:
        """Erase a transcript, and with a session's own those of its subagents, in one commit."""
        await asyncio.to_thread(self._delete, key)

    def _append(self, key: Key, entries: Sequence[Entry]) -> None:
        transcript, session, subpath = _transcript(key), _session(key), key.get("subpath") or ""
        facets = {"transcript": transcript, "claude_session": session, "project": key["project_key"]}
        with self._lock:
            last = self._notes.newest(transcript=transcript)
            n = last.value["n"] if last else 0
            new = []
            for entry in entries:
                if self._add(key, entry, n, facets):
                    new.append(entry)
                    n += 1
            about = {"session": key["session_id"], "subpath": subpath}
            level = {} if subpath else {"main": "yes"}
            self._transcripts.add(about, key=f"claude_transcript {transcript}", facets={**facets, **level})
            data = None if subpath else self._fold(_summary(last), key, new)["data"]
            self._notes.add({**about, "n": n, "data": data}, after=last.at if last else None, facets=facets)
            self._notes.flush()

    def _add(self, key: Key, entry: Entry, n: int, facets: Mapping[str, str]) -> bool:
        """Add one entry; say whether it is new."""
        uuid = entry.get("uuid")
        session = "/".join([key["session_id"], "entries", *filter(None, [key.get("subpath")])])
        try:
            return self._entries.add(
                {"n": n, "entry": entry},
                _text(entry),
                session=session,
                key=json.dumps([*facets.values(), uuid]) if isinstance(uuid, str) and uuid else None,
                at=_when(entry),
                facets=facets,
            )[1]
        except KeyConflict:  # it has another number: the entry is there already
            return False

    def _newest_notes(self, project: str) -> list[Row]:
        """Return the newest note of every session of a project: a lookup each, whatever its length."""
        rows = self._transcripts.rows(facets={"project": project, "main": "yes"})
        names = [row.facets["transcript"] for row in rows]
        return [note for name in names if (note := self._notes.newest(transcript=name)) is not None]

    def _delete(self, key: Key) -> None:
        facets = {"transcript": _transcript(key)} if key.get("subpath") else {"claude_session": _session(key)}
        with self._lock:
            shelves = (self._entries, self._transcripts, self._notes)
            self._entries.forget([one for shelf in shelves for one in shelf.ids(**facets)])


def _session(key: Key) -> str:
    return json.dumps([key["project_key"], key["session_id"]], ensure_ascii=False)


def _transcript(key: Key) -> str:
    return json.dumps([key["project_key"], key["session_id"], key.get("subpath") or ""], ensure_ascii=False)


def _mtime(row: Row) -> int:
    return int(row.at * 1000)


def _summary(note: Row | None) -> dict[str, Any] | None:
    return note and {"session_id": note.value["session"], "mtime": _mtime(note), "data": note.value["data"]}


def _text(entry: Entry) -> str:
    """Return what a user or the model said in an entry: the rest is bookkeeping, which no search should find."""
    message = entry.get("message")
    if entry.get("type") not in {"user", "assistant"} or entry.get("isMeta") or not isinstance(message, dict):
        return ""
    return said_in({"role": message.get("role"), "content": message.get("content")}, "anthropic")


def _when(entry: Entry) -> float | None:
    """Return when an entry was written, in seconds since the epoch; None where it does not say."""
    try:
        return inputs.time_s(datetime.fromisoformat(entry["timestamp"].replace("Z", "+00:00")))
    except (AttributeError, BadInput, KeyError, OverflowError, ValueError):
        return None
