"""The layout of a prompt: which unit stands where, kept between turns so that a turn renders only what is new.

Order: groups by their first segment; in a group its message, then the results in call order, a placeholder where one
is missing; the ledger stands where the oldest group it speaks of stood.

I1. The view is a function of the state and the records: dropping it costs time, never bytes.
I2. Within an epoch entries are only added at the end, or in the last group where nothing was sent yet.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple, TypeAlias

from ctxmem import tokens
from ctxmem.collector.working import FULL, LABELLED, SHORT, TEXT, Shown
from ctxmem.ledger import stubs
from ctxmem.ledger.line import Line
from ctxmem.ledger.nature import nature_of
from ctxmem.ledger.outcome import failure_of
from ctxmem.prompt import sources
from ctxmem.prompt.sources import Source
from ctxmem.prompt.state import State
from ctxmem.providers import Renderer, Unit, labelled_text, said_of, wire_id
from ctxmem.segment import FORGOTTEN_TEXT, Call, Nature, Record

LEDGER, CLOSED = -1, -2  # in place of a segment id
_CHUNK = 256  # groups whose records are read at once
_Signature: TypeAlias = "tuple[tuple[int, int, int, bool], ...]"


@dataclass(frozen=True, slots=True)
class Reads:
    """What the view asks of the floor below: records by id, and the text of a recall."""

    many: Callable[[Sequence[int]], list[Record]]
    is_forgotten: Callable[[int], bool]
    recall_text: Callable[[Record], str]


class Entry(NamedTuple):
    """One unit in its place: the segment it shows (or LEDGER, CLOSED), its group, its form, where it comes from.

    `closed` is the call that it closes, with its index in the group.
    """

    unit: Unit
    segment_id: int
    group: int
    form: int
    source: Source
    closed: tuple[int, Call] | None = None


class Place(NamedTuple):
    """Where a layout ends: how long each of its lists is, and its tokens."""

    entries: int
    full: int
    stubs: int
    closed: int
    tokens: int


class Layout:
    """Entries in prompt order, with what a prompt says of them kept beside: so that a turn costs what is new."""

    __slots__ = ("closed", "entries", "full", "ledger_end", "stubs", "tokens", "units")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.units: list[Unit] = []
        self.full: list[int] = []  # ids shown in full
        self.stubs: list[int] = []
        self.closed: list[Call] = []
        self.tokens = 0
        self.ledger_end = 0  # how many entries there are up to the ledger's end, 0 without one

    def place(self) -> Place:
        """Return where the layout ends now, for `cut`."""
        return Place(len(self.entries), len(self.full), len(self.stubs), len(self.closed), self.tokens)

    def cut(self, place: Place) -> None:
        """Leave out all that came after a place."""
        del self.entries[place.entries :], self.units[place.entries :]
        del self.full[place.full :], self.stubs[place.stubs :], self.closed[place.closed :]
        self.tokens = place.tokens

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries at the end."""
        for entry in entries:
            self.entries.append(entry)
            self.units.append(entry.unit)
            self.tokens += entry.unit.tokens
            if entry.closed is not None:
                self.closed.append(entry.closed[1])
            elif entry.segment_id >= 0:
                (self.full if entry.form == FULL else self.stubs).append(entry.segment_id)


