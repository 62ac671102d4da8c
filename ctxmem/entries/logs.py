"""The log of a run of agents: what each said and did, by entity, space, tick and time, over the segments of the store.

I1. An entry is a segment; what finds it is the index that finds every segment. Nothing else is written.
I2. Entries of one entity are appended in order of time: what is given an earlier moment is refused, and the clock's is
    raised to the newest. Another process's entries are known as of the first append here.
I3. What a question asks for is checked when it is asked; entries are read when they are taken.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import Any

from ctxmem import inputs, tokens
from ctxmem.entries import entry, grammar
from ctxmem.errors import BadInput, BadQuery
from ctxmem.library import Library
from ctxmem.log import Log
from ctxmem.search import terms
from ctxmem.search.facets import facet_key, kind_key
from ctxmem.search.parts import Filter
from ctxmem.segment import Record, Segment

_NEWEST_MOST = 65_536  # entities whose newest moment is kept
_KIND = kind_key(entry.KIND)


class Logs:
    """The log entries of one store: `Memory.logs`. Safe from any thread."""

    def __init__(self, log: Log, library: Library) -> None:
        self._log = log
        self._library = library
        self._newest: dict[str, float] = {}  # by entity

    def append(
        self,
        command: str,
        output: str = "",
        *,
        entity: str,
        space: str | None = None,
        tick: int | None = None,
        tokens_in: int = 0,
        tokens_out: int = 0,
        at: float | datetime | None = None,
        key: str | None = None,
    ) -> Segment:
        """Append what an entity said or did; found by the next question, on disk at the next barrier.

        `@bob` and `#general` in the command become mentions. The same `key` and content again gives the same entry.

        Raises:
            BadInput: something that cannot be stored, or an `at` before the entity's newest entry.
            KeyConflict: the key has other content.
        """
        self._log.ensure_open()
        given = inputs.time_s(at)
        record = entry.record(
            command,
            output,
            entity=entity,
            space=space,
            tick=tick,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            at=self._log.options.now() if given is None else given,
        )
        named = key if key is None else inputs.short(key, "key")
        known = None if named is None else self._log.known(record, named)
        if known is not None:
            return self._library.segment(known)
        self._keep_order(record, is_given=given is not None)
        record.tokens = tokens.count(record.text)
        found, is_new = self._log.append(record, key=named)
        return self._library.segment(found, record if is_new else None)

    def entries(
        self,
        *,
        entity: str | None = None,
        space: str | None = None,
        tick: int | None = None,
        between: Sequence[str] | None = None,
        mention: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        newest: bool = False,
    ) -> Iterator[Segment]:
        """Return the entries that pass, in order of time, as an iterator that reads them as they are taken.

        `between` two entities: what each of them said that mentions the other. `mention`: `"@bob"` or `"#general"`.
        Both ends of `since` and `until` are included. `newest`: the newest first.

        Raises:
            BadInput: a filter of the wrong type or out of its range; `since` after `until`.
        """
        self._log.ensure_open()
        since_s, until_s = inputs.time_s(since, "since"), inputs.time_s(until, "until")
        if since_s is not None and until_s is not None and since_s > until_s:
            raise BadInput(f"since={since_s} lies after until={until_s}: swap them")
        is_newest = inputs.flag(newest, "newest")
        ways = [_who(entity, between), [] if space is None else [_space(space)]]
        keys = [] if mention is None else [facet_key("mentions", entry.mention(mention))]
        ids = self._ids(ways, [*keys, *_tick(tick)], since_s, until_s)
        return self._library.segments(ids[::-1] if is_newest else ids)

    def query(self, text: str) -> Iterator[Segment]:
        """Return the entries that a query such as `?(@alice today)` asks for, in order of time.

        The grammar stands in docs/logs.md: `last 10`, `today`, `2025-12-06`, `since 2h`, `@alice`, `@alice @bob`,
        `#general`, `to @bob`, `tick 42`, words, and several of them. `last 10` takes the newest ten of what passes.

        Raises:
            BadQuery: it is no query; the message shows the grammar.
        """
        self._log.ensure_open()
        asked = grammar.parse(text, self._log.options.now())
        entity, pair = (asked.entities[0], None) if len(asked.entities) == 1 else (None, asked.entities or None)
        of_space = [] if asked.space is None else [_space(asked.space), facet_key("mentions", "#" + asked.space)]
        keys = [] if asked.mention is None else [facet_key("mentions", asked.mention)]
        ids = self._ids(
            [_who(entity, pair), of_space], [*keys, *_tick(asked.tick)], asked.since, asked.until, _terms(asked.words)
        )
        return self._library.segments(ids if asked.last is None else ids[-asked.last :])

    def _ids(
        self,
        ways: Sequence[Sequence[Any]],
        keys: Sequence[bytes],
        since: float | None,
        until: float | None,
        words: Sequence[bytes] = (),
    ) -> list[int]:
        """Return the ids that pass; `ways` are lists of which one alternative each must hold, where there is any."""
        conditions = [
            Filter((*_flat(chosen), *keys, _KIND), since=since, until=until) for chosen in product(*filter(None, ways))
        ]
        found: list[int] = self._log.index.timeline(conditions, words).ids.tolist()
        return found

    def _keep_order(self, record: Record, *, is_given: bool) -> None:
        """Hold I2, and note the entity's newest moment."""
        entity = str(record.facets["entity"])
        newest = self._newest.get(entity)
        if newest is None:
            newest = self._newest_of(entity)
        if record.at < newest:
            if is_given:
                raise BadInput(
                    f"at={record.at} lies before the newest entry of @{entity}, at {newest}: append in order of time, "
                    "or bring in an older log with `ctxmem import`"
                )
            record.at = newest
        if len(self._newest) >= _NEWEST_MOST:
            self._newest.clear()
        self._newest[entity] = record.at

    def _newest_of(self, entity: str) -> float:
        ids = self._ids([[facet_key("entity", entity)]], [], None, None)
        return self._log.get(ids[-1]).at if ids else float("-inf")


