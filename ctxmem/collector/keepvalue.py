"""How much a group is worth keeping, per token: one pure function whose order does not change as turns pass.

    value = log2(weight x importance x (1 + hits)) + turn / half_life - size_exponent x log2(tokens)

A worth that halves every `half_life` turns falls along the same slope for all in log2, so it is enough to add the turn
of last use once (LRFU: Lee et al., IEEE Transactions on Computers 50(12), 2001), and size divides as in
GreedyDual-Size-Frequency (Cherkasova, HP Labs HPL-98-69R1, 1998). Scores are kept, not recomputed.
"""

from typing import Final

import numpy as np

from ctxmem.collector.growable import Array

UNIT: Final = 4096  # steps of one bit of value: scores are integers, so nothing drifts

# Chosen on the curve of docs/collector.md (five sources of transcripts, 2026-11); flat within a factor of 2 around.
HALF_LIFE_TURNS: Final = 18.0
SIZE_EXPONENT: Final = 0.5

# Weights by what a group is. A call is worth four times its result, token by token: the next call repeats its shape.
USER_WEIGHT: Final = 4.0
RESULT_WEIGHT: Final = 0.25
IMAGE_WEIGHT: Final = RESULT_WEIGHT / 4  # of the images in a result: they go before its text


def keep_values(
    weight: Array,
    importance: Array,
    hits: Array,
    turn: Array,
    tokens: Array,
    *,
    half_life_turns: float,
    size_exponent: float,
) -> Array:
    """Return int64[n] in 1/4096 bits, higher = keep; all arrays of one length, weight and importance above 0.

    >>> one, eight = np.ones(1), np.array([8])
    >>> keep_values(one, one, np.zeros(1), eight, eight, half_life_turns=8, size_exponent=0.5).tolist()
    [-2048]
    """
    worth = np.log2((weight * importance * (1.0 + hits)).astype(np.float32))
    worth -= np.float32(size_exponent) * np.log2(np.maximum(tokens, 8).astype(np.float32))
    bits: Array = np.rint(worth * UNIT).astype(np.int64)
    bits += np.rint(turn * (UNIT / half_life_turns)).astype(np.int64)
    return bits
