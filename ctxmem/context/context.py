"""One session's working set bound to one model: append what happens, assemble what is sent.

A turn: `append` and `result` admit segments into the state and queue them in the log; `assemble` decides on a copy
what has to go, lays out the prompt, commits log, turn, journal and epoch in one transaction, and only then makes the
copy the state.

I1. If `assemble` raises, the state, the view and the store are as before; calling again is the remedy.
I2. Between two collections each prompt, without cache marks and `extra`, is a byte prefix of the next.
I3. Every change of more than the end of the prompt ends the epoch; its state is stored with the next commit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any

from ctxmem import inputs
from ctxmem.context import appending, calibrating, choices, collecting, history, surgery, wayback
from ctxmem.context.appending import Given
from ctxmem.context.assembler import Assembler
from ctxmem.context.session import Session
from ctxmem.errors import BadInput, StoreClosed
from ctxmem.library import Library
from ctxmem.log import Log
from ctxmem.options import Options, Policy
from ctxmem.prompt.prompt import Collection, Explanation, Prompt
from ctxmem.providers import parse, result_message
from ctxmem.segment import Call, Hit, Segment

Opener = Callable[[str, "Callable[[], Context]"], "Context"]


class Context:
    """One session bound to one model. Made by `Memory.context`; safe from any thread; also a context manager."""

    def __init__(
        self, log: Log, options: Options, session: str, *, policy: Policy, opener: Opener, **chosen: Any
    ) -> None:
        self._log = log
        self._options = options
        self._opener = opener
        self._library = Library(log)
        self._closed = False
        self._reads = choices.reads(chosen.pop("reads", ()))
        target = choices.target(options, policy, **chosen)
        number = log.session(session)
        assert number is not None  # create=True
        self._lease = log.lease(number)
        try:
            self._s = Session(log, options, session, number, target, policy)
            self._s.resume()
        except BaseException:
            self._lease.release()
            raise
        self._turns = Assembler(self._s)

    @contextmanager
    def _locked(self) -> Iterator[Session]:
        if self._closed:
            raise StoreClosed("this context was closed; ask the Memory for it again")
        self._log.ensure_open()
        with self._s.lock:
            yield self._s

    @property
    def session(self) -> str:
        """The session's name."""
        return self._s.name

    @property
    def model(self) -> str:
        """The model's name."""
        return self._s.target.model.name

    @property
    def provider(self) -> str:
        """The wire shape of the prompts."""
        return self._s.target.provider

    @property
    def tokens(self) -> int:
        """Size of the prompt if it were assembled now, in the model's tokens. O(1)."""
        with self._locked() as s:
            return s.calibration.estimate(s.total(s.state))

    @property
    def budget(self) -> int:
        """The most tokens that a prompt may take. O(1)."""
        with self._locked() as s:
            return s.target.budget(exact=s.is_exact(s.state))

    @property
    def turn(self) -> int:
        """Number of prompts assembled so far. O(1)."""
        return self._s.row.turn

    @property
    def open_calls(self) -> tuple[Call, ...]:
        """The calls that wait for a result, oldest first. O(calls that wait)."""
        with self._locked() as s:
            return s.waiting()

    @property
    def is_closed(self) -> bool:
        """Whether the context was closed."""
        return self._closed

    def system(self, content: Any) -> Segment:
        """Set the system prompt: equal content does nothing, other content replaces it and ends the epoch."""
        drafts = parse({"role": "system", "content": content}, prefer="openai")
        with self._locked() as s:
            return self._library.segment(appending.system(s, drafts[-1], Given()))

    def append(
        self,
        message: Any,
        *,
        key: str | None = None,
        refs: Sequence[int] = (),
        pinned: bool = False,
        at: float | datetime | None = None,
        **facets: Any,
    ) -> Segment:
        """Append a message, a tool result, or an SDK's whole reply (then its usage is observed too).

        One segment per message and per tool result; returns the last. On disk at the next barrier. With a `key`, the
        same content again gives the same segment.

        Raises:
            BadMessage: no provider shape explains it. BadInput: a bad key, reference, time or facet.
            KeyConflict: the key, or the call, has other content. Nothing is written in any of these cases.
        """
        beside = choices.given(key, at, facets, refs=refs, pinned=pinned)
        with self._locked() as s:
            drafts = parse(message, prefer=s.target.provider)
            made = appending.append(s, drafts, beside)
            usage = drafts[-1].usage
            if usage is not None and s.row.turn:
                calibrating.observe(s, usage, None, None)
            return self._library.segment(made, s.appended(made))

    def result(
        self,
        call_id: str,
        content: Any,
        *,
        error: bool = False,
        key: str | None = None,
        at: float | datetime | None = None,
        **facets: Any,
    ) -> Segment:
        """Append a tool's answer, in any order, from any thread; rendered in call order.

        Answers the newest outstanding call with that id. Equal content again is the same segment; a result for no
        outstanding call is kept and rendered as text.

        Raises:
            KeyConflict: the call has another result. BadInput: content that is no text, blocks or JSON.
        """
        if not isinstance(call_id, str) or not call_id:
            raise BadInput(f"call_id must be the id of the call, a non-empty str, not {call_id!r:.80}")
        beside = choices.given(key, at, facets, error=error)
        with self._locked() as s:
            message = result_message(s.target.provider, call_id, content, error=error)
            made = appending.append(s, parse(message, prefer=s.target.provider), beside)
            return self._library.segment(made, s.appended(made))

    def assemble(
        self, *, recall: str | None = None, recall_tokens: int | None = None, extra: Sequence[Any] = ()
    ) -> Prompt:
        """Return the prompt of the next turn: valid, within the budget, on disk with all that was appended before.

        `recall` searches hidden segments and quotes the best at the end, within `recall_tokens`; `extra` are messages
        for this turn only, placed last. With nothing appended since, the same turn and an equal prompt. Cost: O(what is
        new) plus one commit; a collection adds O(segments shown).

        Raises:
            WindowOverflow: what must stay does not fit; lists it by size. Nothing has happened then.
        """
        with self._locked() as s:
            reach = s.reach(self._reads)
        return self._turns.assemble(choices.turn(recall, recall_tokens, extra), reach)

    async def aassemble(
        self, *, recall: str | None = None, recall_tokens: int | None = None, extra: Sequence[Any] = ()
    ) -> Prompt:
        """Do as `assemble`; decides on this thread, awaits only the commit, which many contexts share."""
        with self._locked() as s:
            reach = s.reach(self._reads)
        return await self._turns.aassemble(choices.turn(recall, recall_tokens, extra), reach)

    def observe(self, usage: Any, *, turn: int | None = None, model: str | None = None) -> None:
        """Calibrate the counts by what the provider reported; for the last prompt unless `turn` is given.

        Again for the same turn replaces. `usage` is a dict or an SDK's usage object. On disk soon, without waiting.

        Raises:
            BadInput: no usage. TurnNotFound: no such turn.
        """
        with self._locked() as s:
            calibrating.observe(s, usage, turn, model)

    def plan(self, target: int | None = None) -> Collection:
        """Return what a collection down to `target` tokens (default: low water) would do; changes nothing.

        Raises:
            WindowOverflow: what must stay does not fit.
        """
        with self._locked() as s:
            return collecting.summary(collecting.collect(s, s.state, choices.goal(s, target)))

    def collect(self, target: int | None = None) -> Collection:
        """Collect now, down to `target` tokens (default: low water); on disk when this returns.

        Raises:
            WindowOverflow: what must stay does not fit; nothing has happened.
        """
        with self._turns.lock, self._locked() as s:
            return surgery.collect(s, choices.goal(s, target))

    # -- the way back -----------------------------------------------------------------------------------------------

    def search(
        self,
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
        """Search as `Memory.search`, within the session and its `reads`.

        Raises:
            BadInput: a bad limit, time or facet. BadQuery: the query cannot be answered.
        """
        with self._locked() as s:
            reach = s.reach(self._reads)
            if session is not None:
                wanted = self._library.numbers([session])
                reach = wanted if reach is None else reach & wanted
            return self._library.search_numbers(
                query,
                reach,
                limit=limit,
                kind=kind,
                since=since,
                until=until,
                facets=facets,
                exclude=s.state.hidden | s.beyond_fork(),
                explain=explain,
            )

    def restore(self, id: int) -> Segment:  # noqa: A002 - the public name
        """Bring a segment's group back at the end of the prompt, a root for some turns; durable at the next barrier.

        Raises:
            SegmentNotFound: no such id in this session or its `reads`. WindowOverflow: it takes over half the budget.
        """
        segment_id = inputs.segment_id(id)
        with self._locked() as s:
            return self._library.segment(wayback.restore(s, segment_id, s.reach(self._reads)))

    def dispatch(self, name: str, arguments: Any) -> str | None:
        """Answer the model's call to `memory_search` or `memory_read`; None for a name that is not ours.

        Wrong arguments and unknown ids get a sentence for the model, never an exception.
        """
        with self._locked() as s:
            return wayback.dispatch(s, name, arguments, s.reach(self._reads))

    def explain(self, id: int) -> Explanation:  # noqa: A002 - the public name
        """Say where a segment stands and why: rule, score, rank and root path of the newest collection that saw it.

        Raises:
            SegmentNotFound: no such id.
        """
        segment_id = inputs.segment_id(id)
        with self._locked() as s:
            return history.explain(s, segment_id)

    def replay(self, turn: int) -> Prompt:
        """Return the exact prompt of a past turn.

        Raises:
            TurnNotFound: the session has no such turn.
        """
        inputs.count(turn, "turn", 1)
        with self._locked() as s:
            return history.replay(s, turn)

    def switch(
        self,
        model: str,
        *,
        provider: str | None = None,
        window: int | None = None,
        reserve: int | None = None,
        tools: Sequence[Any] | None = None,
    ) -> None:
        """Go on with another model; collects at once where that pays, since its cache is cold anyway; durable.

        Raises:
            BadInput: a bad choice. WindowOverflow: what must stay does not fit it; the old model stays then.
        """
        with self._turns.lock, self._locked() as s:
            kept = s.target.tools if tools is None else tools
            sizes = {"provider": provider, "window": window, "reserve": reserve, "tools": kept}
            chosen = choices.target(self._options, s.policy, model=model, **sizes)
            surgery.switch(s, chosen)

    def retarget(
        self, *, policy: Policy | None = None, reads: Sequence[str] | str = (), model: str, **chosen: Any
    ) -> None:
        """Take the choices of a second `Memory.context` call for the same session."""
        with self._turns.lock, self._locked() as s:
            used = policy or s.policy
            s.retarget(choices.target(self._options, used, model=model, **chosen), used)
            self._reads = choices.reads(reads)

    def rewind(self, id: int) -> None:  # noqa: A002 - the public name
        """Undo to just before a segment: it and all after it leave the prompt and recall; the log keeps all. Durable.

        Raises:
            SegmentNotFound: no such id in this session.
        """
        segment_id = inputs.segment_id(id)
        with self._turns.lock, self._locked() as s:
            surgery.rewind(s, segment_id)

    def drop(self, id: int) -> None:  # noqa: A002 - the public name
        """Hide one group from the prompt and recall; the log keeps it. Durable.

        Raises:
            SegmentNotFound: no such id in this session. BadInput: it is the system prompt.
        """
        segment_id = inputs.segment_id(id)
        with self._turns.lock, self._locked() as s:
            surgery.drop(s, segment_id)

    def fork(self, session: str, *, at: int | None = None, model: str | None = None) -> "Context":
        """Return a context of a new session that shares everything up to and including segment `at`. Durable.

        Raises:
            BadInput: the session exists. SegmentNotFound: no such id in this session.
        """
        inputs.short(session, "session")
        cut = None if at is None else inputs.segment_id(at, "at")
        with self._turns.lock, self._locked() as s:
            if cut is not None:
                wayback.own(s, cut)
            made = self._opener(session, lambda: self._branch(s, session, model))
            try:
                surgery.branch(s, made._s, cut)  # noqa: SLF001 - another of our own kind
            except BaseException:
                made._closed = True  # noqa: SLF001 - the name is free again: calling again is the remedy
                raise
            return made

    def _branch(self, s: Session, session: str, model: str | None) -> "Context":
        target = s.target
        same = {"provider": target.provider, "window": target.window, "reserve": target.reserve}
        return Context(
            self._log,
            self._options,
            session,
            policy=s.policy,
            opener=self._opener,
            reads=self._reads,
            model=target.model.name if model is None else model,
            tools=target.tools,
            **(same if model is None else {}),
        )

    def note(self, change: Callable[[Session], None]) -> None:
        """Take note of what `Memory` changed in the store: a pin, something forgotten."""
        with self._locked() as s:
            change(s)

    def close(self) -> None:
        """Free the lease; what was appended is committed first. A second call does nothing."""
        with self._turns.lock:
            if self._closed:
                return
            self._log.commit()
            self._closed = True
            self._lease.release()

    def __enter__(self) -> "Context":  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
