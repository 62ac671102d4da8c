"""Choose which runs to merge or to rewrite next: pure functions over the list of runs.

Invariants:
I1. A block that will hold nothing more ends as one run. In any other, fewer than `merge_factor` adjacent runs of one
    size are left.
I2. Every segment is copied by a merge at most once a size: 1,024 -> 8,192 -> 65,536.
"""

from collections.abc import Callable, Sequence

from ctxmem.options import Options
from ctxmem.search.runs import Run

FORGOTTEN_SHARE = 0.05  # a run is rewritten without its forgotten segments when they are a larger share of it
FORGOTTEN_LEAST = 64  # and more than this many


def next_merge(runs: Sequence[Run], options: Options, is_whole: Callable[[], bool]) -> list[Run]:
    """Return those runs of a block to merge, none when all is well.

    Parameters:
        runs: all of one block, in order of their first id.
        is_whole: whether all that the block will ever hold is in its runs.

    >>> runs = [Run(serial, 1024 * serial, 1024, 1024, 0.0, 0.0) for serial in range(9)]
    >>> [len(next_merge(some, Options(), lambda: False)) for some in (runs, runs[:7])]
    [9, 0]
    >>> len(next_merge(runs[:7], Options(), lambda: True))
    7
    """
    if len(runs) < 2:
        return []
    return list(runs) if is_whole() else _adjacent(runs, options)


def _adjacent(runs: Sequence[Run], options: Options) -> list[Run]:
    """Return the first stretch of at least `merge_factor` runs of the lowest size that has one."""
    sizes = [_size(run, options) for run in runs]
    for most in sorted(set(sizes)):
        start = 0
        for place in range(len(runs) + 1):
            if place == len(runs) or sizes[place] > most:
                if place - start >= options.merge_factor:
                    return list(runs[start:place])
                start = place + 1
    return []


def _size(run: Run, options: Options) -> int:
    """Return how often a sealed tail has to be multiplied by `merge_factor` to make such a run."""
    size, bound = 0, options.tail_segments * options.merge_factor
    while run.n >= bound:
        size, bound = size + 1, bound * options.merge_factor
    return size


def wants_purge(run: Run, n_forgotten: int) -> bool:
    """Say whether a run holds enough of what was forgotten since it was written to be rewritten."""
    return n_forgotten - run.n_forgotten > max(FORGOTTEN_LEAST, FORGOTTEN_SHARE * run.n)
