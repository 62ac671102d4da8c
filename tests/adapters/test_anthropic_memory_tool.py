"""`MemoryTool` tells the model what the SDK's own tool for a file system tells it, and its files are found."""

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctxmem

pytest.importorskip("anthropic")

from anthropic.lib.tools import ToolError
from anthropic.lib.tools._beta_builtin_memory_tool import BetaLocalFilesystemMemoryTool

from ctxmem.adapters.anthropic import AsyncMemoryTool, MemoryTool


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        yield memory


@pytest.fixture
def tool(memory):
    return MemoryTool(memory, "chat-17")


def told(tool, command, **fields):
    """What the model is told, of a success or an error."""
    try:
        return tool.call({"command": command, **fields})
    except ToolError as error:
        return f"ToolError: {error}"


def shown(answer):
    """An answer without the sizes of folders, which on a file system are those of its own entries."""
    if not answer.startswith("Here're the files"):
        return answer
    head, folder, *items = answer.split("\n")
    return [head, folder.partition("\t")[2], *(i.partition("\t")[2] if i.endswith("/") else i for i in items)]


COMMANDS = [
    ("view", {"path": "/memories"}),
    ("create", {"path": "/memories/notes.md", "file_text": "one\ntwo\nthree\nfour\nfive\nsix\n"}),
    ("create", {"path": "/memories/notes.md", "file_text": "again"}),
    ("create", {"path": "/memories/a/b/c/deep.txt", "file_text": "x" * 1536}),
    ("create", {"path": "/memories/a/b.txt", "file_text": ""}),
    ("create", {"path": "/memories/.hidden", "file_text": "h"}),
    ("create", {"path": "/memories/a", "file_text": "a folder"}),
    ("view", {"path": "/memories"}),
    ("view", {"path": "/memories/a"}),
    ("view", {"path": "/memories/notes.md"}),
    ("view", {"path": "/memories/notes.md", "view_range": [2, 3]}),
    ("view", {"path": "/memories/notes.md", "view_range": [5, -1]}),
    ("view", {"path": "/memories/notes.md", "view_range": [0, 99]}),
    ("view", {"path": "/memories/notes.md", "view_range": [9, 2]}),
    ("view", {"path": "/memories/a/b.txt"}),
    ("view", {"path": "/memories/none"}),
    ("str_replace", {"path": "/memories/notes.md", "old_str": "four", "new_str": "vier\nviereinhalb"}),
    ("str_replace", {"path": "/memories/notes.md", "old_str": "e", "new_str": "E"}),
    ("str_replace", {"path": "/memories/notes.md", "old_str": "seven", "new_str": "7"}),
    ("str_replace", {"path": "/memories/none", "old_str": "a", "new_str": "b"}),
    ("str_replace", {"path": "/memories/a", "old_str": "a", "new_str": "b"}),
    ("insert", {"path": "/memories/notes.md", "insert_line": 0, "insert_text": "zero\n"}),
    ("insert", {"path": "/memories/notes.md", "insert_line": 8, "insert_text": "last\n\n"}),
    ("insert", {"path": "/memories/notes.md", "insert_line": 99, "insert_text": "x"}),
    ("insert", {"path": "/memories/notes.md", "insert_line": -1, "insert_text": "x"}),
    ("insert", {"path": "/memories/a/b.txt", "insert_line": 0, "insert_text": "x"}),
    ("insert", {"path": "/memories/none", "insert_line": 0, "insert_text": "x"}),
    ("insert", {"path": "/memories/a", "insert_line": 0, "insert_text": "x"}),
    ("view", {"path": "/memories/notes.md"}),
    ("rename", {"old_path": "/memories/notes.md", "new_path": "/memories/a"}),
    ("rename", {"old_path": "/memories/none", "new_path": "/memories/other"}),
    ("rename", {"old_path": "/memories", "new_path": "/memories/other"}),
    ("rename", {"old_path": "/memories/notes.md", "new_path": "/memories/new/notes.md"}),
    ("rename", {"old_path": "/memories/a/b", "new_path": "/memories/moved"}),
    ("view", {"path": "/memories"}),
    ("view", {"path": "/memories/moved/c/deep.txt"}),
    ("delete", {"path": "/memories/none"}),
    ("delete", {"path": "/memories"}),
    ("delete", {"path": "/memories/a/b.txt"}),
    ("delete", {"path": "/memories/new"}),
    ("view", {"path": "/memories/new"}),
    ("create", {"path": "/memories/new/notes.md", "file_text": "back"}),
    ("view", {"path": "/memories/new/../new/./notes.md"}),
    ("view", {"path": "/memories/../etc/passwd"}),
    ("view", {"path": "/etc/passwd"}),
    ("create", {"path": "/memories/x/../../../y", "file_text": "out"}),
    ("delete", {"path": "/memories/.."}),
    ("view", {"path": "memories"}),
]


def test_every_answer_is_that_of_the_tool_of_the_sdk(tool, tmp_path):
    theirs = BetaLocalFilesystemMemoryTool(str(tmp_path / "files"))
    for command, fields in COMMANDS:
        assert shown(told(tool, command, **fields)) == shown(told(theirs, command, **fields)), (command, fields)


_PATHS = st.sampled_from(["/memories", "/memories/a", "/memories/b.txt", "/memories/d/x", "/memories/d/y"])
_TEXTS = st.text(st.sampled_from("ab\n"), max_size=6)
_CALLS = st.one_of(
    st.fixed_dictionaries({"command": st.just("view"), "path": _PATHS}),
    st.fixed_dictionaries({"command": st.just("create"), "path": _PATHS, "file_text": _TEXTS}),
    st.fixed_dictionaries({"command": st.just("str_replace"), "path": _PATHS,
                           "old_str": st.sampled_from(["a", "b", "ab", "\n", "aa"]), "new_str": _TEXTS}),
    st.fixed_dictionaries({"command": st.just("insert"), "path": _PATHS, "insert_line": st.integers(-1, 4),
                           "insert_text": _TEXTS}),
)  # fmt: skip


