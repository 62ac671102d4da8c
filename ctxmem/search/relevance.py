"""Score segments for a query: pure integer arithmetic over plain arrays, the same for the searcher and the oracle.

The whole formula; every division is a floor division of integers:

    norm(length)     = 3 (32 + length)                                  BM25's k1 (1 - b + b length / pivot) in 1/160,
                                                                        with k1 1.8, b 2/3, pivot 64 words
    said(tf, len)    = max(1440 tf, 5 norm(len) + 720 (tf - 1))         left: BM25; right: in what is longer than the
                                                                        pivot, the first mention says as much as in a
                                                                        segment of 64 words, any further one half
    impact(tf, len)  = clip((256 said + d / 2) / d, 1, 255), d = said + 9 norm(len)         one byte of each posting
    idf(n, df)       = max(1, round(4096 ln(1 + (n - df + 0.5) / (df + 0.5))))
    own(s)           = sum over terms t of idf(t) impact(s, t)                              plain BM25, in 1/256 / 4096

Conversation-aware, for a query's ranked terms (BM25 alone knows no neighbour):

    pool             = the max(POOL, limit) best by (own, newest id first) of those that match
    rows             = the pool, and the segments 1 and 2 before and after each of them in its session
    odds(s, t)       = 4096 impact / (256 - impact)                     0 where the term is absent, or s is no row
    sum(s, t)        = 4 odds(s, t) + odds of t in the segments 1 and 2 before and after s
    x(s, t)          = 65536 sum / (sum + 16384)
    alone(s)         = sum over t of idf(t) x(s, t)
    session(s)       = sum over t of idf(t) max of x(r, t) over the rows r of its session           0 without a session
    score(s)         = (alone(s) + session(s) 3 / 8) / 256              in the units of own(s)

Without the right side a word that stands once in a tool's output of 1,500 words says a tenth of what it says in a line,
and a line that shares one part of an identifier comes before the page that holds it whole (docs/decisions).

An impact of 256 x says that a fraction x of what a term can say is said, so x / (1 - x) is a count normalised by
length, and counts of neighbours may be added. That is why the odds are summed, and not the scores.

Invariants:
I1. Of floating-point numbers only `idf` reaches a score, rounded to 1/4096.
I2. The vectorised functions equal the scalar ones, element by element. `rerank` computes in float64, twice as fast as
    int64, on whole numbers below 2^53 alone, so that no operation rounds but the floor that is meant.
Does not know: the index, texts, where the numbers come from.
"""

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

MAX_TF = 255  # a larger count scores no higher
POOL = 200  # segments taken over from plain BM25, at least
REACH = 2  # segments before and after one that add to its score

Int64s: TypeAlias = "npt.NDArray[np.int64]"
Array: TypeAlias = "npt.NDArray[Any]"

# On disk: impacts are stored with the postings; never change these five.
_TF_UNIT = 1_440
_NORM_BASE = 32
_NORM_STEP = 27
_FIRST_SHARE = (5, 9)  # of the norm: what the first mention says at least
_FURTHER_UNIT = 720

_ODDS = np.array([4096 * i // (256 - i) for i in range(256)], np.float64)


def impact(tf: int, length: int) -> int:
    """Return what one term's count says about a segment of that length in words, 1 to 255; 0 where the count is 0.

    >>> impact(1, 64), impact(3, 64), impact(1, 6400)
    (91, 160, 91)
    """
    if tf <= 0:
        return 0
    count = min(tf, MAX_TF)
    norm = _NORM_STEP * (_NORM_BASE + length)
    said = max(_TF_UNIT * count, norm // _FIRST_SHARE[1] * _FIRST_SHARE[0] + _FURTHER_UNIT * (count - 1))
    whole = said + norm
    return max(1, min(255, (256 * said + whole // 2) // whole))


def impacts(tf: Array, length: Array) -> npt.NDArray[np.uint8]:
    """Return `impact` of arrays, elementwise and equal to it (I2); counts of 0 are not allowed here.

    >>> impacts(np.array([1, 3]), np.array([64, 64]))
    array([ 91, 160], dtype=uint8)
    """
    count = np.minimum(tf, MAX_TF).astype(np.int32)
    norm = np.int32(_NORM_STEP) * (np.asarray(length).astype(np.int32) + np.int32(_NORM_BASE))
    least = norm // np.int32(_FIRST_SHARE[1]) * np.int32(_FIRST_SHARE[0])
    said = np.maximum(np.int32(_TF_UNIT) * count, least + np.int32(_FURTHER_UNIT) * (count - np.int32(1)))
    whole = said + norm
    raw = ((said << 8) + (whole >> 1)) / whole  # its floor is exact: both are whole numbers below 2^29
    found: npt.NDArray[np.uint8] = np.clip(raw, 1, 255).astype(np.uint8)
    return found


def idf(n: int, df: int) -> int:
    """Return the weight of a term that `df` of `n` segments hold, in units of 1/4096, at least 1.

    >>> idf(1000, 1), idf(1000, 1000)
    (26637, 2)
    """
    return max(1, round(4096 * math.log1p((n - df + 0.5) / (df + 0.5))))


def rerank(own: Array, weights: Int64s, neighbours: Array, sessions: Array) -> Int64s:
    """Return the conversation-aware score of each row, as the module's docstring defines it.

    Args:
        own: uint8[n, t], impact of each ranked term in each row, 0 where absent.
        weights: int64[t], idf of each term.
        neighbours: int[n, 4], rows at distance -1, +1, -2, +2 in the same session; -1: none, or not a row.
        sessions: int[n], number of each row's session; 0: none, such a row has no share of a session.

    Costs O(n t + n log n), 0.1 ms for 600 rows of 6 terms.

    >>> own = np.array([[116], [0], [0]], np.uint8)
    >>> alone = np.full((3, 4), -1)
    >>> rerank(own, np.array([4096]), alone, np.array([0, 0, 0])).tolist()
    [475072, 0, 0]
    >>> beside = np.array([[1, -1, -1, -1], [-1, 0, -1, -1], [-1, -1, -1, -1]])
    >>> rerank(own, np.array([4096]), beside, np.array([5, 5, 5])).tolist()
    [653224, 358040, 178152]
    """
    if not len(own):
        return np.zeros(0, np.int64)
    odds = np.zeros((len(own) + 1, own.shape[1]))  # the last row: no neighbour, odds 0
    np.take(_ODDS, own, out=odds[:-1])
    said = 4 * odds[:-1]
    for column in neighbours.T:
        said += odds.take(column, axis=0)
    total = said + 16_384
    said *= 65_536
    said /= total
    np.floor(said, out=said)  # exact: no quotient of such numbers lies within a rounding of the next whole one
    exact = weights.astype(np.float64)
    scores: Int64s = (said @ exact).astype(np.int64)
    scores += _session_scores(said, exact, sessions) * 3 >> 3
    return scores >> 8


def _session_scores(said: Array, weights: Array, sessions: Array) -> Int64s:
    """Return for each row what its session says: for each term, its best row; 0 for rows without a session."""
    order = np.argsort(sessions, kind="stable")
    ordered = sessions.take(order)
    is_first = np.empty(len(ordered), np.bool_)
    is_first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    firsts = is_first.nonzero()[0]
    best = (np.maximum.reduceat(said.take(order, axis=0), firsts, axis=0) @ weights).astype(np.int64)
    group = is_first.cumsum()
    group -= 1
    scores = np.empty(len(ordered), np.int64)
    scores[order] = best.take(group)
    scores[sessions == 0] = 0
    return scores
