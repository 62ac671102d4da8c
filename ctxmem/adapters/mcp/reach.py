"""What a host may see: the sessions that a server was started for, and nothing of any other.

I1. A segment out of reach is told as one that does not exist: an id says nothing of what it stands for.
I2. Names become numbers on each question, so a session that another process begins is in reach at once.
"""

from collections.abc import Collection, Sequence

from ctxmem.context import choices
from ctxmem.errors import BadInput, SegmentNotFound
from ctxmem.inputs import short
from ctxmem.log import Log
from ctxmem.segment import Record


class Reach:
    """The sessions in reach: all of them, or those that are named."""

    def __init__(self, log: Log, session: str | None, reads: Sequence[str] | str) -> None:
        """Take a server's own session, and those that it reads besides; neither given, or `"*"`: the whole store.

        Raises:
            BadInput: a name that no session can have.
        """
        wanted = choices.reads(reads)
        own = () if session is None else (short(session, "session"),)
        self._log = log
        self.own = session
        self.names: tuple[str, ...] | None = None
        if not isinstance(wanted, str) and (own or wanted):
            self.names = tuple(dict.fromkeys((*own, *wanted)))

    def numbers(self) -> set[int] | None:
        """Return the numbers of the sessions in reach, None for all."""
        return None if self.names is None else self._numbers(self.names)

    def narrowed(self, session: str | None) -> set[int] | None:
        """Return the numbers of the sessions in reach that a question is about: one, or all where none is named.

        Raises:
            BadInput: there is no such session in reach.
        """
        return self.numbers() if session is None else {self.number(session)}

    def number(self, session: str) -> int:
        """Return the number of one session in reach.

        Raises:
            BadInput: there is none of that name.
        """
        if self.names is None or session in self.names:
            for number in self._numbers([short(session, "session")]):
                return number
        raise BadInput("There is no session of that name here; memory_recent shows which there are.")

    def record(self, segment_id: int) -> Record:
        """Return a segment's record.

        Raises:
            SegmentNotFound: there is none, or it is out of reach.
        """
        record = self._log.get(segment_id)
        if not self._has(record.session):
            raise SegmentNotFound(f"segment {segment_id} does not exist", segment_id)
        return record

    def is_own(self, record: Record) -> bool:
        """Say whether a record is of the server's own session; of any, where the server has none."""
        return self.own is None or self._log.session_name(record.session) == self.own

    def sessions(self) -> list[tuple[int, str]]:
        """Return the sessions in reach as (number, name), the newest first."""
        if self.names is None:
            return self._log.session_names()[::-1]
        return sorted(((n, str(self._log.session_name(n))) for n in self._numbers(self.names)), reverse=True)

    def _has(self, session: int) -> bool:
        return self.names is None or self._log.session_name(session) in self.names

    def _numbers(self, names: Collection[str]) -> set[int]:
        found = (self._log.session(name, create=False) for name in names)
        return {number for number in found if number is not None}
