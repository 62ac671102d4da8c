"""`ctxmem import` of transcripts: once is enough, grown files, trees, the usual places, copies, rewinds, following."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ctxmem
from ctxmem.cli import main
from ctxmem.errors import StoreFull

DATA = Path(__file__).parent.parent / "data"
SESSION = "11111111-0000-4000-8000-000000000001"


def line(uuid, parent, kind, content, session=SESSION, **more):
    message = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {"id": more.pop("reply", f"m-{uuid}"), "model": "claude-opus-5-5"}
    row = {"parentUuid": parent, "sessionId": session, "cwd": "/work/shop", "type": kind, "uuid": uuid}
    return json.dumps({**row, "timestamp": "2026-11-03T10:00:00.000Z", "message": message, **more}) + "\n"


def said(words):
    return [{"type": "text", "text": words}]


def use(call_id):
    return [{"type": "tool_use", "id": call_id, "name": "Bash", "input": {"command": "ls"}}]


def answer(call_id, content):
    return [{"type": "tool_result", "tool_use_id": call_id, "content": content}]


TALK = [
    line("u1", None, "user", "How do we fix the login race?"),
    line("a1", "u1", "assistant", said("I look.") + use("c1")),
    line("r1", "a1", "user", answer("c1", "app/login.py")),
    line("a2", "r1", "assistant", said("Take the lock before the token is read.")),
]


@pytest.fixture
def run(capsys):
    """Run one command in this process: its JSON, or what it says on stderr."""

    def call(*arguments):
        with pytest.raises(SystemExit) as exited:
            main([str(one) for one in arguments])
        captured = capsys.readouterr()
        return json.loads(captured.out) if exited.value.code == 0 else captured.err

    return call


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A directory as Claude Code keeps it: two sessions of one project, one of them with a subagent."""
    folder = tmp_path / "claude"
    project = folder / "projects" / "-work-shop"
    (project / SESSION / "subagents").mkdir(parents=True)
    (project / f"{SESSION}.jsonl").write_text("".join(TALK))
    side = {"isSidechain": True, "agentId": "b1f5"}
    sub = line("s1", None, "user", "Find the tests", **side) + line("s2", "s1", "assistant", said("tests/"), **side)
    (project / SESSION / "subagents" / "agent-b1f5.jsonl").write_text(sub)
    (project / SESSION / "subagents" / "agent-b1f5.meta.json").write_text('{"agentType": "Explore"}')
    (project / SESSION / "tool-results").mkdir()
    for n in range(9):
        (project / SESSION / "tool-results" / f"b{n}.txt").write_text("output")
    (project / "other.jsonl").write_text(line("o1", None, "user", "Anything else?", session="other"))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(folder))
    return folder


def texts(store, **filters):
    """The texts of a store, oldest first."""
    with ctxmem.open(store) as memory:
        assert memory.check() == []
        hits = sorted(memory.search("", limit=1_000, **filters), key=lambda hit: hit.segment.id)
        return [hit.segment.text for hit in hits]


def test_the_usual_place_is_found_and_a_second_import_adds_nothing(run, home, tmp_path):
    store = tmp_path / "s"

    (first,) = run("import", "--claude-code", "--store", store, "--json")
    (again,) = run("import", "--claude-code", "--store", store, "--json")

    counts = {"format": "claude-code", "files": 3, "sessions": 3, "skipped": {}}
    assert first == {"file": str(home / "projects"), "segments": 7, "known": 0, **counts}
    assert again == {"file": str(home / "projects"), "segments": 0, "known": 7, **counts}
    with ctxmem.open(store) as memory:
        (hit,) = memory.search("lock token", session=SESSION, project="shop", limit=1)
        assert hit.segment.message == {"role": "assistant", "content": said("Take the lock before the token is read.")}
        assert next(one.segment.text for one in memory.search("tests", agent="b1f5")) == "tests/"
        assert memory.get(hit.segment.id - 1).facets["tool"] == "Bash"
        with memory.context(SESSION, model="claude-opus-5-5") as context:
            assert len(context.assemble().segments) == 4


def test_a_search_answers_with_project_date_and_what_was_said_around_it(run, home, tmp_path, capsys):
    store = tmp_path / "s"
    run("import", "--claude-code", "--store", store, "--json")

    arguments = ["search", "how did we fix the login race", "--project", "shop", "--limit", "2", "--store", str(store)]
    with pytest.raises(SystemExit):
        main(arguments)
    shown = capsys.readouterr().out
    hits = {hit["id"]: hit for hit in run(*arguments, "--json")}

    first, fourth = (next(hit for hit in hits.values() if word in hit["text"]) for word in ("login race", "app/login"))
    assert f"[#{first['id']}] /work/shop, 2026-11-03" in shown
    assert "  > How do we fix the login race?\n    assistant: I look. Bash" in shown
    assert f", tool Bash, session {SESSION}" in shown
    assert (first["before"], [one["kind"] for one in fourth["before"]]) == ([], ["assistant"])
    assert fourth["after"][0]["text"] == "Take the lock before the token is read."


