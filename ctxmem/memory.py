"""What callers open: a store, to put segments in, find them, and get contexts from.

I1. When a barrier (`flush`, `aflush`, `forget`, `close`, `Context.assemble`) returns, all that was appended before
    it is on disk.
I2. A session has at most one context in this process: the same object, re-targeted.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from ctxmem import erasing, inputs, loading, tokens
from ctxmem.context.context import Context
from ctxmem.contexts import Contexts
from ctxmem.costs import Cost, costs
from ctxmem.entries import Logs
from ctxmem.errors import BadInput, StoreBusy, StoreClosed, StoreFull
from ctxmem.library import Library
from ctxmem.log import Log
from ctxmem.options import Options, Policy
from ctxmem.retention import Retention, Rule
from ctxmem.segment import Hit, Problem, Record, Segment

_FIELDS = frozenset({"text", "kind", "session", "key", "refs", "pinned", "at"})


def open(path: str | os.PathLike[str], *, readonly: bool = False, options: Options | None = None) -> "Memory":  # noqa: A001 - the verb users know, always written ctxmem.open
    """Open the store in the directory `path`, making it where it is missing; also a context manager.

    Cost: a few milliseconds, whatever the store holds.

    Raises:
        BadInput: the path or the options are of another type.
        NotAStore: the path is a file, or a directory of something else.
        FormatMismatch: a ctxmem of another format wrote it. StoreDamaged: the file is not whole.
        StoreBusy: this process has it open already. StoreReadonly: the file system refuses writes.

    >>> import ctxmem, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, ctxmem.open(folder + "/agent.ctxmem") as memory:
    ...     note = memory.add("The staging password rotates on Mondays.", tags=["ops"])
    ...     [hit.segment.text for hit in memory.search("password rotation")]
    ['The staging password rotates on Mondays.']
    """
    options = Options() if options is None else options
    if not isinstance(options, Options):
        raise BadInput(f"options must be a ctxmem.Options, not {inputs.shown(options)}")
    return Memory(Log.open(inputs.path(path), readonly=inputs.flag(readonly, "readonly"), options=options), options)


class Memory:
    """One open store. Safe from any thread; one owner per process, several processes per store."""

    def __init__(self, log: Log, options: Options) -> None:
        self._log = log
        self._options = options
        self._library = Library(log)
        self._contexts = Contexts(log, options)
        self._logs = Logs(log, self._library)
        self._retention = Retention(log, self._contexts.shown)
        log.also_maintain(self._retention.step)

    def context(
        self,
        session: str,
        *,
        model: str,
        provider: str | None = None,
        window: int | None = None,
        reserve: int | None = None,
        tools: Sequence[Any] = (),
        reads: Sequence[str] | str = (),
        policy: Policy | None = None,
    ) -> Context:
        """Return the session's context bound to one model, resumed where the session exists.

        `tools` are schemas in the provider's shape; their `annotations` (`readOnlyHint`, `destructiveHint`) say what
        calls do, and are left out of what is sent.
        Cost: O(segments since the last collection). Nothing is on disk before the first barrier.

        Raises:
            ContextBusy: a live process holds it; says which.
            BadInput: a bad session, model, provider, window, reserve, tools or reads.
        """
        inputs.short(session, "session")
        return self._contexts.context(
            session,
            model=model,
            provider=provider,
            window=window,
            reserve=reserve,
            tools=tools,
            reads=reads,
            policy=policy,
        )

    def add(
        self,
        /,
        text: str,
        *,
        kind: str = "note",
        session: str | None = None,
        key: str | None = None,
        refs: Sequence[int] = (),
        pinned: bool = False,
        at: float | datetime | None = None,
        **facets: Any,
    ) -> Segment:
        """Append a note, a file chunk or any text; found by the next search, on disk at the next barrier.

        The same `key` and text again gives the same segment, until that is forgotten: then the key is free again.

        Raises:
            BadInput: something that cannot be stored. KeyConflict: the key has other content.
        """
        self._check_open()
        record = self._record(facets, text=text, kind=kind, session=session, refs=refs, pinned=pinned, at=at)
        record.tokens = tokens.count(text)
        found, is_new = self._log.append(record, key=key if key is None else inputs.short(key, "key"))
        return self._library.segment(found, record if is_new else None)

    def _record(
        self,
        given: Mapping[str, Any],
        *,
        text: str,
        kind: str = "note",
        session: str | None = None,
        refs: Sequence[int] = (),
        pinned: bool = False,
        at: float | datetime | None = None,
    ) -> Record:
        """Make a record of what a caller gave, all of it checked first; its tokens are not counted."""
        when = inputs.time_s(at)
        text, kind = inputs.text(text), inputs.short(kind, "kind", inputs.MAX_FACET_BYTES)
        facets, linked, is_pinned = inputs.facets(given), inputs.refs(refs), inputs.flag(pinned, "pinned")
        number = 0 if session is None else self._log.session(inputs.short(session, "session"))
        return Record(
            session=number or 0,
            kind=kind,
            role=None,
            text=text,
            tokens=0,
            at=self._options.now() if when is None else when,
            refs=linked,
            pinned=is_pinned,
            facets=facets,
        )

    def add_many(
        self, items: Iterable[Mapping[str, Any]], *, progress: Callable[[int], None] | None = None
    ) -> list[int]:
        """Append many texts, streamed: `items` is any iterable of mappings with the fields of `add`; returns their ids.

        On disk when it returns. `progress` is called with the number done so far. What stood before a bad item stays.

        Raises:
            BadInput: names the item's position. KeyConflict: a key has other content.
        """
        self._check_open()
        return loading.load(self._log, items, self._item, progress)

    def _item(self, item: Mapping[str, Any]) -> tuple[Record, str | None]:
        """Check an item of `add_many`; its tokens are counted later."""
        if not isinstance(item, Mapping) or "text" not in item:
            raise BadInput(f"an item must be a mapping with a 'text', not {item!r:.80}")
        fields = {k: v for k, v in item.items() if k in _FIELDS}
        key = fields.pop("key", None)
        facets = {k: v for k, v in item.items() if k not in _FIELDS}
        return self._record(facets, **fields), key if key is None else inputs.short(key, "key")

    def get(self, id: int) -> Segment:  # noqa: A002 - the public name
        """Return one segment.

        Raises:
            SegmentNotFound: no such id (also a KeyError). CorruptSegment: its bytes fail their checksum.
        """
        self._check_open()
        return self._library.segment(inputs.segment_id(id))

    def search(
        self,
        /,
        query: str = "",
        *,
        limit: int = 10,
        session: str | None = None,
        kind: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        explain: bool = False,
        **facets: Any,
    ) -> list[Hit]:
        """Return the best hits for the query under the filters; newest first where the query is empty.

        Facets filter by equality, a list means all of them, None is no filter. The query language: docs/search.md.

        Raises:
            BadInput: a bad limit, time or facet; an empty list, which could mean all or none.
            BadQuery: the query cannot be answered.
        """
        self._check_open()
        return self._library.search(
            query,
            None if session is None else [session],
            limit=limit,
            kind=kind,
            since=since,
            until=until,
            facets=facets,
            explain=explain,
        )

    @property
    def logs(self) -> Logs:
        """The log of a run of agents: what each entity said and did, by space, tick and time; see docs/logs.md."""
        self._check_open()
        return self._logs

    def pin(self, id: int) -> None:  # noqa: A002 - the public name
        """Make a segment's group a root in every context until it is unpinned; on disk when this returns."""
        self._pin(id, on=True)

    def unpin(self, id: int) -> None:  # noqa: A002 - the public name
        """Undo `pin`; on disk when this returns."""
        self._pin(id, on=False)

    def _pin(self, given: int, *, on: bool) -> None:
        self._check_open()
        segment_id = inputs.segment_id(given)
        self._log.get(segment_id)
        self._log.pin(segment_id, on)
        self._follow_flags()

    def forget(self, id: int | Iterable[int]) -> None:  # noqa: A002 - the public name
        """Erase a segment, or several in one commit: hidden at once, on disk when this returns.

        Their bytes are purged by `compact`. A forgotten tool result leaves `[forgotten]` in its place. Backups made
        before keep what they hold. Their keys are free: whatever is added with one next is stored as a new segment,
        the same text too.

        Raises:
            SegmentNotFound: no such id; none is forgotten then.
        """
        self._check_open()
        given = id if isinstance(id, Iterable) and not isinstance(id, str | bytes) else [id]
        ids = [inputs.segment_id(one) for one in given]
        self._log.get_many(ids)
        self._log.commit()
        if ids:
            self._log.forget([*ids, *self._copies(set(ids))])
            self._follow_flags()

    def _copies(self, ids: set[int]) -> list[int]:
        """Return the memory tools' results that repeat any of the segments."""
        unsearched = self._log.index.unsearched_ids(min(ids))
        return [i for i in unsearched if i not in ids and not ids.isdisjoint(self._log.get(i).facts.sources)]

    def _follow_flags(self) -> None:
        """Show every open context what was pinned or forgotten; one that is closed meanwhile need not know."""
        for session in self._contexts.sessions():
            with suppress(StoreClosed):
                session.locked(lambda s: s.follow_flags())

    def retain(
        self,
        max_age: float | timedelta | None = None,
        max_segments: int | None = None,
        max_tokens: int | None = None,
        max_bytes: int | None = None,
        *,
        session: str | None = None,
        kind: str | None = None,
        dry_run: bool = False,
        **facets: Any,
    ) -> dict[str, Any]:
        """Let a rule stand for the segments of a session, kind and facets; the rest is forgotten by and by.

        The oldest go: what is older than `max_age` (seconds, or a timedelta), and what is beyond the newest
        `max_segments`, `max_tokens` or `max_bytes` (of records, before compression). The rule is kept in the store, in
        the place of an earlier one for the same session, kind and facets; without limits it takes that one away. It is
        applied in small steps after barriers, and to the end at `close`. What is pinned, what is referred to, and what
        an open context shows stays. `dry_run` changes nothing; without limits it asks the rules that stand.

        Returns what is past its limit now: `goes`, ids; their `tokens`; and `stays`, id -> why it stays all the same.
        See docs/retention.md.

        Raises:
            BadInput: a limit that is negative, NaN or no number; a bad session, kind or facet.
        """
        self._check_open()
        limits = {"max_age": max_age, "max_segments": max_segments, "max_tokens": max_tokens, "max_bytes": max_bytes}
        rule, is_dry = Rule.of(limits, session, kind, facets), inputs.flag(dry_run, "dry_run")
        asked = [rule] if rule.has_limits else self._retention.rules() if is_dry else []
        found = self._retention.look(asked)
        if not is_dry:
            self._retention.put(rule)
        return found.plain()

    def flush(self) -> None:
        """Put everything appended so far on disk, on this thread; it is there when this returns."""
        self._check_open()
        self._log.commit()

    async def aflush(self) -> None:
        """Put on disk as `flush` does; calls that run at once on one event loop share one fsync."""
        self._check_open()
        import asyncio  # noqa: PLC0415 - 30 ms of `import ctxmem`; a caller of this has it loaded

        await asyncio.wrap_future(self._log.commit_soon())

    def check(self) -> list[Problem]:
        """Verify every record, index and count against the segments; empty when sound. Cost: reads the whole store."""
        self._check_open()
        return self._log.check()

    def stats(self) -> dict[str, Any]:
        """Return counts and sizes as plain values: `segments` in all, forgotten ones among them, and what holds them.

        Cost: O(1) in history.
        """
        self._check_open()
        found = self._log.stats()
        n_segments = found["sealed_segments"] + found["tail_segments"]
        return {"segments": n_segments, **found, "contexts": len(self._contexts)}

    def costs(
        self,
        by: str | Sequence[str] = "session",
        *,
        session: str | None = None,
        model: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
    ) -> list[Cost]:
        """Return what calls took and cost, added up by "session", "model", "day" (UTC), "turn" or several; () for all.

        A call is a turn. It is counted when its prompt is on disk, with its input as estimated; what `observe` is told
        takes that place. Dollars are by the model's prices on the turn's day. Cost: O(sessions x days x models), with
        `since`, `until` or turns O(turns).

        Raises:
            BadInput: a bad group, name or time.
        """
        self._check_open()
        wait([self._log.commit_soon()])  # what was observed is put by the same thread, in order
        return costs(self._log, by, session=session, model=model, since=since, until=until)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy of the store to the new directory `path`; writers go on meanwhile."""
        self._check_open()
        target = inputs.path(path)
        self._log.commit()
        self._log.backup(target)

    def compact(self) -> None:
        """Finish maintenance, purge what was forgotten and rewrite the file.

        Raises:
            StoreBusy: another process has the store open.
        """
        self._check_open()
        self._log.commit()
        erasing.erase(self._log)
        self._log.compact()

    def close(self) -> None:
        """Put everything on disk, free every lease and the writer slot. A second call does nothing.

        Raises:
            StoreFull, StoreBusy: the last commit could not be made. All is still open: make room, or wait, and call
                `close` again.
            Any other error: nothing more can be committed. The store is closed all the same.
        """
        try:
            self._contexts.close()
        except (StoreFull, StoreBusy):
            raise
        except Exception:
            self._log.close()
            raise
        self._log.close()

    def _check_open(self) -> None:
        self._contexts.check_open()

    def __enter__(self) -> "Memory":  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def log_of(memory: Memory) -> Log:
    """Return the log under a memory, for what is built on ctxmem and is no part of the public surface."""
    return memory._log  # noqa: SLF001 - this module's own class
