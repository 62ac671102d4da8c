"""The working set: what one context shows, as columns. Groups, their segments, and how each is shown now.

Invariants:
    I1. `tokens` is the sum of what is shown, kept at every change: a budget check is O(1).
    I2. A group is what the provider takes or refuses as a whole; it stands where its first segment stands.
    I3. What is gone (in the ledger, hidden) leaves the columns, so they are bounded by the window and not by history.
    I4. Nothing here reads a store or a clock: a context resumes from `pack` alone.
    I5. `superseded_by` names the later segment that shows all of a result: the same file and a range that contains its
        range, or equal content. An edit, a failure or an empty result supersedes nothing; only results are superseded.
It does not know messages, texts or providers; tokens are o200k counts with framing, before any calibration.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from ctxmem.collector.growable import Array, Growable
from ctxmem.collector.item import (
    EDIT,
    FULL,
    GONE,
    GROUP_COLUMNS,
    KINDS,
    LABELLED,
    NOTE,
    OPS,
    REF_COLUMNS,
    RESULT,
    SEGMENT_COLUMNS,
    SHORT,
    STUB,
    TEXT,
    USE_COLUMNS,
    WHOLE_FILE,
    FileUse,
    Form,
    Item,
    Shown,
)
from ctxmem.collector.protocol import Protocol, turn_into_results

__all__ = ["EDIT", "FULL", "GONE", "LABELLED", "OPS", "SHORT", "STUB", "TEXT", "WHOLE_FILE"]
__all__ += ["FileUse", "Form", "Item", "Shown", "WorkingSet"]

VERSION: Final = 1

_SPARE_PATHS: Final = 256
Range: TypeAlias = "tuple[int, int, int]"  # segment id, low, high


class WorkingSet:
    """The groups of one context and how each is shown.

    Not safe from several threads: the session calls it inside `Session.locked`.
    """

    __slots__ = (
        *("_by_path", "_digests", "_group_rows", "_segment_rows", "_showing", "_sorted"),
        *("groups", "paths", "protocol", "refs", "segments", "task", "tasks", "tokens", "uses"),
    )

    def __init__(self) -> None:
        self.groups = Growable(GROUP_COLUMNS)
        self.segments = Growable(SEGMENT_COLUMNS)
        self.uses = Growable(USE_COLUMNS)
        self.refs = Growable(REF_COLUMNS)
        self.protocol = Protocol()
        self.paths: list[str] = []
        self.tasks: list[str] = [""]
        self.task = 0
        self.tokens = 0
        self._group_rows: dict[int, int] = {}
        self._segment_rows: dict[int, int] = {}
        self._by_path: dict[str, int] = {}
        self._digests: dict[int, int] = {}  # content -> id of the newest segment that shows it
        self._showing: dict[int, tuple[Range, ...]] = {}  # path -> what nothing supersedes yet; may name what is gone
        self._sorted: tuple[Array, Array] | None = None  # segments by group, and their groups; None: stale

    def append(self, item: Item) -> None:
        """Add one segment at the end, or at the end of its group where that is shown.

        O(1) amortised, O(groups) in numpy where it is a result that came as a user message.
        """
        row = self._group_rows.get(item.group)
        if row is None:
            row = self._open_group(item)
        size, told = item.tokens, (item.is_result, item.is_error, item.calls, item.pinned)
        segment = self.segments.append(
            item.segment_id, row, size, size, item.image_tokens, FULL, *told, 0, -1, item.digest or 0
        )
        self._segment_rows[item.segment_id] = segment
        self._count(row, item)
        if item.group == item.segment_id:
            turn_into_results(self.groups, self.segments, self.protocol.note(item, self.groups))
        for use in item.files:
            path = self._path(use.path)
            self.uses.append(segment, path, use.low, use.high, OPS.index(use.op))
            self._note_use(item.segment_id, path, use, is_alone=len(item.files) == 1)
        if item.digest and item.is_result:
            self._note_digest(item.segment_id, item.digest)
        self._sorted = None
        for target in item.refs:
            self.refs.append(segment, target)
        if item.task is not None:
            self.task = self._task(item.task)
        self.tokens += item.tokens

    def _note_use(self, segment_id: int, path: int, use: FileUse, *, is_alone: bool) -> None:
        """Let a use of a file supersede those before it whose range it contains (I5)."""
        if use.op == "edit":
            return
        left = []
        for earlier, low, high in self._showing.get(path, ()):
            row = self._segment_rows.get(earlier)
            if row is None or self.segments["superseded_by"][row] >= 0:
                continue
            if earlier != segment_id and use.low <= low and high <= use.high:
                self.segments["superseded_by"][row] = self._segment_rows[segment_id]
            else:
                left.append((earlier, low, high))
        if is_alone:  # a result that shows several files is not replaced by a later one of one of them
            left.append((segment_id, use.low, use.high))
        self._showing[path] = tuple(left)

    def _note_digest(self, segment_id: int, digest: int) -> None:
        """Let a result supersede the one before it of equal content (I5)."""
        row = self._segment_rows.get(self._digests.get(digest, -1))
        if row is not None:
            self.segments["superseded_by"][row] = self._segment_rows[segment_id]
        self._digests[digest] = segment_id

    def _open_group(self, item: Item) -> int:
        task = self._task(item.task) if item.task is not None else self.task
        kind = KINDS.index(item.kind) if item.kind in KINDS else NOTE
        told = (0, item.tool, False, item.is_request, item.form)
        row = self.groups.append(item.group, 0, 0, 0, item.turn, kind, 0, 0, 0, 0, task, *told)
        self._group_rows[item.group] = row
        return row

    def _count(self, row: int, item: Item) -> None:
        groups = self.groups
        groups["tokens"][row] += item.tokens
        groups["full_tokens"][row] += item.tokens
        groups["turn"][row] = item.turn
        groups["text_tokens"][row] += item.text_tokens
        groups["has_list"][row] |= item.has_list
        if item.is_result:
            groups["result_tokens"][row] += item.tokens
            groups["open_calls"][row] -= item.group != item.segment_id  # in a text protocol a result answers no call
        groups["open_calls"][row] += item.calls
        groups["pins"][row] += item.pinned

    def _path(self, path: str) -> int:
        if path not in self._by_path:
            self._by_path[path] = len(self.paths)
            self.paths.append(path)
        return self._by_path[path]

    def _task(self, task: str) -> int:
        if task not in self.tasks:
            self.tasks.append(task)
        return self.tasks.index(task)

    # -- what is shown ------------------------------------------------------------------------------------------

    def __contains__(self, segment_id: int) -> bool:
        return segment_id in self._segment_rows

    def group_ids(self) -> list[int]:
        """Return the ids of the groups shown, oldest first."""
        return [int(group) for group in self.groups["id"]]

    def shown(self) -> Iterator[Shown]:
        """Yield the segments in prompt order: groups by their first segment, the segments of one together."""
        segments = self.segments
        order = np.argsort(segments["group"], kind="stable")
        ids, forms, limits = (segments[name][order].tolist() for name in ("id", "form", "limit_tokens"))
        owners = self.groups["id"][segments["group"][order]].tolist()
        for row in zip(ids, owners, forms, limits, strict=True):
            if row[2] != GONE:
                yield Shown(*row)

    def shown_of(self, group: int) -> list[Shown]:
        """Return the shown segments of one group, in order; none where it is not shown."""
        row = self._group_rows.get(group)
        if row is None:
            return []
        segments = self.segments
        rows = np.flatnonzero((segments["group"] == row) & (segments["form"] != GONE))
        columns = (segments[name][rows].tolist() for name in ("id", "form", "limit_tokens"))
        return [Shown(i, group, form, limit) for i, form, limit in zip(*columns, strict=True)]

    def row_of(self, segment_id: int) -> int:
        """Return the row of the group that holds a shown segment; `KeyError` where it is not shown."""
        return int(self.segments["group"][self._segment_rows[segment_id]])

    def tokens_of(self, segment_id: int) -> int:
        """Return what a segment takes in full; `KeyError` where it is not shown."""
        return int(self.segments["tokens"][self._segment_rows[segment_id]])

    def is_worded(self, group: int) -> bool:
        """Say whether only the words of a group are shown: it takes no results any more."""
        row = self._segment_rows.get(group)
        return row is not None and int(self.segments["form"][row]) == TEXT

    def is_result(self, group: int) -> bool:
        """Say whether a shown group is a result that came as a message of its own."""
        row = self._group_rows.get(group)
        return row is not None and int(self.groups["kind"][row]) == RESULT

    def segments_of(self, group: int) -> list[int]:
        """Return the ids of a group's segments, in order."""
        if self._sorted is None:
            order = np.argsort(self.segments["group"], kind="stable")
            order = order[self.segments["form"][order] != GONE]
            self._sorted = self.segments["id"][order], self.segments["group"][order]
        row = self._group_rows[group]
        low, high = np.searchsorted(self._sorted[1], (row, row + 1))
        ids: list[int] = self._sorted[0][low:high].tolist()
        return ids

    # -- changes ------------------------------------------------------------------------------------------------

    def pin(self, segment_id: int, *, on: bool) -> None:
        """Pin or unpin a shown segment; one that is not shown is left alone."""
        row = self._segment_rows.get(segment_id)
        if row is None or bool(self.segments["pinned"][row]) == on:
            return
        self.segments["pinned"][row] = on
        self.groups["pins"][self.segments["group"][row]] += 1 if on else -1

    def hit(self, segment_id: int) -> None:
        """Count that the model or the caller came back for a segment."""
        row = self._segment_rows.get(segment_id)
        if row is not None:
            self.groups["hits"][self.segments["group"][row]] += 1

    def hold(self, group: int, until_turn: int) -> None:
        """Make a restored group a root until this turn."""
        self.groups["restored_until"][self._group_rows[group]] = until_turn

    def drop(self, group: int) -> None:
        """Take one group out of the prompt; one that is not shown is left alone."""
        row = self._group_rows.get(group)
        if row is not None:
            self._remove(self.groups["id"] == group)

    def rewind(self, segment_id: int) -> None:
        """Take out a segment and all that were appended after it; a call that loses its result is open again."""
        rows = np.flatnonzero(self.segments["id"] == segment_id)
        first = int(rows[0]) if len(rows) else int(np.searchsorted(self.segments["id"], segment_id))
        for row in range(first, len(self.segments)):
            self._hide(row)
        starts = np.ones(len(self.groups), bool)
        starts[self.segments["group"][:first]] = False
        self._remove(starts)
        self.task = int(self.groups["task"][-1]) if len(self.groups) else 0

    def _hide(self, row: int) -> None:
        segments, groups = self.segments, self.groups
        if segments["form"][row] == GONE:
            return
        group = segments["group"][row]
        groups["tokens"][group] -= segments["shown_tokens"][row]
        groups["full_tokens"][group] -= segments["tokens"][row]
        groups["pins"][group] -= segments["pinned"][row]
        if segments["is_result"][row]:
            groups["result_tokens"][group] -= segments["tokens"][row]
            groups["open_calls"][group] += 1
        self.tokens -= int(segments["shown_tokens"][row])
        segments["form"][row] = GONE
        self._sorted = None
        segments["shown_tokens"][row] = 0

    def _remove(self, groups: Array) -> None:
        """Take the masked groups, and segments that are gone, out of the columns (I3)."""
        self.tokens -= int(self.groups["tokens"][groups].sum())
        keep_groups = ~groups
        keep = keep_groups[self.segments["group"]] & (self.segments["form"] != GONE)
        new_segment = np.cumsum(keep) - 1
        new_group = np.cumsum(keep_groups) - 1
        for table, mask in ((self.uses, keep[self.uses["segment"]]), (self.refs, keep[self.refs["segment"]])):
            table.keep(mask)
            table["segment"][:] = new_segment[table["segment"]]
        self.groups.keep(keep_groups)
        self.segments.keep(keep)
        self.segments["group"][:] = new_group[self.segments["group"]]
        old, was_kept = self.segments["superseded_by"], keep
        gone = (old >= 0) & ~was_kept[old]
        old[:] = np.where((old >= 0) & ~gone, new_segment[old], -1)
        self._reindex()
        if gone.any() or len(self.paths) > 2 * len(self.uses) + _SPARE_PATHS:
            self._restore_lookups()  # what was superseded is the newest again

    def erase(self, is_forgotten: Callable[[int], bool]) -> None:
        """Leave out the file names of forgotten segments."""
        owners = self.segments["id"][self.uses["segment"]].tolist()
        self.uses.keep(np.array([not is_forgotten(segment_id) for segment_id in owners], bool))
        self._restore_lookups()

    def _reindex(self) -> None:
        self._group_rows = dict(zip(self.groups["id"].tolist(), range(len(self.groups)), strict=True))
        self._segment_rows = dict(zip(self.segments["id"].tolist(), range(len(self.segments)), strict=True))
        self._sorted = None

    def _restore_lookups(self) -> None:
        """Rebuild from the columns what a context keeps between appends; paths that no use names go (I3)."""
        segments, uses = self.segments, self.uses
        used, codes = np.unique(uses["path"], return_inverse=True)
        self.paths = [self.paths[code] for code in used.tolist()]
        uses["path"][:] = codes
        self._by_path = {path: code for code, path in enumerate(self.paths)}
        results = np.flatnonzero(segments["digest"] > 0)
        ids = segments["id"][results].tolist()
        self._digests = dict(zip(segments["digest"][results].tolist(), ids, strict=True))
        is_alone = np.bincount(uses["segment"], minlength=1)[uses["segment"]] == 1
        rows = np.flatnonzero((segments["superseded_by"][uses["segment"]] < 0) & (uses["op"] != EDIT) & is_alone)
        owners = segments["id"][uses["segment"][rows]].tolist()
        ranges = zip(owners, uses["low"][rows].tolist(), uses["high"][rows].tolist(), strict=True)
        self._showing = {}
        for path, shown in zip(uses["path"][rows].tolist(), ranges, strict=True):
            self._showing[path] = (*self._showing.get(path, ()), shown)

    def copy(self) -> "WorkingSet":
        """Return a working set that shares nothing with this one; O(segments shown)."""
        twin = WorkingSet()
        for name in self.__slots__:
            value = getattr(self, name)
            setattr(twin, name, value.copy() if hasattr(value, "copy") else value)
        return twin

    def shows_text(self) -> Array:
        """Say of each segment whether its text is shown in full: bool[n]."""
        form = self.segments["form"]
        shown: Array = (form == FULL) | (form == LABELLED)
        return shown

    def apply(self, dropped: Iterable[int], forms: Mapping[int, Form], worded: Mapping[int, int]) -> None:
        """Carry out a plan: the groups that go, how segments are shown now, and whose words alone stay.

        `worded` gives the tokens of these words by group.
        """
        segments, groups = self.segments, self.groups
        for segment_id, form in forms.items():
            row = self._segment_rows[segment_id]
            change = form.tokens - int(segments["shown_tokens"][row])
            segments["form"][row], segments["limit_tokens"][row] = form.code, form.limit_tokens
            segments["shown_tokens"][row] = form.tokens
            groups["tokens"][segments["group"][row]] += change
            self.tokens += change
        for group, tokens in worded.items():
            self._leave_words(group, tokens)
        gone = np.zeros(len(groups), bool)
        gone[[self._group_rows[group] for group in dropped]] = True
        if gone.any() or worded:
            self._remove(gone)

    def _leave_words(self, group: int, tokens: int) -> None:
        """Take the calls and results of a group out; its assistant's text stays, as a message of its own."""
        row, first = self._group_rows[group], self._segment_rows[group]
        segments, groups = self.segments, self.groups
        segments["form"][segments["group"] == row] = GONE
        segments["form"][first], segments["shown_tokens"][first], segments["calls"][first] = TEXT, tokens, 0
        self.tokens += tokens - int(groups["tokens"][row])
        groups["tokens"][row] = groups["full_tokens"][row] = groups["text_tokens"][row] = tokens
        groups["result_tokens"][row] = groups["open_calls"][row] = 0

    def pack(self) -> dict[str, Any]:
        """Give the whole state as plain values and bytes, for one record of the store."""
        return {
            "v": VERSION,
            "groups": self.groups.pack(),
            "segments": self.segments.pack(),
            "uses": self.uses.pack(),
            "refs": self.refs.pack(),
            "paths": self.paths,
            "tasks": self.tasks,
            "task": self.task,
            "protocol": self.protocol.pack(),
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "WorkingSet":
        """Rebuild from `pack`; `ValueError` where a newer ctxmem wrote it."""
        if packed["v"] > VERSION:
            raise ValueError(f"working set of version {packed['v']}, this ctxmem reads up to {VERSION}")
        made = cls()
        made.groups = Growable.unpack(GROUP_COLUMNS, packed["groups"])
        made.segments = Growable.unpack(SEGMENT_COLUMNS, packed["segments"])
        made.uses = Growable.unpack(USE_COLUMNS, packed["uses"])
        made.refs = Growable.unpack(REF_COLUMNS, packed["refs"])
        made.paths, made.tasks, made.task = list(packed["paths"]), list(packed["tasks"]), packed["task"]
        made.protocol = Protocol.unpack(packed.get("protocol", {}))  # absent in stores made before it
        made.tokens = int(made.groups["tokens"].sum())
        made._reindex()
        made._restore_lookups()
        return made
