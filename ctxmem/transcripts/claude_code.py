"""Claude Code: `projects/<directory>/<session>.jsonl`, one line a content block, beside it `<session>/subagents/`.

I1. Lines are taken in file order: results of parallel calls hang beside the chain of parents, and a walk loses them.
I2. The lines of one reply are joined, since they are one message; its key is its last line's, see `Entry.parts`.
I3. A prompt whose parent stands before an earlier exchange undoes that exchange (a rewind). A compaction undoes
    nothing: its summary is one more message, and what it sums up stays.
I4. A subagent has a session of its own: `<session>/<agent>`.
I5. Of files that a line names, only those of the session's own `tool-results` are read.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ctxmem.segment import Facets
from ctxmem.transcripts.entry import Entry, Json, about, name_of, when
from ctxmem.transcripts.lines import rows

SOURCE = "claude-code"
_WITHOUT_MESSAGE = frozenset(
    {"agent-color", "agent-name", "agent-setting", "ai-title", "attachment", "custom-title", "file-history-snapshot"}
    | {"frame-link", "last-prompt", "mode", "permission-mode", "pr-link", "progress", "queue-operation", "summary"}
    | {"system", "tag", "worktree-state"}
)
_MOVED = re.compile(r"<persisted-output>.{0,2000}?[/\\]tool-results[/\\]([\w.-]{1,200})\s", re.DOTALL)
_LARGEST_RESULT_BYTES = 16 << 20


class _Line(NamedTuple):
    """One line that holds a message; `reply` is the id of the reply that it is a block of."""

    entry: Entry
    reply: str | None
    is_result: bool


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether a line is one of Claude Code's."""
    is_line = isinstance(head.get("type"), str) and ("sessionId" in head or "parentUuid" in head)
    return is_line or "leafUuid" in head or head.get("type") == "file-history-snapshot"


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:
    """Yield the messages of a session's file, or of a subagent's."""
    return _joined(_lines(path, skipped))


def _lines(path: Path, skipped: Counter[str]) -> Iterator[_Line]:
    """Yield the lines that hold a message; held is the uuid of every line, to tell copies and rewinds."""
    projects: dict[str, str] = {}  # by session
    chains: dict[str, str] = {}  # the session of each line of a sidechain
    trunk = _Trunk()
    for _, row in rows(path, skipped):
        uuid, main = str(row.get("uuid") or ""), str(row.get("sessionId") or path.stem)
        if uuid and uuid in trunk.places:
            skipped["line that stands there twice"] += 1
            continue
        session = _session(row, uuid, main, chains)
        message = _message(row, skipped)
        said = message is not None and uuid != ""
        undoes = trunk.place(row, uuid, has_message=said) if session == main else None
        if message is None or not uuid:
            continue
        project = projects.setdefault(main, str(row.get("cwd") or ""))
        message["content"] = _fetched(message["content"], path, skipped)
        entry = Entry(session, uuid, message, when(row.get("timestamp")), _facets(row, project), undoes=undoes)
        reply = row["message"].get("id") if message["role"] == "assistant" else None
        yield _Line(entry, reply if isinstance(reply, str) else None, _is_result(message))


def _session(row: Json, uuid: str, main: str, chains: dict[str, str]) -> str:
    """Name the session of a line: a sidechain without an agent's id is named by its first line."""
    if not row.get("isSidechain"):
        return main
    agent = row.get("agentId") or chains.get(str(row.get("parentUuid"))) or uuid[:8]
    chains[uuid] = str(agent)
    return f"{main}/{agent}"


