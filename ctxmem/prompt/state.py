"""Everything about a context that decides its prompt, and how it changes; on disk as one record an epoch.

An epoch is the time between two changes of the prompt that are more than appends. Its state at the start is stored;
the segments appended since are admitted again from the log: so a context resumes, and a past turn is replayed.

I1. `admit` is a function of the state and the record alone: resuming gives the state that was.
I2. What one state shows, its prompt shows, in that order: `view` adds nothing.
I3. Bounded by the window, not by history (hidden ids are roaring bitmaps).
It does not know providers, the disk or the clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ctxmem import tokens
from ctxmem.collector.item import ASSISTANT, USER
from ctxmem.collector.working import FULL, LABELLED, TEXT, WorkingSet
from ctxmem.errors import FormatMismatch
from ctxmem.ledger.ledger import Ledger
from ctxmem.ledger.line import Line
from ctxmem.prompt import intake
from ctxmem.prompt.outstanding import Outstanding
from ctxmem.search.facets import IdSet, dump_ids, load_ids
from ctxmem.segment import Record

VERSION = 2  # On disk: of the epoch record. 1 had another form of ledger lines, and was never released.


class State:
    """What one context shows now. Not safe from several threads: the session holds its own lock around it."""

    __slots__ = (
        *("admitted_tokens", "calls", "epoch", "has_memory_read", "hidden", "inexact", "last_id", "ledger"),
        *("mean_turn_tokens", "quoted", "stripped", "systems", "touched", "unlisted", "working"),
    )

    def __init__(self) -> None:
        self.working = WorkingSet()
        self.ledger = Ledger()
        self.calls = Outstanding()
        self.epoch = 0
        self.systems: list[tuple[int, int]] = []  # id and tokens of every system prompt, the present one last
        self.last_id = -1
        self.hidden = IdSet()  # rewound or dropped: recall does not bring these back
        self.unlisted = IdSet()  # left the list that is followed: rewound, or cut by the caller and not hidden
        self.stripped: set[int] = set()  # assistant segments shown without their reasoning
        self.quoted: dict[int, tuple[int, ...]] = {}  # recall segment -> segments that it shows
        self.inexact: set[int] = set()  # segments whose count is an estimate
        self.mean_turn_tokens = 0.0  # at the start of the epoch: water marks are fixed within one
        self.has_memory_read = False
        self.admitted_tokens = 0  # of all that was admitted since the state was made or read; not stored
        self.touched: list[int] = []  # groups that changed since the view was refreshed

    def admit(self, segment_id: int, record: Record) -> None:
        """Take one segment of the conversation into the prompt; O(1) amortised. Others are left alone."""
        facts = record.facts
        if facts.turn < 0:
            return
        self.last_id = max(self.last_id, segment_id)
        self.admitted_tokens += record.tokens
        if facts.is_system:
            self.systems.append((segment_id, record.tokens))
            return
        group = record.group_id(segment_id)
        if group != segment_id and (group not in self.working or self.working.is_worded(group)):
            return  # its group, or its call, has left the prompt
        if facts.is_inexact:
            self.inexact.add(segment_id)
        self.working.append(intake.item(segment_id, group, record))
        self._note_calls(segment_id, group, record)
        for seen in facts.sources:  # originals that were read again
            self.working.hit(seen)
        if facts.quotes:
            self.quoted[segment_id] = tuple(dict.fromkeys(quote.segment_id for quote in facts.quotes))
        if facts.restored_until >= 0:
            self.working.hold(segment_id, facts.restored_until)
        self.touched.append(group)

    def _note_calls(self, segment_id: int, group: int, record: Record) -> None:
        if record.calls:
            self.calls.add(group, [call.id for call in record.calls])
        if record.facts.call_index >= 0:
            self.calls.answer(group, record.facts.call_index, segment_id)

    @property
    def system_id(self) -> int:
        """Id of the system prompt; -1 where there is none."""
        return self.systems[-1][0] if self.systems else -1

    @property
    def system_tokens(self) -> int:
        """Tokens of the system prompt."""
        return self.systems[-1][1] if self.systems else 0

    def lines(self) -> Iterator[Line]:
        """Yield the ledger's lines, oldest first."""
        for piece in self.ledger.pieces:
            yield from piece.lines

    def ledger_sources(self) -> set[int]:
        """Return the ids of the segments that the ledger quotes."""
        return {i for one in self.lines() for i in (one.source, *(note.source for note in one.notes))}

    def sources(self) -> set[int]:
        """Return the ids of all that the prompt shows, quotes or speaks of."""
        found = set(self.working.segments["id"].tolist()).union(self.ledger_sources(), *self.quoted.values())
        return found.union(segment_id for segment_id, _ in self.systems)

    def erase(self, is_forgotten: Callable[[int], bool]) -> None:
        """Take out what was quoted of forgotten segments, so that it is not written again; shows the same."""
        self.ledger = self.ledger.erased(is_forgotten)
        self.working.erase(is_forgotten)

    def assistants(self) -> list[int]:
        """Return the groups shown that an assistant's message opens, oldest first."""
        groups = self.working.groups
        found: list[int] = groups["id"][groups["kind"] == ASSISTANT].tolist()
        return found

    def ends_with_user(self) -> bool:
        """Say whether the newest group is a user's message."""
        kinds = self.working.groups["kind"]
        return len(kinds) > 0 and int(kinds[-1]) == USER

    def end_epoch(self) -> None:
        """Start another epoch: the next prompt is no longer an extension of the last."""
        self.epoch += 1

    def visible(self) -> IdSet:
        """Return the ids of all whose texts the prompt shows in full, quoted by a recall included."""
        shown = IdSet(s.segment_id for s in self.working.shown() if s.form in {FULL, LABELLED})
        for ids in self.quoted.values():
            shown.update(ids)
        if self.system_id >= 0:
            shown.add(self.system_id)
        return shown

    def worded(self) -> IdSet:
        """Return the ids of the messages of which the words alone are shown."""
        return IdSet(s.segment_id for s in self.working.shown() if s.form == TEXT)

    def remove(self, groups: Sequence[int]) -> None:
        """Remove groups that the working set no longer shows."""
        self.calls.drop(groups)
        gone = set(groups)
        self.quoted = {i: q for i, q in self.quoted.items() if i not in gone}
        self.stripped = {i for i in self.stripped if i not in gone}

    def hide_group(self, group: int, members: Sequence[int]) -> None:
        """Take one group out of the prompt, with the recalls that quote it, and all its segments out of recall."""
        self.hidden.update(members)
        gone = [group, *(recall for recall, ids in self.quoted.items() if not set(ids).isdisjoint(members))]
        for each in gone:
            self.working.drop(each)
        self.remove(gone)
        self.ledger = self.ledger.without({group, *members}.__contains__, tokens.count)
        self.end_epoch()

    def rewind(self, first_id: int, after: Sequence[int]) -> None:
        """Take out a segment and `after`, the ids of all of the session's that came later, and what refers to them."""
        gone = {g for g in self.working.group_ids() if g >= first_id}
        for each in (self.hidden, self.unlisted):
            each.update(after)
            each.add(first_id)
        self.working.rewind(first_id)
        self.systems = [one for one in self.systems if one[0] < first_id]
        self.remove(sorted(gone))
        self.calls.reopen(first_id)
        self.ledger = self.ledger.without(lambda segment_id: segment_id >= first_id, tokens.count)
        self.end_epoch()

    def cut(self, first_id: int, last_id: int, ids: Sequence[int]) -> None:
        """Take the groups from `first_id` to before `last_id` out of the prompt, not out of recall.

        `ids` are the segments of the list that is followed among them: they are no longer in it.
        """
        self.unlisted.update(ids)
        gone = [g for g in self.working.group_ids() if first_id <= g < last_id]
        for each in gone:
            self.working.drop(each)
        self.remove(gone)
        self.ledger = self.ledger.without(lambda segment_id: first_id <= segment_id < last_id, tokens.count)
        self.end_epoch()

    def straddles(self, first_id: int, last_id: int) -> bool:
        """Say whether a group that is shown is partly from `first_id` to before `last_id`."""
        segments = self.working.segments
        owners = self.working.groups["id"][segments["group"]]
        inside = [(first_id <= ids) & (ids < last_id) for ids in (segments["id"], owners)]
        return bool((inside[0] != inside[1]).any())

    def leave_systems(self) -> None:
        """Go on without a system prompt."""
        self.hidden.update(segment_id for segment_id, _ in self.systems)
        self.systems = []
        self.end_epoch()

    def shift_turns(self, by: int) -> None:
        """Count turns from another start: those of a fork begin at 0."""
        groups = self.working.groups
        groups["turn"][:] += by
        held = groups["restored_until"]
        held[:] = np.where(held > 0, np.maximum(held + by, 0), 0)

    def copy(self) -> "State":
        """Return a state that shares nothing with this one; O(segments shown)."""
        twin = State()
        for name in State.__slots__:
            value = getattr(self, name)
            setattr(twin, name, value.copy() if hasattr(value, "copy") else value)
        return twin

    def pack(self) -> dict[str, Any]:
        """Return the state as plain values and bytes, for one record."""
        left = {"unlisted": dump_ids(self.unlisted)} if self.unlisted else {}
        return {
            **left,
            "v": VERSION,
            "working": self.working.pack(),
            "ledger": self.ledger.pack(),
            "calls": self.calls.pack(),
            "systems": [list(one) for one in self.systems],
            "last": self.last_id,
            "hidden": dump_ids(self.hidden),
            "stripped": sorted(self.stripped),
            "quoted": [[i, list(q)] for i, q in self.quoted.items()],
            "inexact": sorted(self.inexact),
            "mean": self.mean_turn_tokens,
            "read": self.has_memory_read,
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any], epoch: int) -> "State":
        """Rebuild from `pack`.

        Raises:
            FormatMismatch: a ctxmem of another version wrote it.
        """
        if packed["v"] != VERSION:
            raise FormatMismatch(
                f"a context's state has version {packed['v']}, this ctxmem reads {VERSION}: use the one that wrote it, "
                "or go on in a new session; the segments can be read and searched as before"
            )
        made = cls()
        made.epoch = epoch
        made.working = WorkingSet.unpack(packed["working"])
        made.ledger = Ledger.unpack(packed["ledger"])
        made.calls = Outstanding.unpack(packed["calls"])
        made.systems = [(segment_id, size) for segment_id, size in packed["systems"]]
        made.last_id = packed["last"]
        made.hidden = load_ids(packed["hidden"])
        made.unlisted = load_ids(packed["unlisted"]) if "unlisted" in packed else IdSet()
        made.stripped = set(packed["stripped"])
        made.quoted = {i: tuple(q) for i, q in packed["quoted"]}
        made.inexact = set(packed["inexact"])
        made.mean_turn_tokens = packed["mean"]
        made.has_memory_read = packed["read"]
        return made
