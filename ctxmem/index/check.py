"""Check the index against the segments: what it should hold is made again and compared, byte for byte.

Does not know: bodies, flags, what is not the index's.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctxmem.errors import CtxMemError
from ctxmem.index import merging
from ctxmem.search import facets, forward
from ctxmem.search.building import RunBuilder
from ctxmem.search.runs import Put, Run, RunView
from ctxmem.segment import Problem, Record
from ctxmem.store import Store
from ctxmem.tables import frames

Array: TypeAlias = npt.NDArray[Any]
Read: TypeAlias = Callable[[Sequence[int]], Sequence[Record]]

_READ = 512  # records read at a time
_REMEDY = "run compact, which rewrites the index, or restore the store from a backup"


def check(store: Store, runs: Sequence[Run], forgotten: Array, read: Read) -> list[Problem]:
    """Return what is wrong with the runs and the forward records, none when all is well."""
    gone = set(forgotten.tolist())
    problems = [*_overlaps(runs)]
    for run in runs:
        try:
            problems += _check_run(store, run, forgotten, gone, read)
        except (CtxMemError, LookupError, ValueError) as exc:
            problems.append(Problem(f"run {run.serial}", f"cannot be read: {exc}", _REMEDY))
    problems += _check_forwards(store, runs, gone, read)
    return problems


def _overlaps(runs: Sequence[Run]) -> Iterator[Problem]:
    for left, right in pairwise(runs):
        if right.first < left.stop:
            yield Problem(f"runs {left.serial} and {right.serial}", "hold the same ids", _REMEDY)


def _check_run(store: Store, run: Run, forgotten: Array, gone: set[int], read: Read) -> Iterator[Problem]:
    """Build the run's entries again from its segments, and yield where the stored ones differ."""
    with store.snapshot() as snapshot:
        present = RunView(run, snapshot).present()
        offsets = np.arange(run.span) if present is None else facets.offsets_of(present)
        ids = (offsets.astype(np.int64) + run.first).tolist()
    if len(ids) != run.n:
        yield Problem(f"run {run.serial}", f"holds {len(ids)} segments, its record says {run.n}", _REMEDY)
    builder = RunBuilder(run.serial)
    for start in range(0, len(ids), _READ):
        part = ids[start : start + _READ]
        for segment_id, record in zip(part, read(part), strict=True):
            builder.add(segment_id, forward.of_record(record), is_forgotten=segment_id in gone)
    inside = forgotten[(forgotten >= run.first) & (forgotten < run.stop)]
    found = merging.entries(store, [run], run.serial, inside)
    expected = (put for put in builder.entries() if put is not None)
    yield from _differences(run, (put for put in found if put is not None), expected)


def _differences(run: Run, found: Iterator[Put], expected: Iterator[Put]) -> Iterator[Problem]:
    """Yield the first difference: what follows it differs too."""
    for left, right in zip_longest(found, expected):
        if left != right:
            table, key, _ = min((put for put in (left, right) if put is not None), key=lambda put: put[:2])
            where = f"run {run.serial}, ids {run.first} to {run.stop - 1}"
            yield Problem(where, f"{table} entry {key[4:].hex()} is not what the segments give", _REMEDY)
            return


def _check_forwards(store: Store, runs: Sequence[Run], gone: set[int], read: Read) -> Iterator[Problem]:
    with store.snapshot() as snapshot:
        entries = [(frames.segment_id_of(key), value) for key, value in snapshot.scan("forward")]
    for segment_id, _ in entries:
        if any(run.first <= segment_id < run.stop for run in runs):
            yield Problem(f"forward record {segment_id}", "stands beside a run that holds it", _REMEDY)
    for start in range(0, len(entries), _READ):
        part = [entry for entry in entries[start : start + _READ] if entry[0] not in gone]
        for (segment_id, value), record in zip(part, read([i for i, _ in part]), strict=True):
            if forward.encode(forward.of_record(record)) != value:
                yield Problem(f"forward record {segment_id}", "is not what the segment gives", _REMEDY)
