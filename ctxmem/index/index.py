"""The index: it finds at once what was just added, searches exactly, and is sealed and merged a little at a time.

Owns the tails, the runs and the forgotten ids as this process knows them: caches, which every question refreshes.
I1. A question is answered from one snapshot, and from tails, runs and forgotten ids that belong to that snapshot.
I2. Every segment is in exactly one tail or run.
I3. Opening reads the manifest, the forward records of the tails and the flags: O(1) in history.
I4. A change that an exception cut short (a signal handler's among them) is found by the next question, which drops
    all caches and reads them again.
Thread-safety: any method from any thread; questions go one after another. `read` and `queued` are called with `_lock`
held and must not ask the index anything: the order of locks stands in log/writer.py.
Does not know: ids' origin, bodies, sessions' names.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.codec import Codec
from ctxmem.index import check, manifest, sealing
from ctxmem.index.jobs import Jobs, Known
from ctxmem.options import Options
from ctxmem.search import forward, search
from ctxmem.search.columns import BySession
from ctxmem.search.facets import IdSet, contains, facet_keys, kind_key, offsets_of
from ctxmem.search.parts import NONE, Filter, Part, Scope
from ctxmem.search.query import Query
from ctxmem.search.runs import Run, RunCache, RunView
from ctxmem.search.search import Scored
from ctxmem.search.tail import Tail
from ctxmem.search.timeline import Timeline, timeline, union
from ctxmem.segment import MAX_ID, Problem, Record
from ctxmem.store import Snapshot, Store
from ctxmem.tables import changes, flags, frames

Uint16s: TypeAlias = npt.NDArray[np.uint16]
Read: TypeAlias = Callable[[Sequence[int]], Sequence[Record]]
Queued: TypeAlias = Callable[[int], Sequence[tuple[int, Record]]]


def _end_key(stop: int | None) -> bytes | None:
    """Return the key before which the ids below `stop` lie, None where there is no end."""
    return None if stop is None or stop > MAX_ID else frames.key(stop)


def _nothing_queued(after: int) -> Sequence[tuple[int, Record]]:
    """Return no records: the queue of an index that was given none."""
    del after
    return ()


def _nothing_to_read(ids: Sequence[int]) -> Sequence[Record]:
    raise LookupError(f"the index was given no way to read the texts of {len(ids)} segments")


class Index:
    """The search index of one open store.

    `read(ids)` gives records, for phrases and for `check`; `queued(after)` gives the segments with a higher id that are
    appended here and not committed. Both may be set after the index is made.
    """

    def __init__(self, store: Store, options: Options, codec: Codec, read: Read = _nothing_to_read) -> None:
        self.read = read
        self.queued: Queued = _nothing_queued
        self._store = store
        self._options = options
        self._codec = codec
        self._lock = threading.RLock()
        self._queued_up_to = -1  # queued records up to this id are in a tail
        self._tails: dict[int, Tail] = {}  # by block
        self._runs: list[Run] = []
        self._forgotten: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._gone: dict[int, tuple[Uint16s, BySession | None]] = {}  # by serial: what is forgotten in a run
        self._caches: dict[int, RunCache] = {}  # by serial
        self._snapshot_number = -1
        self._position: changes.Position | None = None
        self._is_torn = False  # a change of the above was begun and not ended (I4)
        self._jobs = Jobs(store, options, codec, self._lock, self._known)
        self.refresh()

    # --- what is new ---

    def forward(self, segment_id: int, record: Record) -> bytes:
        """Return the forward record of a segment that is queued, for its commit; its tail holds it from now on."""
        with self._lock:
            if self._is_torn:
                self.refresh()
            tail = self._tail_of(segment_id)
            if segment_id not in tail:
                self._is_torn = True
                tail.add(segment_id, forward.of_record(record))
                self._is_torn = False
            return forward.encode(tail.forward(segment_id))

    def refresh(self) -> None:
        """Apply what was committed since, by any process: appends, seals, merges, forgets; 1 us where nothing was."""
        with self._lock:
            if self._is_torn or self._store.head != self._snapshot_number:
                with self._store.snapshot() as snapshot:
                    self._apply(snapshot)

    def _apply(self, snapshot: Snapshot) -> None:
        """Bring tails, runs and forgotten ids up to a snapshot; the caller holds `Index._lock`.

        Where the change log no longer holds all changes since the last call, everything is read anew.
        """
        if self._is_torn:
            self._forget()
        if snapshot.number == self._snapshot_number:
            return
        self._is_torn = True
        found = None if self._position is None else changes.since(snapshot, self._position)
        if found is None:
            self._load_runs(snapshot)
            self._load_forwards(snapshot, 0, None)
            self._forgotten = flags.ids(snapshot, flags.FORGOTTEN)
            self._position = changes.newest(snapshot)
        else:
            kinds = {change.kind for change in found[0]}
            if kinds & {"seal", "merge", "purge"}:
                self._load_runs(snapshot)
            for change in found[0]:
                if change.kind == "append":
                    for first, last in zip(change.detail[::2], change.detail[1::2], strict=True):
                        self._load_forwards(snapshot, first, last + 1)
            if "forget" in kinds:
                self._forgotten = flags.ids(snapshot, flags.FORGOTTEN)
                self._gone.clear()
            self._position = found[1]
        self._snapshot_number = snapshot.number
        self._is_torn = False

    def _forget(self) -> None:
        """Drop what is known of the store and of the queue, so that the next `_apply` reads it anew (I4)."""
        self._tails, self._runs, self._gone, self._caches = {}, [], {}, {}
        self._snapshot_number = self._queued_up_to = -1
        self._position = None

    def _load_runs(self, snapshot: Snapshot) -> None:
        self._runs = manifest.load(snapshot)
        serials = {run.serial for run in self._runs}
        self._gone = {serial: gone for serial, gone in self._gone.items() if serial in serials}
        self._caches = {serial: self._caches.get(serial) or RunCache() for serial in serials}
        for block, tail in list(self._tails.items()):
            stop = self._sealed_stop(block)
            if stop > tail.first:
                rest = tail.after(stop - 1)
                self._tails[block] = rest
                if not rest.n:
                    del self._tails[block]

    def _load_forwards(self, snapshot: Snapshot, first: int, stop: int | None) -> None:
        """Put committed segments that no run and no tail holds yet into their tails."""
        for key, value in snapshot.scan("forward", frames.key(first), _end_key(stop)):
            segment_id = frames.segment_id_of(key)
            tail = self._tail_of(segment_id)
            if segment_id >= tail.first and segment_id not in tail:
                tail.add(segment_id, forward.decode(value))

    def _sealed_stop(self, block: int) -> int:
        """Return one past the last sealed id of a block: where its tail begins."""
        n = self._options.block_segments
        return max([block * n, *(run.stop for run in self._runs if run.first // n == block)])

    def _tail_of(self, segment_id: int) -> Tail:
        block = segment_id // self._options.block_segments
        tail = self._tails.get(block)
        if tail is None:
            tail = self._tails[block] = Tail(self._sealed_stop(block))
        return tail

    def _waiting(self) -> list[tuple[int, Record]]:
        """Return what is queued and in no tail or run: what was just committed may still be queued."""
        found = []
        for segment_id, record in self.queued(self._queued_up_to):
            tail = self._tail_of(segment_id)
            if segment_id >= tail.first and segment_id not in tail:
                found.append((segment_id, record))
        return found

    def _take_queued(self) -> None:
        """Analyse what is queued, so that a search finds it; the caller holds `Index._lock`."""
        for segment_id, record in self._waiting():
            made = forward.of_record(record)
            self._is_torn = True
            self._tail_of(segment_id).add(segment_id, made)
            self._queued_up_to = segment_id
            self._is_torn = False

    # --- questions ---

    def search(
        self,
        query: Query,
        *,
        limit: int,
        sessions: "set[int] | frozenset[int] | None" = None,
        kind: str | None = None,
        since: float | None = None,
        until: float | None = None,
        facets: Mapping[str, Any] | None = None,
        exclude: IdSet | None = None,
        explain: bool = False,
        conversation: bool = True,
    ) -> Sequence[Scored]:
        """Return the best hits in order.

        `facets`: name -> value, or list of values that must all be there. `sessions`, `kind`, `since`, `until` (both
        ends included) and `exclude` narrow too.
        """
        keys = [] if kind is None else [kind_key(kind)]
        conditions = Filter(
            (*keys, *facet_keys(facets or {})), None if sessions is None else frozenset(sessions), since, until, exclude
        )
        with self._lock, self._store.snapshot() as snapshot:
            scopes = self._scopes(snapshot, conditions)
            return search.search(scopes, query, limit, self._texts, explain=explain, is_conversation_aware=conversation)

    def timeline(self, conditions: Sequence[Filter], terms: Sequence[bytes] = ()) -> Timeline:
        """List what passes any of the conditions and holds every term, by time and id: O(parts + what passes)."""
        with self._lock, self._store.snapshot() as snapshot:
            return union([timeline(self._scopes(snapshot, each), terms) for each in conditions])

    def session_ids(self, session: int, after: int = -1) -> list[int]:
        """Return the ids of a session above `after`, ascending, forgotten ones among them: 5 us a run."""
        found: list[int] = []
        with self._lock, self._store.snapshot() as snapshot:
            self._apply(snapshot)
            for part in self._parts(snapshot):
                if part.n and part.first + part.span > after + 1:
                    ids = part.sessions().of(session).astype(np.int64) + part.first
                    found += ids[ids > after].tolist()
            found += [i for i, record in self._waiting() if record.session == session and i > after]
        return sorted(found)

    def unsearched_ids(self, after: int) -> list[int]:
        """Return the ids above `after` of the segments that are never a hit. O(parts + ids)."""
        with self._lock, self._store.snapshot() as snapshot:
            self._apply(snapshot)
            self._take_queued()
            sets = [(part.first, part.unsearched()) for part in self._parts(snapshot)]
            return [at + i for at, s in sets if s is not None for i in offsets_of(s).tolist() if at + i > after]

    def _parts(self, snapshot: Snapshot) -> list[Part]:
        parts: list[Part] = [RunView(run, snapshot, self._caches[run.serial]) for run in self._runs]
        parts += [tail for tail in self._tails.values() if tail.n]
        parts.sort(key=lambda part: part.first)
        return parts

    def _scopes(self, snapshot: Snapshot, conditions: Filter) -> list[Scope]:
        """Return every part as this snapshot has it (I1), in order of first id."""
        self._apply(snapshot)
        self._take_queued()
        if not len(self._forgotten):
            return [Scope(part, NONE, conditions) for part in self._parts(snapshot)]
        scopes = []
        for part in self._parts(snapshot):
            forgotten, sessions = self._forgotten_in(part)
            scopes.append(Scope(part, forgotten, conditions, sessions))
        return scopes

    def _forgotten_in(self, part: Part) -> tuple[Uint16s, BySession | None]:
        """Return which of a part's segments are forgotten, and its sessions without them."""
        low, high = self._forgotten.searchsorted([part.first, part.first + part.span]).tolist()
        if low == high:
            return NONE, None
        known = self._gone.get(part.run.serial) if isinstance(part, RunView) else None
        if known is not None:
            return known
        offsets = (self._forgotten[low:high] - part.first).astype(np.uint16)
        present = part.present()
        if present is not None:
            offsets = offsets[contains(present, offsets)]
        gone = offsets, part.sessions().without(offsets, part.span)
        if isinstance(part, RunView):
            self._gone[part.run.serial] = gone
        return gone

    def _texts(self, ids: Sequence[int]) -> list[str]:
        """Read texts with `_lock` held: the parts must not change in the midst of a question (I1)."""
        return [record.text for record in self.read(ids)]

    # --- maintenance ---

    def steps(self) -> Iterator[None]:
        """Seal, merge and purge what is due, each step about 1 ms; see `Jobs.steps`."""
        return self._jobs.steps()

    def purge(self) -> None:
        """Take what is forgotten out of every run and forward record; seconds for a full block."""
        self._jobs.purge()

    def _known(self, snapshot: Snapshot) -> Known:
        """Apply what was committed up to a snapshot, and return what is known of it.

        The caller holds `Index._lock`, and keeps it for as long as it uses what is returned.
        """
        self._apply(snapshot)
        return Known(self._runs, self._tails, self._forgotten)

    def bulk(self) -> sealing.Bulk:
        """Return a writer of whole runs, past the log, for `add_many`; the blocks of its ids hold nothing yet."""
        return sealing.Bulk(self._store, self._codec, self._options.block_segments)

    # --- the whole ---

    def check(self) -> list[Problem]:
        """Make every run and forward record again from the segments and compare: about 60 us a segment."""
        with self._lock, self._store.snapshot() as snapshot:
            self._apply(snapshot)
            runs = list(self._runs)
            forgotten = self._forgotten
        return check.check(self._store, runs, forgotten, self.read)

    def stats(self) -> dict[str, int]:
        """Return counts: runs, segments in runs and in tails, forgotten ones; O(1)."""
        with self._lock:
            self.refresh()
            return {
                "runs": len(self._runs),
                "sealed_segments": sum(run.n for run in self._runs),
                "tail_segments": sum(tail.n for tail in self._tails.values()) + len(self._waiting()),
                "forgotten_segments": len(self._forgotten),
                "run_bytes": sum(run.n_bytes for run in self._runs),
            }

    def close(self) -> None:
        """Drop what is in memory; a job that was begun is left to the process that maintains next."""
        with self._lock:
            self._tails.clear()
            self._runs = []