@settings(max_examples=25)
@given(st.lists(_CALLS, max_size=15))
def test_edits_are_those_of_the_tool_of_the_sdk(tmp_path_factory, calls):
    folder = tmp_path_factory.mktemp("t")
    theirs = BetaLocalFilesystemMemoryTool(str(folder / "files"))
    with ctxmem.open(folder / "s", options=ctxmem.Options(durability="unsafe")) as memory:
        ours = MemoryTool(memory, None)
        for call in calls:
            assert shown(told(ours, **call)) == shown(told(theirs, **call))


@pytest.mark.parametrize(
    "path",
    [
        "/memories/..",
        "/memories/../..",
        "/memories/a/../../b",
        "/memoriesX/a",
        "/memories/../memories2/a",
        "",
        "/",
        "~/x",
    ],
)
def test_no_path_leads_out(tool, path):
    for command, fields in {
        "view": {"path": path},
        "create": {"path": path, "file_text": "x"},
        "str_replace": {"path": path, "old_str": "a", "new_str": "b"},
        "insert": {"path": path, "insert_line": 0, "insert_text": "x"},
        "delete": {"path": path},
        "rename": {"old_path": path, "new_path": "/memories/x"},
    }.items():
        assert told(tool, command, **fields).startswith("ToolError: Path "), command
    tool.call({"command": "create", "path": "/memories/file", "file_text": "x"})
    assert told(tool, "rename", old_path="/memories/file", new_path=path).startswith("ToolError: Path ")


@pytest.mark.parametrize("name", ["%2e%2e", "a\\..\\b", "x" * 3000, "nul\0", "é", "a b", "...", "C:"])
def test_odd_names_are_plain_names(tool, name):
    tool.call({"command": "create", "path": f"/memories/{name}", "file_text": "odd"})

    assert told(tool, "view", path=f"/memories/{name}").endswith("     1\todd")
    assert told(tool, "delete", path=f"/memories/{name}").startswith("Successfully")


def test_a_file_is_no_folder(tool):
    tool.call({"command": "create", "path": "/memories/file", "file_text": "x"})

    assert told(tool, "create", path="/memories/file/below", file_text="x") == (
        "ToolError: The path /memories/file is a file, not a directory."
    )
    tool.call({"command": "create", "path": "/memories/d/x", "file_text": "x"})
    assert told(tool, "rename", old_path="/memories/d", new_path="/memories/d/e") == (
        "ToolError: Cannot move /memories/d into itself"
    )


def test_what_stands_in_a_file_is_found_and_what_stood_in_it_is_not(tool, memory):
    tool.call({"command": "create", "path": "/memories/x", "file_text": "the password is swordfish"})
    tool.call({"command": "str_replace", "path": "/memories/x", "old_str": "swordfish", "new_str": "tuna"})
    tool.call({"command": "rename", "old_path": "/memories/x", "new_path": "/memories/y"})

    assert memory.search("swordfish") == []
    assert [hit.segment.text for hit in memory.search("tuna", session="chat-17")] == ["the password is tuna"]
    tool.call({"command": "delete", "path": "/memories/y"})
    assert memory.search("password") == []


def test_sessions_have_files_of_their_own(memory):
    one, other, shared = MemoryTool(memory, "a"), MemoryTool(memory, "b"), MemoryTool(memory, None)
    for tool in (one, other, shared):
        tool.call({"command": "create", "path": "/memories/x", "file_text": "mine"})
    one.clear_all_memory()

    assert told(one, "view", path="/memories/x").startswith("ToolError")
    assert told(other, "view", path="/memories/x").endswith("mine")
    assert told(shared, "view", path="/memories/x").endswith("mine")


def test_the_asynchronous_tool_does_the_same(memory):
    tool = AsyncMemoryTool(memory, "chat-17")

    async def run():
        done = [
            await tool.call({"command": "create", "path": "/memories/x", "file_text": "a\n"}),
            await tool.call({"command": "insert", "path": "/memories/x", "insert_line": 1, "insert_text": "b"}),
            await tool.call({"command": "str_replace", "path": "/memories/x", "old_str": "a", "new_str": "c"}),
            await tool.call({"command": "rename", "old_path": "/memories/x", "new_path": "/memories/y"}),
            await tool.call({"command": "view", "path": "/memories/y"}),
            await tool.call({"command": "delete", "path": "/memories/y"}),
            await tool.clear_all_memory(),
        ]
        with pytest.raises(ToolError, match="does not exist"):
            await tool.call({"command": "view", "path": "/memories/y"})
        return done

    assert asyncio.run(run())[4].endswith("     1\tc\n     2\tb\n     3\t")
    assert tool.to_dict() == {"type": "memory_20250818", "name": "memory"}


def test_edits_from_several_threads_are_all_made(tool):
    tool.call({"command": "create", "path": "/memories/x", "file_text": ""})

    def work(number):
        for n in range(10):
            tool.call({"command": "insert", "path": "/memories/x", "insert_line": 0, "insert_text": f"{number}.{n}"})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = {line.partition("\t")[2] for line in told(tool, "view", path="/memories/x").split("\n")[1:]}
    assert lines - {""} == {f"{number}.{n}" for number in range(4) for n in range(10)}
