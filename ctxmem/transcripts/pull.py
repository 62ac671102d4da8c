"""Pull JSON values out of a text stream one at a time, without holding the whole of it.

I1. What is held is at most one value and one read (64 KB, doubled while a single value does not fit).
I2. A value that ends at the edge of what was read is never trusted: a number might go on.
It knows JSON and nothing of what the values mean.
"""

import json
from collections.abc import Iterator
from typing import IO, Any

from ctxmem.errors import BadInput

_READ_CHARS = 1 << 16
_LARGEST_VALUE_CHARS = 1 << 28
_LONGEST_LITERAL_CHARS = 32
_LONGEST_TAIL_CHARS = 3  # "1e+" reads as 1 and leaves two characters
_SPACE = " \t\r\n\ufeff"


class Pull:
    """A cursor over JSON text. Not thread-safe; the stream stays the caller's to close."""

    def __init__(self, stream: IO[str], name: str) -> None:
        self._stream = stream
        self._name = name
        self._buffer = ""
        self._at = 0
        self._passed = 0  # characters already dropped from the buffer, for messages
        self._ended = False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """Return the next character that is not white space, without taking it; "" at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more(_READ_CHARS):
                return ""

    def take(self, expected: str) -> None:
        """Take one character, which must be one of `expected`. Raises BadInput where it is another."""
        found = self.peek()
        if found == "" or found not in expected:
            raise self.problem(f"expected {' or '.join(repr(c) for c in expected)}, found {found or 'the end'!r}")
        self._at += 1

    def value(self) -> Any:
        """Take the next whole value: O(its length). Raises BadInput where there is none."""
        self.peek()
        step = _READ_CHARS
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as exc:
                if self._is_final(exc) or not self._more(step):
                    raise self.problem("not JSON, or cut short") from exc
            except RecursionError as exc:
                raise self.problem("nested too deeply") from exc
            else:
                if end + _LONGEST_TAIL_CHARS < len(self._buffer) or not self._more(step):  # I2
                    self._at = end
                    return value
            step *= 2

    def members(self) -> Iterator[str]:
        """Walk an object's keys; the caller takes each value before it asks for the next key."""
        self.take("{")
        while self.peek() != "}":
            key = self.value()
            if not isinstance(key, str):
                raise self.problem("a key is not a string")
            self.take(":")
            yield key
            if self.peek() != "}":
                self.take(",")
        self.take("}")

    def elements(self) -> Iterator[Any]:
        """Walk an array's values, one in memory at a time."""
        self.take("[")
        while self.peek() != "]":
            yield self.value()
            if self.peek() != "]":
                self.take(",")
        self.take("]")

    def problem(self, what: str) -> BadInput:
        """Return an error that says where in the file the reading stopped."""
        return BadInput(f"{self._name}: {what}, at character {self._passed + self._at:,}.")

    def _is_final(self, exc: json.JSONDecodeError) -> bool:
        """Say whether more text cannot mend it: the error stands well before the end of what was read."""
        is_open = exc.msg.startswith("Unterminated string")
        held = len(self._buffer) - self._at
        return held > _LARGEST_VALUE_CHARS or (not is_open and exc.pos < len(self._buffer) - _LONGEST_LITERAL_CHARS)

    def _more(self, chars: int) -> bool:
        """Read on, dropping what was taken (I1); False at the end of the stream."""
        if self._ended:
            return False
        try:
            read = self._stream.read(chars)
        except UnicodeDecodeError as exc:
            raise BadInput(f"{self._name}: not UTF-8 text ({exc.reason} at byte {exc.start:,} of a block).") from exc
        self._ended = not read
        if read:
            self._passed += self._at
            self._buffer = self._buffer[self._at :] + read
            self._at = 0
        return bool(read)
