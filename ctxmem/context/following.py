"""Follow a list that somebody else holds: append what is new in it, rewind to what differs, and take a turn.

The list is walked against what it was at the last call (`listed`): first by the caller's objects, which costs next to
nothing, from the first that differs by digest. What the log's segments say of it is all that is kept of it on disk.

I1. What is sent is the prompt of the list as given: its messages in its order, none that has left it.
I2. A message that cannot be read raises before anything is changed. Whatever else raises leaves what was done so far
    as a beginning of the list, from which the next call goes on.
I3. The caller's functions are called without a lock, as in `appending`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from ctxmem.context import appending, choices, surgery
from ctxmem.context.appending import Given, Place, Unread
from ctxmem.context.assembly import TurnRequest, atake, begin, take
from ctxmem.context.listed import Entry, Listed, digest_of
from ctxmem.context.session import Session
from ctxmem.context.spans import Followed
from ctxmem.errors import BadInput, BadMessage, ServerHeldHistory
from ctxmem.prompt import intake
from ctxmem.providers import Draft, Shape, parse, plain_message
from ctxmem.providers.plain import Json
from ctxmem.providers.registry import best_fit, named
from ctxmem.segment import PART_LISTED, Call, Facets, Record

Reading: TypeAlias = Callable[[Any], Sequence[Any]]  # the messages, of any provider, that one item of the list is

_CHUNK = 256  # segments read at once
_MOST_PLACES = 32  # at which the end of the old list is looked for in the new one
_HELD = ("previous_response_id", "conversation", "conversation_id", "thread", "thread_id", "previous_interaction_id")
_REMEDY = "turn server-held history off and pass the whole list: what the server holds can be neither cut nor counted"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asked for, checked."""

    items: Sequence[Any]  # of the list, without a system message at its head
    n_head: int  # how many items that was
    read: Reading
    system: list[Draft] | None  # [] : there is to be none; None: nothing was said
    tools: Sequence[Any] | None
    request: TurnRequest


def asked(
    session: Session,
    messages: Iterable[Any],
    *,
    system: Any = None,
    tools: Sequence[Any] | None = None,
    recall: str | None = None,
    recall_tokens: int | None = None,
    extra: Sequence[Any] = (),
    read: Reading | None = None,
) -> Asked:
    """Check what a caller wants; `read` says which messages an item of another kind of list is.

    Raises:
        BadInput: no list of messages, or a bad choice.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        raise BadInput(f"messages must be the whole list of messages, not {type(messages).__name__}")
    items, n_head, read_item = list(messages), 0, read or _itself
    head: list[Draft] | None = None
    if system is not None:
        head = parse({"role": "system", "content": system}, prefer=session.now.target.provider) if system else []
    elif items:
        head = _system(read_item(items[0]), session.now.target.provider)
        n_head = int(head is not None)
    return Asked(
        items[n_head:] if n_head else items, n_head, read_item, head, tools, choices.turn(recall, recall_tokens, extra)
    )


def _itself(item: Any) -> Sequence[Any]:
    return (item,)


def _system(messages: Sequence[Any], prefer: str) -> list[Draft] | None:
    """Read a system message at the head of a list; None where it begins with another."""
    role = None
    if len(messages) == 1:
        role = messages[0].get("role") if isinstance(messages[0], Mapping) else getattr(messages[0], "role", None)
    return parse(messages[0], prefer=prefer) if role in {"system", "developer"} else None


def refuse_server_history(settings: Mapping[str, Any]) -> None:
    """Raise where the arguments of a request name a conversation that the provider's server holds.

    Raises:
        ServerHeldHistory: names the argument.

    >>> refuse_server_history({"model": "gpt-5.1", "previous_response_id": None})
    """
    for name in _HELD:
        if settings.get(name):
            raise ServerHeldHistory(f"{name}: the provider's server holds this conversation; {_REMEDY}")


def follow(session: Session, wanted: Asked) -> Followed:
    """Follow the list and take a turn on this thread; see `Context.follow`."""
    work = _Work(session, wanted)
    while True:
        work.prepare()
        found = take(session, work.act)
        if found is not None:
            return found


async def afollow(session: Session, wanted: Asked) -> Followed:
    """Do as `follow`, awaiting the commit alone."""
    work = _Work(session, wanted)
    while True:
        work.prepare()
        found = await atake(session, work.act)
        if found is not None:
            return found


# -- what is new ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Message:
    """One message of the list: the items that it is, in plain JSON; of an item with several the first has it."""

    n_items: int
    shape: Shape
    parts: list[Json]
    digest: int = 0
    drafts: list[Draft] = field(default_factory=list)


class _Change(NamedTuple):
    """How the list goes on from what it was.

    `first` entries stand; then `n_gone` leave, and are kept for search where `is_cut`; `n_kept` after them stand too,
    where nothing was put in the place of what left.
    """

    first: int
    n_gone: int = 0
    n_kept: int = 0
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was found on a walk: valid while `Listed.version` is the same."""

    version: int
    known: int  # entries that the objects themselves begin with
    start: int  # position of the first item after them
    fresh: list[_Message]  # the messages of the list from there on
    n_same: int  # of which the first are the next entries
    change: _Change

    @property
    def new(self) -> list[_Message]:
        """The messages to append."""
        return self.fresh[self.n_same + self.change.n_kept :]


