"""Where each message of a prompt comes from: what an adapter needs to give a caller's own objects back.

I1. A source of kind `message` shows its segments whole and as they were appended: the caller's own message may stand
    in its place. Everything else was written for this prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ctxmem.providers import Renderer, Unit

MESSAGE, STUB, LEDGER, RECALL, EXTRA, SYSTEM, CLOSED = (
    *("message", "stub", "ledger", "recall", "extra", "system", "closed"),
)
FILLER, MIXED = "filler", "mixed"


@dataclass(frozen=True, slots=True)
class Source:
    """Where one message of a prompt comes from.

    Attributes:
        kind: "message" (as it was appended), "stub" (a segment written otherwise: shortened, without images or
            reasoning, under other call ids, or forgotten), "ledger", "recall", "extra", "system", "closed" (it closes
            an open call), "filler" (what the provider needs and nobody said), "mixed" (neighbours of several kinds,
            which the provider has as one message).
        segments: ids of what it shows, in order; of a ledger, of what it tells; none of an `extra`, a filler, or what
            closes a call.
    """

    kind: str
    segments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """The units that a prompt was joined of, each with its source."""

    renderer: Renderer
    units: Sequence[Unit]
    sources: Sequence[Source]

    def of_messages(self) -> tuple[Source, ...]:
        """Return a source for each message of the prompt. O(units): they are joined again."""
        return tuple(map(self._merged, self.renderer.owners(self.units)))

    def _merged(self, owners: Sequence[int]) -> Source:
        found = [self.sources[index] for index in owners]
        if len(found) == 1:
            return found[0]
        kinds = {each.kind for each in found}
        kind = FILLER if not kinds else kinds.pop() if len(kinds) == 1 else MIXED
        return Source(kind, tuple(segment_id for each in found for segment_id in each.segments))
