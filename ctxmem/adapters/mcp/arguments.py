"""The arguments of one call, as a model wrote them: each is read leniently, and what is wrong is named in a sentence.

I1. Nothing that a model sends raises anything but `BadInput`, whose text is written for the model.
I2. An argument of None or of blanks is one that was not given: models fill in what they need not.
"""

from collections.abc import Collection, Mapping
from typing import Any

from ctxmem import inputs, moments
from ctxmem.errors import BadInput
from ctxmem.prompt import memorytools

_MOST_NAMES = 12  # of unknown arguments, named in the answer: the first is enough to see what is wrong


class Arguments:
    """What was given to one tool."""

    def __init__(self, tool: str, given: Mapping[str, Any], known: Collection[str]) -> None:
        """Take what was given.

        Raises:
            BadInput: the tool does not know one of the names.
        """
        unknown = [name for name in given if name not in known]
        if unknown:
            named = ", ".join(inputs.shown(name, 40) for name in unknown[:_MOST_NAMES])
            raise BadInput(f"{tool} does not take {named}; it takes {', '.join(known)}.")
        self._given = {name: value for name, value in given.items() if value is not None}

    def text(self, name: str, most_chars: int) -> str | None:
        """Return a text, or None where none was given."""
        value = self._given.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if not isinstance(value, str):
            raise BadInput(f"`{name}` must be a text.")
        if len(value) > most_chars:
            raise BadInput(f"`{name}` has {len(value):,} characters; at most {most_chars:,} are taken.")
        return value

    def needed(self, name: str, most_chars: int, what: str) -> str:
        """Return a text that must be given; `what` says of what kind."""
        value = self.text(name, most_chars)
        if value is None:
            raise BadInput(f"`{name}` must be {what}.")
        return value

    def whole(self, name: str, default: int | None, low: int, high: int) -> int:
        """Return a whole number; `"#12"` and `"12"` are 12."""
        found = memorytools.whole(self._given, name, default, low, high)
        if isinstance(found, str):
            raise BadInput(found)
        return found

    def moment(self, name: str) -> float | None:
        """Return a time in seconds since the epoch, or None where none was given."""
        value = self._given.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return inputs.time_s(value, name)
        text = self.text(name, 100)
        return None if text is None else moments.read(text, name)

    def texts(self, name: str, most: int, most_chars: int) -> list[str]:
        """Return a list of texts; one text alone is a list of it."""
        value = self._given.get(name, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            raise BadInput(f"`{name}` must be a list of texts.")
        kept = [one.strip() for one in values if one.strip()]
        if len(kept) > most or any(len(one) > most_chars for one in kept):
            raise BadInput(f"`{name}` takes at most {most} texts of at most {most_chars} characters each.")
        return kept
