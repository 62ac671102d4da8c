"""What stands in a prompt for what is not shown in full: stubs, cut texts, image stubs; and how quoted text is escaped.

Invariants:
    I1. The same segment gives the same bytes for ever.
    I2. Quoted text can forge no line, no id and no heading: see `gist.escaped`.
"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from ctxmem.ledger.gist import escaped, excerpts
from ctxmem.ledger.wrapping import unwrapped

Source: TypeAlias = Literal["call", "change", "user", "unknown"]  # of a text; "change": a call that changed something

STUB_CHARS: Final = 200  # of a result that is cut, what still stands
HALF_CHARS: Final = 100
_LEAST_CUT_TOKENS: Final = 60  # below it head and tail would be shorter than the notice between them


_REMEDIES: Final[dict[Source, str]] = {  # where the model has no `memory_read`
    "call": "run the call again if needed",
    "change": "it was done; do not run it again",
    "user": "the rest is kept, not shown; ask the user if needed",
    "unknown": "the rest is kept, not shown",
}


def _way_back(segment_id: int, source: Source, *, has_memory_read: bool) -> str:
    return f"memory_read({segment_id}) shows it" if has_memory_read else _REMEDIES[source]


def stub(
    segment_id: int, text: str, tokens: int, failed: str = "", *, has_memory_read: bool, source: Source = "call"
) -> str:
    r"""Return what stands for a result that is cut: how it began and ended, or whole records; its size, the way back.

    `failed` is the line that says why a call failed. `source` says what the text is, so how to get at the rest.

    >>> print(stub(12, "line one\nline two\nline three", 4312, has_memory_read=True))
    line one
    [#12 cut: 4,312 tokens; memory_read(12) shows it]
    line three
    """
    way_back = "; " + _way_back(segment_id, source, has_memory_read=has_memory_read)
    if failed and source == "change" and not has_memory_read:
        way_back = ""  # it was not done
    cut = f"[#{segment_id} cut: {tokens:,} tokens{way_back}]"
    text = unwrapped(text)
    if failed:
        return f"{cut} failed: {failed[: STUB_CHARS if failed.isascii() else STUB_CHARS // 3]}"
    records = _records(text)
    if records:
        return f"{records}\n{cut}"
    half = HALF_CHARS if text.isascii() else HALF_CHARS // 3  # of other scripts a sign may take a token
    rows = [escaped(row) for row in text[:4_000].splitlines() if row.strip()]
    last = (
        [escaped(row) for row in text[-2_000:].splitlines() if row.strip()]
        if len(rows) > 1 or len(text) > 4_000
        else []
    )
    head = rows[0][:half] if rows else ""
    tail = last[-1][-half:] if last and last[-1] != (rows[0] if rows else "") else ""
    return "\n".join(part for part in (head, cut, tail) if part)


def _records(text: str) -> str:
    """Return the first whole records of a JSON text; nothing of any other."""
    if text.lstrip()[:1] not in ("{", "["):
        return ""
    kept, left = [], STUB_CHARS if text.isascii() else STUB_CHARS // 3
    for one in excerpts(text)[:40]:
        if "=" in one.text and len(one.text) <= left:
            kept.append(one.text)
            left -= len(one.text) + 3
    return " | ".join(kept)


def shortened(
    segment_id: int,
    text: str,
    limit_tokens: int,
    count: Callable[[str], int],
    *,
    has_memory_read: bool,
    source: Source = "call",
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
        way_back = _way_back(segment_id, source, has_memory_read=has_memory_read)
        cut = f"\n[#{segment_id} cut here: about {total - limit_tokens:,} tokens; {way_back}]\n"
        made = text[:half] + cut + (text[-half:] if half else "")
        if count(made) <= limit_tokens or half == 0:
            return made
        share *= 0.9
