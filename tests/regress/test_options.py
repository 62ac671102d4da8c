"""Options and policies that cannot be followed: accepted before, then a loop for ever, a bare error, or a weaker store."""

import numpy as np
import pytest

import ctxmem

BAD = [
    ("durability", "Full"),
    ("durability", None),
    ("durability", ["full"]),
    ("facets_of_call", {"file": "path"}),
    ("nature_of_call", {"deploy": "change"}),
    ("clock", 0.0),
    ("models", None),
    ("models", ["gpt-4o"]),
    ("models", {7: {}}),
    ("models", {"gpt-4o": 128_000}),
    ("models", {"gpt-4o": {"windw": 1}}),
    ("models", {"gpt-4o": {7: 1}}),
    ("models", {"gpt-4o": {"window": 0}}),
    ("models", {"gpt-4o": {"window": "128k"}}),
    ("models", {"gpt-4o": {"prior": float("nan")}}),
    ("models", {"gpt-4o": {"exact": 1}}),
    ("models", {"gpt-4o": {"provider": 1}}),
    ("hot_bytes", -1),
    ("hot_bytes", "64 MB"),
    ("hot_bytes", 1e6),
    ("hot_bytes", 10**5000),
    ("tail_segments", 0),
    ("tail_segments", True),
    ("tail_segments", 65_537),
    ("merge_factor", 1),
    ("merge_factor", None),
    ("block_segments", 0),
    ("block_segments", 10**6),
    ("load_workers", -1),
    ("load_workers", 1.5),
    ("load_workers", 10**6),
    ("map_bytes", -1),
    ("map_bytes", None),
    ("map_bytes", 1 << 60),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}-{n}" for n, (name, _) in enumerate(BAD)])
def test_an_option_that_cannot_be_followed_is_named_with_what_it_takes(tmp_path, name, value):
    with pytest.raises(ctxmem.BadInput, match=rf"Options\.{name}\b.*(must|give|is no field)"):
        ctxmem.open(tmp_path / "s", options=ctxmem.Options(**{name: value}))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"durability": "unsafe"}, "unsafe", ctxmem.Policy(), ctxmem.Options])
def test_options_of_another_type_are_refused(tmp_path, options):
    with pytest.raises(ctxmem.BadInput, match=r"ctxmem\.Options"):
        ctxmem.open(tmp_path / "s", options=options)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("high", 1.5),
        ("low", "half"),
        ("min_reclaim", None),
        ("cache_ttl_s", -1),
        ("ceiling", 2.5),
        ("keep_recent", None),
    ],
)
def test_a_policy_that_cannot_be_followed_is_named(name, value):
    with pytest.raises(ctxmem.BadInput, match=rf"Policy\.{name}=.*must"):
        ctxmem.Policy(**{name: value})


def test_the_smallest_and_the_largest_options_work(tmp_path):
    small = {
        "hot_bytes": 0,
        "tail_segments": 1,
        "merge_factor": 2,
        "block_segments": 1,
        "load_workers": 0,
        "map_bytes": 0,
    }
    large = {"hot_bytes": 1 << 47, "tail_segments": 65_536, "merge_factor": 65_536, "block_segments": 65_536}
    for name, chosen in {"small": small, "large": large}.items():
        with ctxmem.open(tmp_path / name, options=ctxmem.Options(durability="unsafe", **chosen)) as memory:
            for n in range(40):
                memory.add(f"harbour note {n}")
                memory.flush()
            assert len(memory.search("harbour", limit=100)) == 40
            assert memory.check() == []


def test_what_counts_as_an_int_becomes_one():
    options = ctxmem.Options(hot_bytes=np.int32(4_000), load_workers=np.uint8(1))

    assert (type(options.hot_bytes), type(options.load_workers)) == (int, int)
