"""ATIF, the interchange format of Harbor and Terminal-Bench: one trajectory an object, its subagents' inside it.

A step is one message, and an agent's step holds the results of its calls too.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctxmem.segment import Facets
from ctxmem.transcripts import chat
from ctxmem.transcripts.entry import (
    Entry,
    Json,
    about,
    assistant,
    call,
    fields,
    name_of,
    result,
    user,
    values,
    when,
    words,
)

SOURCE = "atif"


def fits(head: Mapping[str, Any]) -> bool:
    """Say whether an object is a trajectory."""
    return str(head.get("schema_version", "")).startswith("ATIF")


def _is_step(value: Any) -> bool:
    return "source" in fields(value) and "steps" not in value


def read(path: Path, skipped: Counter[str]) -> Iterator[Entry]:
    """Yield the messages of every trajectory of the file.

    Raises:
        BadInput: the file is not JSON, or holds something that is no trajectory.
    """
    for number, found in enumerate(chat.conversations(path, _is_step, "steps")):
        whole = {**found.about, "steps": found.messages}
        name = name_of(whole.get("session_id")) or name_of(whole.get("trajectory_id")) or found.name
        yield from _trajectory(whole, name, f"{name}#{name_of(whole.get('trajectory_id')) or number}", skipped)


def _trajectory(whole: Json, session: str, key: str, skipped: Counter[str]) -> Iterator[Entry]:
    agent = fields(whole.get("agent"))
    for number, step in enumerate(map(fields, values(whole.get("steps"))), start=1):
        if step.get("is_copied_context"):
            skipped["step copied from another trajectory"] += 1
            continue
        for place, message in enumerate(_messages(step)):
            facets = _facets({} if place else step, agent)
            if message["content"] or "tool_calls" in message:
                yield Entry(session, f"{key}#{number}/{place}", message, when(step.get("timestamp")), facets)
            else:
                skipped["message without content"] += 1
    for number, inner in enumerate(map(fields, values(whole.get("subagent_trajectories"))), start=1):
        name = name_of(inner.get("trajectory_id")) or str(number)
        yield from _trajectory(inner, f"{session}/{name}", f"{key}/{name}", skipped)


def _facets(step: Json, agent: Json) -> Facets:
    metrics = fields(step.get("metrics"))
    is_agent = step.get("source") == "agent"
    return about(
        SOURCE,
        agent=agent.get("name"),
        model=(step.get("model_name") or agent.get("model_name")) if is_agent else None,
        input_tokens=metrics.get("prompt_tokens"),
        cached_tokens=metrics.get("cached_tokens"),
        output_tokens=metrics.get("completion_tokens"),
    )


def _messages(step: Json) -> Iterator[Json]:
    text, calls = words(step.get("message")), [fields(one) for one in values(step.get("tool_calls"))]
    if step.get("source") == "agent":
        reasoning = step.get("reasoning_content")
        made = [
            call(name_of(c.get("tool_call_id")), name_of(c.get("function_name")), c.get("arguments")) for c in calls
        ]
        yield {**assistant(text, made), **({"reasoning_content": reasoning} if isinstance(reasoning, str) else {})}
    else:
        yield {"role": "system" if step.get("source") == "system" else "user", "content": text}
    for one in map(fields, values(fields(step.get("observation")).get("results"))):
        said, call_id = words(one.get("content")), name_of(one.get("source_call_id"))
        yield result(call_id, said or "[nothing]") if call_id else user(said)
