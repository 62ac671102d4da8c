"""The durable log of one open store, as the floors above use it: records, barriers, names, flags and leases.

I1. When a barrier returns, all that was appended before is on disk; where it raises, nothing of it is, it is still
    queued, and the next barrier tries again.
I2. A record is readable from its append on, and is the same before and after each commit, seal and reopening.
I3. What is forgotten, or pinned, is so for every process from the moment that call returns.

It does not know messages, contexts, or how the index works.
"""

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

from ctxmem import codec
from ctxmem.errors import StoreBusy, StoreClosed, StoreFull, StoreReadonly
from ctxmem.index.index import Index
from ctxmem.log import audit, ending, purge
from ctxmem.log.bulk import Load
from ctxmem.log.committer import Committer
from ctxmem.log.hot import Hot
from ctxmem.log.lease import Lease, Leases
from ctxmem.log.maintenance import Trainer, Upkeep
from ctxmem.log.pending import PendingQueue
from ctxmem.log.reader import Reader
from ctxmem.log.sessions import Sessions
from ctxmem.log.writer import Write, Writer
from ctxmem.options import Options
from ctxmem.segment import Problem, Record
from ctxmem.store import Batch, Snapshot, Store, open_store
from ctxmem.tables import changes, flags, names, slots

URGENT_BYTES = 1 << 20  # with more than this queued the log's thread commits at once
CROWDED_BYTES = 8 << 20  # with more than this queued `append` commits some of it, and raises what that raises


