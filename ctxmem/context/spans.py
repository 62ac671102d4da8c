"""What was followed: the prompt, and which messages of it stand for which items of the caller's list.

I1. A span that is whole shows its items, all of them and nothing else: they may take its place as they are.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ctxmem.context.listed import Entry
from ctxmem.prompt.prompt import Prompt
from ctxmem.prompt.sources import MESSAGE, SYSTEM, Source


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbours in a prompt: `prompt.messages[start:stop]`, all of one kind (`Source.kind`).

    `items` are the positions in the caller's list of what they show, in order, none of what ctxmem wrote. Where it
    `is_whole` the caller's own objects at these positions say the same.
    """

    kind: str
    start: int
    stop: int
    items: tuple[int, ...] = ()
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Followed:
    """A prompt, and the list that it was made of."""

    prompt: Prompt
    _entries: Sequence[Entry] = field(repr=False)
    _n_head: int = 0  # items before them: a system message

    def spans(self) -> list[Span]:
        """Return the prompt's messages in spans, in order, each as long as it must be to be whole. O(messages)."""
        sources, units = self.prompt.sources, _Units(self._entries, self._n_head)
        found, at = list[Span](), 0
        while at < len(sources):
            found.append(self._alone(sources, at, units) or self._span(sources, at, units))
            at = found[-1].stop
        return found

    def _alone(self, sources: Sequence[Source], at: int, units: "_Units") -> Span | None:
        """Return the span of an item that is one message of one segment, as most are: what `_span` would."""
        kind, ids = sources[at].kind, sources[at].segments
        if kind != MESSAGE or len(ids) != 1 or (at + 1 < len(sources) and ids[0] in sources[at + 1].segments):
            return None
        items = units.items_alone(ids[0])
        return Span(kind, at, at + 1, items, is_whole=True) if items else None

    def _span(self, sources: Sequence[Source], at: int, units: "_Units") -> Span:
        kind = sources[at].kind
        if kind == SYSTEM:
            return Span(kind, at, at + 1, tuple(range(self._n_head)), is_whole=self._n_head > 0)
        touched, shown, wanted = dict[int, tuple[int, ...]](), set[int](), set[int]()
        for stop in range(at, len(sources)):
            ids = sources[stop].segments
            if sources[stop].kind != MESSAGE or (shown and wanted.isdisjoint(ids)):
                break
            for segment_id in ids:
                unit = units.of(segment_id)
                if unit is not None and unit not in touched:
                    touched[unit] = units.items(unit)
                    wanted.update(units.ids(unit))
            shown.update(ids)
            if shown == wanted:
                items = tuple(position for each in touched.values() for position in each)
                return Span(kind, at, _tail(sources, stop + 1, shown), items, is_whole=True)
        told = (units.of(segment_id) for segment_id in sources[at].segments)
        some = dict.fromkeys(position for unit in told if unit is not None for position in units.items(unit))
        return Span(kind, at, at + 1, tuple(some))


def _tail(sources: Sequence[Source], stop: int, shown: set[int]) -> int:
    """Return where the messages end that show more of the same segments: of some APIs a segment is several messages."""
    while stop < len(sources) and sources[stop].kind == MESSAGE and shown.issuperset(sources[stop].segments):
        stop += 1
    return stop


class _Units:
    """The entries of the list by their segments; the entries of one item are one unit, named by its first entry."""

    def __init__(self, entries: Sequence[Entry], n_head: int) -> None:
        self._entries = entries
        self._firsts = [entry.ids[0] for entry in entries]
        self._starts = [n_head]
        for entry in entries:
            self._starts.append(self._starts[-1] + entry.n_items)

    def of(self, segment_id: int) -> int | None:
        """Return the unit that a segment belongs to, None where it is not of the list."""
        at = bisect_right(self._firsts, segment_id) - 1
        if at < 0 or segment_id not in self._entries[at].ids:
            return None
        while not self._entries[at].n_items:
            at -= 1
        return at

    def items_alone(self, segment_id: int) -> tuple[int, ...]:
        """Return the positions of the items whose one segment this is; none where there are more of either."""
        at = bisect_right(self._firsts, segment_id) - 1
        if at < 0 or len(self._entries[at].ids) > 1 or self._entries[at].ids[0] != segment_id:
            return ()
        is_one = at + 1 == len(self._entries) or self._entries[at + 1].n_items > 0
        return self.items(at) if is_one else ()

    def items(self, unit: int) -> tuple[int, ...]:
        """Return the positions of its items."""
        return tuple(range(self._starts[unit], self._starts[unit + 1]))

    def ids(self, unit: int) -> Iterator[int]:
        """Yield its segments."""
        yield from self._entries[unit].ids
        for entry in self._entries[unit + 1 :]:
            if entry.n_items:
                return
            yield from entry.ids
