"""One list of a framework in, one list to send out, at each call of a model, whatever goes wrong on the way.

I1. An error of ours never ends an agent's run, unless it is to (`strict`): a cut of the list is sent instead, and a
    warning says why, once for each kind of error.
I2. The framework's own list is read and never changed.
"""

import atexit
import os
import threading
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

import ctxmem.memory
from ctxmem import inputs
from ctxmem.adapters.hook.cut import cut
from ctxmem.adapters.hook.given import Dialect, given_back
from ctxmem.adapters.hook.seats import Seats
from ctxmem.context import choices
from ctxmem.context.context import Context
from ctxmem.context.following import refuse_server_history
from ctxmem.context.spans import Followed
from ctxmem.errors import BadInput, BadMessage, ContextBusy, CtxMemError, ServerHeldHistory
from ctxmem.memory import Memory, log_of
from ctxmem.models import lookup
from ctxmem.options import Options, Policy
from ctxmem.prompt.prompt import Prompt
from ctxmem.prompt.target import Target
from ctxmem.providers import parse
from ctxmem.tokens import Calibration

_TRIES = 8  # of a call whose context another call switches to its own model meanwhile
_NO_MODEL = "no-such-model"  # where the call's own is not known: the sizes of an unknown model
_STACK = 4  # frames from the warning to the framework


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model, as a framework is about to make it.

    Attributes:
        session: the session's name. model: the name of the model that serves this call, None where it has none.
        system: the content of the system prompt, where it stands apart from the list; "" where there is none.
        tools: schemas in the shape of the dialect's provider.
        settings: arguments of the request, of those that may name a history which a server holds.
    """

    session: str
    model: str | None
    system: Any = ""
    tools: Sequence[Any] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """What is to be sent: `items`, and the prompt that they are, None where they are a cut of the list."""

    items: list[Any]
    prompt: Prompt | None = None
    _context: Context | None = field(default=None, repr=False)

    def observe(self, usage: Any) -> None:
        """Learn from what the provider counted of it; a usage that says nothing, or an absurd one, is passed over."""
        if self.prompt is not None and self._context is not None and usage:
            with suppress(CtxMemError):  # a calibration: not worth a run, nor a warning
                self._context.observe(usage, turn=self.prompt.turn)


Describing = Callable[[], ModelCall | Awaitable[ModelCall]]


class Follower:
    """The lists of one framework, followed in one memory. Safe from any thread; several frameworks may share a memory.

    The options are those of every adapter that owns the prompt:
        memory: an open Memory; or a path, opened at once and closed by `close`, or when the program ends.
        model: name of the model whose sizes count, in place of what the framework says.
        window, reserve, reads, policy: as in `Memory.context`. A model that no table describes needs a `window`.
        recall: whether what a user says last is searched for in what is not shown (`Context.assemble`).
        recall_tokens: as in `Context.assemble`.
        strict: whether an error of ours is raised.
    """

    def __init__(
        self,
        memory: Memory | str | os.PathLike[str],
        dialect: Dialect,
        *,
        model: str | None = None,
        window: int | None = None,
        reserve: int | None = None,
        reads: Sequence[str] | str = (),
        policy: Policy | None = None,
        recall: bool = True,
        recall_tokens: int | None = None,
        strict: bool = False,
    ) -> None:
        self._is_ours = not isinstance(memory, Memory)
        self._options = log_of(memory).options if isinstance(memory, Memory) else Options()
        self._dialect = dialect
        self._sizes: dict[str, Any] = {"provider": dialect.provider, "window": window, "reserve": reserve}
        self._policy = Policy() if policy is None else policy
        self._model = model
        self._recall = inputs.flag(recall, "recall")
        self._recall_tokens = recall_tokens
        self._strict = inputs.flag(strict, "strict")
        self._target(_NO_MODEL if model is None else self._model_of(None))  # what every call would fail with fails now
        choices.turn(None, recall_tokens, ())
        beside = {"reads": choices.reads(reads), "policy": policy}
        self._lock = threading.Lock()
        self._n_calls = self._n_cuts = 0
        self._errors = Counter[str]()
        self.memory = memory if isinstance(memory, Memory) else ctxmem.memory.open(memory)
        self._seats = Seats(self.memory, self._sizes, beside)
        if self._is_ours:
            atexit.register(self.close)

    def send(self, items: Sequence[Any], describe: Callable[[], ModelCall]) -> Sent:
        """Return what is to be sent of a framework's whole list, for the call that `describe` returns."""
        call = None
        self._count()
        try:
            call = self._checked(describe())
            for _ in range(_TRIES):
                with self._seats.taken(call.session, self._model_of(call.model), call.tools) as context:
                    followed = context.followed(items, **self._asked(items, call))
                    if followed.prompt.model == self._model_of(call.model):
                        return self._sent(items, followed, context)
        except Exception as error:  # noqa: BLE001 - I1
            return self._instead(items, call, error)
        return self._instead(items, call, _contended(call))

    async def asend(self, items: Sequence[Any], describe: Describing) -> Sent:
        """Do as `send`; awaits `describe`, where that is to be, and the commit."""
        call = None
        self._count()
        try:
            described = describe()
            call = self._checked(await described if isawaitable(described) else described)
            for _ in range(_TRIES):
                with self._seats.taken(call.session, self._model_of(call.model), call.tools) as context:
                    followed = await context.afollowed(items, **self._asked(items, call))
                    if followed.prompt.model == self._model_of(call.model):
                        return self._sent(items, followed, context)
        except Exception as error:  # noqa: BLE001 - I1
            return self._instead(items, call, error)
        return self._instead(items, call, _contended(call))

    def dispatch(self, session: str, name: str, arguments: Mapping[str, Any]) -> str:
        """Answer the model's call to a memory tool, always with a text for the model."""
        context = self._seats.open_context(session)
        if context is None:
            return "Nothing can be looked up just now. Go on with what is shown."
        try:
            return context.dispatch(name, arguments) or f"There is no tool {name!r} here."
        except Exception as error:  # noqa: BLE001 - I1
            self._failed(error)
            return "The search failed. Go on with what is shown."

    def context(self, session: str) -> Context | None:
        """Return the context of a session, to search, explain or replay with; None where it is not open here."""
        return self._seats.open_context(session)

    def stats(self) -> dict[str, Any]:
        """Return how many calls were served, how many of them by a cut of the list, and the errors by kind."""
        with self._lock:
            return {"calls": self._n_calls, "cuts": self._n_cuts, "errors": dict(self._errors)}

    def close(self) -> None:
        """Close the memory where a path was given; else do nothing."""
        if self._is_ours:
            atexit.unregister(self.close)
            self.memory.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _count(self) -> None:
        with self._lock:
            self._n_calls += 1

    def _checked(self, call: ModelCall) -> ModelCall:
        """Refuse a call of which a server holds the rest."""
        refuse_server_history(call.settings)
        return call

    def _model_of(self, named: str | None) -> str:
        """Return the name of the model whose sizes count.

        Raises:
            BadInput: there is none, or nothing is known of it and no window was given.
        """
        name = named if self._model is None else self._model
        if not name:
            raise BadInput("the framework's model has no name that can be read; pass model= to the adapter")
        if self._sizes["window"] is None and not lookup(name, self._options.models).known:
            raise BadInput(
                f"model {name!r} is in no table, so its window is not known; pass window= to the adapter "
                "(its tokens, in and out), or model= with the name of one like it"
            )
        return name

    def _asked(self, items: Sequence[Any], call: ModelCall) -> dict[str, Any]:
        return {
            "read": self._dialect.read,
            "system": call.system,
            "tools": call.tools,
            "recall": self._query(items) if self._recall else None,
            "recall_tokens": self._recall_tokens,
        }

    def _query(self, items: Sequence[Any]) -> str | None:
        """Return what a user asks at the end of a list; None where it ends otherwise, as it does while tools run."""
        messages = self._dialect.read(items[-1]) if items else ()
        if not messages:
            return None
        try:
            draft = parse(messages[-1], prefer=self._dialect.provider)[-1]
        except BadMessage:
            return None  # `follow` says so, with its position
        return draft.text or None if draft.kind == "user" and draft.call_id is None else None

    def _sent(self, items: Sequence[Any], followed: Followed, context: Context) -> Sent:
        return Sent(given_back(followed, items, self._dialect), followed.prompt, context)

    def _instead(self, items: Sequence[Any], call: ModelCall | None, error: Exception) -> Sent:
        """Return a cut of the list; raise where that is wanted."""
        with self._lock:
            self._n_cuts += 1
        if isinstance(error, ServerHeldHistory):  # what a server holds may have the calls of the results in the list
            self._failed(error, "the list was sent as it is")
            return Sent(list(items))
        self._failed(error, "the newest messages that fit were sent instead")
        return Sent(cut(items, self._dialect.read, self._dialect.provider, self._room_tokens(call)))

    def _failed(self, error: Exception, remedy: str = "") -> None:
        """Raise an error where that is wanted; else count it, and warn the first time one of its kind comes.

        Raises:
            Exception: the error itself.
        """
        if self._strict:
            raise error
        kind = type(error).__name__
        with self._lock:
            self._errors[kind] += 1
            is_first = self._errors[kind] == 1
        if is_first:
            said = f"ctxmem could not make this prompt ({kind}: {error})" + (f": {remedy}" if remedy else "")
            beside = "; runs that go on at once need sessions of their own" if isinstance(error, ContextBusy) else ""
            warnings.warn(f"{said}{beside}", RuntimeWarning, stacklevel=_STACK)

    def _room_tokens(self, call: ModelCall | None) -> int:
        """Return how many o200k tokens the messages of a call may take; a guess where the call cannot be read."""
        taken = 0
        try:
            named = None if call is None else call.model
            target = self._target(self._model or named or _NO_MODEL, () if call is None else call.tools)
            if call is not None and call.system:
                taken = sum(draft.tokens for draft in parse({"role": "system", "content": call.system}))
        except CtxMemError:
            target = self._target(self._model or _NO_MODEL)
        room = target.capacity(Calibration(scale=target.model.prior), exact=False)
        return room - target.framing_tokens - target.tools_tokens - taken

    def _target(self, name: str, tools: Sequence[Any] = ()) -> Target:
        return choices.target(self._options, self._policy, model=name, tools=tools, **self._sizes)


def _contended(call: ModelCall) -> BadInput:
    return BadInput(
        f"session {call.session!r} is used by calls of several models at once; give each agent a session of its own"
    )
