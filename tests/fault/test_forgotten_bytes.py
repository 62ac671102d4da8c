"""After `forget` and `compact` the file holds neither the text nor its rare words, also where values are compressed."""

import random

import zstandard

import ctxmem
from ctxmem.store import TABLES
from ctxmem.store.localstore import LocalStore

SECRET = "zyxwsecretterm"
MAGIC = b"\x28\xb5\x2f\xfd"  # where a zstd frame begins


def opened_up(data):
    """The bytes, and what every zstd frame among them expands to."""
    found = [data]
    at = data.find(MAGIC)
    while at >= 0:
        try:
            found.append(zstandard.ZstdDecompressor().decompressobj().decompress(data[at:]))
        except zstandard.ZstdError:
            found.append(b"")
        at = data.find(MAGIC, at + 1)
    return b"|".join(found)


def test_no_byte_of_what_was_forgotten_remains(tmp_path):
    rng = random.Random(2)
    words = [f"w{n}" for n in range(500)]
    memory = ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe", tail_segments=128))
    secret_ids = []
    for n in range(700):
        is_secret = n % 50 == 0 or n == 699  # sealed ones, and one in the tail
        text = " ".join(rng.choices(words, k=30)) + (f" {SECRET}{n} key={SECRET}" if is_secret else "")
        said = memory.add(text, session=f"s{n % 3}", key=f"k{n}", file=SECRET if is_secret else "a.py")
        if is_secret:
            secret_ids.append(said.id)
    context = memory.context("talk", model="gpt-5.1")
    secret_ids.append(context.append({"role": "user", "content": f"my {SECRET} is x"}).id)
    context.assemble()
    memory.flush()
    assert SECRET.encode() in (tmp_path / "s" / "data.mdb").read_bytes()

    for segment_id in secret_ids:
        memory.forget(segment_id)
    assert memory.search(SECRET) == []
    memory.compact()
    assert memory.check() == []
    memory.close()

    assert SECRET.encode() not in (tmp_path / "s" / "data.mdb").read_bytes()
    store = LocalStore.open(tmp_path / "s", readonly=True)
    with store.snapshot() as snapshot:
        for table in TABLES:
            for key, value in snapshot.scan(table):
                assert SECRET.encode() not in opened_up(key + b"|" + value), table
    store.close()
