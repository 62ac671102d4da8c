"""Figures behind three decisions: the size of a frame, the containers of facets, the steps of maintenance.

bench_layout.py [--segments 20000]
"""

import argparse
import gc
import random
import re
import statistics
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from ctxmem import codec
from ctxmem.codec import Codec
from ctxmem.log import Log
from ctxmem.options import Options
from ctxmem.search import facets
from ctxmem.segment import Record
from ctxmem.tables import frames

SPAN = 65_536


def records(n):
    """Return n packed records of 36 words of the standard library."""
    root = Path(sysconfig.get_paths()["stdlib"])
    words = []
    for path in sorted(root.rglob("*.py")):
        words += re.findall(r"\S+\s*", path.read_text(encoding="utf-8", errors="replace"))
        if len(words) > 36 * n:
            break
    texts = ["".join(words[start : start + 36]) for start in range(0, min(len(words), 36 * n) - 35, 36)]
    return [
        Record(session=1 + i % 50, kind="note", role=None, text=t, tokens=60, at=1.7e9 + i) for i, t in enumerate(texts)
    ]


def median_us(act, n=200):
    """Return the median time of a call."""
    values = []
    for _ in range(n):
        begun = time.perf_counter()
        act()
        values.append(time.perf_counter() - begun)
    return statistics.median(values) * 1e6


def frame_sizes(some):
    """Print what frames of several sizes take, and how long one record of them takes to read."""
    coder = Codec(lambda _: None)
    packed = [(i, codec.pack_record(record)) for i, record in enumerate(some)]
    raw = sum(len(value) for _, value in packed)
    alone = sum(len(coder.store(value)) for _, value in packed)
    print(f"records {raw / 1e6:.2f} MB, one by one {alone / raw:.3f} of it")
    keep = frames.FRAME_BYTES, frames._FRAME_MOST_BYTES, frames._FULL_BYTES
    for size_kb in (4, 8, 16, 32, 64):
        frames.FRAME_BYTES = frames._FRAME_MOST_BYTES = size_kb << 10
        made = list(frames.pack(iter(packed), coder))
        read = median_us(lambda made=made: frames.unpack(*made[len(made) // 2], coder))
        print(f"  frame {size_kb:2d} KB: {sum(len(v) for _, v in made) / raw:.3f} of it, {read:.0f} us to open one")
    frames.FRAME_BYTES, frames._FRAME_MOST_BYTES, frames._FULL_BYTES = keep


def facet_sets(rng):
    """Print size and time of ours beside a serialised roaring bitmap, for sets of several densities in one block."""
    wanted = np.array(sorted(rng.sample(range(SPAN), 500)), np.uint16)
    for name, members in {
        "1 of 65,536": [77],
        "655 (1%)": sorted(rng.sample(range(SPAN), 655)),
        "32,768 (50%)": sorted(rng.sample(range(SPAN), 32_768)),
        "a range of 30,000": list(range(1_000, 31_000)),
    }.items():
        offsets = np.array(members, np.uint16)
        own, other = facets.encode_set(offsets, SPAN), facets.dump_ids(members)

        def ours(own=own):
            facets.contains(facets.decode_set(own, SPAN), wanted)

        def roaring(other=other):
            found = BitMap.deserialize(other)
            np.isin(wanted, np.asarray(found.to_array()))

        print(
            f"  {name:18s} ours {len(own):5d} B {median_us(ours):7.1f} us, "
            f"pyroaring {len(other):5d} B {median_us(roaring):7.1f} us"
        )


def steps(some):
    """Print how long single steps of sealing and merging take."""
    with tempfile.TemporaryDirectory() as folder:
        log = Log.open(folder + "/s", options=Options(durability="full"))
        log._upkeep.step = lambda *_: None  # only here, to be timed
        values = []
        for start in range(0, len(some), 1_024):
            for record in some[start : start + 1_024]:
                log.append(record)
            log._writer.commit([])
            begun = time.perf_counter()
            for _ in log.index.steps():
                now = time.perf_counter()
                values.append(now - begun)
                begun = now
        values.sort()
        picked = [values[int(len(values) * share)] * 1e3 for share in (0.5, 0.9, 0.99)]
        print(
            f"  {len(values)} steps, {sum(values):.2f} s; p50 {picked[0]:.2f}, p90 {picked[1]:.2f}, p99 {picked[2]:.2f}, "
            f"longest {values[-1] * 1e3:.2f} ms"
        )
        log.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=20_000)
    arguments = parser.parse_args()
    some = records(arguments.segments)
    gc.freeze()  # the records are the benchmark's own
    print("frames")
    frame_sizes(some)
    print("facets: read a set and ask it for 500 segments")
    facet_sets(random.Random(1))
    print(f"maintenance of {len(some)} segments")
    steps(some)


if __name__ == "__main__":
    main()
