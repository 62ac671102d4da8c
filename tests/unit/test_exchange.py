"""Export and import: the same log comes back, whatever its names and wherever it was interrupted."""

import gzip
import json

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import ctxmem
from ctxmem.cli.app import command_named
from ctxmem.entries import entry
from ctxmem.exchange import export_log, export_stash, partition
from ctxmem.exchange.filenames import decoded, encoded
from ctxmem.memory import log_of
from ctxmem.transcripts import detect, logfiles

DAY_S = 86_400.0
NOW = 20_000 * DAY_S


def opened(path):
    return ctxmem.open(path, options=ctxmem.Options(clock=lambda: NOW, tail_segments=8, durability="unsafe"))


def quiet(_done) -> None:
    pass


def contents(memory) -> list[dict]:
    return [{**entry.plain(segment), "id": 0} for segment in memory.logs.entries()]


def run(name, *arguments):
    return CliRunner().invoke(command_named(name), [str(one) for one in arguments], catch_exceptions=False)


def fill(memory, n=30) -> None:
    for i in range(n):
        memory.logs.append(
            f"@bob step {i} \x1b[31m\ud800 é",
            "out\n" * (i % 3),
            entity=["alice", "a/../b", "."][i % 3],
            space=["general", None, "x y."][i % 3],
            tick=i // 3,
            tokens_in=i,
            at=NOW - (n - i - i % 2) * DAY_S,
        )


@given(st.text(min_size=1))
def test_a_name_is_a_file_name_and_comes_back(name):
    folder = encoded("@" + name)

    assert "/" not in folder
    assert "\0" not in folder
    assert folder.startswith("@")
    assert len(folder.encode()) <= 200
    assert decoded(folder) in {"@" + name, None}
    assert decoded(folder) is not None or len(name.encode("utf-8", "surrogatepass")) > 60


def test_different_names_give_different_folders():
    names = ["@" + "x" * 300, "@" + "x" * 301, "@a/b", "@a%2Fb", "@a\0b", "@..", "@.", "@a ", "@a"]
    assert len({encoded(name) for name in names}) == len(names)


def test_out_and_in_again_is_the_same_log(tmp_path):
    with opened(tmp_path / "s") as memory:
        fill(memory)
        before = contents(memory)
        done = export_log(log_of(memory), tmp_path / "out", quiet)
    assert (done["entries"], done["new"], done["left_out"]) == (30, 30, 0)
    assert detect(tmp_path / "out") == "log"

    said = run("import", tmp_path / "out", "--store", tmp_path / "t", "--json").output
    assert json.loads(said)[0]["segments"] == 30
    with opened(tmp_path / "t") as memory:
        assert contents(memory) == before
    again = json.loads(run("import", tmp_path / "out", "--store", tmp_path / "t", "--json").output)[0]
    assert (again["segments"], again["known"]) == (0, 30)
    own = json.loads(run("import", tmp_path / "out", "--store", tmp_path / "s", "--json").output)[0]
    assert (own["segments"], own["known"]) == (0, 30)


def test_the_layout(tmp_path):
    with opened(tmp_path / "s") as memory:
        fill(memory)
        export_log(log_of(memory), tmp_path / "out", quiet)
    out = tmp_path / "out"

    assert sorted(path.name for path in (out / "by-entity").iterdir()) == ["@%2E", "@a%2F%2E%2E%2Fb", "@alice"]
    index = json.loads((out / "by-entity/@a%2F%2E%2E%2Fb/index.json").read_text())
    assert (index["entity"], index["entries"]) == ("a/../b", 10)
    for name, known in index["files"].items():
        lines = list(logfiles.lines_of(out / "by-entity/@a%2F%2E%2E%2Fb" / name))
        assert len(lines) == known["lines"]
        assert {line["entity"] for line in lines} == {"a/../b"}
    packed = [path for path in out.rglob("*.jsonl.gz") if path.is_relative_to(out / "by-date")]
    plain = list((out / "by-date").glob("*.jsonl"))
    assert packed
    assert plain
    with gzip.open(min(packed)) as stream:
        assert json.loads(stream.readline())["tick"] == 0
    (ticks,) = (out / "ticks").iterdir()
    assert [row["tick"] for row in logfiles.lines_of(ticks)] == [n // 3 for n in range(30)]
    assert len(json.loads((out / "index/entities.json").read_text())) == 3
    assert (out / "by-space/#x y%2E").is_dir()


def test_files_are_rotated(tmp_path):
    with opened(tmp_path / "s") as memory:
        for n in range(20):
            memory.logs.append(f"step {n}", entity="a", at=NOW)
        export_log(log_of(memory), tmp_path / "out", quiet, rotate_bytes=600)
    files = sorted((tmp_path / "out/by-entity/@a").glob("*.jsonl"))

    assert len(files) > 3
    assert all(path.stat().st_size <= 600 for path in files)
    assert [row["command"] for path in files for row in logfiles.lines_of(path)] == [f"step {n}" for n in range(20)]
    assert [row["command"] for row in logfiles.read(tmp_path / "out", quiet)] == [f"step {n}" for n in range(20)]


class Cut(Exception):
    """An export or import ends here."""


@settings(max_examples=10)
@given(st.lists(st.integers(1, 60), max_size=3), st.integers(0, 40))
def test_an_export_that_is_cut_short_goes_on(tmp_path_factory, cuts, later):
    folder = tmp_path_factory.mktemp("x")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(partition, "_HELD_BYTES", 2_000)
    with opened(folder / "s") as memory:
        fill(memory)
        for cut in cuts:
            calls = iter(range(cut))

            def progress(_done, calls=calls):
                if next(calls, None) is None:
                    raise Cut

            try:
                export_log(log_of(memory), folder / "out", progress)
            except Cut:
                continue
        for n in range(later):
            memory.logs.append(f"later {n}", entity="bob", at=NOW)
        export_log(log_of(memory), folder / "out", quiet)
        export_log(log_of(memory), folder / "out", quiet)
        wanted = contents(memory)
    monkeypatch.undo()
    with opened(folder / "t") as memory:
        from ctxmem.entries.bringing import bring

        bring(log_of(memory), logfiles.read(folder / "out", quiet), quiet, quiet)
        assert contents(memory) == wanted
        by_entity = sum(1 for path in (folder / "out/by-entity").rglob("*.jsonl*") for _ in logfiles.lines_of(path))
        assert by_entity == len(wanted)


def test_an_import_that_is_cut_short_goes_on(tmp_path):
    with opened(tmp_path / "s") as memory:
        fill(memory)
        wanted = contents(memory)
        export_log(log_of(memory), tmp_path / "out", quiet)
    from ctxmem.entries.bringing import bring

    def lines(n):
        for place, line in enumerate(logfiles.read(tmp_path / "out", quiet)):
            if place == n:
                raise Cut
            yield line

    with opened(tmp_path / "t") as memory:
        for n in (7, 20):
            with pytest.raises(Cut):
                bring(log_of(memory), lines(n), quiet, quiet)
            assert len(contents(memory)) == n
        bring(log_of(memory), lines(99), quiet, quiet)
        assert contents(memory) == wanted


ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "command": st.text(min_size=1),
            "entity": st.sampled_from(["alice", "a/../b", "bob", "..", "é" * 100]),
            "at": st.floats(-1e10, 1e10),
        },
        optional={
            "output": st.text(),
            "space": st.sampled_from(["general", "%", "#"]),
            "tick": st.integers(0, 2**63 - 1),
            "tokens_out": st.integers(0, 10**9),
        },
    ),
    max_size=12,
)


