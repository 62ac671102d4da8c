"""What a call does to the world, from its name and arguments; what is not known to read only counts as a change."""

import pytest

from ctxmem.ledger.nature import is_program, nature_of, nature_of_call
from ctxmem.segment import Call, Facts, Record

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
    ("bash", {"command": "git push origin main"}, "change"),
    ("bash", {"command": "npm test"}, "run"),
    ("bash", {"command": "echo x > a.py"}, "change"),
    ("bash", {"command": "sed -i s/a/b/ f"}, "change"),
    ("bash", {"command": "sed -n 1,3p f 2>/dev/null"}, "read"),
    ("bash", {"command": "find . -name '*.pyc' -delete"}, "change"),
    ("bash", {"command": "cat $(rm -rf x)"}, "run"),
]


@pytest.mark.parametrize(("name", "arguments", "nature"), CALLS, ids=range(len(CALLS)))
def test_the_nature_of_a_call(name, arguments, nature):
    assert nature_of_call(name, arguments) == nature


AGENTS = [
    # Claude Code
    ("Read", {"file_path": "/a.py"}, "read"),
    ("Grep", {"pattern": "x", "output_mode": "content"}, "read"),
    ("Glob", {"pattern": "**/*.py"}, "read"),
    ("LS", {"path": "/"}, "read"),
    ("Edit", {"file_path": "/a.py", "old_string": "a", "new_string": "b"}, "change"),
    ("MultiEdit", {"file_path": "/a.py", "edits": []}, "change"),
    ("Write", {"file_path": "/a.py", "content": "x"}, "change"),
    ("NotebookRead", {}, "read"),
    ("NotebookEdit", {"edit_mode": "insert"}, "change"),
    ("Bash", {"command": "git status", "description": "Show what changed"}, "read"),
    ("Bash", {"command": "pytest -q"}, "run"),
    ("BashOutput", {"bash_id": "b1"}, "read"),
    ("KillShell", {"shell_id": "b1"}, "change"),
    ("TodoWrite", {"todos": [{"content": "fix", "status": "pending"}]}, "read"),
    ("TodoRead", {}, "read"),
    ("todo", {"todos": [{"id": "1"}]}, "read"),
    ("WebFetch", {"url": "https://a.b", "prompt": "delete what is not about x"}, "read"),
    ("WebSearch", {"query": "how to create a table"}, "read"),
    ("Task", {"description": "look", "prompt": "Find x", "subagent_type": "general"}, "change"),  # it may do anything
    ("ExitPlanMode", {"plan": "1. edit a"}, "read"),
    ("mcp__git__git_log", {}, "read"),
    ("mcp__git__git_commit", {"message": "x"}, "change"),
    ("mcp__github__create_pull_request", {}, "change"),
    ("mcp__github__list_issues", {}, "read"),
    # Codex
    ("shell", {"command": ["bash", "-lc", "ls"]}, "read"),
    ("shell", {"command": ["bash", "-lc", "ls && cat a.py | head -3"]}, "read"),
    ("shell", {"command": ["bash", "-lc", "rm -rf build"]}, "change"),
    ("shell", {"command": ["rg", "-n", "a|b", "src"]}, "read"),
    ("shell", {"command": ["powershell.exe", "-Command", "git status"]}, "read"),
    ("shell", {"command": ["bash", "-lc", "apply_patch <<'EOF'\n*** Begin Patch\n*** End Patch\nEOF"]}, "change"),
    ("shell", {"command": ["apply_patch", "*** Begin Patch\n*** End Patch"]}, "change"),
    ("shell", {"command": []}, "change"),
    ("exec_command", {"cmd": "sed -n '1,200p' a.py"}, "read"),
    ("functions.exec_command", {"cmd": "make"}, "run"),
    ("apply_patch", {"input": "*** Begin Patch"}, "change"),
    ("update_plan", {"plan": [{"step": "x", "status": "pending"}], "explanation": "y"}, "read"),
    ("view_image", {"path": "a.png"}, "read"),
    ("web_search", {"query": "update x"}, "read"),
    # Gemini CLI
    ("read_file", {"absolute_path": "/a"}, "read"),
    ("read_many_files", {"paths": ["a"]}, "read"),
    ("list_directory", {"path": "/"}, "read"),
    ("search_file_content", {"pattern": "x"}, "read"),
    ("glob", {"pattern": "*"}, "read"),
    ("write_file", {"file_path": "/a", "content": "x"}, "change"),
    ("replace", {"file_path": "/a", "old_string": "a", "new_string": "b"}, "change"),
    ("run_shell_command", {"command": "ls -la", "description": "List"}, "read"),
    ("run_shell_command", {"command": "npm run build"}, "run"),
    ("run_shell_command", {"command": "make"}, "run"),
    ("google_web_search", {"query": "insert into a list in python"}, "read"),
    ("web_fetch", {"prompt": "summarise https://a.b"}, "read"),
    ("save_memory", {"fact": "likes tea"}, "change"),
    ("write_todos", {"todos": []}, "read"),
    # browsers
    ("browser_navigate", {"url": "https://a.b"}, "read"),
    ("browser_snapshot", {}, "read"),
    ("browser_take_screenshot", {"type": "png"}, "read"),
    ("browser_wait_for", {"text": "Done"}, "read"),
    ("browser_click", {"element": "Send", "ref": "e3"}, "change"),
    ("browser_type", {"element": "Name", "text": "get"}, "change"),
    ("browser_fill_form", {"fields": []}, "change"),
    ("browser_select_option", {"values": ["a"]}, "change"),
    ("browser_press_key", {"key": "Enter"}, "change"),
    ("browser_drag", {}, "change"),
    ("browser_tabs", {"action": "list"}, "read"),
    ("browser_tabs", {"action": "close", "index": 1}, "change"),
    ("puppeteer_screenshot", {"name": "a"}, "read"),
    ("take_snapshot", {}, "read"),
    ("computer", {"action": "screenshot"}, "read"),
    ("computer", {"action": "left_click", "coordinate": [1, 2]}, "change"),
    # other styles of names
    ("readFile", {}, "read"),
    ("read-file", {}, "read"),
    ("ReadURL", {}, "read"),
    ("HTTPGet", {}, "read"),
    ("deleteUserAccount", {}, "change"),
    ("delete-user-account", {}, "change"),
    ("notion-update-page", {}, "change"),
    ("github/get_me", {}, "read"),
    ("calendar.events.list", {}, "read"),
    ("think", {"thought": "delete all"}, "read"),
    ("sequential_thinking", {"thought": "x"}, "read"),
    ("sequentialthinking", {"thought": "x"}, "read"),
    ("run_tests", {"path": "tests"}, "run"),
    # a word that reads, and more
    ("update_plan", {"customer_id": "C1", "plan": "gold"}, "change"),  # a telephone's
    ("create_todo", {"title": "buy milk"}, "change"),
    ("search_replace", {"file_path": "a"}, "change"),
    ("find_and_replace", {}, "change"),
    ("get_or_create_user", {}, "change"),
    ("open_pull_request", {}, "change"),
    ("open_file", {"path": "a"}, "read"),
    ("check_in_guest", {}, "change"),
    ("check_inventory", {}, "read"),
    ("mark_as_read", {}, "change"),
    ("create_saved_search", {}, "change"),
    ("fetch", {"url": "https://a.b", "method": "POST"}, "change"),
    ("fetch", {"url": "https://a.b", "method": "GET"}, "read"),
    ("get_action_details", {"action_name": "patch_page"}, "read"),
    ("create_page", {"type": "list"}, "change"),
    ("document", {"mode": "read"}, "read"),
    ("apply_coupon", {"code": "SAVE10"}, "change"),
    ("execute_code", {"code": "1"}, "run"),
]
COMMANDS = [
    ("git -C /repo log -3", "read"),
    ("git --no-pager diff", "read"),
    ("git branch -a", "read"),
    ("git branch --show-current", "read"),
    ("git branch -D old", "change"),
    ("git tag v1.0", "change"),
    ("git remote -v", "read"),
    ("git remote add up url", "change"),
    ("git stash", "change"),
    ("sed -Ei s/a/b/ f", "change"),
    ("sed -ne 3p f", "read"),
    ("sort -o f f", "change"),
    ("yq -i '.a=1' f", "change"),
    ("fd -e pyc -x rm", "change"),
    ("ls & rm x", "change"),
    ("cat `rm x`", "run"),
    ("diff <(rm x) a", "run"),
    ("env A=1 rm x", "run"),
    ("# what is here\nls", "read"),
    ("ls > /dev/null", "read"),
    ("ls &>/dev/null", "read"),
    ("ls > /dev/nullx", "change"),
    ("ls 2>&1 | tail -3", "read"),
    ("bash -lc 'ls && cat a'", "read"),
    ("bash -lc 'ls && rm a'", "change"),
    ("bash script.sh", "run"),
    ('grep -nE "a|b" f', "read"),
    ("rg 'a && b' src", "read"),
    ("awk '{print > \"f\"}' a", "run"),
    ("echo it's fine; rm x", "change"),
    ("", "read"),
    ("ls '' ''", "read"),
    ("cd /repo && apply_patch <<'EOF'\n*** Begin Patch\nEOF", "change"),
    ("ls " + "a " * 3_000 + "; rm x", "run"),
]


@pytest.mark.parametrize(("name", "arguments", "nature"), AGENTS, ids=range(len(AGENTS)))
def test_tools_of_known_agents(name, arguments, nature):
    assert nature_of_call(name, arguments) == nature


@pytest.mark.parametrize(("command", "nature"), COMMANDS, ids=range(len(COMMANDS)))
def test_what_a_command_line_does(command, nature):
    assert nature_of_call("bash", {"command": command}) == nature
    assert nature_of_call("shell", {"command": ["bash", "-lc", command]}) == nature


def test_what_was_said_of_a_call_goes_before_its_name():
    calls = (Call("a", "deploy", {}), Call("b", "get_user", {}), Call("c", "get_user", {}))
    asked = Record(1, "assistant", "assistant", "", 9, 0.0, calls=calls, facts=Facts(natures=(2, 1, -1)))

    assert [nature_of(asked, index) for index in range(3)] == ["run", "change", "read"]


@pytest.mark.parametrize(
    ("name", "arguments", "is_one"),
    [
        ("bash", {}, True),
        ("execute_bash", {}, True),
        ("runTests", {}, True),
        ("custom", {"command": "make -j 4"}, True),
        ("custom", {"command": ["make", "-j"]}, True),
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
