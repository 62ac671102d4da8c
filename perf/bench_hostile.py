"""How long may a hostile query take? Every one answers, or raises a typed error, within 50 ms.

    bench_hostile.py [--segments 20000] [--repeats 5] [--json]

The store holds notes of 36 words in many scripts, some of 100,000 characters, and facets. Each query is asked through
`Memory.search`, the first time apart; the figures are the slowest of the rest.
"""

import argparse
import json
import random
import tempfile
import time

import ctxmem

BOUND_MS = 50.0
SCRIPTS = {
    "latin": (0x61, 0x7B),
    "greek": (0x3B1, 0x3CA),
    "cyrillic": (0x430, 0x450),
    "arabic": (0x628, 0x64B),
    "hebrew": (0x5D0, 0x5EB),
    "devanagari": (0x905, 0x93A),
    "thai": (0xE01, 0xE2F),
    "khmer": (0x1780, 0x17B4),
    "hangul": (0xAC00, 0xAE00),
    "kana": (0x3041, 0x3097),
    "han": (0x4E00, 0x5200),
    "cuneiform": (0x12000, 0x12100),
    "emoji": (0x1F600, 0x1F650),
}


def letters(script, n, rng):
    """Return n letters of a script."""
    low, high = SCRIPTS[script]
    return "".join(chr(rng.randrange(low, high)) for _ in range(n))


def words(n, rng, script="latin"):
    """Return n words of a script."""
    return " ".join(letters(script, rng.randrange(2, 8), rng) for _ in range(n))


def queries(rng):
    """Return hostile texts by name, and filters where there are any."""
    many = words(10_000, rng)
    found = {
        "10 MB of words": "needle haystack " * 655_360,
        "10 MB without a space": "a" * 10_485_760,
        "10 MB of NULs": "\0" * 10_485_760,
        "64 KB of words": ("needle haystack " * 4_096)[:65_536],
        "64 KB without a space": "a" * 65_536,
        "64 KB of dots": "a." * 32_768,
        "64 KB of underscores": "a_b" * 21_845,
        "64 KB of slashes": "ab/" * 21_845,
        "64 KB of camel case": "aB" * 32_768,
        "64 KB of marks": "a" + "\u0301" * 65_000,
        "64 KB of ligatures": "\ufdfa" * 65_000,
        "64 KB of quotes": '"' * 65_536,
        "only stop words": "the of and to " * 4_000,
        "only operators": '+-"*' * 16_384,
        "only signs": "+ - * \" ' ( ) ~ ^ : " * 3_000,
        "NULs between words": "needle\0haystack\0" * 4_096,
        "lone surrogates": "\ud800\udfff needle \udc80" * 3_000,
        "100,000 terms": " ".join(map(str, range(100_000))),
        "10,000 words": many[:65_536],
        "a phrase of 10,000 words": f'"{many[:65_000]}"',
        "a phrase of stop words": '"to be or not to be" needle',
        "a phrase that many nearly hold": '"haystack needle haystack needle"',
        "a phrase that is barred": 'needle -"needle haystack"',
        "1,000 phrases": '"needle haystack" ' * 3_000,
        "prefixes of one letter": "a* b* c*",
        "1,000 prefixes": " ".join(f"{letters('latin', 3, rng)}*" for _ in range(1_000)),
        "a prefix of everything": "nee* hay*",
        "required terms": "+needle +haystack " + " ".join("+" + word for word in many.split()[:5_000]),
        "excluded terms": "needle " + " ".join("-" + word for word in many.split()[:5_000]),
        "base64": "needle " + "QUJD" * 15_000,
        "bidi and controls": "\u202e\u200f\x07 needle \x1b[31m" * 2_000,
    }
    for script in SCRIPTS:
        found[f"64 KB of {script}"] = words(10_000, rng, script)[:65_536]
        found[f"64 KB of {script} in one word"] = letters(script, 65_536, rng)
    return {name: (text, {}) for name, text in found.items()} | {
        "a filter of 64 facets": ("needle", {f"f{n}": "x" for n in range(64)}),
        "a filter of 1,024 values": ("needle", {"tags": [f"tag{n}" for n in range(1_024)]}),
        "a filter of 100,000 values": ("needle", {"tags": [f"tag{n}" for n in range(100_000)]}),
        "a filter of 100,000 facets": ("needle", {f"f{n}": n for n in range(100_000)}),
        "no time at all": ("needle", {"since": 2.0, "until": 1.0}),
        "all of time": ("needle", {"since": -1e300, "until": 1e300}),
        "the newest 1,000": ("", {"limit": 1_000}),
    }


def fill(memory, n, rng, *, n_long=10):
    """Add notes: a needle in every second, a hundred in each script, some long ones."""
    scripts = list(SCRIPTS)
    texts = [
        f"{words(30, rng, scripts[i % len(scripts)] if i < 1_300 else 'latin')} {'needle ' * (i % 2)}haystack"
        for i in range(n)
    ]
    texts += [f"{words(20_000, rng)} needle haystack" for _ in range(n_long)]
    memory.add_many({"text": text, "tags": [f"tag{i % 50}"], "f0": "x"} for i, text in enumerate(texts))


def ask(memory, text, filters):
    """Ask once: what came of it, and the time in milliseconds."""
    begun = time.perf_counter()
    try:
        outcome = f"{len(memory.search(text, **filters))} hits"
    except ctxmem.CtxMemError as error:
        outcome = type(error).__name__
    return outcome, (time.perf_counter() - begun) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rng = random.Random(5)
    rows = []
    with tempfile.TemporaryDirectory() as folder, ctxmem.open(folder + "/store") as memory:
        fill(memory, arguments.segments, rng)
        memory.search("needle")
        for name, (text, filters) in queries(rng).items():
            outcome, first = ask(memory, text, filters)
            slowest = max(ask(memory, text, filters)[1] for _ in range(arguments.repeats))
            rows.append({"query": name, "outcome": outcome, "first_ms": first, "slowest_ms": slowest})
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in sorted(rows, key=lambda row: -row["slowest_ms"]):
        verdict = "" if row["slowest_ms"] < BOUND_MS and row["first_ms"] < BOUND_MS else "  ABOVE 50 ms"
        print(f"{row['query']:34s} {row['outcome']:12s} {row['first_ms']:8.2f} {row['slowest_ms']:8.2f}{verdict}")


if __name__ == "__main__":
    main()