class Log:
    """The log of one open store. Every method is safe from any thread."""

    def __init__(
        self, store: Store, options: Options, index_of: Callable[[Store, Options, codec.Codec], Index]
    ) -> None:
        self._store = store
        self.options = options
        self._hot = Hot(options.hot_bytes)
        queue = PendingQueue()
        self._reader = Reader(store, queue, self._hot)
        self._reader.refresh()
        self.index = index_of(store, options, self._reader.codec)
        self.index.read = self._reader.get_many
        self.index.queued = queue.after
        self._trainer = Trainer(store, partial(self._reader.has, flags.FORGOTTEN))
        self._writer = Writer(store, queue, self._hot, self._reader, self.index, self._trainer, options.block_segments)
        self._leases = Leases(store, self._writer)
        self._upkeep = Upkeep(self.index.steps)
        idle = partial(_idle, self._upkeep, self._writer, self._trainer)  # without the log: see `ending.watch`
        self._committer = Committer(self._writer.commit, self._writer.commit_some, self._writer.first_id, idle)
        self._closing = threading.Lock()
        self._sessions = Sessions(store, self._commit_now)
        self._is_closed = False  # every call raises StoreClosed
        self._is_down = False  # thread, maintenance, slot and store are given back
        self._let_go = partial(ending.let_go, self._upkeep, self.index, self._writer, store)
        self._dropped = ending.watch(self, store, self._committer, self._writer, self._let_go)
        self._at_exit = ending.flush_at_exit(self)

    @staticmethod
    def open(
        path: str | os.PathLike[str],
        *,
        readonly: bool = False,
        options: Options | None = None,
        index_of: Callable[[Store, Options, codec.Codec], Index] = Index,
    ) -> "Log":
        """Open the log of a store; about 2 ms, whatever it holds. Raises what `open_store` raises."""
        chosen = options or Options()
        store = open_store(path, readonly=readonly, options=chosen)
        try:
            chosen = replace(chosen, block_segments=_block_segments(store, chosen.block_segments))
            return Log(store, chosen, index_of)
        except BaseException:
            store.close()
            raise

    def session(self, name: str, *, create: bool = True) -> int | None:
        """Return the number of a session; create it where it is new, or return None with `create=False`.

        Creating is one commit, together with what is queued.

        Raises:
            BadInput: an empty or very long name.
        """
        self._usable()
        number = self._sessions.number(name)
        return self.sessions([name])[0] if number is None and create else number

    def sessions(self, wanted: Iterable[str]) -> list[int]:
        """Return the numbers of many sessions, creating those that are new, in one commit."""
        return self._sessions.make(list(wanted))

    def session_name(self, number: int) -> str | None:
        """Return the name of a session, or None; 0 is no session."""
        self._usable()
        return self._sessions.name(number)

    def session_names(self) -> list[tuple[int, str]]:
        """Return every session as (number, name), by number."""
        return list(self._sessions.all())

    # --- appending and committing ---

    def append(self, record: Record, *, key: str | None = None) -> tuple[int, bool]:
        """Queue a record; return its id, and whether it is new.

        No disk access but for the first of a block, or with a key.

        Not durable until the next `commit` returns. The record is packed here, so later changes to it have no effect.

        Raises:
            BadInput: the record holds a value that cannot be stored.
            KeyConflict: the key names other content in this session.
            StoreFull, StoreError: more than 8 MB wait and cannot be committed.
        """
        self._usable()
        self._refuse_readonly()
        packed = codec.pack_record(record)
        key_name = None if key is None else names.key_name(record.session, key)
        digest = b"" if key is None else codec.content_digest(record)
        if self._writer.queued_bytes > CROWDED_BYTES:
            self._writer.commit_some()
        appended = self._writer.append(record, packed, key_name, digest)
        self._committer.note(is_urgent=self._writer.queued_bytes > URGENT_BYTES)
        self._upkeep.note_append()
        return appended

    def known(self, record: Record, key: str) -> int | None:
        """Return the segment that a key names already, or None. Raises `KeyConflict` where it holds other content."""
        return self._writer.known(names.key_name(record.session, key), codec.content_digest(record))

    def keyed(self, session: int, key: str) -> int | None:
        """Return the segment that a key of a session names, whatever it holds; None where the key is free."""
        return self._writer.keyed(names.key_name(session, key))

    def rise_above(self, segment_id: int) -> None:
        """Give only ids above this one from now on: a session that another writer began goes on in order."""
        self._usable()
        if not self._store.readonly:
            self._writer.rise_above(segment_id)

    def ensure_open(self) -> None:
        """Raise `StoreClosed`, or `StoreForked` in a child process, where the log cannot be used."""
        self._usable()

    def commit(self, write: Write | None = None) -> None:
        """Commit everything queued, and `write`'s puts, in one transaction on this thread: the barrier.

        On disk when this returns, as far as `Options.durability` says. `write` may be run twice, each time on a fresh
        batch, when the file's map must grow. Maintenance is stepped for about 1 ms afterwards.

        Raises:
            StoreFull, StoreBusy, WriterFenced, StoreClosed, StoreForked, StoreReadonly: nothing was written.
            Anything that `write` raises: the same.
        """
        self._commit_now([] if write is None else [write])
        if not self._store.readonly:
            self._upkeep.step()

    def commit_soon(self, write: Write | None = None) -> "Future[None]":
        """Do as `commit`, on the log's thread: callers that wait at the same time share a transaction and its flush."""
        self._usable()
        if write is not None:
            self._refuse_readonly()
        if not self._store.readonly:
            self._upkeep.step()
        return self._committer.soon(write)

    def bulk(self, fill: Callable[[Load], None]) -> None:
        """Load many records as whole blocks, past the queue: `fill` adds them.

        What was added is on disk when this returns or raises; later appends have higher ids.
        """
        self._usable()
        self._refuse_readonly()

        def fill_blocks() -> None:
            self._writer.reserve_ids()  # takes a slot, and with the first slot the store's block size is fixed
            load = Load(self._store, self.index, self.options.block_segments, self._writer.known)
            try:
                fill(load)
            finally:
                load.end()
                self._writer.rise_above(load.last_id)

        self._upkeep.held_off(fill_blocks)

    def flush(self) -> None:
        """Commit, and run maintenance to the end."""
        self._commit_now([])
        if not self._store.readonly:
            self._upkeep.finish()

    def get(self, segment_id: int) -> Record:
        """Return one record, with `pinned` as it is now; see `Reader.get` for costs.

        A forgotten one has the text `[forgotten]`, no message, no arguments and no facets.

        Raises:
            SegmentNotFound: no such id.
            CorruptSegment: its stored bytes fail their checksum.
        """
        record = self._reader.get(segment_id)
        record.pinned = self.is_pinned(segment_id)
        return record

    def get_many(self, segment_ids: Iterable[int]) -> list[Record]:
        """Return records in the order asked for; cheaper than one by one for neighbours. Raises as `get`."""
        return list(self.each(segment_ids))

    def each(self, segment_ids: Iterable[int]) -> Iterator[Record]:
        """Yield what `get_many` returns, one after the other; see `Reader.each`."""
        wanted = list(segment_ids)
        self._reader.refresh()
        pinned, any_waits = self._reader.flags.among(flags.PINNED, wanted), self._writer.queued > 0
        for segment_id, record in zip(wanted, self._reader.each(wanted), strict=True):
            waits = any_waits and self._writer.waiting(segment_id) is not None
            if not waits:  # what waits has no flag yet: its own field says whether it is pinned
                record.pinned = segment_id in pinned
            yield record

    def stream(self, segment_ids: Sequence[int]) -> Iterator[tuple[int, Record]]:
        """Return (id, record) for many ids, without what is forgotten meanwhile; see `Reader.stream`."""
        self._usable()
        return self._reader.stream(segment_ids)

    def sizes(self, segment_ids: Sequence[int]) -> list[int]:
        """Return how many bytes each record takes before it is compressed."""
        return self._reader.sizes(segment_ids)

    def pinned_ids(self) -> list[int]:
        """Return what is pinned, ascending; what waits for a commit is not among it."""
        with self._store.snapshot() as snapshot:
            pinned: list[int] = flags.ids(snapshot, flags.PINNED).tolist()
        return [segment_id for segment_id in pinned if not self.is_forgotten(segment_id)]

    def is_pinned(self, segment_id: int) -> bool:
        """Say whether a segment is pinned."""
        waiting = self._writer.waiting(segment_id)
        return waiting.pinned if waiting is not None else self._reader.has(flags.PINNED, segment_id)

    @property
    def flags_version(self) -> int:
        """A number that rises whenever something was forgotten, pinned or unpinned, by any process."""
        self._reader.refresh()
        return self._reader.flags.version

    def is_forgotten(self, segment_id: int) -> bool:
        """Say whether a segment is forgotten."""
        return self._reader.has(flags.FORGOTTEN, segment_id)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Return a snapshot of the store's tables, for a `with` block."""
        return self._store.snapshot()

    # --- changes ---

    def pin(self, segment_id: int, on: bool) -> None:  # noqa: FBT001 - the index calls it so
        """Pin or unpin a segment; on disk when this returns.

        Raises:
            SegmentNotFound: no such id.
        """
        self._reader.get(segment_id)
        self._flag(flags.PINNED, [segment_id], is_on=on, kind="pin" if on else "unpin")

    def forget(self, segment_ids: Iterable[int]) -> None:
        """Hide segments from every read and search, at once and for ever; on disk when this returns.

        The bytes leave the file at the next `compact`.

        Raises:
            SegmentNotFound: no such id; none is forgotten then.
        """
        wanted = list(segment_ids)
        self._reader.get_many(wanted)
        self._flag(flags.FORGOTTEN, wanted, is_on=True, kind="forget")

    def lease(self, session: int) -> Lease:
        """Take the lease of a session; one commit.

        Where this process has it already, return another handle on the same lease.

        Raises:
            ContextBusy: another live process holds it.
        """
        self._usable()
        return self._leases.take(session)

    def sessions_elsewhere(self) -> frozenset[int]:
        """Return the sessions whose leases other live processes hold."""
        return self._leases.elsewhere()

    def also_maintain(self, step: Callable[[], bool]) -> None:
        """Call a bound method as a part of the maintenance from now on, until it says that no more is to be done.

        Its object is not kept alive for that. It must wait for no lock that is taken before those of the log.
        """
        self._upkeep.also(step)

    # --- the whole store ---

    def check(self) -> list[Problem]:
        """Read everything, verify every checksum and invariant; commits first. Seconds for 1M segments."""
        self._usable()
        below = self._store.check()
        if below:  # reading on, or a commit, might end the process
            return below
        self._commit_now([])
        return audit.check(self._store, self._reader.codec, self._hot) + list(self.index.check())

    def stats(self) -> dict[str, int]:
        """Return sizes in bytes, counts and hit rates, by name."""
        self._usable()
        self._reader.refresh()
        found = {**self._store.stats(), **self._hot.stats(), **self.index.stats()}
        found["queued_entries"] = self._writer.queued
        found["queued_bytes"] = self._writer.queued_bytes
        found["dictionary"] = self._reader.codec.current or 0
        found["maintenance_failed"] = int(self._upkeep.failure is not None)
        return found

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy into a new directory, everything queued included. Forgotten bytes may be in it."""
        self._commit_now([])
        self._store.backup(path)

    def compact(self) -> None:
        """Rewrite the store without what was forgotten: records, index, dictionaries, and unused parts of pages.

        Takes about as long as writing the store anew. A crash at any point leaves the store sound.

        Raises:
            StoreBusy: another process has the store open, or a thread of this one is inside a snapshot.
        """
        self._usable()
        self._refuse_readonly()
        self._store.alone(self._purge_and_rewrite)
        self._reader.refresh()

    def _purge_and_rewrite(self) -> None:
        with self._writer.committing:
            self._writer.commit([])
            self._upkeep.finish()
            self.index.purge()
            purge.purge_records(self._store, self._reader.codec)
            self._hot.clear()
            self._store.rewrite()

    def close(self) -> None:
        """Commit what is queued, end the thread, finish maintenance, free slot and leases. A second call does nothing.

        Raises:
            StoreFull, StoreBusy: the last commit could not be made. The log is still open, as after an interrupt:
                make room, or wait, and call `close` again.
        """
        with self._closing:
            if self._is_down:
                return
            try:
                if self._store.is_open and not self._is_closed and not self._store.readonly:
                    self.flush()
            except (StoreFull, StoreBusy):
                raise
            except Exception:
                self._tear_down()
                raise
            self._tear_down()

    # --- inside ---

    def _commit_now(self, writes: list[Write]) -> None:
        self._usable()
        if writes:
            self._refuse_readonly()
        self._writer.commit(writes)

    def _flag(self, flag: bytes, ids: list[int], *, is_on: bool, kind: str) -> None:
        def write(batch: Batch) -> None:
            changed = flags.change(batch, flag, ids, is_on=is_on)
            if changed:
                changes.record(batch, kind, changed)

        self._commit_now([write])
        self._reader.refresh()
        self.index.refresh()

    def flush_at_exit(self) -> None:
        """Commit what is still queued at the end of the interpreter."""
        if not self._is_closed and self._store.is_open and not self._store.readonly:
            ending.commit_or_say(self._store, self._writer)

    def _tear_down(self) -> None:
        """Give everything back. Each step may be repeated: an interrupt leaves the rest for the next `close`."""
        self._is_closed = True
        atexit.unregister(self._at_exit)
        self._committer.close()
        self._let_go()
        self._dropped.detach()
        self._is_down = True

    def _usable(self) -> None:
        if self._is_closed:
            raise StoreClosed(f"{self._store.name} was closed; open it again")
        self._store.ensure_usable()

    def _refuse_readonly(self) -> None:
        if self._store.readonly:
            raise StoreReadonly(f"{self._store.name} was opened for reading; open it without readonly=True")


def _idle(upkeep: Upkeep, writer: Writer, trainer: Trainer) -> None:
    """Do what the log's thread does when nothing waits: let others maintain and seal, train the dictionary."""
    upkeep.give_way()
    writer.give_way()
    trainer.train()


def _block_segments(store: Store, wanted: int) -> int:
    """Return how many ids a block of this store has, and fix it in a store that is new."""
    with store.snapshot() as snapshot:
        found = slots.block_segments(snapshot)
    if found is not None or store.readonly:
        return found or wanted
    return store.write(lambda batch: slots.settle_block_segments(batch, wanted))
