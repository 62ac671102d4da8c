"""The sessions of a store by name and by number, remembered: both directions never change once they are committed."""

from collections.abc import Callable, Iterable

from ctxmem.log.writer import Write
from ctxmem.store import Store
from ctxmem.tables import names

_REMEMBERED_MOST = 65_536


class Sessions:
    """Session names and numbers, remembered. Safe from any thread; 0.1 us where remembered, else a read."""

    def __init__(self, store: Store, commit: Callable[[list[Write]], None]) -> None:
        self._store = store
        self._commit = commit
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def number(self, name: str) -> int | None:
        """Return the number of a session, or None where there is none."""
        found = self._numbers.get(name)
        if found is None:
            with self._store.snapshot() as snapshot:
                found = names.session_number(snapshot, name)
            if found is not None:
                self._remember(name, found)
        return found

    def make(self, wanted: list[str]) -> list[int]:
        """Return the numbers of sessions, creating those that are new, in one commit."""
        found: list[int] = []
        self._commit([lambda batch: found.__setitem__(slice(None), names.create_sessions(batch, wanted))])
        for name, number in zip(wanted, found, strict=True):
            self._remember(name, number)
        return found

    def name(self, number: int) -> str | None:
        """Return the name of a session, or None; 0 is no session."""
        found = self._names.get(number)
        if found is None and number > 0:
            with self._store.snapshot() as snapshot:
                found = names.session_name(snapshot, number)
            if found is not None:
                self._remember(found, number)
        return found

    def all(self) -> Iterable[tuple[int, str]]:
        """Return every session as (number, name), by number."""
        with self._store.snapshot() as snapshot:
            return names.session_names(snapshot)

    def _remember(self, name: str, number: int) -> None:
        if len(self._numbers) >= _REMEMBERED_MOST:
            self._numbers.clear()
            self._names.clear()
        self._numbers[name] = number
        self._names[number] = name