def test_a_tree_is_told_from_its_files(run, home, tmp_path):
    (found,) = run("import", home / "projects", "--store", tmp_path / "s", "--json")

    assert (found["format"], found["segments"]) == ("transcripts", 7)


def test_a_session_of_a_tree_has_a_prompt_once_it_was_resumed(run, home, tmp_path):
    store = tmp_path / "s"
    run("import", "--claude-code", "--store", store, "--json")

    assert "has no prompt yet" in run("show", SESSION, "--store", store)
    with ctxmem.open(store) as memory, memory.context(SESSION, model="claude-opus-5-5") as context:
        context.assemble()
    assert len(run("show", SESSION, "--store", store, "--json")["segments"]) == 4


def test_a_full_disk_is_no_fault_of_a_file(home, tmp_path, monkeypatch):
    def full(*_arguments, **_more):
        raise StoreFull("the disk is full")

    monkeypatch.setattr(ctxmem.Context, "append", full)
    with pytest.raises(SystemExit) as exited:
        main(["import", "--claude-code", "--store", str(tmp_path / "s")])
    assert exited.value.code == 1


def test_a_source_tree_with_a_transcript_in_it_is_text(run, tmp_path):
    (tmp_path / "src").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / "src" / name).write_text("import os\n")
    (tmp_path / "src" / "talk.jsonl").write_text("".join(TALK))

    (found,) = run("import", tmp_path / "src", "--store", tmp_path / "s", "--json")
    assert found["format"] == "text"
    (found,) = run("import", tmp_path / "src", "--as", "claude-code", "--store", tmp_path / "s", "--json")
    assert (found["format"], found["files"], found["segments"]) == ("claude-code", 1, 4)


def test_a_file_that_has_grown_adds_what_is_new(run, tmp_path):
    file, store = tmp_path / "t.jsonl", tmp_path / "s"
    lines = [*TALK[:1], line("a1", "u1", "assistant", said("First."), reply="m"), *TALK[3:]]
    second = line("b1", "a1", "assistant", use("c1"), reply="m") + line("r1", "b1", "user", answer("c1", "a.txt"))
    found = []
    for upto in (lines[0] + lines[1][:40], lines[0] + lines[1], lines[0] + lines[1] + second, "".join(lines) + second):
        file.write_text(upto)
        found += run("import", file, "--store", store, "--json")

    assert [one["segments"] for one in found] == [1, 1, 2, 1]
    assert [one["skipped"] for one in found] == [{"torn last line": 1}, {}, {}, {}]
    assert texts(store)[:4] == ["How do we fix the login race?", "First.", 'Bash {"command":"ls"}', "a.txt"]


def test_what_was_rewound_is_found_and_not_sent(run, tmp_path):
    file, store = tmp_path / "t.jsonl", tmp_path / "s"
    first = line("u2", "a1", "user", "First attempt", timestamp="2026-11-03T10:01:00Z")
    second = line("u3", "a1", "user", "Second attempt", timestamp="2026-11-03T10:02:00Z")
    file.write_text(TALK[0] + line("a1", "u1", "assistant", said("Ready.")) + first + second)

    run("import", file, "--store", store, "--json")
    run("import", file, "--store", store, "--json")

    assert "First attempt" in texts(store)
    with ctxmem.open(store) as memory, memory.context(SESSION, model="claude-opus-5-5") as context:
        assert "First attempt" not in str(context.assemble().messages)
        assert "Second attempt" in str(context.assemble().messages)


