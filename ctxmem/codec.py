"""Records as bytes: MessagePack for shape, zstd for size. Owns both packages, and the layout of a record.

I1. Bytes that reach disk start with a version; a reader refuses a version it does not know.
I2. What is packed comes back equal, with lone surrogates, integers of any size and bytes; tuples come back as lists.
I3. Packed bytes depend on the record alone, not on a dictionary or another record.
I4. A stored record names the dictionary it needs; an older dictionary goes only when nothing names it.

It does not know the store (a `Codec` is given what fetches a dictionary) and keeps no checksum: the store does.
"""

import hashlib
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import zstandard

from ctxmem.errors import BadInput, CorruptSegment, FormatMismatch
from ctxmem.segment import NO_FACTS, Call, Facts, Quote, Record, logged_text

# On disk: never renumber.
RECORD_VERSION = 2
STORED_VERSION = 1
_RAW, _ZSTD, _ZSTD_DICTIONARY = 0, 1, 2
_BIG_INTEGER = 1  # MessagePack extension: hexadecimal digits
_TEXT_HERE, _TEXT_IS_CONTENT, _TEXT_IS_FIRST_PART, _TEXT_IS_LOGGED = 0, 1, 2, 3

_LARGE_LEVEL = 1  # 2 ms for 1.7 MB of columns; level 3 gains 8% and takes twice the time
_FRAME_LEVEL = 6  # many records together: 6% smaller than level 3, for 2 us a segment, once
_LEVEL = 3  # one record: 2-8 us; a higher level gains 2-3% and doubles the time
_SMALLEST = 64  # bytes; below this a zstd header costs more than it saves
_DICTIONARY_BYTES = 64 << 10
_DICTIONARY_ID = struct.Struct(">I")
DIGEST_BYTES = 16
_NESTING = "is nested too deeply or holds a value that is not JSON, bytes or a tuple"


def pack(value: Any) -> bytes:
    """Pack a value of None, bool, int, float, str, bytes, lists, tuples and dicts.

    Raises:
        BadInput: anything else in it, or more than 500 levels.

    >>> unpack(pack({"a": (1, 2**70, chr(0xD800))})) == {"a": [1, 2**70, chr(0xD800)]}
    True
    """
    try:
        packed: bytes = msgpack.packb(value, default=_extend, unicode_errors="surrogatepass")
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise BadInput(f"the value {_NESTING}: {exc}") from exc
    return packed


def unpack(data: bytes) -> Any:
    """Return the value that `pack` was given, with tuples as lists.

    Raises:
        CorruptSegment: the bytes are not of `pack`.
    """
    try:
        return msgpack.unpackb(data, ext_hook=_extended, unicode_errors="surrogatepass", strict_map_key=False)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as exc:
        raise CorruptSegment(f"{len(data)} bytes are not a packed value: {exc}") from exc


def pack_large(value: Any) -> bytes:
    """Pack a value of many kilobytes and compress it: 4 ms for the 1.7 MB of 20,000 segments, which become 0.2 MB.

    Raises:
        BadInput: as `pack`.
    """
    squeezed: bytes = zstandard.ZstdCompressor(level=_LARGE_LEVEL).compress(pack(value))
    return squeezed


def unpack_large(data: bytes) -> Any:
    """Return the value that `pack_large` was given, with tuples as lists.

    Raises:
        CorruptSegment: the bytes are not of `pack_large`.
    """
    try:
        packed = zstandard.ZstdDecompressor().decompress(data)
    except (zstandard.ZstdError, MemoryError) as exc:
        raise CorruptSegment(f"{len(data)} compressed bytes do not expand: {exc}") from exc
    return unpack(packed)


def pack_record(record: Record) -> bytes:
    """Pack a record, without its text where the message holds it too. 3 us for 1 KB, most of it the message.

    Raises:
        BadInput: a value that cannot be stored; the record can then not be appended at all.
    """
    place = _text_place(record)
    return pack(
        (
            RECORD_VERSION,
            record.session,
            record.kind,
            record.role,
            None if place else record.text,
            place,
            record.tokens,
            record.at,
            record.message,
            record.shape,
            record.group,
            [(call.id, call.name, dict(call.arguments)) for call in record.calls],
            record.call_id,
            record.refs,
            record.pinned,
            record.facets,
            {place: value for place, value in enumerate(record.facts) if value != NO_FACTS[place]},
        )
    )


