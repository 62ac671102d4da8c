"""The leases that this writer holds, each as a handle: the right to run one session's context."""

from collections.abc import Callable

from ctxmem.log.writer import Writer
from ctxmem.store import Store
from ctxmem.tables import leases


class Lease:
    """The right to run one session's context; `release` gives it back, and so does the end of the process."""

    def __init__(self, session: int, release: Callable[[int], None]) -> None:
        self.session = session
        self.is_held = True
        self._release = release

    def release(self) -> None:
        """Give the lease back; on disk when this returns. A second call does nothing."""
        if self.is_held:
            self._release(self.session)
            self.is_held = False  # last: where the commit failed, or was interrupted, calling again is the remedy


class Leases:
    """Takes leases for one writer, and gives them back. Safe from any thread."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    def take(self, session: int) -> Lease:
        """Take the lease of a session; nothing is taken in a store that is open for reading.

        Raises:
            ContextBusy: another live process holds it.
        """
        if not self._store.readonly:
            slot = self._writer.reserve_ids()
            self._writer.commit([lambda batch: leases.acquire(batch, slot, session, self._store.is_slot_alive)])
        return Lease(session, self._give_back)

    def elsewhere(self) -> frozenset[int]:
        """Return the sessions that other live processes run."""
        slot = self._writer.slot
        with self._store.snapshot() as snapshot:
            return leases.elsewhere(snapshot, None if slot is None else slot.number, self._store.is_slot_alive)

    def _give_back(self, session: int) -> None:
        slot = self._writer.slot
        if slot is not None and self._store.is_open:
            self._writer.commit([lambda batch: leases.release(batch, slot, session)])
