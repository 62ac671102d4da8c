"""What stands in a prompt for what is not shown in full: stubs and cut texts.

Invariants:
    I1. The same segment gives the same bytes for ever.
    I2. Quoted text can forge no line, no id and no heading: see `gist.escaped`.
"""

from collections.abc import Callable
from typing import Final

_LEAST_CUT_TOKENS: Final = 60  # below it head and tail would be shorter than the notice between them


def _way_back(segment_id: int, *, has_memory_read: bool) -> str:
    return f"memory_read({segment_id}) shows it" if has_memory_read else "run the call again if needed"


def stub(segment_id: int, tokens: int, *, has_memory_read: bool, gist: str = "") -> str:
    """Return what stands for a result that is cut: its id, its size, what it held, the way back.

    >>> stub(12, 4312, has_memory_read=True)
    '[#12 result cut: 4,312 tokens; memory_read(12) shows it]'
    """
    held = f": {gist}" if gist else ""
    return (
        f"[#{segment_id} result cut: {tokens:,} tokens; {_way_back(segment_id, has_memory_read=has_memory_read)}]{held}"
    )


def shortened(
    segment_id: int, text: str, limit_tokens: int, count: Callable[[str], int], *, has_memory_read: bool
) -> str:
    """Keep the head and the tail of a text within `limit_tokens`, and name the cut between them."""
    total = count(text)
    if total <= limit_tokens:
        return text
    if limit_tokens < _LEAST_CUT_TOKENS:
        return f"[#{segment_id} cut: {total:,} tokens]"
    share = max(0.0, (limit_tokens - 40) / total)
    while True:
        half = int(len(text) * share / 2)
        way_back = _way_back(segment_id, has_memory_read=has_memory_read)
        cut = f"\n[#{segment_id} cut here: about {total - limit_tokens:,} tokens; {way_back}]\n"
        made = text[:half] + cut + (text[-half:] if half else "")
        if count(made) <= limit_tokens or half == 0:
            return made
        share *= 0.9