def unpack_record(data: bytes) -> Record:
    """Return the record of packed bytes; 2-4 us.

    Raises:
        FormatMismatch: another layout.
        CorruptSegment: not a record.
    """
    fields = unpack(data)
    if not isinstance(fields, list) or not fields or not isinstance(fields[0], int):
        raise CorruptSegment("the bytes are a value, but not a record")
    if fields[0] != RECORD_VERSION:
        raise FormatMismatch(f"a record has layout {fields[0]}, this ctxmem reads {RECORD_VERSION}")
    if len(fields) != 17:
        raise CorruptSegment(f"a record has 17 fields, this one {len(fields)}")
    place = fields.pop(5)
    if place:
        fields[4] = _text_at(place, fields[7])
    calls = fields[10]
    fields[10] = tuple([Call(*call) for call in calls]) if calls else ()
    fields[12] = tuple(fields[12])
    fields[15] = _facts(fields[15]) if fields[15] else NO_FACTS
    return Record(*fields[1:])  # in the order of its fields: by name it took half as long again


def _facts(packed: dict[int, Any]) -> Facts:
    """Return the facts of a record from their places and values."""
    values: list[Any] = list(NO_FACTS)
    for place, value in packed.items():
        values[place] = tuple(value) if isinstance(value, list) else value
    facts = Facts(*values)
    return facts._replace(quotes=tuple(Quote(*quote) for quote in facts.quotes)) if facts.quotes else facts


def content_digest(record: Record) -> bytes:
    """Return sixteen bytes that name what was said: equal for a retry, whatever its time, count or place.

    Raises:
        BadInput: a value that cannot be stored.
    """
    content = pack((record.kind, record.role, record.text, record.message, record.call_id))
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def train(samples: Sequence[bytes]) -> bytes | None:
    """Train a dictionary on packed records; return None where they are too few to learn from.

    It runs without the interpreter's lock.

    About 0.1 s for 1 MB of samples.
    """
    try:
        trained = zstandard.train_dictionary(_DICTIONARY_BYTES, list(samples), k=1024, d=8)
    except zstandard.ZstdError:
        return None
    return trained.as_bytes()


