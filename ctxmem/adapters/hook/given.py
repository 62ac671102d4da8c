"""Turn a prompt back into a framework's list: its own objects where they stand whole, new ones for everything else.

I1. An object of the framework is given back as it is, or not at all: it is never changed or copied here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ctxmem.context.spans import Followed
from ctxmem.prompt.sources import SYSTEM
from ctxmem.providers.plain import Json

Making = Callable[[list[Json], str, list[Any]], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the list of a framework reads and is written.

    Attributes:
        provider: the wire shape in which `make` gets messages, and that tools are in.
        read: the messages, of any provider, that one item of the list is: none, one or several.
        make: new items for messages of a prompt that ctxmem wrote or shortened. It is called with the messages, their
            kind (`Prompt.sources`), and the framework's items that they stand for, none for what ctxmem added.
    """

    provider: str
    read: Callable[[Any], Sequence[Any]]
    make: Making


def given_back(followed: Followed, items: Sequence[Any], dialect: Dialect) -> list[Any]:
    """Return a prompt as a list of the framework; a system prompt that was not in its list is left out."""
    found, messages = list[Any](), followed.prompt.messages
    for span in followed.spans():
        own = [items[position] for position in span.items]
        if span.is_whole:
            found += own
        elif span.kind != SYSTEM:
            found += dialect.make(messages[span.start : span.stop], span.kind, own)
    return found