class _Work:
    """One call of `follow`: walk and read, then bring the session up to the list; again where that was disturbed."""

    def __init__(self, session: Session, wanted: Asked) -> None:
        self._session = session
        self._wanted = wanted
        self._now = session.options.now()  # the caller's own clock: without a lock
        self._facets: dict[Place, Facets] = {}  # what the caller's own `facets_of_call` said
        self._ahead: dict[tuple[str, str], tuple[Call, Facets]] = {}  # the same, by call id and text of the result
        self._unread: list[Unread] = []  # what it is to read
        self._plan: _Plan

    def prepare(self) -> None:
        """Walk the list and read what is new in it. Raises as `Context.follow`; changes nothing."""
        session = self._session
        for place, call, text in self._unread:
            self._facets[place] = intake.result_facets(call, {}, session.options.facets_of_call, text)
        tools, target = self._wanted.tools, session.now.target
        hints = target.natures if tools is None else target.with_tools(tools).natures
        self._plan = session.locked(lambda s: _walk(s, self._wanted))
        for message in self._plan.new:
            try:
                drafts = message.shape.parse(message.shape.joined(message.parts))
            except BadMessage as error:
                raise BadMessage(f"{_place_of(self._plan, message, self._wanted)}: {error}") from error
            message.drafts = intake.with_natures(drafts, hints, session.options.nature_of_call)
        if session.options.facets_of_call is not None:
            self._read_ahead()
        if len(self._plan.new) == len(self._plan.fresh) and not self._plan.start:
            _refuse_results_alone(self._plan.new)

    def _read_ahead(self) -> None:
        """Let the caller's own function read all new results now: a round for each would walk the list each time."""
        session = self._session
        calls = {call.id: call for call in session.locked(lambda s: s.waiting())}
        for draft in (draft for message in self._plan.new for draft in message.drafts):
            calls.update({call.id: call for call in draft.calls})
            call, key = calls.get(draft.call_id or ""), (draft.call_id or "", draft.text)
            if call is not None and key not in self._ahead:
                read = intake.result_facets(call, {}, session.options.facets_of_call, draft.text)
                self._ahead[key] = (call, read)

    def _place_facets(self, s: Session, drafts: Sequence[Draft]) -> None:
        """Say of the calls that results answer what was read of them ahead."""
        for draft in drafts if self._ahead else ():
            place = s.now.state.calls.find(draft.call_id or "")
            found = self._ahead.get((draft.call_id or "", draft.text))
            if place is not None and found is not None and found[0] == s.call(*place):
                self._facets[place] = found[1]

    def act(self, s: Session) -> tuple[Followed | None, bool]:
        """Bring the session up to the list and begin a turn; None where the walk is out of date or more is to be read.

        Inside `turn` and `locked`.
        """
        plan, wanted = self._plan, self._wanted
        listed = _synced(s)
        if listed.version != plan.version:
            return None, False
        _leave(s, listed, plan.change)
        listed.seat(plan.known, [each.n_items for each in plan.fresh[: plan.n_same + plan.change.n_kept]])
        _lead(s, wanted, self._now)
        if wanted.tools is not None:
            surgery.switch(s, s.now.target.with_tools(wanted.tools))
        for message in plan.new:
            self._place_facets(s, message.drafts)
            given = Given(listed=message.digest)
            bound, self._unread = appending.bind(s, message.drafts, given, self._now, self._facets)
            if self._unread:
                return None, False
            made = appending.put(s, bound)
            listed.add(Entry(message.n_items, message.digest, tuple(each.segment_id for each in made)))
        listed.hold(wanted.items, plan.start)
        prompt, is_new = begin(s, wanted.request, self._now)
        return Followed(prompt, tuple(listed.entries), wanted.n_head), is_new


