"""Load many items at once: few are appended one by one; many are analysed by worker processes and written as blocks.

I1. Bounded memory: what is held is at most `MANY` records, or `MANY_BYTES` of text.
I2. What stood before a bad item stays, and the error says which item it was.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from itertools import chain, islice
from typing import Any, NamedTuple

from ctxmem import inputs, tokens
from ctxmem.errors import BadInput, CtxMemError
from ctxmem.log import Log
from ctxmem.log.bulk import Load
from ctxmem.search.analysis import Workers
from ctxmem.search.forward import Words, speakers_of
from ctxmem.segment import Record

MANY = 32_768  # half a block: a load of this size may take blocks of its own, and leave ids unused
MANY_BYTES = 64 << 20
_BATCH = 256  # records that a worker gets at once
_AHEAD = 2  # batches that wait for a worker, or for this thread
_COMMIT_BYTES = 8 << 20
_PROGRESS = 1_024

MakeRecord = Callable[[Mapping[str, Any]], "tuple[Record, str | None]"]
Progress = Callable[[int], None]


class _Item(NamedTuple):
    record: Record  # its tokens not counted yet
    key: str | None


class _Counted(NamedTuple):
    record: Record
    key: str | None
    words: Words


def load(log: Log, items: Iterable[Mapping[str, Any]], make: MakeRecord, progress: Progress | None) -> list[int]:
    """Append every item and return the ids; on disk when it returns. `make` checks an item and gives record and key.

    Raises:
        BadInput: `items` are no iterable of mappings; nothing is on disk then.
        What `make` and the log raise, with the item's position in the message; what stood before it is on disk.
    """
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise BadInput(f"items must be an iterable of mappings, each with a 'text', not {inputs.shown(items)}")
    if progress is not None and not callable(progress):
        raise BadInput(f"progress must be a function that takes a number, not {inputs.shown(progress)}")
    ids: list[int] = []
    first, rest, is_much = _begun(_made(items, make))
    try:
        if is_much:
            _load_blocks(log, chain(first, rest), ids, progress)
        else:
            _append_each(log, chain(first, rest), ids, progress)
    finally:
        log.commit()
    if progress is not None:
        progress(len(ids))
    return ids


def _made(items: Iterable[Mapping[str, Any]], make: MakeRecord) -> Iterator[_Item]:
    for position, item in enumerate(items):
        try:
            yield _Item(*make(item))
        except CtxMemError as error:
            raise _placed(error, position) from error


def _placed(error: CtxMemError, position: int) -> CtxMemError:
    """Put an item's position into an error's message; its type and attributes stay."""
    error.args = (f"item {position}: {error.args[0]}; the {position} items before it are kept", *error.args[1:])
    return error


def _begun(items: Iterator[_Item]) -> tuple[list[_Item], Iterator[_Item], bool]:
    """Read items until it is clear whether there are many.

    Returns what was read, the rest (an error among it), and whether there are many.
    """
    first: list[_Item] = []
    n_chars = 0
    try:
        for item in items:
            first.append(item)
            n_chars += len(item.record.text)
            if len(first) == MANY or n_chars > MANY_BYTES:
                return first, items, True
    except Exception as error:  # noqa: BLE001 - raised again when what came before it is kept
        return first, _raising(error), False
    return first, items, False


def _raising(error: Exception) -> Iterator[_Item]:
    yield from ()  # makes this a generator: the error comes when it is reached
    raise error


def _analysed(items: Iterable[_Item], workers: Workers) -> Iterator[_Counted]:
    """Count and analyse texts a few batches ahead; raise an item's error when all items before it are through."""
    waiting: deque[tuple[list[_Item], Future[list[tuple[int, Words]]]]] = deque()
    source = iter(items)
    error: BaseException | None = None
    while error is None or waiting:
        while error is None and len(waiting) < workers.n + _AHEAD:
            batch: list[_Item] = []
            try:
                for item in islice(source, _BATCH):
                    batch.append(item)  # noqa: PERF402 - what came before an error is kept
            except Exception as raised:  # noqa: BLE001 - raised below
                error = raised
            if batch:
                texts = [(i.record.text, speakers_of(i.record), i.record.at) for i in batch]
                waiting.append((batch, workers.submit(texts)))
            elif error is None:
                error = StopIteration()
        if waiting:
            batch, future = waiting.popleft()
            for item, (n, words) in zip(batch, future.result(), strict=True):
                item.record.tokens = n
                yield _Counted(item.record, item.key, words)
    if not isinstance(error, StopIteration):
        raise error


def _append_each(log: Log, items: Iterable[_Item], ids: list[int], progress: Progress | None) -> None:
    waiting_bytes = 0
    for item in items:
        item.record.tokens = tokens.count(item.record.text)
        ids.append(log.append(item.record, key=item.key)[0])
        waiting_bytes += len(item.record.text)
        if len(ids) % _PROGRESS == 0 or waiting_bytes > _COMMIT_BYTES:
            log.flush()  # seals too: a tail of 20,000 would hold up a later turn for 0.3 s
            waiting_bytes = 0
            if progress is not None:
                progress(len(ids))


def _load_blocks(log: Log, items: Iterable[_Item], ids: list[int], progress: Progress | None) -> None:
    wanted = log.options.load_workers

    def fill(load: Load) -> None:
        with Workers(min(os.cpu_count() or 1, 4) if wanted is None else wanted) as workers:
            for item in _analysed(items, workers):
                ids.append(load.add(item.record, item.key, item.words))
                if progress is not None and len(ids) % _PROGRESS == 0:
                    progress(len(ids))

    log.bulk(fill)
