"""LangGraph's checkpoints: each a segment without words, so that no search for text finds one.

I1. A checkpoint is found by its id, the newest of a thread and the history of a thread by one facet each. A segment's
    time is that of the checkpoint's id, and so the newest is the greatest id, whenever it was put.
I2. The writes of a task are appended and never changed; of two writes to one place the reader takes the right one.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from ctxmem.adapters.shelf import Row, Shelf
from ctxmem.errors import BadInput
from ctxmem.memory import Memory

Pending: TypeAlias = list[PendingWrite]  # by a name, since `Checkpointer` has a method named `list`

_DELTA: Final = "counters_since_delta_snapshot"  # in the metadata of threads whose state spans several checkpoints
_UUID_EPOCH_S: Final = 12_219_292_800  # from 1582-10-15 to 1970-01-01


class Checkpointer(BaseCheckpointSaver[str]):
    """A `BaseCheckpointSaver` over a memory. Safe from any thread; several processes may use one store."""

    def __init__(self, memory: Memory, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._checkpoints = Shelf(memory, "checkpoint")
        self._writes = Shelf(memory, "checkpoint_writes")

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """Return a version above `current`, and unlike any other of its number.

        As LangGraph's own savers do: it takes nodes whose channels have equal versions to be undecidable.
        """
        del channel
        number = current or 0 if isinstance(current, int | None) else int(current.partition(".")[0])
        return f"{number + 1:032}.{secrets.randbelow(10**16):016}"

    # --- writing ---

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint; on disk when this returns."""
        put = self._put(config, checkpoint, metadata, new_versions)
        self._checkpoints.flush()
        return put

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Do as `put`; puts that run at once share an fsync."""
        put = self._put(config, checkpoint, metadata, new_versions)
        await self._checkpoints.aflush()
        return put

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote; on disk when this returns."""
        self._put_writes(config, writes, task_id, task_path)
        self._writes.flush()

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Do as `put_writes`; puts that run at once share an fsync."""
        self._put_writes(config, writes, task_id, task_path)
        await self._writes.aflush()

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - a checkpoint is stored whole
    ) -> RunnableConfig:
        thread, ns = _place(config)
        whole = get_checkpoint_metadata(config, metadata)
        place = [thread, ns, checkpoint["id"]]
        value = {
            "place": place,
            "parent": config["configurable"].get("checkpoint_id"),
            "checkpoint": list(self.serde.dumps_typed(checkpoint)),
            "metadata": list(self.serde.dumps_typed(whole)),
        }
        self._add(value, str(whole.get("run_id") or ""))
        return _config(place)

    def _add(self, value: Mapping[str, Any], run: str) -> None:
        thread, ns, checkpoint_id = value["place"]
        facets = {"thread": thread, "branch": _key(thread, ns), "checkpoint": _key(thread, ns, checkpoint_id)}
        if run:
            facets["run"] = run
        self._checkpoints.add(value, at=_time_of(checkpoint_id), facets=facets)

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        place = [*_place(config), config["configurable"]["checkpoint_id"]]
        made = [
            [WRITES_IDX_MAP.get(channel, number), channel, *self.serde.dumps_typed(value)]
            for number, (channel, value) in enumerate(writes)
        ]
        value = {"place": place, "task": task_id, "path": task_path, "writes": made}
        self._writes.add(value, facets={"thread": place[0], "checkpoint": _key(*place)})

    # --- reading ---

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that a config names, or the newest of its thread: three lookups."""
        thread, ns = _place(config)
        wanted = config["configurable"].get("checkpoint_id")
        facets = {"checkpoint": _key(thread, ns, wanted)} if wanted else {"branch": _key(thread, ns)}
        row = self._checkpoints.newest(**facets)
        return None if row is None else self._tuple(row)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Do as `get_tuple`."""
        return self.get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield the checkpoints of a thread, or of all, newest first; each is read when it is asked for."""
        bound = before["configurable"].get("checkpoint_id") if before else None
        wanted = config["configurable"].get("checkpoint_id") if config else None
        seen: set[tuple[str, ...]] = set()
        for row in self._checkpoints.rows(facets=_facets(config), until=_time_of(bound) if bound else None):
            if limit is not None and limit <= len(seen):
                return
            place = tuple(row.value["place"])
            if place in seen or (bound and place[2] >= bound) or (wanted and place[2] != wanted):
                continue
            metadata = self.serde.loads_typed(tuple(row.value["metadata"])) if filter else {}
            if all(metadata.get(name) == value for name, value in (filter or {}).items()):
                seen.add(place)
                yield self._tuple(row)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Do as `list`."""
        for found in self.list(config, filter=filter, before=before, limit=limit):
            yield found

    def _tuple(self, row: Row) -> CheckpointTuple:
        thread, ns, _ = place = row.value["place"]
        parent = row.value["parent"]
        return CheckpointTuple(
            config=_config(place),
            checkpoint=self.serde.loads_typed(tuple(row.value["checkpoint"])),
            metadata=self.serde.loads_typed(tuple(row.value["metadata"])),
            parent_config=_config([thread, ns, parent]) if parent else None,
            pending_writes=self._pending(_key(*place)),
        )

    def _pending(self, checkpoint: str) -> Pending:
        """Return the writes of a checkpoint in the order in which they are applied.

        A task that runs again writes again: its first write to a numbered place counts, and of its errors, interrupts
        and the like, which stand at negative numbers, the last.
        """
        found: dict[tuple[str, int], tuple[str, str, Any]] = {}
        for row in reversed([*self._writes.rows(facets={"checkpoint": checkpoint})]):
            for number, channel, kind, packed in row.value["writes"]:
                if number < 0 or (row.value["task"], number) not in found:
                    found[row.value["task"], number] = row.value["path"], channel, (kind, packed)
        ordered = sorted(found.items(), key=lambda one: (one[1][0], *one[0]))
        return [(task, channel, self.serde.loads_typed(typed)) for (task, _), (_, channel, typed) in ordered]

    # --- deleting and copying ---

    def delete_thread(self, thread_id: str) -> None:
        """Erase all checkpoints and writes of a thread, in one commit."""
        self._checkpoints.forget([*self._checkpoints.ids(thread=thread_id), *self._writes.ids(thread=thread_id)])

    async def adelete_thread(self, thread_id: str) -> None:
        """Do as `delete_thread`, on a thread."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Erase the checkpoints that the runs made, with their writes."""
        self._forget([row for run in run_ids for row in self._checkpoints.rows(facets={"run": run})])

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Do as `delete_for_runs`, on a thread."""
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread into another."""
        for row in reversed([*self._checkpoints.rows(facets={"thread": source_thread_id})]):
            run = row.facets.get("run")
            self._add({**row.value, "place": [target_thread_id, *row.value["place"][1:]]}, str(run or ""))
        for row in reversed([*self._writes.rows(facets={"thread": source_thread_id})]):
            place = [target_thread_id, *row.value["place"][1:]]
            self._writes.add(
                {**row.value, "place": place}, facets={"thread": target_thread_id, "checkpoint": _key(*place)}
            )
        self._checkpoints.flush()

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Do as `copy_thread`, on a thread."""
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Erase all checkpoints of the threads but the newest of each namespace, or, with "delete", all.

        A thread whose state spans several checkpoints (LangGraph's delta channels) keeps them all.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise BadInput(f"prune takes the strategies 'keep_latest' and 'delete', not {strategy!r:.40}")
        for thread in thread_ids:
            kept: dict[str, Row] = {}
            gone = [
                row
                for row in self._checkpoints.rows(facets={"thread": thread})
                if strategy == "delete" or kept.setdefault(row.value["place"][1], row) is not row
            ]
            if not any(self.serde.loads_typed(tuple(row.value["metadata"])).get(_DELTA) for row in kept.values()):
                self._forget(gone)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Do as `prune`, on a thread."""
        await asyncio.to_thread(lambda: self.prune(thread_ids, strategy=strategy))

    def _forget(self, rows: Sequence[Row]) -> None:
        writes = {one for row in rows for one in self._writes.ids(checkpoint=_key(*row.value["place"]))}
        self._checkpoints.forget([*(row.id for row in rows), *writes])


