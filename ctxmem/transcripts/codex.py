"""Codex: `sessions/<year>/<month>/<day>/rollout-*.jsonl`, one line an item that the model said or saw.

I1. `response_item` is what the model saw, and is read; `event_msg` mirrors it, and is read for usage, and for the
    output of a command whose result is missing when its turn ends.
I2. The items of one reply are joined, since reasoning and what follows it stand and fall together; see `Entry.parts`.
I3. Lines have no ids: a key is the session's id and the line's number, and both stay when a file is archived.
I4. A compaction undoes nothing: its summary is one more message, and what it sums up stays.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctxmem.segment import Facets
from ctxmem.transcripts.entry import Entry, Json, about, name_of, when
from ctxmem.transcripts.lines import rows

SOURCE = "codex"
_LINES = frozenset({"compacted", "event_msg", "response_item", "session_meta", "turn_context", "world_state"})
_TURN_ENDS = frozenset({"task_complete", "turn_aborted", "turn_complete"})
_NOT_SAID = frozenset({"compaction", "compaction_trigger", "context_compaction", "ghost_snapshot"})
_USAGE = {"input_tokens": "input_tokens", "cached_tokens": "cached_input_tokens", "output_tokens": "output_tokens"}


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether a line is one of Codex's; those of 2025 had no payload."""
    is_old = "instructions" in head and "timestamp" in head and "id" in head
    return (name_of(head.get("type")) in _LINES and "payload" in head) or is_old or head.get("record_type") == "state"


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:
    """Yield the messages of a rollout."""
    rollout = _Rollout(path.stem)
    for number, row in rows(path, skipped):
        payload = row.get("payload", row)
        if isinstance(payload, dict):
            yield from rollout.line(number, row, payload, skipped)
        else:
            skipped["line without a payload"] += 1
    yield from rollout.reply()


class _Rollout:
    """What is known of a session so far, and the reply that is being read."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._has_name = False  # the first metadata names it: a fork repeats its parent's
        self._about: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._reply: list[tuple[str, float | None, Json]] = []
        self._asked: set[str] = set()  # calls that wait for their results
        self._ended: dict[str, Entry] = {}  # what commands gave whose results are not there yet

    def line(self, number: int, row: Json, payload: Json, skipped: Counter[str]) -> Iterator[Entry]:
        """Yield the messages that a line completes."""
        kind, key, at = name_of(row.get("type")), f"{self._name}#{number}", when(row.get("timestamp"))
        if kind == "session_meta" or ("payload" not in row and "instructions" in row):
            self._meta(payload)
        elif kind == "turn_context":
            self._about |= {"project": payload.get("cwd"), "model": payload.get("model")}
        elif kind == "event_msg":
            yield from self._event(key, at, payload, skipped)
        elif kind == "compacted":
            yield from self.reply()
            if isinstance(payload.get("message"), str) and payload["message"]:
                message = {"role": "user", "content": payload["message"]}
                yield Entry(self._name, key, message, at, self._facets(compaction="summary"))
        elif kind == "response_item" or "payload" not in row:
            yield from self._item(key, at, payload, skipped)
        else:
            skipped["line without a message" if kind in _LINES else f"line of the unknown type {kind!r:.40}"] += 1

    def _meta(self, payload: Json) -> None:
        if self._has_name or not isinstance(payload.get("id"), str):
            return
        self._name, self._has_name = payload["id"], True
        git, source = payload.get("git"), payload.get("source")
        agent = source.get("subagent") if isinstance(source, dict) else None
        spawn = agent.get("thread_spawn") if isinstance(agent, dict) else None
        self._about["project"] = payload.get("cwd")
        self._about["branch"] = git.get("branch") if isinstance(git, dict) else None
        if agent:
            self._about["agent"] = agent if isinstance(agent, str) else "subagent"
            self._about["parent"] = spawn.get("parent_thread_id") if isinstance(spawn, dict) else None

    def _facets(self, **more: Any) -> Facets:
        return about(SOURCE, **self._about, **more)

    def _event(self, key: str, at: float | None, payload: Json, skipped: Counter[str]) -> Iterator[Entry]:
        kind, call_id = name_of(payload.get("type")), name_of(payload.get("call_id"))
        if kind == "token_count":
            info = payload.get("info")
            usage = info.get("last_token_usage") if isinstance(info, dict) else None
            if isinstance(usage, dict):
                self._usage = {ours: usage.get(theirs) for ours, theirs in _USAGE.items()}
            yield from self.reply()
        elif kind == "exec_command_end" and call_id in self._asked:
            output = payload.get("aggregated_output") or f"{payload.get('stdout', '')}{payload.get('stderr', '')}"
            text = f"{output}\n[exit code {payload.get('exit_code')}]".lstrip()
            item = {"type": "function_call_output", "call_id": call_id, "output": text}
            self._ended[call_id] = Entry(self._name, key, item, at, self._facets())
        elif kind in _TURN_ENDS:
            yield from self._turn_end()
        else:
            skipped["event that repeats a message"] += 1

    def _turn_end(self) -> Iterator[Entry]:
        """Yield the reply, and what commands gave whose results were never written (I1)."""
        yield from self.reply()
        yield from self._ended.values()
        self._ended.clear()
        self._asked.clear()

    def _item(self, key: str, at: float | None, item: Json, skipped: Counter[str]) -> Iterator[Entry]:
        kind, role = name_of(item.get("type", "message")), item.get("role")
        call_id = name_of(item.get("call_id"))
        if kind.endswith("_call_output"):
            yield from self.reply()
            self._asked.discard(call_id)
            self._ended.pop(call_id, None)
            yield Entry(self._name, key, _result(item), at, self._facets())
        elif kind == "reasoning" or kind.endswith("_call") or (kind == "message" and role == "assistant"):
            self._asked.add(call_id)
            self._reply.append((key, at, item))
        elif kind == "message" and isinstance(role, str):
            yield from self._turn_end()
            message = {"type": "message", "role": role, "content": item.get("content")}
            yield Entry(self._name, key, message, at, self._facets())
        else:
            is_known = kind in _NOT_SAID or "record_type" in item
            skipped["line without a message" if is_known else f"item of the unknown type {kind!r:.40}"] += 1

    def reply(self) -> Iterator[Entry]:
        """Yield the items of the reply so far as one message (I2)."""
        if not self._reply:
            return
        keys = [key for key, _, _ in self._reply]
        message = {"role": "assistant", "output": [item for _, _, item in self._reply]}
        parts = [(key, n) for n, key in enumerate(keys[:-1], start=1)]
        yield Entry(self._name, keys[-1], message, self._reply[0][1], self._facets(**self._usage), parts)
        self._reply, self._usage = [], {}


def _result(item: Json) -> Json:
    """Return a result whose output is text or parts; some were written as objects."""
    output = item.get("output")
    if isinstance(output, dict) and "type" not in output:
        output = output.get("content") or output.get("output") or str(output)
    return {"type": item["type"], "call_id": item.get("call_id"), "output": "" if output is None else output}
