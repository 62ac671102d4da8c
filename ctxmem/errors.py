"""Every error that ctxmem raises, and nothing else: this file imports no other of ours.

    CtxMemError
    |- BadInput (ValueError)            the caller's argument is wrong; nothing was written
    |  |- BadMessage                    a message no provider shape explains
    |  |- ServerHeldHistory             a list that only goes on what a provider's server holds
    |  |- BadQuery                      a search query that cannot be answered
    |  |- KeyConflict                   the key names other content already
    |  `- ToolsChanged                  kwargs() was given tools that were not counted
    |- SegmentNotFound (KeyError)       no such id, or it is not reachable from here
    |- TurnNotFound (KeyError)          no such turn in this session
    |- WindowOverflow (ValueError)      what must stay is larger than the budget
    |- BudgetExceeded (RuntimeError)    the next call would cost more than `Policy.budget_usd` leaves
    |- ContextBusy (RuntimeError)       another live process holds the session
    |- StoreError (RuntimeError)        the store as a whole
    |  |- StoreBusy                     open here already, or others hold what is needed
    |  |- StoreClosed                   used after close
    |  |- StoreForked                   used in a child process that did not open it
    |  |- StoreGone                     its files were removed while it was open
    |  |- StoreFull                     the disk or the address space is full
    |  |- StoreReadonly                 a write to a store opened for reading
    |  |- NotAStore                     the path holds something else
    |  |- FormatMismatch                written in a format that this ctxmem does not read
    |  |- StoreDamaged                  bytes on disk are not what was written
    |  `- WriterFenced                  another process took over this writer's slot
    |- CorruptSegment (ValueError)      one record fails its checksum
    `- PackageMissing (ImportError)     an adapter needs a package that is not installed here

Each says what is wrong and what to do about it, and carries the facts as attributes.
"""

from collections.abc import Sequence


class CtxMemError(Exception):
    """The root of every error that ctxmem raises on purpose."""


class BadInput(CtxMemError, ValueError):
    """An argument is of the wrong shape, size or value; nothing was written."""


class BadMessage(BadInput):
    """A message fits no provider shape that ctxmem knows; nothing was written."""


class ServerHeldHistory(BadInput):
    """The provider's server holds the conversation, so no list of ours can be its prompt; nothing was written."""


class BadQuery(BadInput):
    """A search query cannot be answered as it stands: too long, or nothing in it to search for."""


class KeyConflict(BadInput):
    """The idempotency key, or the call, has other content already.

    Attributes:
        segment_id: the segment that holds it.
    """

    def __init__(self, message: str, segment_id: int) -> None:
        super().__init__(message)
        self.segment_id = segment_id


class ToolsChanged(BadInput):
    """`Prompt.kwargs` was given tools other than those that were counted."""


class SegmentNotFound(CtxMemError, KeyError):
    """No segment of that id can be reached from here.

    Attributes:
        segment_id: the id asked for.
    """

    def __init__(self, message: str, segment_id: int) -> None:
        super().__init__(message)
        self.segment_id = segment_id

    def __str__(self) -> str:
        """Show the message itself: KeyError would show its repr."""
        return str(self.args[0])


class TurnNotFound(CtxMemError, KeyError):
    """The session has no such turn."""

    def __str__(self) -> str:
        """Show the message itself: KeyError would show its repr."""
        return str(self.args[0])


class WindowOverflow(CtxMemError, ValueError):
    """The roots alone are larger than the budget; nothing was dropped or written.

    Attributes:
        budget: tokens that the prompt may hold.
        needed: tokens that the roots need.
        roots: (segment id, tokens, rule) by size, largest first.
    """

    def __init__(self, message: str, budget: int, needed: int, roots: Sequence[tuple[int, int, str]]) -> None:
        super().__init__(message)
        self.budget = budget
        self.needed = needed
        self.roots = tuple(roots)


class BudgetExceeded(CtxMemError, RuntimeError):
    """The next call is expected to pass the budget in dollars; no turn was taken.

    Attributes:
        budget_usd: the budget, in dollars.
        spent_usd: what is spent of it.
        expected_usd: what the call would cost.
        per: "turn", "session" or "day".
    """

    def __init__(self, message: str, budget_usd: float, spent_usd: float, expected_usd: float, per: str) -> None:
        super().__init__(message)
        self.budget_usd = budget_usd
        self.spent_usd = spent_usd
        self.expected_usd = expected_usd
        self.per = per


class ContextBusy(CtxMemError, RuntimeError):
    """Another live owner holds the session.

    Attributes:
        pid: its process id.
        host: its host name.
    """

    def __init__(self, message: str, pid: int, host: str) -> None:
        super().__init__(message)
        self.pid = pid
        self.host = host


class StoreError(CtxMemError, RuntimeError):
    """An error of the store as a whole."""


class StoreBusy(StoreError):
    """Every writer slot is taken, or another process has the store open where it is needed alone."""


class StoreClosed(StoreError):
    """The store, or the context, was closed before this call."""


class StoreForked(StoreError):
    """The store was opened by a parent process; open it again in this one."""


class StoreGone(StoreError):
    """The files of an open store were removed: what is appended from then on cannot be stored."""


class StoreFull(StoreError, OSError):
    """The disk, or the address space, has no room; what was on disk before is intact."""


class StoreReadonly(StoreError, PermissionError):
    """A write to a store that was opened for reading, or that stands on a read-only file system."""


class NotAStore(StoreError, OSError):
    """The path holds something that ctxmem did not make."""


class FormatMismatch(StoreError):
    """The store was written in a format that this ctxmem does not read: a newer one, or one without a conversion."""


class StoreDamaged(StoreError):
    """Bytes on disk are not what was written: truncated, or changed from outside."""


class WriterFenced(StoreError):
    """Another process took over this writer's slot; open the store again."""


class CorruptSegment(CtxMemError, ValueError):
    """A stored record fails its checksum.

    Attributes:
        segment_id: the record's id, where known.
    """

    def __init__(self, message: str, segment_id: int | None = None) -> None:
        super().__init__(message)
        self.segment_id = segment_id


class PackageMissing(CtxMemError, ImportError):
    """An adapter needs a third-party package that is not installed, or whose version it does not support.

    Attributes:
        extra: the extra of ctxmem-engine that installs it.
    """

    def __init__(self, message: str, extra: str) -> None:
        super().__init__(message)
        self.extra = extra
