"""Names from other programs, made such that the store takes them."""

import hashlib


def fitting(text: str, limit_bytes: int) -> str:
    """Return the text as a name the store takes: no NULs or lone surrogates, a long one cut and marked by its hash.

    >>> fitting("short", 20), fitting("x" * 100, 20)
    ('short', 'xxxxxxx~32c7510d0469')
    """
    raw = text.replace("\0", "").encode("utf-8", "replace")
    if len(raw) <= limit_bytes:
        return raw.decode()
    mark = "~" + hashlib.blake2b(raw, digest_size=6).hexdigest()
    return raw[: limit_bytes - len(mark)].decode("utf-8", "ignore") + mark
