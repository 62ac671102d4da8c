"""The command line from outside: what it prints, for people and for programs, and how it fails."""

import json
import subprocess
import sys

import pytest

import ctxmem
from ctxmem.cli import main, output, shared
from ctxmem.cli.app import COMMANDS

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is in the harbour?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"path": "harbour"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "three barges and a lightship"},
    {"role": "assistant", "content": "Barges and a lightship."},
]


@pytest.fixture
def run(capsys):
    """Run one command in this process: (exit code, stdout, stderr)."""

    def call(*arguments):
        try:
            main([str(one) for one in arguments])
        except SystemExit as exc:
            code = exc.code
        else:
            code = 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def chat(tmp_path):
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(json.dumps({"id": name, "messages": MESSAGES}) for name in ("one", "two")))
    return path


@pytest.fixture
def store(tmp_path, chat, run):
    """A store with two imported conversations and a few notes."""
    path = tmp_path / "store"
    code, _, err = run("import", chat, "--store", path)
    assert (code, err) == (0, "")
    with ctxmem.open(path) as memory:
        memory.add("The lightship was built in 1902.", file="ships.md", tags=["old", "red"], at=1_700_000_000)
        memory.add("A tug pulls [bold]barges[/bold].", file="tugs.md", tags=["old"], at=1_710_000_000)
    return path


# --- import and search -----------------------------------------------------------------------------------------


def test_import_counts_what_is_new_and_doubles_nothing(run, chat, tmp_path):
    store = tmp_path / "store"

    first = json.loads(run("import", chat, "--store", store, "--json")[1])
    again = json.loads(run("import", chat, "--store", store, "--json")[1])

    counts = {"file": str(chat), "format": "openai", "files": 1, "sessions": 2, "skipped": {}}
    assert first == [{**counts, "segments": 10, "known": 0}]
    assert again == [{**counts, "segments": 0, "known": 10}]
    with ctxmem.open(store) as memory:
        assert len(memory.search(session="one", limit=100)) == 5
        assert memory.search("barges", session="one", kind="tool")[0].segment.message == MESSAGES[3]


def test_an_imported_conversation_goes_on_where_it_stopped(store):
    with ctxmem.open(store) as memory, memory.context("one", model="gpt-4.1") as context:
        assert [message["content"] for message in context.assemble().messages] == [m["content"] for m in MESSAGES]


def test_import_reads_trees_stashes_and_text_with_facets(run, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("import lightship\n")
    stash = {"segments": [{"segment_id": "s1", "text": "old news", "metadata": {"task_id": "T-1"}, "timestamp": 5}]}
    (tmp_path / "stash.json").write_text(json.dumps(stash))
    files = (tmp_path / "src", tmp_path / "stash.json")

    code, out, err = run(
        "import", *files, "--store", tmp_path / "store", "--facet", "project=harbour", "--facet", "year=1902"
    )

    assert (code, err) == (0, "")
    assert "text" in out
    assert "stash" in out
    with ctxmem.open(tmp_path / "store") as memory:
        assert [hit.segment.text for hit in memory.search(file="src/a.py")] == ["import lightship\n"]
        (hit,) = memory.search("news", project="harbour", year=1902)
        assert (hit.segment.facets["task"], hit.segment.at) == ("T-1", 5.0)


def test_import_into_one_session(run, tmp_path):
    (tmp_path / "a.txt").write_text("hello")

    run("import", tmp_path / "a.txt", "--store", tmp_path / "store", "--session", "notes")

    with ctxmem.open(tmp_path / "store") as memory:
        assert [hit.segment.session for hit in memory.search("hello")] == ["notes"]


def test_search_prints_hits_in_which_text_is_no_markup(run, store):
    code, out, err = run("search", "barges", "--file", "tugs.md", "--store", store)

    assert (code, err) == (0, "")
    assert "A tug pulls [bold]barges[/bold]." in out
    assert "lightship" not in out


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["tug"], 1),
        (["lightship", "--kind", "note"], 1),
        (["--tag", "old"], 2),
        (["--tag", "old", "--tag", "red"], 1),
        (["--facet", "tags=red"], 1),
        (["--session", "one"], 5),
        (["--until", "2023-12-31"], 1),
        (["--since", "2024-01-01", "--until", "1720000000"], 1),
        (["--limit", "3"], 3),
        (["nothingatall"], 0),
    ],
)
def test_search_filters(run, store, arguments, count):
    code, out, _ = run("search", *arguments, "--store", store, "--json")

    assert code == 0
    assert len(json.loads(out)) == count


def test_search_shows_the_lines_of_a_long_text_that_fit(run, store):
    text = (
        "\n".join(f"line {n} of the log of the harbour" for n in range(400))
        + "\n"
        + "x " * 400
        + "a whale "
        + "y " * 400
    )
    with ctxmem.open(store) as memory:
        memory.add(text, file="log.txt")

    shown = run("search", "whale", "--store", store)[1]
    assert "a whale" in shown
    assert "--full shows all" in shown
    assert len(shown) < 2_000
    (hit,) = json.loads(run("search", "whale", "--json", "--store", store)[1])
    assert "a whale" in hit["excerpt"]
    assert (len(hit["excerpt"]) < 1_000, hit["text"], hit["before"]) == (True, text, [])


def test_search_explains_and_shows_whole_texts(run, store):
    assert json.loads(run("search", "lightship", "--explain", "--json", "--store", store)[1])[0]["parts"]
    assert "The lightship was built in 1902." in run("search", "lightship", "--full", "--store", store)[1]
    assert run("search", "nothingatall", "--store", store)[1] == "Nothing found.\n"


