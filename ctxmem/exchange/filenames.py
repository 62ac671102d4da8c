"""Names of entities and spaces as names of folders, whatever they hold.

I1. Different names give different folders, none of which leaves its parent, is hidden or is too long for a file system.
I2. What is not shortened comes back with `decoded`; of a longer one its `index.json` holds the name.
"""

import re
from hashlib import blake2b
from urllib.parse import unquote_to_bytes

_MOST_BYTES = 200  # of 255 that file systems take: `.jsonl.gz.part` must fit too
_HASHED = "%%"  # no encoded name holds it
_KEPT = re.compile(r"[\w@# -]|(?<=[^.])\.(?=[^.])")


def encoded(name: str) -> str:
    r"""Return a name as that of a folder.

    >>> encoded("@alice"), encoded("@a/../b"), encoded("@v1.2"), encoded("@nul\0")
    ('@alice', '@a%2F%2E%2E%2Fb', '@v1.2', '@nul%00')
    """
    out = "".join(
        c if _KEPT.match(name, place) and not (c == " " and place + 1 == len(name)) else _escaped(c)
        for place, c in enumerate(name)
    )
    raw = out.encode()
    if len(raw) <= _MOST_BYTES:
        return out
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    head = raw[: _MOST_BYTES - len(_HASHED) - len(digest)].decode(errors="ignore")
    return re.sub("%.?$", "", head) + _HASHED + digest


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def decoded(folder: str) -> str | None:
    """Return the name of a folder; None where it was shortened.

    >>> decoded("@a%2F%2E%2E%2Fb")
    '@a/../b'
    """
    return None if _HASHED in folder else unquote_to_bytes(folder).decode("utf-8", "surrogatepass")
