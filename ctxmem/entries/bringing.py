"""Bring in entries that another log had: streamed, each once, in whatever order they come.

I1. An entry's key is a digest of its line, so what was brought in is known when it comes again.
I2. A line that this very store wrote, and still has, is known too.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import chain, islice
from typing import Any

from ctxmem import inputs, loading
from ctxmem.entries import entry
from ctxmem.errors import BadInput, CorruptSegment, SegmentNotFound
from ctxmem.log import Log
from ctxmem.segment import MAX_ID, Record

_AT_ONCE = 50_000  # lines of one load: what it holds of each is its id


def bring(
    log: Log,
    lines: Iterable[Mapping[str, Any]],
    passed_over: Callable[[str], None],
    progress: Callable[[int], None],
) -> int:
    """Append the entries of lines; return how many lines were read. On disk when it returns.

    `passed_over` is told of lines that are no entries. What was brought in before an error stays.
    """
    n = 0
    source = iter(_new(log, lines, passed_over))
    while (first := next(source, None)) is not None:
        some = chain([first], islice(source, _AT_ONCE - 1))
        n += len(loading.load(log, some, lambda item: (item["record"], item["key"]), None))
        progress(n)
    return n


def _new(log: Log, lines: Iterable[Mapping[str, Any]], passed_over: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        try:
            record = record_of(line)
        except BadInput as error:
            passed_over(f"entry {number} ({error})")
            continue
        if not _is_ours(log, line, record):
            yield {"record": record, "key": f"log/{digest(line)}"}


def record_of(line: Mapping[str, Any]) -> Record:
    """Make the record of a line.

    Raises:
        BadInput: it is no entry.
    """
    at = inputs.time_s(line.get("at"))
    if at is None:
        raise BadInput("it says no time")
    return entry.record(
        line.get("command"),
        line.get("output", ""),
        entity=line.get("entity"),
        space=line.get("space"),
        tick=line.get("tick"),
        tokens_in=line.get("tokens_in", 0),
        tokens_out=line.get("tokens_out", 0),
        at=at,
    )


def digest(line: Mapping[str, Any]) -> str:
    """Return what names a line, whatever the order of its fields."""
    return blake2b(json.dumps(line, sort_keys=True).encode(), digest_size=20).hexdigest()


def _is_ours(log: Log, line: Mapping[str, Any], record: Record) -> bool:
    number = line.get("id")
    if type(number) is not int or not 0 <= number <= MAX_ID:
        return False
    try:
        known = log.get(number)
    except (SegmentNotFound, CorruptSegment):
        return False
    return all(getattr(known, part) == getattr(record, part) for part in ("at", "text", "facets", "message"))
