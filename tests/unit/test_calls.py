"""The built-in reading of tool calls: what it says, and when it says nothing."""

import pytest
from hypothesis import given

from ctxmem.prompt.calls import TO_THE_END, facets_of_call, narrowed
from tests.strategies import arguments, names

R = {"op": "read"}


@pytest.mark.parametrize(
    ("name", "given_", "said"),
    [
        ("read", {"path": "a.py"}, {"file": "a.py", **R}),
        ("Read", {"file_path": "/w/a.py", "offset": 100, "limit": 50}, {"file": "/w/a.py", "lines": [100, 149], **R}),
        ("read", {"path": "a.py", "offset": 1604}, {"file": "a.py", "lines": [1604, TO_THE_END], **R}),
        ("read_file", {"path": "a", "start_line": 3, "end_line": 9}, {"file": "a", "lines": [3, 9], **R}),
        ("view_file", {"path": "a", "lines": "3-9"}, {"file": "a", "lines": [3, 9], **R}),
        (
            "str_replace_editor",
            {"command": "view", "path": "a", "view_range": [5, 7]},
            {"file": "a", "lines": [5, 7], **R},
        ),
        (
            "str_replace_editor",
            {"command": "view", "path": "a", "view_range": [5, -1]},
            {"file": "a", "lines": [5, TO_THE_END], **R},
        ),
        ("str_replace_editor", {"command": "str_replace", "path": "a", "old_str": "x"}, {"file": "a", "op": "edit"}),
        ("str_replace_editor", {"command": "create", "path": "a", "file_text": "x"}, {"file": "a", "op": "write"}),
        ("edit", {"path": "a", "oldText": "x", "newText": "y"}, {"file": "a", "op": "edit"}),
        ("write", {"path": "a", "content": "x"}, {"file": "a", "op": "write"}),
        ("bash", {"command": "cat a.py"}, {"file": "a.py", **R}),
        ("bash", {"command": "cd /w && cat src/a.py"}, {"file": "/w/src/a.py", **R}),
        ("bash", {"command": "cat -n 'a b.py'"}, {"file": "a b.py", **R}),
        ("bash", {"command": "sed -n '10,20p' a.py"}, {"file": "a.py", "lines": [10, 20], **R}),
        ("bash", {"command": "head -n 40 a.py"}, {"file": "a.py", "lines": [1, 40], **R}),
        ("bash", {"command": "head -40 a.py"}, {"file": "a.py", "lines": [1, 40], **R}),
        ("bash", {"command": "head a.py"}, {"file": "a.py", "lines": [1, 10], **R}),
    ],
)
def test_what_is_plain_is_read(name, given_, said):
    assert facets_of_call(name, given_) == said


@pytest.mark.parametrize(
    ("name", "given_"),
    [
        ("bash", {"command": "cat a.py b.py"}),
        ("bash", {"command": "cat a.py | grep x"}),
        ("bash", {"command": "cat a.py > b.py"}),
        ("bash", {"command": "cat *.py"}),
        ("bash", {"command": "cat $FILE"}),
        ("bash", {"command": "cat a.py; rm a.py"}),
        ("bash", {"command": "sed -i s/a/b/ a.py"}),
        ("bash", {"command": "tail -n 5 a.py"}),
        ("bash", {"command": "cat"}),
        ("bash", {"command": ""}),
        ("bash", {"command": "cat 'a"}),
        ("list_files", {"path": "src"}),
        ("search_files", {"path": "src", "query": "x"}),
        ("delete_file", {"path": "a"}),
        ("get_user", {"path": "a"}),
        ("read", {"path": "a", "file": "b"}),
        ("read", {"path": "a", "view_range": "all"}),
        ("read", {"path": "a", "view_range": [9, 3]}),
        ("read", {"path": ["a", "b"]}),
        ("read", {"path": ""}),
        ("get_file_contents", {"owner": "o", "repo": "r", "path": "Cargo.toml"}),
        ("open", {"path": "a", "line_number": 1474}),
        ("read", {}),
    ],
)
def test_what_is_not_plain_is_left(name, given_):
    assert facets_of_call(name, given_) == {}


@given(names, arguments)
def test_nothing_raises(name, given_):
    facets_of_call(name, given_)
    facets_of_call(name, {"command": str(given_), **given_})


def test_an_open_range_is_closed_by_what_was_shown():
    open_range = {"file": "a", "lines": [10, TO_THE_END]}
    assert narrowed(open_range, "x\ny")["lines"] == [10, 11]
    assert narrowed(open_range, "")["lines"] == [10, 10]
    assert narrowed({"file": "a", "lines": [1, 2]}, "x")["lines"] == [1, 2]
    assert narrowed({"file": "a"}, "x") == {"file": "a"}