class View:
    """The entries of one context's prompt. Not safe from several threads: the session holds its own lock around it."""

    def __init__(self, renderer: Renderer, reads: Reads) -> None:
        self.renderer = renderer
        self._reads = reads
        self.layout = Layout()
        self.system: Unit | None = None
        self.system_id = -1
        self._starts: dict[int, Place] = {}  # group -> where its entries start
        self._groups: dict[int, tuple[_Signature, list[Entry]]] = {}
        self._ahead: dict[int, Record] = {}  # while a layout is rebuilt
        self._stubs: dict[tuple[Shown, bool], str] = {}  # worked out for a collection, until it is laid out
        self._last_group = -1
        self._epoch = -1

    def invalidate(self) -> None:
        """Lay everything out again at the next refresh; what did not change is not rendered again."""
        self._epoch = -1

    def forget(self) -> None:
        """Drop all that was rendered: what it was made from changed."""
        self._groups.clear()
        self._stubs.clear()
        self.invalidate()

    def refresh(self, state: State) -> None:
        """Bring the entries up to the state: O(what is new) within an epoch, O(segments shown) after one."""
        if self._epoch != state.epoch or not self._extend(state):
            try:
                self._rebuild(state)
            finally:
                self._ahead.clear()
                self._stubs.clear()
        state.touched.clear()

    def _extend(self, state: State) -> bool:
        groups = list(dict.fromkeys(state.touched))
        if any(g in self._starts and g != self._last_group for g in groups):
            return False
        for group in groups:
            members = state.working.shown_of(group)
            if members:
                if group in self._starts:
                    self.layout.cut(self._starts[group])
                self._place(state, group, members)
        return True

    def _rebuild(self, state: State) -> None:
        self.layout, self._starts = Layout(), {}  # the old one stays as it was: it is what was sent
        self._epoch = -1  # until all is laid out: reading may fail half-way
        ledger = self._ledger(state)
        ledger_at = min((one.first for one in state.lines()), default=-1)
        groups = list(_by_group(state.working.shown()))
        for at in range(0, len(groups), _CHUNK):
            self._read_ahead(groups[at : at + _CHUNK])
            for group, members in groups[at : at + _CHUNK]:
                if ledger and group > ledger_at:
                    self._put_ledger(ledger)
                    ledger = []
                self._place(state, group, members)
        self._put_ledger(ledger)
        self._groups = {g: kept for g, kept in self._groups.items() if g in self._starts}
        self._epoch = state.epoch
        self.system = None
        if state.system_id >= 0:
            self.system, self.system_id = self.renderer.unit(self._reads.many([state.system_id])[0]), state.system_id

    def _read_ahead(self, groups: Sequence[tuple[int, list[Shown]]]) -> None:
        """Read what was never rendered, in one go: a snapshot a group costs more than its records."""
        ids = [shown.segment_id for group, members in groups if group not in self._groups for shown in members]
        self._ahead = dict(zip(ids, self._reads.many(ids), strict=True))

    def _ledger(self, state: State) -> list[Entry]:
        """Render the ledger, a message a piece: what is sealed stays in the provider's cache."""
        texts = state.ledger.render(self._reads.is_forgotten)
        told = [_told(piece.lines) for piece in state.ledger.pieces]
        return [
            Entry(self.renderer.text(text), LEDGER, LEDGER, FULL, Source(sources.LEDGER, ids))
            for text, ids in zip(texts, told, strict=True)
        ]

    def _put_ledger(self, entries: Sequence[Entry]) -> None:
        if entries:
            self.layout.add(entries)
            self.layout.ledger_end = len(self.layout.entries)

    def _place(self, state: State, group: int, members: Sequence[Shown]) -> None:
        """Add a group's entries, rendered only where it is shown otherwise than before."""
        signature = tuple((s.segment_id, s.form, s.limit_tokens, s.segment_id in state.stripped) for s in members)
        known = self._groups.get(group)
        if known is None or known[0] != signature:
            known = self._groups[group] = (signature, self._group(state, group, members))
        self._starts[group] = self.layout.place()
        self._last_group = group
        self.layout.add(known[1])

    def _group(self, state: State, group: int, members: Sequence[Shown]) -> list[Entry]:
        ids = [shown.segment_id for shown in members]
        ahead = self._ahead
        known = [ahead[i] for i in ids] if ahead and ids[0] in ahead else self._reads.many(ids)
        records = dict(zip(ids, known, strict=True))
        first = records[members[0].segment_id]
        if first.calls and self._reads.is_forgotten(group):
            return [Entry(self.renderer.text(FORGOTTEN_TEXT, first.kind), group, group, FULL, _source(group))]
        if members[0].form == TEXT:
            return [Entry(self.renderer.text(said_of(first), "assistant"), group, group, TEXT, _source(group))]
        wires = {i: wire_id(group, i) for i in first.facts.renamed_calls}
        by_index: dict[int, Entry] = {}
        for shown in members:
            record = records[shown.segment_id]
            index = record.facts.call_index
            unit = self._unit(record, shown, wires, state, first if index >= 0 else None)
            is_apart = index < 0 and record.call_id is not None  # a result without its call: it is sent as text
            is_whole = shown.form == FULL and not is_apart and not (wires and (record.calls or index in wires))
            kind = self._kind(record, unit, is_whole=is_whole, is_stripped=shown.segment_id in state.stripped)
            by_index[index] = Entry(unit, shown.segment_id, group, shown.form, Source(kind, (shown.segment_id,)))
        for index, call in enumerate(first.calls):
            if index not in by_index:
                unit = self.renderer.closed(wires.get(index, call.id), call.name)
                by_index[index] = Entry(unit, CLOSED, group, FULL, Source(sources.CLOSED), (index, call))
        return [by_index[index] for index in sorted(by_index)]

    def _kind(self, record: Record, unit: Unit, *, is_whole: bool, is_stripped: bool) -> str:
        """Say what a unit is of its segment (`Source.kind`)."""
        if record.facts.quotes:
            return sources.RECALL
        if record.facts.is_forgotten or not is_whole or (unit.role == "tool" and unit.spare):
            return sources.STUB  # the images of a result stand apart from it
        has_lost = is_stripped and unit.parts != self.renderer.unit(record).parts
        return sources.STUB if has_lost else sources.MESSAGE

    def stub_text(self, shown: Shown, record: Record, asked: Record | None, *, has_memory_read: bool) -> str | None:
        """Return what stands in place of a segment's content; worked out once for a collection and its layout."""
        if shown.form in {FULL, LABELLED}:
            return None
        key = (shown, has_memory_read)
        if key not in self._stubs:
            self._stubs[key] = stub_text(shown, record, asked, has_memory_read=has_memory_read)
        return self._stubs[key]

    def _unit(self, record: Record, shown: Shown, wires: dict[int, str], state: State, asked: Record | None) -> Unit:
        """Render one segment as it is shown; `asked` holds the call that a result answers."""
        if record.facts.quotes:
            return self.renderer.text(self._reads.recall_text(record))
        index = record.facts.call_index
        return self.renderer.unit(
            replace(record, kind="tool") if record.call_id is not None else record,  # of a memory tool it is a recall
            ids=wires if record.calls else None,
            call_id=wires.get(index),
            text=self.stub_text(shown, record, asked, has_memory_read=state.has_memory_read),
            images=_label(shown.segment_id) if shown.form == LABELLED else None,
            thinking=shown.segment_id not in state.stripped,
            call_name="" if asked is None else asked.calls[index].name,
            as_text=record.call_id is not None and index < 0,
        )


