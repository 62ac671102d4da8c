"""The handle on one session's lease."""

from collections.abc import Callable


class Lease:
    """The right to run one session's context; `release` gives it back, and so does the end of the process."""

    def __init__(self, session: int, release: Callable[[int], None]) -> None:
        self.session = session
        self.is_held = True
        self._release = release

    def release(self) -> None:
        """Give the lease back; on disk when this returns, again does nothing."""
        if self.is_held:
            self._release(self.session)
            self.is_held = False  # after it: where the commit failed, or was interrupted, calling again is the remedy
