"""What stands in a prompt for what is not shown in full: stubs, cut texts, image stubs; and how quoted text is escaped.

Invariants:
    I1. The same segment gives the same bytes for ever.
    I2. Quoted text can forge no line, no id and no heading: see `gist.escaped`.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias

from ctxmem.ledger.gist import cut_words, escaped, excerpts
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


class Cut(NamedTuple):
    """What is cut: which segment, what its text is, the line that says why its call failed, what the model can call."""

    segment_id: int
    source: Source = "call"
    failed: str = ""
    has_memory_read: bool = False

    @property
    def way_back(self) -> str:
        """How to get at the rest, after a semicolon; nothing where a change failed: it was not done."""
        if self.has_memory_read:
            return f"; memory_read({self.segment_id}) shows it"
        return "" if self.failed and self.source == "change" else "; " + _REMEDIES[self.source]

    def why(self, most: int) -> str:
        """Say why the call failed, in about `most` tokens' worth of signs; nothing where it did not fail."""
        return f" failed: {cut_words(self.failed, most)}" if self.failed else ""


def stub(cut: Cut, text: str, tokens: int) -> str:
    r"""Return what stands for a result that is cut: how it began and ended, or whole records; its size, the way back.

    >>> print(stub(Cut(12, has_memory_read=True), "line one\nline two\nline three", 4312))
    line one
    [#12 cut: 4,312 tokens; memory_read(12) shows it]
    line three
    """
    notice = f"[#{cut.segment_id} cut: {tokens:,} tokens{cut.way_back}]"
    text = unwrapped(text)
    if cut.failed:
        return notice + cut.why(STUB_CHARS)
    records = _records(text)
    if records:
        return f"{records}\n{notice}"
    half = HALF_CHARS if text.isascii() else HALF_CHARS // 3  # of other scripts a sign may take a token
    rows = [escaped(row) for row in text[:4_000].splitlines() if row.strip()]
    last = (
        [escaped(row) for row in text[-2_000:].splitlines() if row.strip()]
        if len(rows) > 1 or len(text) > 4_000
        else []
    )
    head = cut_words(rows[0], half) if rows else ""
    tail = _end_of(last[-1], half) if last and last[-1] != (rows[0] if rows else "") else ""
    return "\n".join(part for part in (head, notice, tail) if part)


def _end_of(row: str, most: int) -> str:
    """Return the end of a row, from a word on: half a number is another number."""
    if len(row) <= most:
        return row
    end = row[-most:]
    return "..." + (end.partition(" ")[2] if " " in end else end)


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


def shortened(cut: Cut, text: str, limit_tokens: int, count: Callable[[str], int]) -> str:
    """Keep the head and the tail of a text within `limit_tokens`, and name the cut between them."""
    total = count(text)
    if total <= limit_tokens:
        return text
    if limit_tokens < _LEAST_CUT_TOKENS:
        least = f"[#{cut.segment_id} cut: {total:,} tokens]"
        told = (least + cut.why(most) for most in (HALF_CHARS, HALF_CHARS // 4))
        return next(
            (one for one in (*told, f"{least} failed" if cut.failed else least) if count(one) <= limit_tokens), least
        )
    share = max(0.0, (limit_tokens - 40) / total)
    while True:
        half = int(len(text) * share / 2)
        notice = (
            f"[#{cut.segment_id} cut here: about {total - limit_tokens:,} tokens{cut.way_back}]{cut.why(HALF_CHARS)}"
        )
        made = f"{text[:half]}\n{notice}\n" + (text[-half:] if half else "")
        if count(made) <= limit_tokens or half == 0:
            return made
        share *= 0.9
