"""Token counts: exact o200k from the vocabulary that ships with ctxmem, and the calibration for other models.

Owns tiktoken and the vocabulary file. Invariants:
    I1. No network, no environment variable, no tiktoken registry: the Encoding is built from package data alone.
    I2. Nothing is loaded before the first count: it costs 0.2 s and 73 MB (2 cores, tiktoken 0.14, 2026-11), and
        `import ctxmem` must stay cheap. That is why tiktoken is imported inside the loader.
    I3. Any str can be counted: special-token text, lone surrogates, a million spaces.

It does not know messages, providers or models; framing is counted in `providers`.
"""

import lzma
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

N_TOKENS = 199_998
PIECE_CHARS = 200_000  # a run of about 1M spaces makes tiktoken panic with a BaseException (openai/tiktoken#15)

# The pattern of o200k_base, from tiktoken_ext/openai_public.py (MIT, OpenAI; see NOTICE).
_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)
_VOCABULARY = Path(__file__).parent / "data" / "o200k_base.xz"

_lock = threading.Lock()
_encoding: "Encoding | None" = None


def vocabulary() -> list[bytes]:
    """Read the tokens of o200k_base in rank order from package data; about 0.1 s, nothing cached."""
    raw = lzma.decompress(_VOCABULARY.read_bytes())
    tokens, position = [], N_TOKENS
    for length in raw[:N_TOKENS]:
        tokens.append(raw[position : position + length])
        position += length
    return tokens


def _load() -> "Encoding":
    global _encoding  # noqa: PLW0603 -- one per process: it is 73 MB
    with _lock:
        if _encoding is None:
            from tiktoken import Encoding  # noqa: PLC0415 -- I2

            ranks = {token: rank for rank, token in enumerate(vocabulary())}
            _encoding = Encoding("ctxmem-o200k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})
        return _encoding


def is_loaded() -> bool:
    """Say whether the vocabulary is in memory already."""
    return _encoding is not None


def count(text: str) -> int:
    """Count the o200k tokens of a text; about 60 us a KB once loaded (0.2 s at first use), safe from any thread.

    Texts over 200,000 characters are counted in pieces, which adds at most one token or so a piece.

    >>> count("hello world"), count(""), count("<|endoftext|>")
    (2, 0, 7)
    """
    encoding = _encoding or _load()
    if len(text) <= PIECE_CHARS:
        return len(encoding.encode_ordinary(text))
    pieces = range(0, len(text), PIECE_CHARS)
    return sum(len(encoding.encode_ordinary(text[at : at + PIECE_CHARS])) for at in pieces)


_SCALE_MIN, _SCALE_MAX = 0.7, 2.5
_BASE_MAX = 4_000.0  # tokens; hidden system text of a provider, such as its tool-use preamble, stays below
_BASE_BELOW = 1_000  # counts below this teach the base, larger ones the scale
_LOWERING = 0.1  # share of the way down per observation


@dataclass(slots=True)
class Calibration:
    """What a model really counts, as base + scale x o200k, learned from the usage that the provider reports.

    Both terms are raised at once, since an under-estimate overflows the window, and lowered by a tenth of the way
    per observation. `scale` starts at the model's prior and stays within [0.7, 2.5].

    >>> calibration = Calibration(scale=1.2)
    >>> calibration.estimate(10_000)
    12000
    >>> calibration.observe(10_000, 13_000); calibration.estimate(10_000)
    13000
    """

    base: float = 0.0
    scale: float = 1.0
    observations: int = 0

    def estimate(self, counted_tokens: int) -> int:
        """Turn an o200k count of a whole prompt into the model's own tokens, rounded up."""
        return ceil(self.base + self.scale * counted_tokens - 1e-9)

    def observe(self, counted_tokens: int, actual_tokens: int) -> None:
        """Learn from one call: what was counted (o200k, uncalibrated) and what the provider reported."""
        if counted_tokens <= 0 or actual_tokens <= 0:
            return
        self.observations += 1
        if counted_tokens < _BASE_BELOW:
            seen = actual_tokens - self.scale * counted_tokens
            self.base = min(max(_towards(self.base, seen), 0.0), _BASE_MAX)
        else:
            seen = (actual_tokens - self.base) / counted_tokens
            self.scale = min(max(_towards(self.scale, seen), _SCALE_MIN), _SCALE_MAX)

    def to_dict(self) -> dict[str, float]:
        """Return the state as a small dict of plain numbers, for the store."""
        return {"base": self.base, "scale": self.scale, "observations": self.observations}

    @classmethod
    def from_dict(cls, state: Mapping[str, float]) -> "Calibration":
        """Rebuild from `to_dict`."""
        return cls(float(state["base"]), float(state["scale"]), int(state["observations"]))


def _towards(now: float, seen: float) -> float:
    """Return `seen` where it is higher, else a tenth of the way down to it."""
    return seen if seen > now else now + _LOWERING * (seen - now)
