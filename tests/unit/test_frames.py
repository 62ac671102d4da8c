"""Frames: consecutive ids, found by any of them, refused when they do not add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem import codec
from ctxmem.errors import CorruptSegment, FormatMismatch
from ctxmem.store.localstore import LocalStore
from ctxmem.tables import frames

coder = codec.Codec({}.get)
records = st.lists(st.binary(max_size=300), max_size=30)


@given(st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=9000)), max_size=40))
def test_every_record_is_in_one_frame_of_consecutive_ids(spec):
    pairs, segment_id = {}, 0
    for gap, packed in spec:
        segment_id += gap + 1
        pairs[segment_id] = packed
    found = {}
    for key, value in frames.pack(pairs.items(), coder):
        inside = frames.unpack(key, value, coder)
        assert list(inside) == list(frames.ids(key, value))
        assert not inside.keys() & found.keys()
        assert len(inside) == 1 or sum(map(len, inside.values())) <= frames.FRAME_BYTES
        found |= inside

    assert found == pairs


def test_a_frame_is_found_by_any_of_its_ids(tmp_path):
    store = LocalStore.open(tmp_path / "s", durability="unsafe")
    pairs = [(n, b"%d" % n * 2000) for n in [*range(3, 9), *range(20, 25)]]
    with store.batch() as batch:
        for key, value in frames.pack(pairs, coder):
            batch.put("frames", key, value)

    with store.snapshot() as snapshot:
        for n, packed in pairs:
            assert frames.unpack(*frames.find(snapshot, n), coder)[n] == packed
        for n in (0, 2, 9, 19, 25, 2**48 - 1):
            assert frames.find(snapshot, n) is None
    store.close()


def test_build_takes_stored_records():
    pairs = [(n, coder.store(b"record %d" % n * 20)) for n in range(5)]
    ((key, value),) = frames.build(pairs, coder)

    assert frames.unpack(key, value, coder) == {n: b"record %d" % n * 20 for n in range(5)}


def test_a_newer_frame_is_refused():
    with pytest.raises(FormatMismatch):
        frames.ids(frames.key(1), b"\x09\x01\x00")


@pytest.mark.parametrize("body", [b"", b"\1\0\0\0", b"\1\0\0\0\1\0\0\0a", b"\1\0\0\0\1\0\0\0abc"])
def test_a_frame_that_does_not_add_up_is_corrupt(body):
    with pytest.raises(CorruptSegment):
        frames.unpack(frames.key(7), b"\x01\x02\x00" + coder.squeeze(body), coder)


def test_a_frame_that_does_not_expand_is_corrupt():
    with pytest.raises(CorruptSegment):
        frames.unpack(frames.key(7), b"\x01\x02\x00garbage", coder)
