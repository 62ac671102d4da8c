"""What a call does to the world, from its name and arguments; what is not known to read only counts as a change."""

import pytest

from ctxmem.ledger.nature import is_program, nature_of_call

CALLS = [
    ("get_user_details", {"user_id": "a_1"}, "read"),
    ("search_direct_flight", {"origin": "BOS"}, "read"),
    ("API-post-search", {"query": "resume"}, "read"),
    ("listPullRequests", {}, "read"),
    ("think", {"thought": "update the plan"}, "read"),
    ("cancel_reservation", {"reservation_id": "X"}, "change"),
    ("update_reservation_flights", {}, "change"),
    ("book_reservation", {}, "change"),
    ("createPage", {}, "change"),
    ("edit", {"path": "a.py", "oldText": "read", "newText": "x"}, "change"),
    ("frobnicate", {}, "change"),  # unknown: told on a line of its own
    ("", {}, "change"),
    ("str_replace_editor", {"command": "view", "path": "a"}, "read"),
    ("str_replace_editor", {"command": "str_replace", "path": "a"}, "change"),
    ("execute_sql", {"query": "SELECT * FROM t -- delete from memory"}, "change"),  # rather one line too many
    ("execute_sql", {"query": "-- how many\nSELECT count(*) FROM t"}, "read"),
    ("execute_sql", {"sql": "WITH x AS (SELECT 1) SELECT * FROM x"}, "read"),
    ("run_query", {"query": "INSERT INTO t VALUES (1)"}, "change"),
    ("execute_sql", {"query": "CREATE TABLE t (id int)"}, "change"),
    ("execute_action", {"action_name": "list_commits"}, "read"),
    ("execute_action", {"action_name": "patch_page"}, "change"),
    ("bash", {"command": "ls -la && cat a.py | grep x"}, "read"),
    ("bash", {"command": "cd /repo && git log --oneline | head"}, "read"),
    ("bash", {"command": "git push origin main"}, "run"),
    ("bash", {"command": "npm test"}, "run"),
    ("bash", {"command": "echo x > a.py"}, "run"),
    ("bash", {"command": "sed -i s/a/b/ f"}, "run"),
    ("bash", {"command": "sed -n 1,3p f 2>/dev/null"}, "read"),
    ("bash", {"command": "find . -name '*.pyc' -delete"}, "run"),
    ("bash", {"command": "cat $(rm -rf x)"}, "run"),
]


@pytest.mark.parametrize(("name", "arguments", "nature"), CALLS, ids=range(len(CALLS)))
def test_the_nature_of_a_call(name, arguments, nature):
    assert nature_of_call(name, arguments) == nature


@pytest.mark.parametrize(
    ("name", "arguments", "is_one"),
    [
        ("bash", {}, True),
        ("execute_bash", {}, True),
        ("runTests", {}, True),
        ("custom", {"command": "make -j 4"}, True),
        ("read_file", {"path": "run.sh"}, False),
        ("str_replace_editor", {"command": "view"}, False),
    ],
)
def test_what_runs_a_program(name, arguments, is_one):
    assert is_program(name, arguments) is is_one


@pytest.mark.parametrize("value", [None, 3, ["rm"], {"a": 1}, "", " ", "'unclosed", "\x00"])
def test_odd_arguments_are_no_fault(value):
    for key in ("command", "query", "action", "code", "type"):
        assert nature_of_call("bash", {key: value}) in {"read", "change", "run"}
        is_program("bash", {key: value})
