"""How much a group is worth keeping, per token: one pure function whose order does not change as turns pass.

value = log2(weight x importance x (1 + hits)) + turn / half_life - size exponent x log2(tokens)

A value that decays by half every `half_life` turns has, in log2, the same slope for all; so it is enough to add the
turn once (LRFU: Lee et al., IEEE Trans. Computers 50(12), 2001; the inflation term of GreedyDual-Size-Frequency:
Cherkasova, HP Labs HPL-98-69R1, 1998), and scores are kept, not recomputed.
"""

import numpy as np

from ctxmem.growable import Array


def keep_values(weight: Array, importance: Array, hits: Array, turn: Array, tokens: Array, *, half_life_turns: float, size_exponent: float) -> Array:
    """Return int64 values in 1/4096 bits, higher = keep; all arrays of one length, tokens >= 1.

    >>> keep_values(np.array([1.0]), np.array([1.0]), np.array([0]), np.array([8]), np.array([1]), half_life_turns=8, size_exponent=0.5)
    array([4096])
    """
    worth = np.log2(weight * importance * (1 + hits)) + turn / half_life_turns - size_exponent * np.log2(np.maximum(tokens, 1))
    return np.rint(worth * 4096).astype(np.int64)