def stub_text(shown: Shown, record: Record, asked: Record | None, *, has_memory_read: bool) -> str:
    """Return what stands in place of a segment's content; `asked` holds the call that it answers."""
    nature = None if asked is None else nature_of(asked, record.facts.call_index)
    call = None if asked is None else asked.calls[record.facts.call_index]
    failed = "" if record.kind == "user" else failure_of(record.text, call, nature, is_error=record.facts.is_error)
    cut = stubs.Cut(shown.segment_id, _kind_of_text(record, nature), failed, has_memory_read)
    if shown.form == SHORT:
        text = labelled_text(record, _label(shown.segment_id))
        return stubs.shortened(cut, text, shown.limit_tokens, tokens.count)
    return stubs.stub(cut, record.text, record.tokens)


def _kind_of_text(record: Record, nature: Nature | None) -> stubs.Source:
    """Say what a text is, by the nature of the call that it answers; None: it answers none that is known."""
    if nature is None:
        return "user" if record.kind == "user" else "unknown"
    return "change" if nature == "change" else "call"


def _source(group: int) -> Source:
    """Return the source of what stands in the place of a whole group."""
    return Source(sources.STUB, (group,))


def _told(lines: Sequence[Line]) -> tuple[int, ...]:
    """Return the ids of the segments that lines of the ledger quote."""
    found = (segment_id for one in lines for segment_id in (one.source, *(note.source for note in one.notes)))
    return tuple(dict.fromkeys(found))


def _label(segment_id: int) -> str:
    """Return what the label of an image says besides its size: where it is from."""
    return f"#{segment_id}"


def _by_group(shown: Iterable[Shown]) -> Iterator[tuple[int, list[Shown]]]:
    for group, members in groupby(shown, key=lambda s: s.group):
        yield group, list(members)