@settings(max_examples=15)
@given(ENTRIES)
def test_any_log_comes_back(tmp_path_factory, said):
    folder = tmp_path_factory.mktemp("x")
    with opened(folder / "s") as memory:
        for one in sorted(said, key=lambda one: one["at"]):
            try:
                memory.logs.append(**one)
            except ctxmem.BadInput:
                assert one.get("space") == "#"
        wanted = contents(memory)
        export_log(log_of(memory), folder / "out", quiet)
    with opened(folder / "t") as memory:
        from ctxmem.entries.bringing import bring

        bring(log_of(memory), logfiles.read(folder / "out", quiet), quiet, quiet)
        assert contents(memory) == wanted


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"entity":"a"}',
        b'{"entity":"a","command":"x"}',
        b'{"entity":"a","command":"x","at":NaN}',
        b'{"entity":"a\\u0007","command":"x","at":1}',
        b'{"entity":"a","command":"x","at":1,"tokens_in":-1}',
        b'{"entity":"a","command":7,"at":1}',
    ],
)
def test_a_line_that_is_no_entry_is_passed_over_and_named(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_bytes(
        b'{"entity":"a","command":"first","at":1}\n' + line + b'\n{"entity":"a","command":"last","at":2}\n'
    )

    found = run("import", path, "--store", tmp_path / "s")
    assert "Passed over" in found.output
    with opened(tmp_path / "s") as memory:
        assert [one["command"] for one in contents(memory)] == ["first", "last"]


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "out/by-date").mkdir(parents=True)
    (tmp_path / "out/by-date/x.jsonl").write_text("mine")
    with opened(tmp_path / "s") as memory, pytest.raises(ctxmem.BadInput, match="name a new directory"):
        export_log(log_of(memory), tmp_path / "out", quiet)
    assert (tmp_path / "out/by-date/x.jsonl").read_text() == "mine"


def test_the_stash_out_and_in_again(tmp_path):
    with opened(tmp_path / "s") as memory:
        memory.add("one\nline \ud800", kind="chunk", file="a.py", lines=[1, 2], at=5.5)
        memory.add("two", tags=["x", "y"], session="work", at=7.0)
        wanted = [(h.segment.text, h.segment.kind, h.segment.at) for h in memory.search("")]
        assert export_stash(log_of(memory), tmp_path / "a.json", quiet)["segments"] == 2
    assert detect(tmp_path / "a.json") == "stash"
    assert json.loads((tmp_path / "a.json").read_text())["segments"][0]["metadata"]["lines"] == [1, 2]
    run("import", tmp_path / "a.json", "--store", tmp_path / "t")
    with opened(tmp_path / "t") as memory:
        hits = memory.search("")
        assert [(h.segment.text, h.segment.kind, h.segment.at) for h in hits] == wanted
        assert hits[1].segment.facets == {"file": "a.py", "lines": [1, 2]}


def test_the_command(tmp_path):
    with opened(tmp_path / "s") as memory:
        fill(memory, 3)
    said = run("export", tmp_path / "out", "--store", tmp_path / "s").output
    assert "entries 3, new 3" in said
    assert "entries 3, new 0" in run("export", tmp_path / "out", "--store", tmp_path / "s").output
    run("export", tmp_path / "a.json", "--as", "stash", "--store", tmp_path / "s")
    with pytest.raises(ctxmem.BadInput, match="exists already"):
        run("export", tmp_path / "a.json", "--as", "stash", "--store", tmp_path / "s")