# --- looking at a store ----------------------------------------------------------------------------------------


def test_stats(run, store):
    code, out, _ = run("stats", "--store", store)
    assert (code, "12" in out) == (0, True)
    assert isinstance(json.loads(run("stats", "--json", "--store", store)[1]), dict)


def test_check(run, store):
    assert run("check", "--store", store) == (0, f"{store} is sound.\n", "")
    assert json.loads(run("check", "--json", "--store", store)[1]) == []


def test_backup(run, store, tmp_path):
    code, out, _ = run("backup", tmp_path / "copy", "--store", store)

    assert code == 0
    assert str(tmp_path / "copy") in out.replace("\n", "")
    assert len(json.loads(run("search", "tug", "--json", "--store", tmp_path / "copy")[1])) == 1
    assert run("backup", tmp_path / "copy", "--store", store)[0] == 1


def test_show_lists_sessions_and_prints_a_prompt(run, store):
    assert [one["session"] for one in json.loads(run("show", "--json", "--store", store)[1])] == ["one", "two"]
    assert "one" in run("show", "--store", store)[1]

    code, out, _ = run("show", "one", "--store", store)
    assert code == 0
    assert "three barges and a lightship" in out
    shown = json.loads(run("show", "one", "--json", "--store", store)[1])
    assert [message["content"] for message in shown["messages"]] == [m["content"] for m in MESSAGES]


def test_explain(run, store):
    with ctxmem.open(store) as memory:
        (hit,) = memory.search("barges", session="one", kind="tool")

    code, out, _ = run("explain", hit.segment.id, "--store", store)
    assert code == 0
    assert "one" in out
    assert json.loads(run("explain", hit.segment.id, "--json", "--store", store)[1])["id"] == hit.segment.id


def test_looking_writes_nothing(run, store):
    def state():
        with ctxmem.open(store, readonly=True) as memory:
            return [hit.segment.id for hit in memory.search(limit=100)]

    before = state()
    for command in (["show"], ["show", "one"], ["explain", "0"], ["stats"], ["check"], ["search", "x"]):
        run(*command, "--store", store)

    assert state() == before


# --- replay ----------------------------------------------------------------------------------------------------


def test_replay_shows_every_prompt(run, chat):
    code, out, err = run("replay", chat)

    assert (code, err) == (0, "")
    assert "one: 5 messages" in out
    assert "every prompt" in out


@pytest.mark.parametrize(
    "extra", [["--window", "4000"], ["--budget", "0.5"], ["--model", "claude-opus-5-5"], ["--recall"]]
)
def test_replay_of_a_long_conversation(run, tmp_path, extra):
    messages = [MESSAGES[0], MESSAGES[1]]
    for n in range(40):
        call = {"id": f"c{n}", "type": "function", "function": {"name": "look", "arguments": f'{{"path": "p{n}"}}'}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{n}", "content": f"pier {n}: " + "rope and tar " * 40})
    path = tmp_path / "long.json"
    path.write_text(json.dumps(messages))

    code, out, _ = run("replay", path, "--json", *extra)

    assert code == 0
    (one,) = json.loads(out)
    summary = one["summary"]
    assert (summary["turns"], summary["invalid_prompts"], summary["prompts_over_budget"]) == (40, 0, 0)
    assert (summary["prefix_breaks"], summary["overflows"]) == (0, [])
    assert summary["largest_prompt_tokens"] <= summary["budget_tokens"]
    assert (summary["epochs"] > 1) == ("--model" not in extra and "--recall" not in extra)


# --- how it fails ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["search", "x", "--store", "missing"], 1, "There is no store at missing"),
        (["show", "nobody"], 1, "nobody"),
        (["explain", "99999"], 1, "99999"),
        (["search", "x", "--since", "soon"], 2, "is no time"),
        (["search", "x", "--facet", "oops"], 2, "is no facet"),
        (["search", "x", "--limit", "0"], 2, "limit"),
        (["import", "missing.txt"], 2, "missing.txt"),
        (["replay", "missing.txt"], 2, "missing.txt"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_an_error_is_one_sentence_with_the_remedy(run, store, monkeypatch, arguments, code, said):
    monkeypatch.setenv("CTXMEM_STORE", str(store))

    found, out, err = run(*arguments)

    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_replay_refuses_what_is_no_conversation(run, tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": 1}')

    assert run("replay", path)[0] == 1
    assert run("replay", path, "--window", "4000", "--budget", "0.5")[0] == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_help(run, name):
    code, out, _ = run(name, "--help")

    assert code == 0
    assert out.startswith(f"Usage: ctxmem {name}")


def test_the_module_runs_and_a_closed_pipe_is_no_error(store):
    command = [sys.executable, "-c", "from ctxmem.cli import main; main()", "search", "--full", "--store", str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()

    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


# --- small parts -----------------------------------------------------------------------------------------------


def test_facet_options():
    values = ("file=a.py", "tick=42", 'code="42"', "tags=x", "tags=y", "equation=a=b")

    assert shared.facet(None, None, values) == {
        "file": "a.py",
        "tick": 42,
        "code": "42",
        "tags": ["x", "y"],
        "equation": "a=b",
    }


def test_excerpts_hold_no_control_characters():
    assert output.excerpt("a\x1b[31mb\nc") == "a\ufffd[31mb c"


def test_progress_says_nothing_in_a_pipe(capsys):
    with output.progress("x", total=3) as progress:
        progress(2)

    assert capsys.readouterr() == ("", "")
