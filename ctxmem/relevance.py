"""Score segments for a query: pure integer arithmetic over plain arrays, the same for the searcher and the oracle.

The formula, in full (all divisions are floor divisions of integers):

    impact(tf, length) = clip(round(256 tf / (tf + K1 (1 - B + B length / PIVOT))), 1, 255)         one byte a posting
    idf(n, df)         = round(4096 ln(1 + (n - df + 0.5) / (df + 0.5)))
    own score          = sum over terms of idf * impact                                               plain BM25

Conversation-aware: the pool is the `max(POOL, limit)` best by (own score, newest id). The rows are the pool and the
segments at distance 1 and 2 of each in its session. `rerank` scores the rows.

Does not know: the index, texts, where the numbers come from.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

K1 = 1.2  # saturation of a term's count. On disk: impacts are stored, never change.
B = 0.5  # how much a length counts. On disk: the same.
PIVOT = 64  # length, in terms, at which a segment is neither long nor short. On disk: the same.
MAX_TF = 255
POOL = 200
REACH = 2  # turns before and after a segment that speak for it

Int64s = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


def _impact_table() -> Array:
    """uint8[MAX_TF + 1, 1025]: by count and by length in steps, see `impacts`."""
    tf = np.arange(MAX_TF + 1, dtype=np.float64)[:, None]
    length = np.arange(1025, dtype=np.float64)[None, :]
    raw = 256 * tf / (tf + K1 * (1 - B + B * length / PIVOT))
    table = np.clip(np.rint(raw), 1, 255).astype(np.uint8)
    table[0] = 0
    return table


_IMPACTS = _impact_table()
_ODDS = np.array([i * 4096 // (256 - i) for i in range(256)], dtype=np.int64)


def impact(tf: int, length: int) -> int:
    """Return what one term's count says about a segment of that length, 1 to 255; 0 where the count is 0.

    >>> impact(1, 64), impact(3, 64), impact(1, 640)
    (116, 183, 34)
    """
    return int(_IMPACTS[min(tf, MAX_TF), min(length, 1024)])


def impacts(tf: Array, length: Array) -> npt.NDArray[np.uint8]:
    """Return `impact` of arrays, elementwise and equal to it.

    >>> impacts(np.array([1, 3]), np.array([64, 64]))
    array([116, 183], dtype=uint8)
    """
    found: npt.NDArray[np.uint8] = _IMPACTS[np.minimum(tf, MAX_TF), np.minimum(length, 1024)]
    return found


def idf(n: int, df: int) -> int:
    """Return the weight of a term that `df` of `n` segments hold, in units of 1/4096, at least 1.

    >>> idf(1000, 1), idf(1000, 1000)
    (26637, 2)
    """
    return max(1, round(4096 * float(np.log1p((n - df + 0.5) / (df + 0.5)))))


def rerank(own: Array, weights: Int64s, neighbours: Array, sessions: Array) -> Int64s:
    """Return the conversation-aware score of each row.

    Args:
        own: uint8[n, t], impact of each query term in each row, 0 where absent.
        weights: int64[t], idf of each term.
        neighbours: int[n, 4], rows at distance -1, +1, -2, +2 in the same session; -1: none, or not a row.
        sessions: int[n], number of each row's session; 0: none, such a row has no session share.
    """
    del sessions
    odds = np.vstack([_ODDS[own], np.zeros((1, own.shape[1]), np.int64)])
    around = odds[neighbours].sum(axis=1)
    total = 4 * odds[:-1] + around
    share = total * 65536 // (total + 16384)
    scores: Int64s = (share * weights).sum(axis=1)
    return scores
