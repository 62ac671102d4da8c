"""What any store behind our seam must do: ordered keys, snapshots and batches, told against a plain dict."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxmem.store import after
from ctxmem.store.localstore import LocalStore

keys = st.binary(min_size=1, max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, st.binary(max_size=20)),
        st.tuples(st.just("delete"), keys),
        st.tuples(st.just("delete_range"), st.binary(max_size=2), st.none() | keys, st.none() | st.integers(0, 5)),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    opened = LocalStore.open(tmp_path_factory.mktemp("contract") / "s", durability="unsafe")
    yield opened
    opened.close()


def apply(batch, oracle, step):
    name, *rest = step
    if name == "put":
        batch.put("log", *rest)
        oracle[rest[0]] = rest[1]
    elif name == "delete":
        assert batch.delete("log", rest[0]) == (oracle.pop(rest[0], None) is not None)
    else:
        start, stop, limit = rest
        doomed = [key for key in sorted(oracle) if key >= start and (stop is None or key < stop)][:limit]
        assert batch.delete_range("log", start, stop, limit=limit) == len(doomed)
        for key in doomed:
            del oracle[key]


def agree(snapshot, oracle, probe, stop):
    ordered = sorted(oracle.items())
    inside = [(k, v) for k, v in ordered if k >= probe and (stop is None or k < stop)]
    assert snapshot.get("log", probe) == oracle.get(probe)
    assert snapshot.get_many("log", [probe, b"zzzzz"]) == [oracle.get(probe), None]
    view = snapshot.view("log", probe)
    assert (None if view is None else bytes(view)) == oracle.get(probe)
    assert list(snapshot.scan("log", probe, stop)) == inside
    assert list(snapshot.scan("log", probe, stop, reverse=True)) == inside[::-1]
    assert list(snapshot.scan("log", probe, stop, limit=2)) == inside[:2]
    assert list(snapshot.keys("log", probe, stop)) == [k for k, _ in inside]
    assert snapshot.floor("log", probe) == next(((k, v) for k, v in ordered[::-1] if k <= probe), None)
    assert snapshot.last("log") == (ordered[-1] if ordered else None)
    assert snapshot.count("log") == len(oracle)
    assert list(snapshot.unsound("log")) == []


@settings(max_examples=60)
@given(st.lists(st.tuples(steps, st.booleans()), max_size=5), keys, st.none() | keys)
def test_it_agrees_with_a_dict(store, batches, probe, stop):
    with store.batch() as batch:
        batch.delete_range("log")
    oracle = {}
    for planned, is_kept in batches:
        before = dict(oracle)
        with store.snapshot() as earlier:
            try:
                with store.batch() as batch:
                    for step in planned:
                        apply(batch, oracle, step)
                    agree(batch, oracle, probe, stop)
                    if not is_kept:
                        raise KeyboardInterrupt  # noqa: TRY301
            except KeyboardInterrupt:
                oracle = before
            agree(earlier, before, probe, stop)
        with store.snapshot() as snapshot:
            agree(snapshot, oracle, probe, stop)


@given(st.binary(max_size=6), st.lists(st.binary(max_size=6)))
def test_after_ends_a_prefix(prefix, others):
    stop = after(prefix)

    for other in others:
        is_inside = other >= prefix and (stop is None or other < stop)
        assert is_inside == other.startswith(prefix)
