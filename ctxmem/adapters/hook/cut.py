"""Cut a list to what fits where its prompt cannot be made: the task, and the newest of it, calls with their results.

I1. A result is kept only with its call. The last messages that belong together are kept whatever they take.

It needs no store, and no message that it cannot read fails it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ctxmem import tokens
from ctxmem.providers import parse

_UNREAD_TOKENS = 64  # of an item that cannot be read, beside its text


class _Weight(NamedTuple):
    """One item: its o200k tokens, the calls that it makes, those that it answers, whether a user asks for something."""

    tokens: int
    calls: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    is_request: bool = False


def cut(items: Sequence[Any], read: Callable[[Any], Sequence[Any]], provider: str, room_tokens: int) -> list[Any]:
    """Return the items that are sent: all where they fit. O(items looked at), 60 us for each KB of their text."""
    scale = _Scale(items, read, provider)
    start = scale.start(room_tokens)
    task = next((at for at in range(start) if scale.weight(at).is_request), None)
    if task is None:
        return list(items[start:])
    left = room_tokens - scale.weight(task).tokens
    shorter = scale.start(left)
    if sum(scale.weight(at).tokens for at in range(shorter, len(items))) > left:
        return list(items[start:])
    return [items[task], *items[max(shorter, task + 1) :]]


class _Scale:
    """The items of one list, each weighed once."""

    def __init__(self, items: Sequence[Any], read: Callable[[Any], Sequence[Any]], provider: str) -> None:
        self._items = items
        self._read = read
        self._provider = provider
        self._weights = dict[int, _Weight]()
        self._orphans = set[str]()  # results without a call in the whole list: nothing keeps them together

    def weight(self, at: int) -> _Weight:
        """Weigh one item."""
        if at not in self._weights:
            self._weights[at] = self._weighed(self._items[at])
        return self._weights[at]

    def _weighed(self, item: Any) -> _Weight:
        try:
            drafts = [d for message in self._read(item) for d in parse(message, prefer=self._provider)]
        except Exception:  # noqa: BLE001 - what cannot be read may be why there is no prompt: it is guessed
            return _Weight(tokens.count(str(item)) + _UNREAD_TOKENS)
        answers = tuple(draft.call_id for draft in drafts if draft.call_id is not None)
        return _Weight(
            sum(draft.tokens for draft in drafts),
            tuple(call.id for draft in drafts for call in draft.calls),
            answers,
            is_request=not answers and any(draft.kind == "user" for draft in drafts),
        )

    def start(self, room_tokens: int) -> int:
        """Return where the longest end of the list begins that fits; the shortest one, where not one fits."""
        waiting, total, best = set[str](), 0, len(self._items)
        for at in range(len(self._items) - 1, -1, -1):
            weight = self.weight(at)
            total += weight.tokens
            if total > room_tokens and best < len(self._items):
                return best
            waiting.update(weight.answers)
            waiting -= self._orphans
            waiting.difference_update(weight.calls)
            best = best if waiting else at
        if waiting:
            self._orphans |= waiting
            return self.start(room_tokens)
        return best