class Codec:
    """Compresses single records, with the current dictionary where there is one, and reads whatever was written.

    `fetch` gives a dictionary's bytes by its number, or None. Safe from any thread: contexts of zstd are kept for each.
    """

    def __init__(self, fetch: Callable[[int], bytes | None]) -> None:
        self._fetch = fetch
        self._current: int | None = None
        self._dictionaries: dict[int, zstandard.ZstdCompressionDict] = {}
        self._mine = threading.local()

    def use(self, dictionary: int | None) -> None:
        """Compress with this dictionary from now on; None: with none."""
        if dictionary is not None:
            self._dictionary(dictionary)
        self._current = dictionary

    @property
    def current(self) -> int | None:
        """The dictionary in use."""
        return self._current

    def store(self, packed: bytes) -> bytes:
        """Compress a packed record for the log; 2-8 us."""
        current = self._current
        method, body = _RAW, packed
        if len(packed) >= _SMALLEST:
            squeezed = self._compressor(current).compress(packed)
            if len(squeezed) + 4 < len(packed):
                method, body = (_ZSTD, squeezed) if current is None else (_ZSTD_DICTIONARY, squeezed)
        number = _DICTIONARY_ID.pack(current) if method == _ZSTD_DICTIONARY and current is not None else b""
        return b"".join((bytes((STORED_VERSION, method)), number, body))

    def load(self, stored: bytes) -> bytes:
        """Return the packed record of stored bytes; 1-2 us.

        Raises:
            FormatMismatch: stored by a newer ctxmem.
            CorruptSegment: not a stored record, or its dictionary is missing.
        """
        if stored[:1] != bytes((STORED_VERSION,)):
            raise FormatMismatch(f"stored record version {stored[:1].hex()}, this ctxmem reads {STORED_VERSION}")
        method = stored[1] if len(stored) > 1 else -1
        if method == _RAW:
            return stored[2:]
        if method == _ZSTD:
            return self._expand(None, stored[2:])
        if method == _ZSTD_DICTIONARY and len(stored) > 6:
            return self._expand(_DICTIONARY_ID.unpack_from(stored, 2)[0], stored[6:])
        raise CorruptSegment(f"stored record method {method} is not known")

    def squeeze(self, data: bytes) -> bytes:
        """Compress many records together, without a dictionary: for frames, which are read for years."""
        tools = self._tools()
        compressor = tools.get(("squeeze", None))
        if compressor is None:
            compressor = tools["squeeze", None] = zstandard.ZstdCompressor(level=_FRAME_LEVEL, write_checksum=False)
        squeezed: bytes = compressor.compress(data)
        return squeezed

    def expand(self, squeezed: bytes) -> bytes:
        """Return the bytes that `squeeze` was given.

        Raises:
            CorruptSegment: not of `squeeze`.
        """
        return self._expand(None, squeezed)

    def _expand(self, number: int | None, data: bytes) -> bytes:
        tools = self._tools()
        expander = tools.get(("expand", number))
        if expander is None:
            expander = zstandard.ZstdDecompressor(dict_data=self._dictionary(number))
            tools["expand", number] = expander
        try:
            expanded: bytes = expander.decompress(data)
        except (zstandard.ZstdError, MemoryError) as exc:
            raise CorruptSegment(f"{len(data)} compressed bytes do not expand: {exc}") from exc
        return expanded

    def _compressor(self, number: int | None) -> Any:
        tools = self._tools()
        compressor = tools.get(("compress", number))
        if compressor is None:
            compressor = zstandard.ZstdCompressor(
                level=_LEVEL, dict_data=self._dictionary(number), write_checksum=False
            )
            tools["compress", number] = compressor
        return compressor

    def _tools(self) -> dict[tuple[str, int | None], Any]:
        """Return this thread's compressors and expanders: those of zstd must not be used by two threads at once."""
        tools: dict[tuple[str, int | None], Any] | None = getattr(self._mine, "tools", None)
        if tools is None:
            tools = self._mine.tools = {}
        return tools

    def _dictionary(self, number: int | None) -> Any:
        """Return a dictionary ready for use, or None for number None.

        Raises:
            CorruptSegment: it is not in the store.
        """
        if number is None:
            return None
        found = self._dictionaries.get(number)
        if found is None:
            data = self._fetch(number)
            if data is None:
                raise CorruptSegment(f"dictionary {number} is missing; run check, and restore the store from a backup")
            found = zstandard.ZstdCompressionDict(data)
            found.precompute_compress(level=_LEVEL)
            self._dictionaries[number] = found
        return found


def _text_at(place: int, message: dict[str, Any]) -> str:
    """Return the text that a message holds at a place of `_text_place`."""
    if place == _TEXT_IS_LOGGED:
        return logged_text(message["command"], message["output"])
    content = message["content"]
    text: str = content if place == _TEXT_IS_CONTENT else content[0]["text"]
    return text


def _text_place(record: Record) -> int:
    """Return where the message holds the text already, as one of the `_TEXT_` numbers."""
    if record.message is None:
        return _TEXT_HERE
    if record.shape is None and record.message.keys() >= {"command", "output"}:
        command, output = record.message["command"], record.message["output"]
        is_logged = isinstance(command, str) and isinstance(output, str) and logged_text(command, output) == record.text
        return _TEXT_IS_LOGGED if is_logged else _TEXT_HERE
    content = record.message.get("content")
    if isinstance(content, str):
        return _TEXT_IS_CONTENT if content == record.text else _TEXT_HERE
    if isinstance(content, (list, tuple)) and content and isinstance(content[0], dict):
        first = content[0].get("text")
        return _TEXT_IS_FIRST_PART if isinstance(first, str) and first == record.text else _TEXT_HERE
    return _TEXT_HERE


def _extend(value: Any) -> Any:
    """Pack what MessagePack cannot: an integer beyond 64 bits."""
    if isinstance(value, int):
        return msgpack.ExtType(_BIG_INTEGER, format(value, "x").encode())
    raise TypeError(f"{type(value).__name__} is not a value that can be stored")


def _extended(code: int, data: bytes) -> Any:
    """Return the value of an extension."""
    if code == _BIG_INTEGER:
        return int(data, 16)
    raise ValueError(f"extension {code} is not known")
