"""Codec: what is packed comes back equal, what is stored names its dictionary, what is not ours is refused."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem import codec
from ctxmem.errors import BadInput, CorruptSegment, FormatMismatch
from ctxmem.segment import Call, Facts, Quote, Record

text = st.text(st.characters(exclude_categories=()), max_size=40)  # lone surrogates too
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | text
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


ids = st.integers(0, 2**48 - 1)
facts = st.builds(
    Facts,
    turn=st.integers(-1, 9),
    call_index=st.integers(-1, 9),
    is_error=st.booleans(),
    is_system=st.booleans(),
    is_inexact=st.booleans(),
    is_unsearched=st.booleans(),
    is_forgotten=st.booleans(),
    restored_until=st.integers(-1, 9),
    renamed_calls=st.lists(st.integers(0, 9), max_size=2).map(tuple),
    quotes=st.lists(st.builds(Quote, ids, st.integers(0, 9), st.integers(0, 9)), max_size=2).map(tuple),
    sources=st.lists(ids, max_size=2).map(tuple),
    natures=st.lists(st.integers(-1, 2), max_size=2).map(tuple),
)


@st.composite
def records(draw):
    said = draw(text)
    content = draw(st.sampled_from([said, [{"type": "text", "text": said}], None, [], "other"]))
    return Record(
        session=draw(st.integers(0, 2**32 - 1)),
        kind=draw(text),
        role=draw(st.none() | text),
        text=said,
        tokens=draw(st.integers(0, 10**9)),
        at=draw(st.floats(0, 1e11)),
        message=draw(st.none() | st.fixed_dictionaries({"content": st.just(content), "x": json_values})),
        shape=draw(st.none() | st.just("openai")),
        group=draw(st.integers(-1, 2**48 - 1)),
        calls=tuple(
            draw(st.lists(st.builds(Call, text, text, st.dictionaries(text, json_values, max_size=2)), max_size=2))
        ),
        call_id=draw(st.none() | text),
        refs=tuple(draw(st.lists(st.integers(0, 2**48 - 1), max_size=3))),
        pinned=draw(st.booleans()),
        facets=draw(st.dictionaries(text, text | st.integers(0, 9) | st.lists(text, max_size=2), max_size=2)),
        facts=draw(facts),
    )


def plain(words=40, seed=0):
    rng = random.Random(seed)
    said = " ".join(rng.choice(["login", "fails", "with", "error", "in", "auth.py"]) for _ in range(words))
    return Record(1, "message", "user", said, words, 1.5e9 + seed, message={"role": "user", "content": said})


@given(records())
def test_a_record_comes_back_equal(record):
    assert codec.unpack_record(codec.pack_record(record)) == record


@given(json_values)
def test_a_value_comes_back_equal(value):
    assert codec.unpack(codec.pack(value)) == value


def test_text_is_not_stored_twice():
    record = plain(400)
    record.message["content"] = [{"type": "text", "text": record.text}]

    assert len(codec.pack_record(plain(400))) < 1.2 * len(record.text)
    assert len(codec.pack_record(record)) < 1.2 * len(record.text)


def test_packing_takes_a_copy():
    record = plain()
    packed = codec.pack_record(record)
    record.message["content"] = "changed later"

    assert codec.unpack_record(packed) == plain()


@pytest.mark.parametrize("value", [{1, 2}, object(), float, [[1, {2}]]])
def test_what_cannot_be_stored_is_bad_input(value):
    with pytest.raises(BadInput):
        codec.pack(value)


def test_deep_nesting_is_bad_input():
    value = []
    for _ in range(5000):
        value = [value]

    with pytest.raises(BadInput):
        codec.pack(value)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91", b"\x01", b"\x90", b"\x91\x02", codec.pack({"a": 1})])
def test_other_bytes_are_not_a_record(data):
    with pytest.raises(CorruptSegment):
        codec.unpack_record(data)


def test_a_newer_layout_is_refused():
    with pytest.raises(FormatMismatch):
        codec.unpack_record(codec.pack([codec.RECORD_VERSION + 1, "more"]))


def test_a_digest_names_what_was_said_and_not_when():
    one, two = plain(), plain()
    two.at, two.tokens, two.group = 9e9, 7, 12

    assert codec.content_digest(one) == codec.content_digest(two)
    assert codec.content_digest(one) != codec.content_digest(plain(41))


def test_stored_records_are_read_with_the_dictionary_they_were_written_with():
    packed = [codec.pack_record(plain(60, seed)) for seed in range(600)]
    held = {}
    coder = codec.Codec(held.get)
    without = coder.store(packed[0])
    for number in (1, 2):
        held[number] = codec.train(packed[number::2])
        coder.use(number)
    coder.use(1)
    first = coder.store(packed[0])
    coder.use(2)
    second = coder.store(packed[0])

    reader = codec.Codec(held.get)
    assert [reader.load(stored) for stored in (without, first, second)] == [packed[0]] * 3
    assert len(first) < len(without) < len(packed[0])


def test_a_missing_dictionary_is_named():
    packed = [codec.pack_record(plain(60, seed)) for seed in range(600)]
    coder = codec.Codec({3: codec.train(packed)}.get)
    coder.use(3)

    with pytest.raises(CorruptSegment, match="dictionary 3"):
        codec.Codec({}.get).load(coder.store(packed[0]))


def test_too_few_samples_teach_nothing():
    assert codec.train([b"one", b"two"]) is None


@pytest.mark.parametrize("stored", [b"\x01", b"\x01\x09abc", b"\x01\x01abc", b"\x01\x02abc", b"\x01\x02\0\0\0\1abc"])
def test_damaged_stored_bytes_are_corrupt(stored):
    with pytest.raises(CorruptSegment):
        codec.Codec({1: b"x" * 100}.get).load(stored)


def test_a_newer_stored_version_is_refused():
    with pytest.raises(FormatMismatch):
        codec.Codec({}.get).load(b"\x02\x00abc")


def test_short_records_are_stored_as_they_are():
    assert codec.Codec({}.get).store(b"short") == b"\x01\x00short"
