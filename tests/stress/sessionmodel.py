"""A session as plain values, for `linear.order`: what was appended, what of it shows, which turn it is, who holds it.

It knows nothing of tokens: what a collection drops is taken from its answer, and so is which id a message got.
"""

from collections.abc import Hashable
from typing import NamedTuple

from tests.stress.linear import Call

CLOSED, EMPTY = "closed", "empty"  # answers: StoreClosed was raised; there was nothing to send
FORGOTTEN = "[forgotten]"


class Standing(NamedTuple):
    """One session between two calls."""

    handle: Hashable = None  # which Context object is open; None where the session is closed
    used: frozenset[Hashable] = frozenset()  # the handles that were open once
    last: int = -1  # the newest id
    own: frozenset[int] = frozenset()  # ids appended to this session
    shown: frozenset[tuple[int, int]] = frozenset()  # (group, id) of what a prompt shows
    gone: frozenset[int] = frozenset()  # forgotten
    turn: int = 0
    is_changed: bool = True  # since the last turn


def step(now: Standing, call: Call) -> Standing | None:
    """Return where the session stands after a call with this answer; None where the answer is wrong."""
    if call.name in _ANYWHERE:
        return _ANYWHERE[call.name](now, call)
    handle = call.given[0]
    if call.answer == CLOSED:
        return now if handle != now.handle else None
    return _INSIDE[call.name](now, call) if handle == now.handle else None


def _opened(now: Standing, call: Call) -> Standing | None:
    if now.handle is not None:
        return now if call.answer == now.handle else None  # a session has one context
    if call.answer in now.used:
        return None
    return now._replace(handle=call.answer, used=now.used | {call.answer})


def _closed(now: Standing, call: Call) -> Standing | None:
    return now._replace(handle=None) if call.given[0] == now.handle else now


def _ended(now: Standing, _: Call) -> Standing | None:
    return now._replace(handle=None)  # the whole store was closed


def _found(now: Standing, call: Call) -> Standing | None:
    return now if call.answer == now.own - now.gone else None


def _read(now: Standing, call: Call) -> Standing | None:
    return now if (call.answer == FORGOTTEN) == (call.given[0] in now.gone) else None


def _forgotten(now: Standing, call: Call) -> Standing | None:
    return now._replace(gone=now.gone | {call.given[0]})


def _appended(now: Standing, call: Call) -> Standing | None:
    group, made = call.answer
    if made <= now.last:
        return None
    return now._replace(last=made, own=now.own | {made}, shown=now.shown | {(group, made)}, is_changed=True)


def _taken(now: Standing, call: Call) -> Standing | None:
    """A turn: its number, what it shows, and the groups that it dropped. Nothing new may give the last turn again."""
    if call.answer == EMPTY:
        return now if not now.shown else None
    turn, shown, dropped = call.answer
    left = _without(now.shown, dropped)
    if frozenset(one for group, one in left if one == group or group not in now.gone) != shown:
        return None  # of a group that begins with a forgotten message only that message shows
    if turn == now.turn and not now.is_changed:
        return now
    return now._replace(turn=turn, shown=left, is_changed=False) if turn == now.turn + 1 else None


def _collected(now: Standing, call: Call) -> Standing | None:
    groups = {group for group, _ in now.shown}
    if not groups >= set(call.answer):
        return None
    return _showing(now, _without(now.shown, call.answer))


def _showing(now: Standing, shown: frozenset[tuple[int, int]]) -> Standing:
    return now._replace(shown=shown, is_changed=now.is_changed or shown != now.shown)


def _without(shown: frozenset[tuple[int, int]], groups: tuple[int, ...]) -> frozenset[tuple[int, int]]:
    return frozenset(pair for pair in shown if pair[0] not in groups) if groups else shown


def _dropped(now: Standing, call: Call) -> Standing | None:
    return _showing(now, _without(now.shown, (call.given[1],)))


def _rewound(now: Standing, call: Call) -> Standing | None:
    return _showing(now, frozenset(pair for pair in now.shown if pair[1] < call.given[1]))


def _forked(now: Standing, call: Call) -> Standing | None:
    """A fork answers with the groups that its first prompt shows: all that show here."""
    return now if frozenset(group for group, _ in now.shown) == call.answer else None


def _unchanged(now: Standing, _: Call) -> Standing | None:
    return now  # what was learned or chosen may ask for another turn, and need not


_ANYWHERE = {"open": _opened, "close": _closed, "end": _ended, "search": _found, "get": _read, "forget": _forgotten}
_INSIDE = {
    "append": _appended,
    "assemble": _taken,
    "collect": _collected,
    "drop": _dropped,
    "rewind": _rewound,
    "fork": _forked,
    "observe": _unchanged,
    "switch": _unchanged,
}
