"""Text protocols: an agent writes its calls as text, and their results come as user messages.

Told apart by form, in any language: where most of what the assistant says ends as a call does (a code block, a tag, a
line with one label: `Action:`), what looks like an output and answers such a message is a result; and so are user
messages that begin alike (`OBSERVATION:`). Where the first user message has a label too, labels name who speaks.

I1. The counts are of all that was taken in: what was told apart stays so while the window moves on. A rewind leaves
    them as they are.
I2. What has calls is no text protocol, and the first user message is never a result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from ctxmem.collector.growable import Array, Growable
from ctxmem.collector.item import ASSISTANT, RESULT, USER, Item

ALIKE: Final = 3  # so many messages of one form are a protocol
MOST_SHARE: Final = 0.8  # of the assistant's messages, that end as a call does
MOST_FORMS: Final = 64  # that are counted: a conversation of many labels has no protocol


@dataclass(slots=True)
class Protocol:
    """How the messages of one conversation end and begin, counted."""

    n_texts: int = 0  # assistant messages without calls
    has_calls: bool = False
    first_opening: int = -1  # of the first user message; 0: it has none; -1: there is none yet
    n_answers: int = 0  # user messages that follow what ends as a call does
    n_outputs: int = 0  # those of them that look like an output
    acts: dict[int, int] = field(default_factory=dict)  # form -> assistant messages
    openings: dict[int, int] = field(default_factory=dict)  # form -> user messages

    def note(self, item: Item, groups: Growable) -> Array:
        """Count the message that opened the newest group; return the rows that are now known to be results."""
        kind = int(groups["kind"][-1])
        if kind == ASSISTANT:
            self.has_calls |= item.calls > 0
            self.n_texts += item.calls == 0
            _count(self.acts, 0 if item.calls else item.form)
        elif kind == USER:
            self._note_user(item, groups)
            if not self.has_calls:
                return self._results(groups)
        return np.zeros(0, np.int64)

    def _note_user(self, item: Item, groups: Growable) -> None:
        answers = len(groups) > 1 and int(groups["kind"][-2]) == ASSISTANT
        act = int(groups["form"][-2]) if answers else 0
        self.n_answers += act > 0
        self.n_outputs += act > 0 and item.form > 0
        groups["form"][-1] = act if item.form else 0
        if self.first_opening < 0:
            self.first_opening = item.tool
        _count(self.openings, item.tool)

    def _results(self, groups: Growable) -> Array:
        """Return the rows of the user messages of the newest's form, where that is one of results."""
        act, opening = int(groups["form"][-1]), int(groups["tool"][-1])
        is_result = np.zeros(len(groups), bool)
        n = self.acts.get(act, 0)
        if n >= ALIKE and n >= MOST_SHARE * self.n_texts and 2 * self.n_outputs >= self.n_answers:
            is_result |= groups["form"] == act
        if self.openings.get(opening, 0) >= ALIKE and not self.first_opening:
            is_result |= groups["tool"] == opening
        rows: Array = np.flatnonzero(is_result & (groups["kind"] == USER))
        return rows

    def copy(self) -> "Protocol":
        """Return one that shares nothing with this one."""
        return replace(self, acts=dict(self.acts), openings=dict(self.openings))

    def pack(self) -> dict[str, Any]:
        """Give the counts as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "Protocol":
        """Rebuild from `pack`."""
        return cls(**packed).copy()


def _count(counts: dict[int, int], form: int) -> None:
    if form and (form in counts or len(counts) < MOST_FORMS):
        counts[form] = counts.get(form, 0) + 1


def turn_into_results(groups: Growable, segments: Growable, rows: Array) -> None:
    """Let groups of user messages be results from now on."""
    groups["kind"][rows] = RESULT
    groups["result_tokens"][rows] = groups["full_tokens"][rows]
    segments["is_result"][np.isin(segments["group"], rows)] = 1
