"""Choose what to quote of a long text: the stretch that answers a query, cut at line ends. Pure.

I1. A stretch is named by its character offsets; the text itself is read again when it is rendered, so a forgotten
    original leaves nothing behind.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

_WORD = re.compile(r"\w{2,}")
MAX_SPOTS = 2_000  # occurrences looked at: bounds the work on a text that repeats one word


def words_of(query: str) -> frozenset[str]:
    """Return the query's words as looked for in a text: lower case, long words by their first characters (stems).

    >>> sorted(words_of("Running the login TESTS"))
    ['login', 'runni', 'tests', 'the']
    """
    return frozenset(w if len(w) <= 5 else w[: max(5, len(w) - 3)] for w in _WORD.findall(query[:20_000].lower()))


def _spots(text: str, words: frozenset[str]) -> list[tuple[int, str]]:
    if not words:
        return []
    pattern = re.compile("|".join(re.escape(w) for w in sorted(words, key=len, reverse=True)[:64]), re.IGNORECASE)
    out: list[tuple[int, str]] = []
    for match in pattern.finditer(text):
        out.append((match.start(), match.group().lower()))
        if len(out) == MAX_SPOTS:
            break
    return out


def stretch(text: str, words: frozenset[str], limit_chars: int) -> tuple[int, int]:
    r"""Return (start, stop) of the stretch of at most `limit_chars` with the most, and rarest, words of the query.

    Cost: O(len(text)) for one regular expression pass. The whole text where it fits.

    >>> text = "a b c\n" * 50 + "the login fails with 401\n" + "x y z\n" * 50
    >>> start, stop = stretch(text, words_of("login 401"), 60)
    >>> "login fails with 401" in text[start:stop]
    True
    """
    if len(text) <= limit_chars:
        return 0, len(text)
    spots = _spots(text, words)
    weight = {w: 1.0 / n for w, n in Counter(w for _, w in spots).items()}
    best, best_at, left, inside, value = -1.0, 0, 0, Counter[str](), 0.0
    for position, word in spots:
        inside[word] += 1
        value += weight[word] if inside[word] == 1 else 0.0
        while position - spots[left][0] > limit_chars * 0.7:
            gone = spots[left][1]
            inside[gone] -= 1
            value -= weight[gone] if inside[gone] == 0 else 0.0
            left += 1
        if value > best + 1e-9:
            best, best_at = value, spots[left][0]
    return _to_lines(text, max(0, best_at - limit_chars // 8), limit_chars)


def _to_lines(text: str, start: int, limit_chars: int) -> tuple[int, int]:
    """Move the start back to a line's start where one is near, the end to a line's end."""
    line = text.rfind("\n", max(0, start - limit_chars // 8), start) + 1
    start = line or start
    stop = min(len(text), start + limit_chars)
    if stop < len(text):
        end = text.rfind("\n", start + limit_chars // 2, stop)
        stop = end + 1 if end > 0 else stop
    return start, stop


def page(text: str, offset: int, limit_tokens: int, count: Callable[[str], int]) -> int:
    """Return where a page that starts at `offset` ends: the most characters that count to at most `limit_tokens`.

    Cost: a few counts of one page. Ends at a line's end where one stands in the last quarter.
    """
    low, high = offset, min(len(text), offset + limit_tokens * 8)
    if count(text[offset:high]) <= limit_tokens:
        low = high
    cuts = range(offset, high + 1, 64)
    if low < high:
        at = bisect_left(cuts, limit_tokens + 1, key=lambda c: count(text[offset:c])) - 1
        low = max(cuts[max(at, 0)], min(offset + 64, len(text)))
        line = text.rfind("\n", offset + (low - offset) * 3 // 4, low)
        low = line + 1 if line > 0 else low
    return low
