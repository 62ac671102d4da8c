"""Whether what several threads saw of one thing could have happened one call after another.

A history is a list of calls, each with the moments at which it began and ended. It is linear where there is an order of
the calls that keeps every call that ended before another began in front of it, and in which a plain model, asked one
call at a time, gives every answer that was seen (Herlihy and Wing). The search is Wing and Gong's: of the calls that
may come next it tries each, and remembers which calls with which state of the model led nowhere (Lowe's memo).
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

State = TypeVar("State", bound=Hashable)
Step = Callable[[State, "Call"], "State | None"]

MOST_STEPS = 2_000_000


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what was asked, what was answered, and between which two moments of one clock."""

    begun: int
    ended: int
    name: str
    given: tuple[Any, ...] = ()
    answer: Any = None


class NotLinear(AssertionError):
    """No order explains the answers. Says which call could not be placed after the longest order that was found."""


def order(calls: Sequence[Call], start: State, step: Step[State]) -> list[Call]:
    """Return an order of the calls that explains them all; `step` gives the state after a call, None where it is wrong.

    Raises:
        NotLinear: there is none.
    """
    waiting = sorted(calls, key=lambda call: call.begun)
    seen: set[tuple[int, frozenset[int], State]] = set()
    path: list[int] = []
    longest: list[int] = []
    furthest = start  # where the model stands after the longest
    stack = [_following(waiting, 0, frozenset(), start, step)]
    for _ in range(MOST_STEPS):
        if len(path) == len(waiting):
            return [waiting[index] for index in path]
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            if not stack:
                raise NotLinear(_said(waiting, longest, furthest))
            path.pop()
            continue
        index, first, ahead, state = found
        if (first, ahead, state) in seen:
            continue
        seen.add((first, ahead, state))
        path.append(index)
        if len(path) > len(longest):
            longest, furthest = path.copy(), state
        stack.append(_following(waiting, first, ahead, state, step))
    raise NotLinear(f"undecided after {MOST_STEPS} steps: let fewer calls meet")


def _following(
    waiting: list[Call], first: int, ahead: frozenset[int], state: State, step: Step[State]
) -> Iterator[tuple[int, int, frozenset[int], State]]:
    """Yield each call that may come next: its index, then what is placed with it, and the state after it.

    Placed are all calls before `first`, and those in `ahead`.
    """
    due, may = None, []
    for index in range(first, len(waiting)):
        call = waiting[index]
        if due is not None and call.begun > due:
            break
        if index not in ahead:
            may.append(index)
            due = call.ended if due is None else min(due, call.ended)
    for index in sorted(may, key=lambda index: waiting[index].ended):
        if waiting[index].begun <= (due or 0) and (after := step(state, waiting[index])) is not None:
            then, placed = first, ahead | {index}
            while then in placed:
                placed -= {then}
                then += 1
            yield index, then, placed, after


def _said(waiting: list[Call], longest: list[int], furthest: object) -> str:
    last = [waiting[index] for index in longest[-8:]]
    left = [call for index, call in enumerate(waiting) if index not in set(longest)][:8]
    lines = [f"  placed  {call}" for call in last] + [f"  left    {call}" for call in left]
    return "\n".join([f"{len(longest)} of {len(waiting)} calls have an order, which ends in {furthest}:", *lines])