def _walk(s: Session, wanted: Asked) -> _Plan:
    """Compare the list with what it was. O(items), 0.1 us each, and 5 us for each from the first new object on."""
    listed, prefer = _synced(s), s.now.target.provider
    known = listed.common(wanted.items)
    known = _reopened(listed, known, wanted, prefer)
    start = listed.stop_of(known)
    fresh = _messages(wanted, start, prefer)
    old = listed.entries[known:]
    pairs = zip(old, fresh, strict=False)
    n_same = next((i for i, (one, other) in enumerate(pairs) if one.digest != other.digest), min(len(old), len(fresh)))
    change = _change(s, known + n_same, old[n_same:], fresh[n_same:])
    return _Plan(listed.version, known, start, fresh, n_same, change)


def _reopened(listed: Listed, known: int, wanted: Asked, prefer: str) -> int:
    """Take back the last entry that stands where what follows it in the list is a part of the same message."""
    stop = listed.stop_of(known)
    if not 0 < stop < len(wanted.items):
        return known
    before, after = (_read(wanted, at, prefer) for at in (stop - 1, stop))
    if len(before) != 1 or len(after) != 1 or not _continues(before[0], after[0]):
        return known
    return known - 1


def _continues(before: _Message, after: _Message) -> bool:
    return before.shape is after.shape and before.shape.continues(before.parts[-1], after.parts[0])


def _read(wanted: Asked, at: int, prefer: str) -> list[_Message]:
    """Read one item of the list."""
    found = list[_Message]()
    try:
        for message in wanted.read(wanted.items[at]):
            whole = plain_message(message)
            if whole.get("type") == "item_reference":
                raise ServerHeldHistory(f"messages[{at + wanted.n_head}] only refers to what a server holds; {_REMEDY}")
            found.append(_Message(int(not found), best_fit(whole, prefer), [whole]))
    except BadMessage as error:
        raise BadMessage(f"messages[{at + wanted.n_head}]: {error}") from error
    return found


def _messages(wanted: Asked, start: int, prefer: str) -> list[_Message]:
    """Read the list from a position on; an item without a message counts to the message after it."""
    found, n_silent, is_open = list[_Message](), 0, False
    for at in range(start, len(wanted.items)):
        made = _read(wanted, at, prefer)
        if len(made) == 1 and is_open and not n_silent and _continues(found[-1], made[0]):
            found[-1].parts += made[0].parts
            found[-1].n_items += 1
            continue
        if made:
            made[0].n_items += n_silent
            n_silent = 0
        else:
            n_silent += 1
        is_open = len(made) == 1
        found += made
    for message in found:
        message.digest = digest_of(message.shape.joined(message.parts), message.shape.output_only)
    return found


def _place_of(plan: _Plan, message: _Message, wanted: Asked) -> str:
    """Name the position of a message in the caller's list."""
    before = plan.fresh[: next(i for i, each in enumerate(plan.fresh) if each is message) + 1]
    return f"messages[{wanted.n_head + plan.start + sum(each.n_items for each in before) - 1}]"


def _change(s: Session, first: int, old: Sequence[Entry], new: Sequence[_Message]) -> _Change:
    """Say how the list goes on where it differs.

    Where the end of what it was stands in it, after less than stood before it, the caller cut or summarised: what that
    took out is kept for search. So it is where nothing at all is left of it. Else it was rewound.
    """
    if not old:
        return _Change(first)
    n_kept, stop = _aligned(old, new)
    n_gone, n_head = len(old) - n_kept, stop - n_kept
    if not n_kept or n_gone <= n_head:
        return _Change(first, len(old), is_cut=not first and not n_kept)
    if n_head or s.now.state.straddles(old[0].ids[0], old[n_gone].ids[0]):
        return _Change(first, n_gone, is_cut=True)
    return _Change(first, n_gone, n_kept, is_cut=True)


