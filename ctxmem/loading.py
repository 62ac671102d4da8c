"""Load many items at once: few go the way of every append, many past the queue as whole blocks.

I1. Bounded memory: what is held is at most `MANY` records, or `MANY_BYTES` of text.
I2. What stood before a bad item stays, and the error says which item it was.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, NamedTuple

from ctxmem import tokens
from ctxmem.errors import CtxMemError
from ctxmem.log import Log
from ctxmem.segment import Record

MANY = 32_768  # half a block: from here on a block of its own is worth what it leaves empty
MANY_BYTES = 64 << 20
_CHUNK = 512  # records whose texts are counted at once
_AHEAD = 3  # chunks that are being counted while others are indexed
_COMMIT_BYTES = 8 << 20
_PROGRESS = 1_024

MakeRecord = Callable[[Mapping[str, Any]], "tuple[Record, str | None]"]
Progress = Callable[[int], None]


class _Item(NamedTuple):
    record: Record  # its tokens not counted yet
    key: str | None


def load(log: Log, items: Iterable[Mapping[str, Any]], make: MakeRecord, progress: Progress | None) -> list[int]:
    """Append every item and return the ids; on disk when it returns. `make` checks an item and gives record and key.

    Raises:
        What `make` and the log raise, with the item's position in a note; what stood before it is on disk.
    """
    made = _made(items, make)
    ids: list[int] = []
    with ThreadPoolExecutor(1, thread_name_prefix="ctxmem-count") as pool:
        first, rest, is_much = _begun(made)
        try:
            counted = _counted(chain(first, rest), pool)
            (_load_blocks if is_much else _append_each)(log, counted, ids, progress)
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
    """Say in the message which item it was; attributes and type stay."""
    error.args = (f"item {position}: {error.args[0]}; the {position} items before it are kept", *error.args[1:])
    return error


def _begun(items: Iterator[_Item]) -> tuple[list[_Item], Iterator[_Item], bool]:
    """Read until it is clear whether it is much: what was read, the rest (an error among it), and whether."""
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


def _counted(items: Iterable[_Item], pool: ThreadPoolExecutor) -> Iterator[_Item]:
    """Count texts on another thread, a few chunks ahead: the tokenizer runs outside the interpreter's lock."""
    waiting: deque[tuple[list[_Item], Future[list[int]]]] = deque()
    source = iter(items)
    error: BaseException | None = None
    while error is None or waiting:
        while error is None and len(waiting) < _AHEAD:
            chunk: list[_Item] = []
            try:
                for item in islice(source, _CHUNK):
                    chunk.append(item)  # noqa: PERF402 - what came before an error is kept
            except Exception as raised:  # noqa: BLE001 - raised below, once what came before it is through
                error = raised
            if chunk:
                waiting.append((chunk, pool.submit(tokens.count_each, [i.record.text for i in chunk])))
            elif error is None:
                error = StopIteration()
        if waiting:
            chunk, counts = waiting.popleft()
            for item, n in zip(chunk, counts.result(), strict=True):
                item.record.tokens = n
                yield item
    if not isinstance(error, StopIteration):
        raise error


def _append_each(log: Log, items: Iterable[_Item], ids: list[int], progress: Progress | None) -> None:
    waiting_bytes = 0
    for item in items:
        ids.append(log.append(item.record, key=item.key)[0])
        waiting_bytes += len(item.record.text)
        if len(ids) % _PROGRESS == 0 or waiting_bytes > _COMMIT_BYTES:
            log.commit()
            waiting_bytes = 0
            if progress is not None:
                progress(len(ids))


def _load_blocks(log: Log, items: Iterable[_Item], ids: list[int], progress: Progress | None) -> None:
    with log.bulk() as bulk:
        if bulk is not None:
            for item in items:
                ids.append(bulk.add(item.record, item.key))
                if progress is not None and len(ids) % _PROGRESS == 0:
                    progress(len(ids))
            return
    _append_each(log, items, ids, progress)  # another process maintains the store: the way of every append
