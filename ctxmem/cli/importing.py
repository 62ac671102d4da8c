"""What `ctxmem import` does with what the readers yield: put it into a store, each thing once.

I1. A message whose key its session has is left as it is, unread: importing again costs no more than reading the file.
I2. Few contexts are open at a time. Only of a file named by itself each is closed with a prompt assembled, which
    `ctxmem show` then shows: in a tree that would take a third of the time, and a session resumes without it.
I3. One message that cannot be stored is counted, and those around it are imported.
"""

import contextlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ctxmem
from ctxmem import inputs
from ctxmem.entries.bringing import bring
from ctxmem.errors import BadInput, ContextBusy, WindowOverflow
from ctxmem.log import Log
from ctxmem.transcripts import Entry
from ctxmem.transcripts.fitting import fitting

DEFAULT_MODEL = "gpt-4.1"
# Messages between two barriers: bounds what is held in memory, costs one flush.
_FLUSH_EVERY = 1_000
_OPEN_MOST = 4


@dataclass(slots=True)
class _Open:
    """A session that is being appended to, and the model that it named last."""

    context: ctxmem.Context
    model: str


class _Counted:
    """An iterable that knows how much of it was taken."""

    def __init__(self, given: Iterable[Mapping[str, Any]]) -> None:
        self.n = 0
        self._given = given

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for one in self._given:
            self.n += 1
            yield one


class Import:
    """Imports into one store, and counts: `new` segments, messages and items `known`, and what was `skipped`."""

    def __init__(
        self, memory: ctxmem.Memory, log: Log, *, session: str | None, model: str | None, facets: Mapping[str, Any]
    ) -> None:
        self._memory, self._log = memory, log
        self._session, self._model, self._facets = session, model, facets
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._busy: set[str] = set()
        self._stored: set[int] = set()  # hashes of the keys of this run: some 70 bytes a message
        self._waiting = 0
        self._is_shown = False
        self.known = 0
        self.skipped: Counter[str] = Counter()
        self.sessions: set[str] = set()

    @property
    def segments(self) -> int:
        """How many segments the store holds: what is new is what it has grown by."""
        return int(self._memory.stats()["segments"])

    def items(self, given: Iterable[Mapping[str, Any]], progress: Callable[[int], None]) -> None:
        """Stream items through `add_many`: constant memory but for the ids."""
        before = self.segments
        ids = self._memory.add_many(
            ({**item, **self._facets, "session": self._session} for item in given), progress=progress
        )
        self.known += len(ids) - min(len(ids), max(0, self.segments - before))

    def log(
        self,
        given: Iterable[Mapping[str, Any]],
        passed_over: Callable[[str], None],
        progress: Callable[[int], None],
    ) -> None:
        """Stream the lines of an exported log: constant memory."""
        before, lines = self.segments, _Counted(given)
        n_left_out = [0]

        def left_out(what: str) -> None:
            n_left_out[0] += 1
            passed_over(what)

        bring(self._log, lines, left_out, progress)
        self.known += max(0, lines.n - n_left_out[0] - (self.segments - before))

    def entries(self, given: Iterator[Entry], written_at: float, *, is_shown: bool) -> None:
        """Append the messages of a file as an agent would; `written_at` is the time of those that have none.

        `is_shown`: make each session's prompt too (I2).
        """
        self._busy.clear()
        self._is_shown = is_shown
        for entry in given:
            self._entry(entry, written_at)
        self.settle()

    def settle(self) -> None:
        """Close what is open: all that was appended is committed then."""
        while self._open:
            self._settle(*self._open.popitem(last=False))

    def _entry(self, entry: Entry, written_at: float) -> None:
        name = fitting(self._session or entry.session, inputs.MAX_KEY_BYTES)
        key = fitting(entry.key, inputs.MAX_KEY_BYTES)
        if not name or not key or name in self._busy:
            self.skipped["message without an id" if name not in self._busy else "message of a session in use"] += 1
            return
        self.sessions.add(name)
        if self._id_of(name, key) is not None:
            self.known += 1  # I1
            self._stored.add(hash(key))
            return
        if hash(key) in self._stored:  # a session that goes on from another repeats it
            self.skipped["message that another session has"] += 1
            return
        try:
            context = self._context(name, entry.facets.get("model"))
            self._undo(context, name, entry.undoes)
            at = entry.at if entry.at is not None else written_at
            context.append(self._rest(name, entry), key=key, at=at, **{**entry.facets, **self._facets})
            self._stored.add(hash(key))
        except ContextBusy:
            self._busy.add(name)
            self.skipped["message of a session in use"] += 1
        except BadInput:
            self.skipped["message that no provider would take"] += 1  # I3
        self._waiting += 1
        if self._waiting % _FLUSH_EVERY == 0:
            self._log.flush()

    def _id_of(self, name: str, key: str) -> int | None:
        number = self._log.session(name, create=False)
        return None if number is None else self._log.keyed(number, key)

    def _rest(self, name: str, entry: Entry) -> dict[str, Any]:
        """Leave out of a joined message the lines that are stored already: it has grown since."""
        for key, stop in reversed(entry.parts):
            if self._id_of(name, key) is not None:
                field = "output" if "output" in entry.message else "content"
                return {**entry.message, field: entry.message[field][stop:]}
        return entry.message

    def _undo(self, context: ctxmem.Context, name: str, undone: str | None) -> None:
        first = None if undone is None else self._id_of(name, undone)
        if first is not None:
            context.rewind(first)

    def _context(self, name: str, model: Any) -> ctxmem.Context:
        found = self._open.get(name)
        if found is None:
            chosen = self._model or (model if isinstance(model, str) else DEFAULT_MODEL)
            found = self._open[name] = _Open(self._memory.context(name, model=chosen), chosen)
            if len(self._open) > _OPEN_MOST:
                self._settle(*self._open.popitem(last=False))
        elif isinstance(model, str) and self._model is None:
            found.model = model
        self._open.move_to_end(name)
        return found.context

    def _settle(self, name: str, found: _Open) -> None:
        """Close a context, with a prompt where one is to be shown; there is none where its messages do not fit."""
        with contextlib.suppress(WindowOverflow, BadInput):
            if self._is_shown:
                self._memory.context(name, model=found.model)
                found.context.assemble()
        found.context.close()