def _aligned(old: Sequence[Entry], new: Sequence[_Message]) -> tuple[int, int]:
    """Return how long an end of the old list stands in the new one, and where it ends there; the longest there is."""
    digests, last = [each.digest for each in new], old[-1].digest
    best = (0, 0)
    for at in [i for i, digest in enumerate(digests) if digest == last][-_MOST_PLACES:]:
        n = 1
        while n < len(old) and n <= at and digests[at - n] == old[-1 - n].digest:
            n += 1
        best = max(best, (n, at + 1))
    return best


def _refuse_results_alone(new: Sequence[_Message]) -> None:
    """Raise where a list begins with results, and holds nothing that a model said: a server holds the rest.

    Raises:
        ServerHeldHistory: names the call.
    """
    drafts = [draft for message in new for draft in message.drafts]
    if drafts and drafts[0].call_id is not None and all(draft.kind != "assistant" for draft in drafts):
        raise ServerHeldHistory(f"the list begins with a result of call {drafts[0].call_id!r}, not in it; {_REMEDY}")


# -- what the session holds ---------------------------------------------------------------------------------------


def _synced(s: Session) -> Listed:
    """Bring what is known of the list up to the log: after a resume, a rewind, or an append besides."""
    listed, state = s.listed, s.now.state
    if listed.entries and listed.entries[-1].ids[-1] in state.unlisted:
        listed.clear()
    if listed.seen_id < state.last_id:
        parts = list[int]()
        for segment_id, record in _appended(s, listed.seen_id):
            if not _is_of_list(record):
                continue
            parts.append(segment_id)
            if record.facts.listed != PART_LISTED:
                listed.add(Entry(1, record.facts.listed or _digest(record), tuple(parts)))
                parts = []
        if parts:  # of a message whose append was interrupted: it stands for nothing in the list
            listed.add(Entry(1, 0, tuple(parts)))
        listed.look(state.last_id)
    return listed


def _appended(s: Session, after: int) -> Iterable[tuple[int, Record]]:
    ids = [i for i in s.log.index.session_ids(s.number, after) if i not in s.now.state.unlisted]
    if after < 0:
        for one in s.now.row.ancestors:
            ids += [i for i in s.log.index.session_ids(one.session) if i <= one.newest]
        ids = sorted(i for i in ids if i not in s.now.state.unlisted)
    for at in range(0, len(ids), _CHUNK):
        yield from zip(ids[at : at + _CHUNK], s.log.get_many(ids[at : at + _CHUNK]), strict=True)


def _is_of_list(record: Record) -> bool:
    """Say whether a segment is a message of the conversation; not what ctxmem wrote, nor the system prompt."""
    facts = record.facts
    return facts.turn >= 0 and not facts.is_system and not facts.quotes


def _digest(record: Record) -> int:
    """Name a message that was appended besides: where the list holds it too, it is the same one."""
    if record.message is None or record.shape is None:
        return 0
    return digest_of(record.message, named(record.shape).output_only)


def _leave(s: Session, listed: Listed, change: _Change) -> None:
    """Take out of the prompt what is no longer in the list."""
    if not change.n_gone:
        return
    gone = listed.entries[change.first : change.first + change.n_gone]
    ids = [segment_id for entry in gone for segment_id in entry.ids]
    if change.n_kept:
        surgery.cut(s, ids[0], listed.entries[change.first + change.n_gone].ids[0], ids)
        listed.cut(change.first, change.first + change.n_gone)
    else:
        surgery.take_back(s, ids[0], ids if change.is_cut else [])
        listed.cut(change.first)


def _lead(s: Session, wanted: Asked, at: float) -> None:
    """Set the system prompt that the list begins with, or that was given apart; leave one that was in the list."""
    system_id = s.now.state.system_id
    if wanted.system:
        given = Given(is_system=True, listed=PART_LISTED if wanted.n_head else 0)
        appending.put(s, appending.bind(s, wanted.system, given, at, {})[0])
    elif system_id >= 0 and (wanted.system is not None or s.log.get(system_id).facts.listed):
        surgery.leave_system(s)