def _who(entity: object, between: Sequence[str] | None) -> list[Any]:
    """Return the alternatives of who said it, each as facet keys."""
    if between is None:
        return [] if entity is None else [facet_key("entity", entry.name(entity, "@", "entity"))]
    if entity is not None:
        raise BadInput("entity and between both say who: give one of them")
    if isinstance(between, str) or not isinstance(between, Sequence) or len(between) != 2:
        raise BadInput(f"between={inputs.shown(between)} must be two entities")
    first, second = (entry.name(one, "@", "between") for one in between)
    if first == second:
        raise BadInput(f"between={inputs.shown(between)} names one entity twice: give two")
    return [_said(first, second), _said(second, first)]


def _said(speaker: str, to: str) -> tuple[bytes, bytes]:
    return facet_key("entity", speaker), facet_key("mentions", "@" + to)


def _space(space: object) -> bytes:
    return facet_key("space", entry.name(space, "#", "space"))


def _tick(tick: object) -> list[bytes]:
    return [] if tick is None else [facet_key("tick", inputs.count(tick, "tick", 0, entry.MOST_TICK))]


def _flat(chosen: Sequence[Any]) -> list[bytes]:
    return [key for each in chosen for key in (each if isinstance(each, tuple) else (each,))]


def _terms(words: Sequence[str]) -> list[bytes]:
    """Return the terms of all words.

    Raises:
        BadQuery: there are words, and none of them is indexed.
    """
    found = [term.encode() for word in words for term in terms.analyse_query(word)]
    if words and not found:
        raise BadQuery(f"{' '.join(words)!r:.80} holds nothing that can be looked for. {grammar.GRAMMAR}.")
    return list(dict.fromkeys(found))
