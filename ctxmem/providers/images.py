"""Image sizes from file headers, and what an image costs in tokens.

Reads PNG, JPEG, GIF and WebP headers from base64; nothing is decoded, nothing fetched. An image whose size cannot be
read is counted at the documented maximum and marked inexact.
"""

import base64
import binascii
import struct
from math import ceil

from ctxmem.providers.neutral import Image

_HEADER_CHARS = 65_536 * 4  # a JPEG may carry a thumbnail before its size; a multiple of 4, so that base64 decodes
MAX_TOKENS = 4_784  # Claude from 4.7 on; the largest of the documented maxima
_CLAUDE_EDGE, _CLAUDE_PATCH = 2_576, 28
_LOW_DETAIL_TOKENS = 85


def image(media_type: str, data: str, url: str = "", detail: str = "") -> Image:
    """Describe an image given as base64 `data` or a `url` (a data URL is taken apart)."""
    if url.startswith("data:"):
        header, _, data = url.partition(",")
        media_type, url = header[5:].split(";")[0], ""
    width, height = size(data) if data else (0, 0)
    if detail == "low":
        return Image(media_type, data, url, width, height, _LOW_DETAIL_TOKENS * 2, exact=True)
    tokens = image_tokens(width, height) if width else MAX_TOKENS
    return Image(media_type or "image/png", data, url, width, height, tokens, exact=width > 0)


def image_tokens(width: int, height: int) -> int:
    """Count an image of that size by the dearest of the providers' formulas, so that it fits whoever gets it.

    OpenAI tiles: 85 + 170 a tile of 512 after scaling to 2048 and to a short side of 768; patches of 32 px, at most
    1,536, times 1.2; Claude: patches of 28 px after scaling to an edge of 2,576, at most 4,784.

    >>> image_tokens(1024, 768), image_tokens(10, 10)
    (1036, 255)
    """
    return max(_tiles(width, height), ceil(min(_patches(width, height, 32), 1_536) * 1.2), _claude(width, height))


def _tiles(width: int, height: int) -> int:
    scale = min(1.0, 2_048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    return 85 + 170 * ceil(width * scale / 512) * ceil(height * scale / 512)


def _patches(width: int, height: int, edge: int) -> int:
    return ceil(width / edge) * ceil(height / edge)


def _claude(width: int, height: int) -> int:
    scale = min(1.0, _CLAUDE_EDGE / max(width, height))
    return min(_patches(ceil(width * scale), ceil(height * scale), _CLAUDE_PATCH), MAX_TOKENS)


def size(data: str) -> tuple[int, int]:
    """Read (width, height) from the header of a base64 image; (0, 0) where it cannot be read.

    >>> size("iVBORw0KGgoAAAANSUhEUgAABAAAAAMACAYAAAA=")
    (1024, 768)
    """
    try:
        head = base64.b64decode(data[:_HEADER_CHARS])
    except (binascii.Error, ValueError):
        return 0, 0
    try:
        width, height = _size(head)
    except (struct.error, IndexError):
        return 0, 0
    return (width, height) if width > 0 and height > 0 else (0, 0)


def _size(head: bytes) -> tuple[int, int]:
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = struct.unpack(">II", head[16:24])
    elif head[:6] in {b"GIF87a", b"GIF89a"}:
        width, height = struct.unpack("<HH", head[6:10])
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(head)
    elif head[:2] == b"\xff\xd8":
        return _jpeg(head)
    else:
        return 0, 0
    return width, height


def _webp(head: bytes) -> tuple[int, int]:
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(head: bytes) -> tuple[int, int]:
    at = 2
    while head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:  # a start of frame
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return 0, 0
