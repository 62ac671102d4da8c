"""One session's working set bound to one model: append what happens, assemble what is sent.

I1. Between two collections each prompt, without cache breakpoints and `extra`, is a byte prefix of the next.
I2. Every change of more than the end of the prompt ends the epoch; its state is stored with the next commit.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Literal

from ctxmem import inputs
from ctxmem.context import appending, assembly, calibrating, choices, collecting, history, surgery, wayback
from ctxmem.context.appending import Appended, Given
from ctxmem.context.session import Session
from ctxmem.errors import BadInput
from ctxmem.library import Library
from ctxmem.prompt.prompt import Collection, Explanation, Prompt
from ctxmem.prompt.usage import Usage
from ctxmem.providers import parse, result_message
from ctxmem.segment import Call, Hit, Segment

Fork = Callable[[Session, str, int | None, dict[str, Any]], "Context"]


class Context:
    """One session bound to one model. Made by `Memory.context`; safe from any thread; also a context manager."""

    def __init__(self, session: Session, fork: Fork, closed: Callable[[], None]) -> None:
        self._session = session
        self._fork = fork
        self._closed = closed  # called, without a lock, when the session was closed
        self._library = Library(session.log)

    @property
    def session(self) -> str:
        """The session's name."""
        return self._session.now.row.name

    @property
    def model(self) -> str:
        """The model's name."""
        return self._session.now.target.model.name

    @property
    def provider(self) -> str:
        """The wire shape of the prompts."""
        return self._session.now.target.provider

    @property
    def tokens(self) -> int:
        """Size of the prompt if it were assembled now, in the model's tokens. O(1)."""
        return self._session.locked(lambda s: s.now.calibration.estimate(s.now.total_tokens))

    @property
    def budget(self) -> int:
        """The most tokens that a prompt may take. O(1)."""
        return self._session.locked(lambda s: s.now.budget_tokens)

    @property
    def turn(self) -> int:
        """Number of prompts assembled so far. O(1)."""
        return self._session.now.row.turn

    @property
    def open_calls(self) -> tuple[Call, ...]:
        """The calls that wait for a result, oldest first. O(calls that wait)."""
        return self._session.locked(lambda s: s.waiting())

    @property
    def is_closed(self) -> bool:
        """Whether the context was closed."""
        return self._session.is_closed

    def system(self, content: Any) -> Segment:
        """Set the system prompt: equal content does nothing, other content replaces it and ends the epoch."""
        drafts = parse({"role": "system", "content": content})
        return appending.append(self._session, drafts, Given(is_system=True), self._appended)

    def append(
        self,
        /,
        message: Any,
        *,
        key: str | None = None,
        refs: Sequence[int] = (),
        pinned: bool = False,
        at: float | datetime | None = None,
        kind: Literal["tool"] | None = None,
        **facets: Any,
    ) -> Segment:
        """Append a message, a tool result, or an SDK's whole reply (then its usage is observed too).

        One segment per message and per tool result; returns the last. On disk at the next barrier. With a `key`, the
        same content again gives the same segment, until that is forgotten: then the key is free again.
        `kind="tool"`: a user message that brings a tool's result, of an agent whose calls are text; it is no request,
        and may be cut like a result.

        Raises:
            BadMessage: no provider shape explains it. BadInput: a bad key, reference, time or facet, or what a function
            of `Options` returned.
            KeyConflict: the key, or the call, has other content. Nothing is written in any of these cases.
        """
        beside = choices.given(key, at, facets, refs=refs, pinned=pinned, kind=kind)
        drafts = parse(message, prefer=self.provider)

        def appended(s: Session, made: Appended) -> Segment:
            usage = drafts[-1].usage
            if usage is not None and s.now.row.turn:
                with suppress(BadInput):  # the reply is appended already: an absurd usage is ignored
                    calibrating.observe(s, Usage.of(usage), None, None)
            return self._appended(s, made)

        return appending.append(self._session, drafts, beside, appended)

    def _appended(self, _: Session, made: Appended) -> Segment:
        return self._library.segment(*made)

    def result(
        self,
        /,
        call_id: str,
        content: Any,
        *,
        error: bool = False,
        key: str | None = None,
        at: float | datetime | None = None,
        **facets: Any,
    ) -> Segment:
        """Append a tool's answer, in any order, from any thread; rendered in call order.

        Answers the newest outstanding call with that id. Equal content again is the same segment, any content once the
        result was forgotten; a result for no outstanding call is kept and rendered as text.

        Raises:
            KeyConflict: the call has another result. BadInput: content that is no text, blocks or JSON.
        """
        if not isinstance(call_id, str) or not call_id:
            raise BadInput(f"call_id must be the id of the call, a non-empty str, not {call_id!r:.80}")
        beside = choices.given(key, at, facets, error=error)
        drafts = parse(result_message(self.provider, call_id, content, error=error), prefer=self.provider)
        return appending.append(self._session, drafts, beside, self._appended)

    def assemble(
        self, *, recall: str | None = None, recall_tokens: int | None = None, extra: Sequence[Any] = ()
    ) -> Prompt:
        """Return the prompt of the next turn: valid, within the budget, on disk with all that was appended before.

        `recall` searches hidden segments and quotes the best two at the end, within `recall_tokens`, where it holds a
        name that the last prompt told nothing of (or else a long word that few segments hold), or no names at all, and
        nothing has to go for it; what it quotes leaves at the next collection. `extra` are messages for this turn only,
        placed last. With nothing appended since, the same turn and an equal prompt. Cost: O(what is new) plus one
        commit; a collection adds O(segments shown).

        Raises:
            WindowOverflow: what must stay does not fit; lists it by size. Nothing has happened then.
        """
        return assembly.assemble(self._session, choices.turn(recall, recall_tokens, extra))

    async def aassemble(
        self, *, recall: str | None = None, recall_tokens: int | None = None, extra: Sequence[Any] = ()
    ) -> Prompt:
        """Do as `assemble`; decides on this thread, awaits only the commit, which many contexts share."""
        return await assembly.aassemble(self._session, choices.turn(recall, recall_tokens, extra))

    def observe(self, usage: Any, *, turn: int | None = None, model: str | None = None) -> None:
        """Calibrate the counts by what the provider reported; for the last prompt unless `turn` is given.

        Again for the same turn replaces. `usage` is a dict or an SDK's usage object. On disk soon, without waiting.

        Raises:
            BadInput: no usage, or one that cannot be that prompt's. TurnNotFound: no such turn.
        """
        reported = Usage.of(usage)
        number = None if turn is None else inputs.count(turn, "turn", 0)
        self._session.locked(lambda s: calibrating.observe(s, reported, number, model))

    def plan(self, target: int | None = None) -> Collection:
        """Return what a collection down to `target` tokens (default: low water) would do; changes nothing.

        Raises:
            WindowOverflow: what must stay does not fit.
        """
        return self._session.locked(lambda s: collecting.summary(collecting.collect(s, choices.goal(s.now, target))))

    def collect(self, target: int | None = None) -> Collection:
        """Collect now, down to `target` tokens (default: low water); on disk when this returns.

        Raises:
            WindowOverflow: what must stay does not fit; nothing has happened.
        """
        return self._session.alone(lambda s: surgery.collect_now(s, choices.goal(s.now, target)))

    # -- the way back -----------------------------------------------------------------------------------------------

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
        """Search as `Memory.search`, within the session and its `reads`.

        Raises:
            BadInput: a bad limit, time or facet. BadQuery: the query cannot be answered.
        """

        def act(s: Session) -> list[Hit]:
            reach = s.reach()
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
                exclude=s.now.state.hidden | s.beyond_fork(),
                explain=explain,
            )

        return self._session.locked(act)

    def restore(self, id: int) -> Segment:  # noqa: A002 - the public name
        """Bring a segment's group back at the end of the prompt, a root for some turns; durable at the next barrier.

        Raises:
            SegmentNotFound: no such id in this session or its `reads`. WindowOverflow: it takes over half the budget.
        """
        segment_id, now = inputs.segment_id(id), self._session.options.now()
        return self._session.locked(lambda s: self._library.segment(wayback.restore(s, segment_id, now)))

    def dispatch(self, name: str, arguments: Any) -> str | None:
        """Answer the model's call to `memory_search` or `memory_read`; None for a name that is not ours.

        Wrong arguments and unknown ids get a sentence for the model, never an exception.
        """
        return self._session.locked(lambda s: wayback.dispatch(s, name, arguments))

    def explain(self, id: int) -> Explanation:  # noqa: A002 - the public name
        """Say where a segment stands and why: rule, score, rank and root path of the newest collection that saw it.

        Raises:
            SegmentNotFound: no such id.
        """
        segment_id = inputs.segment_id(id)
        return self._session.locked(lambda s: history.explain(s, segment_id))

    def replay(self, turn: int) -> Prompt:
        """Return the exact prompt of a past turn.

        Raises:
            TurnNotFound: the session has no such turn.
        """
        inputs.count(turn, "turn", 1)
        return self._session.locked(lambda s: history.replay(s, turn))

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

        def act(s: Session) -> None:
            kept = s.now.target.given_tools if tools is None else tools
            sizes = {"provider": provider, "window": window, "reserve": reserve, "tools": kept}
            chosen = choices.target(s.options, s.now.policy, model=model, **sizes)
            surgery.switch(s, chosen)

        self._session.alone(act)

    def rewind(self, id: int) -> None:  # noqa: A002 - the public name
        """Undo to just before a segment: it and all after it leave the prompt and recall; the log keeps all. Durable.

        Raises:
            SegmentNotFound: no such id in this session.
        """
        segment_id = inputs.segment_id(id)
        self._session.alone(lambda s: surgery.rewind(s, segment_id))

    def drop(self, id: int) -> None:  # noqa: A002 - the public name
        """Hide one group from the prompt and recall; the log keeps it. Durable.

        Raises:
            SegmentNotFound: no such id in this session. BadInput: it is the system prompt.
        """
        segment_id = inputs.segment_id(id)
        self._session.alone(lambda s: surgery.drop(s, segment_id))

    def fork(self, session: str, *, at: int | None = None, model: str | None = None) -> "Context":
        """Return a context of a new session that shares everything up to and including segment `at`. Durable.

        Raises:
            BadInput: the session exists. SegmentNotFound: no such id in this session.
        """
        inputs.short(session, "session")
        cut = None if at is None else inputs.segment_id(at, "at")
        target = self._session.now.target
        chosen: dict[str, Any] = {"model": target.model.name if model is None else model, "tools": target.given_tools}
        if model is None:
            chosen |= {"provider": target.provider, "window": target.window, "reserve": target.reserve}
        return self._fork(self._session, session, cut, chosen)

    def close(self) -> None:
        """Free the lease; what was appended is committed first. A second call does nothing."""
        self._session.close()
        self._closed()

    def __enter__(self) -> "Context":  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