class _Trunk:
    """Where the lines of the main conversation stand, to see which prompt undoes what (I3)."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}  # of each line: how many messages stand up to and with it
        self._messages: list[tuple[str, Any, bool]] = []  # key, time, whether it is a prompt or a reply

    def place(self, row: Json, uuid: str, *, has_message: bool) -> str | None:
        """Note a line; return the key of the first message that it undoes."""
        undoes = None
        if has_message:
            is_prompt = row["type"] == "user" and not _is_result(row["message"]) and not row.get("isCompactSummary")
            at = self.places.get(str(row.get("parentUuid")), len(self._messages))
            after = self._messages[at:]
            # After a compaction Claude Code writes lines again, with their old times: those undo nothing.
            if is_prompt and any(is_said and time != row.get("timestamp") for _, time, is_said in after):
                undoes = after[0][0]
            self._messages.append((uuid, row.get("timestamp"), is_prompt or row["type"] == "assistant"))
        if uuid:
            self.places[uuid] = len(self._messages)
        return undoes


def _message(row: Json, skipped: Counter[str]) -> Json | None:
    """Return the message of a line, role and content alone; None for a line that holds none."""
    kind, message = name_of(row.get("type")), row.get("message")
    if kind == "attachment" and (prompt := _queued(row)):
        message = row["message"] = {"role": "user", "content": prompt}
        kind = row["type"] = "user"
    if kind not in {"user", "assistant"}:
        skipped["line without a message" if kind in _WITHOUT_MESSAGE else f"line of the unknown type {kind!r:.40}"] += 1
        return None
    if row.get("isMeta") or (isinstance(message, dict) and message.get("model") == "<synthetic>"):
        skipped["line that Claude Code wrote itself"] += 1
        return None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str | list) or not content:
        skipped["message without content"] += 1
        return None
    if isinstance(content, str) and kind == "assistant":
        content = [{"type": "text", "text": content}]
    return {"role": kind, "content": content}


def _queued(row: Json) -> Any:
    """Return the prompt that was typed while the agent worked; None of other attachments."""
    attachment = row.get("attachment")
    if not isinstance(attachment, dict) or attachment.get("type") != "queued_command":
        return None
    return attachment.get("prompt") if name_of(attachment.get("commandMode")) in {"", "prompt"} else None


def _is_result(message: Json) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(isinstance(b, dict) and b.get("type") == "tool_result" for b in content)


def _facets(row: Json, project: str) -> Facets:
    said = row["message"]
    usage = said.get("usage") if isinstance(said.get("usage"), dict) else {}
    return about(
        SOURCE,
        project=project,
        branch=row.get("gitBranch"),
        agent=row.get("agentId"),
        model=said.get("model"),
        input_tokens=usage.get("input_tokens"),
        cached_tokens=usage.get("cache_read_input_tokens"),
        output_tokens=usage.get("output_tokens"),
        compaction="summary" if row.get("isCompactSummary") else None,
    )


def _fetched(content: Any, path: Path, skipped: Counter[str]) -> Any:
    """Put large results, which are kept in files of their own, back in the place of their beginnings (I5)."""
    if not isinstance(content, list):
        return content
    return [
        {**block, "content": _whole(block.get("content"), path, skipped)}
        if isinstance(block, dict) and block.get("type") == "tool_result"
        else block
        for block in content
    ]


def _whole(content: Any, path: Path, skipped: Counter[str]) -> Any:
    is_one = isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict)
    text = content[0].get("text") if is_one else content
    found = _MOVED.match(text.lstrip()) if isinstance(text, str) else None
    if found is None:
        return content
    for folder in (path.with_suffix(""), *path.parents[:2]):  # a subagent's file stands below its session's folder
        file = folder / "tool-results" / found[1]
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= _LARGEST_RESULT_BYTES:
            return file.read_text(encoding="utf-8", errors="replace") or content
    skipped["large result whose file is not there"] += 1
    return content


def _joined(lines: Iterator[_Line]) -> Iterator[Entry]:
    """Join the lines of each reply (I2); results that came between its blocks follow it."""
    held: dict[str, list[_Line]] = {}  # by session: sidechains of old files stand among each other
    for line in lines:
        waiting = held.setdefault(line.entry.session, [])
        if waiting and not line.is_result and line.reply != waiting[0].reply:
            yield from _together(waiting)
            waiting.clear()
        if waiting or line.reply is not None:
            waiting.append(line)
        else:
            yield line.entry
    for waiting in held.values():
        yield from _together(waiting)


def _together(waiting: Sequence[_Line]) -> Iterator[Entry]:
    """Yield one reply, whole, then the results that were written between its lines."""
    said = [line.entry for line in waiting if line.reply is not None]
    if said:
        blocks: list[Any] = []
        parts: list[tuple[str, int]] = []
        facets: dict[str, Any] = {}
        for entry in said:
            blocks += [block for block in entry.message["content"] if block not in blocks]
            parts.append((entry.key, len(blocks)))
            facets.update(_more(facets, entry.facets))
        message = {"role": "assistant", "content": blocks}
        yield Entry(said[0].session, said[-1].key, message, said[0].at, facets, parts[:-1])
    yield from (line.entry for line in waiting if line.reply is None)


def _more(facets: Facets, new: Any) -> Facets:
    """Return facets laid over others; of usage, which every line repeats or adds to, the most."""
    known = {name: value for name, value in facets.items() if name.endswith("_tokens")}
    return {name: max(value, known[name]) if name in known else value for name, value in new.items()}
