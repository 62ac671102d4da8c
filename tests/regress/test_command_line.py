"""What the command line did wrong: tracebacks for closed streams, waits for a pipe, an interrupt, bytes that are no UTF-8."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ctxmem
from ctxmem.cli import shared
from ctxmem.cli.app import COMMANDS, main
from tests.waiting import WATCHDOG_S

COMMAND = [sys.executable, "-c", "from ctxmem.cli import main; main()"]
N = 100  # messages of a file that is interrupted half way
INTERRUPTED = f"""
import os, signal
from ctxmem import Context
from ctxmem.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs this in the background has it ignored
append, calls = Context.append, iter(range({N}))

def interrupted(*arguments, **options):
    if next(calls) == {N // 2}:
        os.kill(os.getpid(), signal.SIGINT)
    return append(*arguments, **options)

Context.append = interrupted
main()
"""


def run(*arguments, **how):
    """Run one command: its exit code and what it said on stderr."""
    how = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "timeout": WATCHDOG_S, **how}
    done = subprocess.run([*COMMAND, *map(str, arguments)], **how)
    return done.returncode, done.stderr


@pytest.fixture
def call(capsys):
    """Run one command in this process: its exit code and what it said on stderr."""

    def called(*arguments):
        with pytest.raises(SystemExit) as raised:
            main([str(one) for one in arguments])
        return raised.value.code, capsys.readouterr().err

    return called


def shell(line, *arguments):
    """Run one command with a shell's redirections after it: its exit code and what it said on stderr."""
    words = ["sh", "-c", f'"$@" {line}', "sh", *COMMAND, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=WATCHDOG_S)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "store"
    with ctxmem.open(path, options=ctxmem.Options(durability="unsafe")) as memory:
        memory.add_many({"text": f"harbour note {n} " + "rope and tar " * 20} for n in range(2_000))
        with memory.context("talk", model="gpt-4.1") as context:
            context.append({"role": "user", "content": "What is in the harbour?"})
            context.assemble()
    return path


@pytest.fixture
def arguments(tmp_path, store):
    """A call of every command that succeeds, by name."""
    note, chat = tmp_path / "note.txt", tmp_path / "chat.json"
    note.write_text("a lightship")
    chat.write_text(json.dumps([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]))
    rest = ["--store", store]
    return {
        "demo": ["demo", "--max-files", "2"],
        "replay": ["replay", chat],
        "import": ["import", note, "--store", tmp_path / "new"],
        "search": ["search", "harbour", "--full", "--limit", "2000", *rest],
        "show": ["show", "talk", *rest],
        "explain": ["explain", "0", *rest],
        "stats": ["stats", *rest],
        "costs": ["costs", *rest],
        "log": ["log", "a ship comes in", "--as", "@ann", "--store", tmp_path / "logged"],
        "retain": ["retain", "--max-age", "90d", "--dry-run", *rest],
        "export": ["export", tmp_path / "out", *rest],
        "plan": ["plan", "5x5@gpt-4.1:900/100"],
        "check": ["check", *rest],
        "backup": ["backup", tmp_path / "copy", *rest],
    }


FAST = sorted(set(COMMANDS) - {"demo", "mcp"})  # a demo takes seconds and prints as the others do; mcp prints nothing


@pytest.mark.parametrize("name", FAST)
def test_a_closed_stdout_is_as_dev_null(arguments, name):
    assert shell(">&-", *arguments[name]) == (0, "")


@pytest.mark.parametrize("name", ["stats", "search", "import"])
def test_all_streams_may_be_closed(arguments, name):
    assert shell("<&- >&- 2>&-", *arguments[name]) == (0, "")


@pytest.mark.parametrize("name", FAST)
def test_a_reader_that_has_gone_is_no_error(arguments, name):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run(*arguments[name], stdout=writing) == (0, "")
    finally:
        os.close(writing)


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_a_reader_that_leaves_in_the_middle_is_no_error(arguments, extra):
    words = [*COMMAND, *map(str, arguments["search"]), *extra]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(100)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(WATCHDOG_S) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_output_that_cannot_be_written_is_one_sentence(arguments):
    code, said = shell(">/dev/full", *arguments["stats"])

    assert (code, said.count("\n")) == (1, 1)
    assert "No space left on device" in said


def test_an_error_keeps_its_exit_code_when_nobody_hears_it(store):
    assert shell("2>&-", "show", "nobody", "--store", store)[0] == 1
    assert shell("2>&-", "nonsense")[0] == 2


@pytest.mark.unchecked
def test_check_exits_with_1_where_something_is_wrong(monkeypatch, call, store):
    problem = ctxmem.Problem("segment 1", "is damaged", "restore it")
    monkeypatch.setattr(ctxmem.Memory, "check", lambda _: [problem])

    assert call("check", "--store", store) == (1, "")


def test_what_is_no_file_is_refused_and_not_waited_for(call, tmp_path):
    pipe, directory = tmp_path / "pipe", tmp_path / "tree"
    directory.mkdir()
    (directory / "a.txt").write_text("a lightship")
    os.mkfifo(pipe)
    os.mkfifo(directory / "b.txt")

    for given in ([pipe], [pipe, "--as", "text"], [pipe, "--as", "openai"], ["/dev/null"], [directory, pipe]):
        code, said = call("import", *given, "--store", tmp_path / "s")
        assert (code, said.count("\n")) == (1, 1)
        assert "is a pipe, a socket or a device" in said
    assert call("replay", pipe)[0] == 1
    assert not (tmp_path / "s").exists()
    assert call("import", directory, "--store", tmp_path / "s") == (0, "")


@pytest.mark.parametrize("n_before", [0, 200_000], ids=["at once", "far in"])
@pytest.mark.parametrize("form", ["text", "openai", "stash"])
def test_bytes_that_are_no_utf8_are_refused_before_anything_is_written(call, tmp_path, form, n_before):
    start = {"text": b"", "openai": b'[{"role": "user", "content": "', "stash": b'{"segments": [{"text": "'}[form]
    path = tmp_path / f"x.{'txt' if form == 'text' else 'json'}"
    path.write_bytes(start + b"a" * n_before + b"caf\xe9")

    code, said = call("import", path, "--as", form, "--store", tmp_path / "s")

    assert code == 1
    assert f"not UTF-8 at byte {len(start) + n_before + 3:,}" in said
    assert not (tmp_path / "s").exists()


def test_in_a_tree_a_file_that_is_no_utf8_is_passed_over_and_named(call, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.txt").write_text("a lightship")
    (tree / "b.txt").write_bytes(b"a harbour\n" * 10_000 + b"caf\xe9")

    code, said = call("import", tree, "--store", tmp_path / "s")

    assert (code, said) == (0, f"Passed over: {tree / 'b.txt'} (not UTF-8 at byte 100,003).\n")
    with ctxmem.open(tmp_path / "s") as memory:
        assert [hit.segment.text for hit in memory.search()] == ["a lightship"]


def test_an_empty_filter_is_refused_and_not_left_out(call, store):
    for name in ("--task", "--tag", "--file", "--kind", "--session"):
        code, said = call("search", "harbour", name, "", "--store", store)
        assert (code, said.count("\n")) == (1, 1)


def test_ctrl_c_during_an_import_is_one_sentence_and_keeps_what_was_loaded(tmp_path):
    path, store = tmp_path / "long.jsonl", tmp_path / "s"
    with path.open("w") as file:
        for n in range(N):
            file.write(json.dumps({"role": "user", "content": f"harbour note {n}"}) + "\n")
    words = [sys.executable, "-c", INTERRUPTED, "import", str(path), "--store", str(store)]

    done = subprocess.run(words, capture_output=True, text=True, timeout=WATCHDOG_S)

    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("ctxmem: Interrupted: what was imported is kept")
    assert done.stderr.count("\n") == 1
    assert loaded(store) in {N // 2 - 1, N // 2}
    assert run("import", path, "--store", store) == (0, "")
    assert loaded(store) == N


def loaded(store):
    """How many segments a store holds on disk; 0 where it is not made yet."""
    try:
        with ctxmem.open(store, readonly=True) as memory:
            return memory.stats()["segments"]
    except ctxmem.StoreError:
        return 0


# --- what is stored, and what a terminal makes of it -------------------------------------------------------------


@pytest.fixture(scope="module")
def odd_store(tmp_path_factory):
    """A store with lone surrogates, control characters, names in several scripts and times of no calendar."""
    path = tmp_path_factory.mktemp("odd") / "store"
    with ctxmem.open(path, options=ctxmem.Options(durability="unsafe")) as memory:
        memory.add("harbour \ud800 café 東京 \x1b[31mred\r\n\0 end", file="a\u202eb.py", session="café")
        memory.add("harbour of old", at=-9.9e10)
        memory.add("harbour to come", at=9.9e10)
        with memory.context("talk\x1b[31m", model="gpt-4.1") as context:
            context.append({"role": "user", "content": "harbour \ud83d café \x1b]0;title\x07"})
            context.assemble()
    return path


ODD = [["search"], ["search", "harbour"], ["search", "--full"], ["show"], ["show", "talk\x1b[31m"], ["explain", "0"]]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("words", ODD, ids=" ".join)
def test_whatever_is_stored_can_be_shown_and_commands_no_terminal(monkeypatch, odd_store, words, encoding):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    for extra in ([], ["--json"]):
        out.seek(0)
        out.truncate()
        with pytest.raises(SystemExit) as raised:
            main([*words, *extra, "--store", str(odd_store)])
        assert raised.value.code == 0
        printed = out.buffer.getvalue()
        if extra:
            json.loads(printed)
        assert not set(printed.decode(encoding)) & set("\0\x07\x1b\u202e")


@pytest.mark.parametrize("given", ["limit=5", "text=x", "key=x", "kind=x", "session=x"])
@pytest.mark.parametrize("name", ["search", "import"])
def test_a_keyword_is_refused_as_a_facet(call, arguments, name, given):
    assert call(*arguments[name], "--facet", given)[0] == 2


def test_a_facet_of_dashes_is_text():
    assert shared.facet(None, None, ("a=--5", "b=-5", "c=-", "d=\u00b2")) == {
        "a": "--5",
        "b": -5,
        "c": "-",
        "d": "\u00b2",
    }


@pytest.mark.parametrize("messages", [[], [{"role": "system", "content": "Be brief."}]])
def test_a_conversation_with_nothing_to_send_is_imported(call, tmp_path, messages):
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"messages": messages}))

    assert call("import", path, "--store", tmp_path / "s") == (0, "")
