"""The compression dictionaries of a store, by number, and which of them is in use. In the table meta.

It does not know how a dictionary is trained, or which records need one.
"""

from collections.abc import Iterable

from ctxmem.store import Batch, Snapshot
from ctxmem.tables import changes

# On disk: never renumber.
_CURRENT = b"dictionary"
_DICTIONARY = b"dictionary/"


def dictionary_key(number: int) -> bytes:
    """Return the key of a dictionary in the table meta."""
    return _DICTIONARY + number.to_bytes(4, "big")


def current_dictionary(snapshot: Snapshot) -> int | None:
    """Return the number of the dictionary in use, or None."""
    value = snapshot.get("meta", _CURRENT)
    return None if value is None else int.from_bytes(value, "big")


def dictionaries(snapshot: Snapshot) -> list[int]:
    """Return the number of every dictionary that the store holds."""
    end = _DICTIONARY[:-1] + bytes([_DICTIONARY[-1] + 1])
    return [int.from_bytes(key[len(_DICTIONARY) :], "big") for key in snapshot.keys("meta", _DICTIONARY, end)]


def put_dictionary(batch: Batch, data: bytes) -> int:
    """Store a dictionary under a new number, make it the current one, and return the number."""
    number = max([*dictionaries(batch), current_dictionary(batch) or 0]) + 1
    batch.put("meta", dictionary_key(number), data)
    batch.put("meta", _CURRENT, number.to_bytes(4, "big"))
    changes.record(batch, "dictionary", number)
    return number


def drop_dictionaries(batch: Batch, numbers: Iterable[int]) -> None:
    """Delete dictionaries that nothing needs any more; with the current one gone, none is in use."""
    current = current_dictionary(batch)
    for number in numbers:
        batch.delete("meta", dictionary_key(number))
        if number == current:
            batch.delete("meta", _CURRENT)