def _key(*place: str) -> str:
    """Return a place in a thread as a facet has it: no two places share one."""
    return json.dumps(place, ensure_ascii=False)


def _place(config: RunnableConfig) -> tuple[str, str]:
    where = config["configurable"]
    return str(where["thread_id"]), where.get("checkpoint_ns", "")


def _config(place: Sequence[str]) -> RunnableConfig:
    thread, ns, checkpoint_id = place
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}}


def _facets(config: RunnableConfig | None) -> dict[str, str]:
    """Return what narrows a list down: a thread, with a namespace where one is named."""
    if config is None:
        return {}
    thread, ns = _place(config)
    return {"branch": _key(thread, ns)} if "checkpoint_ns" in config["configurable"] else {"thread": thread}


def _time_of(checkpoint_id: str) -> float | None:
    """Return the time in a checkpoint's id (a UUID of version 6), None of another id: the time of the put counts then.

    >>> _time_of("1f0c96a5-0000-6000-8000-000000000000"), _time_of("step-1")
    (1764011889.4379005, None)
    """
    try:
        number = UUID(checkpoint_id).int
    except ValueError:
        return None
    if number >> 76 & 0xF != 6:
        return None
    return ((number >> 80) << 12 | number >> 64 & 0xFFF) / 1e7 - _UUID_EPOCH_S