def test_a_session_that_repeats_another_brings_only_its_own(run, tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    fork = "".join(TALK).replace(SESSION, "fork") + line("u9", "a2", "user", "And the logout?", session="fork")
    for age, (name, content) in enumerate({SESSION: "".join(TALK), "fork": fork}.items()):
        (folder / f"{name}.jsonl").write_text(content)
        os.utime(folder / f"{name}.jsonl", (age, age))

    (found,) = run("import", folder, "--store", tmp_path / "s", "--json")

    assert (found["segments"], found["skipped"]) == (5, {"message that another session has": 4})
    assert texts(tmp_path / "s", session="fork") == ["And the logout?"]


def test_one_message_that_no_provider_takes_is_counted(run, tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text(TALK[0] + line("x1", "u1", "user", [{"type": "text"}]) + TALK[1])

    (found,) = run("import", file, "--store", tmp_path / "s", "--json")

    assert (found["segments"], found["skipped"]) == (2, {"message that no provider would take": 1})


def test_a_session_in_use_is_left_for_the_next_time(run, tmp_path):
    file, store = tmp_path / "t.jsonl", tmp_path / "s"
    file.write_text("".join(TALK))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store), SESSION], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        (found,) = run("import", file, "--store", store, "--json")
        assert (found["segments"], found["skipped"]) == (0, {"message of a session in use": 4})
    finally:
        holder.communicate(b"\n")
    (found,) = run("import", file, "--store", store, "--json")
    assert found["segments"] == 4


HOLD = """
import sys, ctxmem
with ctxmem.open(sys.argv[1]) as memory, memory.context(sys.argv[2], model="gpt-4.1") as context:
    memory.flush()
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_in_a_tree_a_file_that_cannot_be_read_is_passed_over_and_named(home, tmp_path, capsys):
    (home / "projects" / "bad.json").write_bytes(b'[{"role": "user", "content": "caf\xe9"}]')
    (home / "projects" / "cut.json").write_text('[{"role": "user", "content": "a"}, {"role')

    with pytest.raises(SystemExit) as exited:
        main(["import", str(home / "projects"), "--store", str(tmp_path / "s"), "--json"])
    captured = capsys.readouterr()

    (found,) = json.loads(captured.out)
    assert (exited.value.code, found["files"], found["segments"]) == (0, 5, 7)
    assert captured.err.startswith("Passed over: ")
    assert "bad.json is not UTF-8 text" in captured.err
    assert "cut.json: " in captured.err


@pytest.mark.parametrize("program", ["--claude-code", "--codex"])
def test_a_place_that_is_not_there_is_named(run, tmp_path, monkeypatch, program):
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "x"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "x"))

    said_of_it = run("import", program, "--store", tmp_path / "s")

    assert f"There are no transcripts of {program[2:]} in {tmp_path / 'x'}" in said_of_it
    assert not (tmp_path / "s").exists()


def test_nothing_to_import_is_a_wrong_command_line(run):
    assert "Name a file or directory" in run("import")


def test_following_imports_what_is_appended_and_ends_cleanly(tmp_path):
    file, store = tmp_path / "t.jsonl", tmp_path / "s"
    file.write_text("".join(TALK[:2]))
    command = [sys.executable, "-c", "from ctxmem.cli import main; main()", "import", str(file), "--watch", "--json"]
    process = subprocess.Popen([*command, "--store", str(store)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        first = documents(process)
        assert next(first)[0]["segments"] == 2
        with file.open("a") as stream:
            stream.write(TALK[2] + TALK[3][:30])
        assert next(first)[0]["segments"] == 1
        with file.open("a") as stream:
            stream.write(TALK[3][30:])
        assert next(first)[0]["segments"] == 1
        assert texts(store)[-1] == "Take the lock before the token is read."
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")


def documents(process):
    """Yield each JSON document that a process prints."""
    held = b""
    for row in process.stdout:
        held += row
        if row == b"]\n":
            yield json.loads(held)
            held = b""


# --- what each format gives ------------------------------------------------------------------------------------


def digest(store):
    """Say of a store how many segments it holds, and in 16 digits what is in them."""
    with ctxmem.open(store) as memory:
        assert memory.check() == []
        found = sorted((hit.segment for hit in memory.search("", limit=10_000)), key=lambda segment: segment.id)
        rows = [
            (s.session, s.kind, s.text, s.at, dict(s.facets), s.message, [c.name for c in s.calls], s.group - s.id)
            for s in found
        ]
    return [len(rows), hashlib.blake2b(json.dumps(rows, sort_keys=True).encode(), digest_size=8).hexdigest()]


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*.json*") if path.name != "digests.json"))
def test_a_sample_gives_what_it_gave(run, tmp_path, name):
    file = tmp_path / name
    shutil.copyfile(DATA / name, file)
    os.utime(file, (1_700_000_000, 1_700_000_000))

    (found,) = run("import", file, "--store", tmp_path / "s", "--json")
    (again,) = run("import", file, "--store", tmp_path / "s", "--json")

    expected = json.loads((DATA / "digests.json").read_text())[name]
    assert [found["format"], *digest(tmp_path / "s"), found["skipped"]] == expected
    assert again["segments"] == 0
