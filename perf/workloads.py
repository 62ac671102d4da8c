"""What the benchmarks run on: seeded texts and queries, the same on every machine.

zipf        segments of 36 words drawn from 120,000 made-up words, frequency ~ 1 / rank
real        the Python standard library and site-packages, cut into segments of 36 words
sentinels   facets for filters of 50%, 1% and 0.001% selectivity, beside each segment
queries     five mixes, from the words of the texts by how common they are, stop words left out
"""

import random
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ctxmem.search.terms import STOP_WORDS  # where every commit that is compared has them

WORDS = 36
VOCABULARY = 120_000
PER_SESSION = 50  # segments of one session
START_S = 1_750_000_000.0  # 2025-06-15
STEP_S = 20.0  # between two segments
SEED = 20_261_121

_CONSONANTS, _VOWELS = "bdfgklmnprtvz", "aou"  # no endings that a stemmer would cut

MIXES = {
    "common + middling + rare": "cmr",
    "two rare": "rr",
    "one common": "c",
    "three common": "ccc",
    "five mixed": "ccmmr",
}


def word(rank: int) -> str:
    """Return a made-up word, the more common the shorter.

    >>> word(0), word(50), word(100_000)
    ('bab', 'fod', 'dodaprub')
    """
    syllables = []
    while True:
        rank, consonant = divmod(rank, len(_CONSONANTS))
        rank, vowel = divmod(rank, len(_VOWELS))
        syllables.append(_CONSONANTS[consonant] + _VOWELS[vowel])
        if not rank:
            return "".join(syllables) + "b"


def zipf(n: int) -> Iterator[str]:
    """Yield n texts of `WORDS` words."""
    words = np.array([word(rank) for rank in range(VOCABULARY)], object)
    odds = 1 / (np.arange(VOCABULARY) + 2.7)
    bounds = np.cumsum(odds / odds.sum())
    rng = np.random.default_rng(SEED)
    for start in range(0, n, 10_000):
        ranks = bounds.searchsorted(rng.random((min(10_000, n - start), WORDS)))
        for row in words[np.minimum(ranks, VOCABULARY - 1)]:
            yield " ".join(row)


def real(n: int) -> Iterator[str]:
    """Yield up to n texts of `WORDS` words, cut from Python sources in order of their paths; line breaks are kept."""
    roots = [sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")]
    for path in (path for root in dict.fromkeys(roots) for path in sorted(Path(root).rglob("*.py"))):
        if "site-packages" in path.parts and "site-packages" not in str(roots[-1]):
            continue
        piece: list[str] = []
        held = 0
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            piece.append(line)
            held += len(line.split())
            if held >= WORDS:
                yield "\n".join(piece)
                n -= 1
                piece, held = [], 0
            if n <= 0:
                return


TEXTS = {"zipf": zipf, "real": real}


def items(texts: Iterator[str]) -> Iterator[dict]:
    """Yield what `Memory.add_many` takes: text, session, time, and the facets that filters are measured with."""
    for number, text in enumerate(texts):
        yield {
            "text": text,
            "session": f"session-{number // PER_SESSION}",
            "at": START_S + number * STEP_S,
            "half": number % 2,
            "cent": number * 7 % 100,
            "rare": number * 7 % 100_000,
        }


def queries(sample: list[str], per_mix: int = 20) -> dict[str, list[str]]:
    """Return queries by mix: words chosen by the share of the sample's texts that hold them.

    Common: 2% and more; middling: 0.02% to 0.2%; rare: in 2 texts or more, up to 0.005%.
    """
    held: Counter[str] = Counter()
    for text in sample:
        held.update(
            {each for each in text.lower().split() if each.isascii() and each.isalpha() and len(each) > 2} - STOP_WORDS
        )
    n = len(sample)
    bands = {
        "c": [each for each, count in held.items() if 0.02 * n <= count <= 0.25 * n],
        "m": [each for each, count in held.items() if 0.0002 * n <= count <= 0.002 * n],
        "r": [each for each, count in held.items() if 2 <= count <= max(3, 0.00005 * n)],
    }
    rng = random.Random(SEED)
    for band in bands.values():
        band.sort()
    return {
        name: [
            " ".join(each for kind in dict.fromkeys(mix) for each in rng.sample(bands[kind], mix.count(kind)))
            for _ in range(per_mix)
        ]
        for name, mix in MIXES.items()
    }
