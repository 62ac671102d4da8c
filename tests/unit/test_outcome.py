"""Whether a call failed, by the form of its result: of programs, tools, protocols; and what is none of a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.ledger.nature import nature_of_call
from ctxmem.ledger.outcome import failure, failure_of
from ctxmem.ledger.reason import KEY_CHARS
from ctxmem.ledger.wrapping import unwrapped
from ctxmem.segment import Call

FAILURES = [  # (result, is it what a program printed, what the line says)
    ("Error: payment amount does not add up, total price is 1000", False, "payment amount does not add up"),
    ("ERROR:\nNo replacement was performed, old_str did not appear", False, "No replacement was performed"),
    ("Error executing tool browser_click: Timeout 5000ms exceeded", False, "Timeout 5000ms"),
    ("Error: result (81,000 characters) exceeds maximum allowed tokens", False, "exceeds maximum"),
    ("Error executing SQL query: syntax error at or near SELEC", False, "syntax error"),
    ("fatal: not a git repository", False, "not a git repository"),
    ("ValueError: bad literal", False, "ValueError: bad literal"),
    ("Traceback (most recent call last):\n  File 'a.py', line 3\nKeyError: 'user'", True, "KeyError: 'user'"),
    ("setting up\nProcess exited with code 1", True, "exited with code 1"),
    ("some output\nExit Code: 1", True, "Exit Code: 1"),
    ("collected 3 items\nE   assert 1 == 2\nFAILED tests/test_a.py::test_b\n1 failed, 2 passed", True, "assert 1 == 2"),
    ("src/app.ts(16,58): error TS2304: Cannot find name 'join'.\nCommand exited with code 2", True, "error TS2304"),
    ("error[E0308]: mismatched types\n --> src/main.rs:4", True, "E0308"),
    ("bash: ponyc: command not found", True, "command not found"),
    ("cat: /nope: No such file or directory", True, "No such file"),
    ("make: *** [Makefile:192: build] Error 2", True, "make: ***"),
    ("npm ERR! code ELIFECYCLE", True, "npm ERR!"),
    ('{"status": 400, "object": "error", "message": "no such page"}', False, "no such page"),
    ('{"success": false, "reason": "seat is taken"}', False, "seat is taken"),
    ('{"isError": true, "content": [{"type": "text", "text": "x"}], "message": "denied"}', False, "denied"),
    ('{"error": {"code": 404, "message": "Not Found"}}', False, "Not Found"),
    ('{"execution_result": {"error": "HTTP 400", "details": {"message": "bad id"}}}', False, "HTTP 400: bad id"),
    ('{"errors": [{"message": "field x is unknown"}], "data": null}', False, "field x is unknown"),
    ('{"stdout": "", "exit_code": 127}', False, "exit_code=127"),
    ('[{"type": "text", "text": "Error: no such tool"}]', False, "no such tool"),
    ("HTTP/1.1 503 Service Unavailable", False, "503"),
    ("❌ 2 Probleme gefunden", False, "2 Probleme"),
    ("Traceback (most recent call last):\n  Datei 'ü.py'\nWertFehler: ungültige Eingabe", True, "Traceback"),
]
SUCCESSES = [  # (result, is it what a program printed)
    ("class ParseError(ValueError):\n    '''Raised where the error is in line 3.'''", False),
    ("1\tdef f():\n2\t    raise KeyError('x')  # error: gone\n3\t    # exit code: 1", False),
    ("README: how errors are handled. If it failed, see Traceback (most recent call last).", False),
    ("0 failed, 12 passed", True),
    ("Process exited with code 0", True),
    ("found 0 errors", True),
    ('{"errors": [], "error": null, "ok": true, "status": 200}', False),
    ('{"status": "open", "number": 404, "error_rate": 0.2}', False),
    ('[{"error": "of one row of data"}]', False),
    ('[{"type": "text", "text": "all done"}]', False),
    ("操作が成功しました。エラーはありません。", False),
    ("Die Datei wurde gespeichert.", False),
    ("", False),
]
SHELL, ASKED, SENT = ("bash", "command"), ("get_page", "id"), ("send_note", "to")  # a tool, and its argument
FAILED_CALLS = [  # (tool, what it was given, result, what the line says)
    (SHELL, "ls /srv/ü", "ls: impossibile accedere a '/srv/ü': File o directory non esistente", "impossibile"),
    (SHELL, "cd /srv && sqlite3 a.db .tables", "sqlite3: ne mogu otvoriti a.db", "ne mogu"),
    (SHELL, "jqq . a.json", "sh: 1: jqq: nie znaleziono", "nie znaleziono"),
    (SHELL, "git push", "To host:a.git\n ! [rejected] main -> main (fetch first)\nHinweis: zu alt", "[rejected]"),
    (SHELL, "git push", " ! [remote rejected] main -> main (hook declined)\n" + "remote: x\n" * 9, "hook declined"),
    (SHELL, "git merge dev", "Auto-merging a.py\nKONFLIKT (Inhalt): Zusammenführungskonflikt in a.py\n...", "KONFLIKT"),
    (SHELL, "kubectl apply -f a.yml", "checking\nerror: the server is not there", "server is not there"),
    (SHELL, "docker push a/b", "Preparing\ndenied: no such right", "no such right"),
    (
        SHELL,
        "phpunit",
        "..F\n\n1) ATest::b\nFailed asserting that 1 is 2.\n\nFAILURES!\nTests: 3, Failures: 1.",
        "1 is 2",
    ),
    (SHELL, "mvn test", "[INFO] x\n[INFO] BUILD FAILURE\n[INFO] ---", "BUILD FAILURE"),
    (SHELL, "go test ./...", "--- FAIL: TestB (0.1s)\n    b_test.go:8: got 3\nFAIL", "TestB"),
    (SHELL, "rspec", "..F\n\n3 examples, 1 failure", "1 failure"),
    (
        SHELL,
        "python a.py",
        "----\nNameError     Traceback (most recent call last)\nCell 3\n\nNameError: name 'q'",
        "name 'q'",
    ),
    (SHELL, "make", "Exit code 2\nbuilding\nlinker says no", "Exit code 2 / linker says no"),
    (SHELL, "cargo build", "warning: unused `Error`\nerror[E0433]: no `Map`\nwarning: 1 warning", "no `Map`"),
    (
        SHELL,
        "cargo test",
        "thread 'a::b' panicked at src/a.rs:4:\nnot equal\n  left: \"not found\"\n1 failed",
        "not equal",
    ),
    (SHELL, "cat a.py", "Process exited with code 2\nOutput:\ncat: a.py: Brak pliku", "Brak pliku"),
    (SHELL, "pay", '{"output": "error: no seat\\n", "metadata": {"exit_code": 101}}', "no seat"),
    (SHELL, "curl -s http://a", '{"code": 500, "msg": "內部", "data": null}', "內部"),
    (ASKED, "7", "### Result\nError: page.fill: Timeout", "Timeout"),
    (ASKED, "7", "<tool_use_error>There is no such page.</tool_use_error>", "There is no such page."),
    (ASKED, "7", '[{"type": "text", "text": "MCP error -32603: Not there"}]', "Not there"),
    (ASKED, "7", '[{"type": "text", "text": "{\\"message\\": \\"not so\\", \\"status\\": \\"405\\"}"}]', "not so"),
    (ASKED, "7", '{"content": [{"type": "text", "text": "geht nicht"}], "isError": true}', "geht nicht"),
    (ASKED, "7", "<html><head><title>502 Bad Gateway</title></head><body></body></html>", "502 Bad Gateway"),
    (ASKED, "7", '{"status": 404, "url": "http://a", "body": ""}', "status=404"),
    (ASKED, "7", '{"status": "error", "message": "zu viel"}', "zu viel"),
    (ASKED, "7", "Fel: sidan finns inte", "sidan finns inte"),
    (ASKED, "7", "Lỗi 404: không có trang", "không có trang"),
    (ASKED, "7", "페이지 요청: 403 Forbidden", "403 Forbidden"),
    (SENT, "a@b", "550 5.1.1 Ricevente sconosciuto: a@b", "sconosciuto"),
    (SENT, "a@b", "hata: adres yok", "adres yok"),
    (SENT, "a@b", '{"resultado": "失敗", "razón": "sin saldo"}', "sin saldo"),
    (SENT, "a@b", "Could not find the text.", "Could not find"),
    (SENT, "a@b", "[Operation Cancelled] by the one who was asked", "Operation Cancelled"),
    (SENT, "a@b", '{"errcode": 40013, "errmsg": "bad id"}', "bad id"),
    (SENT, "a@b", "Observation: error: no address", "no address"),
    (
        SHELL,
        "git commit -m x",
        "Pre-commit validation failed:\n\n[FORMAT] Code is not formatted.\n" + "row\n" * 40,
        "Pre-commit",
    ),
    (
        SHELL,
        "python a.py",
        "Executor: exitcode: 1 (execution failed)\nCode output: \nHTTP 429, wait a while",
        "HTTP 429, wait",
    ),
    (
        SHELL,
        "python a.py",
        "Executor: exitcode: 1 (execution failed)\nCode output: \na.b.HTTPError: HTTP Error 429",
        "a.b.HTTPError",
    ),
]
DONE_CALLS = [
    (SHELL, "rg nothing", "Process exited with code 1\nOutput:\n"),
    (SHELL, "grep -rn Traceback src", "a.py:3: Traceback (most recent call last)\na.py:9: error: x"),
    (SHELL, "cat app.log", "12:00 ERROR no seat\n12:01 fatal: gone\nexit code 1\n3 failed"),
    (SHELL, "tail app.log", "ERROR:root:no seat\n" + "INFO:root:well\n" * 40),
    (SHELL, "make", "make: Entering directory '/a'\ncc a.c\nmake: Leaving directory '/a'"),
    (SHELL, "npm run lint", "Errors: 0, warnings: 3"),
    (SHELL, "sync-all", "sync-all: 14 of 14\nExit Code: 0"),
    (SHELL, "bash run.sh", "bash: warning: setlocale: cannot change\nran 3 of 3"),
    (SHELL, "mvn test", "[INFO] Tests run: 3, Failures: 0, Errors: 0\n[INFO] BUILD SUCCESS"),
    (SHELL, "ansible-playbook a.yml", "PLAY RECAP\nhost : ok=3 failed=0"),
    (SHELL, "cat notes.md", "# Error handling\nErrors are handled in `a.py`."),
    (ASKED, "7", '{"id": 7, "status": "failed", "jobs": [{"status": "failed", "error": "no seat"}]}'),
    (ASKED, "7", '{"id": 7, "code": 404, "name": "Blue"}'),
    (ASKED, "7", '{"id": 7, "success": false, "score": 3}'),
    (ASKED, "7", "# Error handling\n\nWhat to do where it failed."),
    (ASKED, "7", "Error handling\n=====\nWhat to do where it failed."),
    (ASKED, "7", "// Error: never seen\nfunc a() {}"),
    (ASKED, "7", "<html><head><title>500 days by the sea</title></head></html>"),
    (ASKED, "7", "Fehler: keine\n" + "Zeile mit Text\n" * 60),
    (SENT, "a@b", '{"result": "sent", "code": 0, "errmsg": "ok", "errcode": 0}'),
    (SENT, "a@b", "500 rows"),
    (SENT, "a@b", "250 2.0.0 OK: aceptado"),
    (SENT, "a@b", "失敗は0件です。送信しました。"),
    (SENT, "a@b", "Cancelled the order 7."),
    (SENT, "a@b", '[{"type": "text", "text": "{\\"ok\\": true, \\"errors\\": 0}"}]'),
]


def failed(tool, given, result):
    call = Call("c1", tool[0], {tool[1]: given})
    return failure_of(result, call, nature_of_call(call.name, call.arguments), is_error=False)


@pytest.mark.parametrize(("tool", "given", "result", "says"), FAILED_CALLS)
def test_a_failed_call_is_found_in_any_language_and_wrapping(tool, given, result, says):
    assert says in failed(tool, given, result)


@pytest.mark.parametrize(("tool", "given", "result"), DONE_CALLS)
def test_a_call_that_went_well_is_no_failure_whatever_it_read(tool, given, result):
    assert failed(tool, given, result) == ""


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ('{"output": "ran 3", "metadata": {"exit_code": 0}}', "ran 3"),
        ('{"content": [{"type": "text", "text": "ran 3"}], "isError": false}', "ran 3"),
        ("Command: a\nDirectory: (root)\nOutput: ran 3\nError: (none)\nExit Code: 0\nSignal: (none)", "ran 3"),
        ("<returncode>0</returncode>\n<output>\nran 3\n</output>", "ran 3"),
        ("ran 3\n[Current working directory: /a]\n[Command finished with exit code 0]", "ran 3"),
        ("[read_file for 'a.py'] Result:\nran 3", "ran 3"),
        ("観察結果：\nran 3", "ran 3"),  # noqa: RUF001 - a sign of another script
        ("Wall time: 1 s\nProcess exited with code 1\nOutput:\n", ""),
        ("Process exited with code 1\nOutput:\nran 3", "ran 3"),
        ('{"output": "", "metadata": {"exit_code": 0}}', ""),
        ('{"stdout": "", "stderr": "ran 3"}', "ran 3"),
        ("[Command finished with exit code 0]", "[Command finished with exit code 0]"),
        ('{"id": 7}', '{"id": 7}'),
        ("<p>one</p> two", "<p>one</p> two"),
    ],
)
def test_what_stands_around_a_result_is_taken_off(result, said):
    assert unwrapped(result) == said


@given(st.text(max_size=2_000) | st.text('<output>{}[]:#\n"a1 ', max_size=300))
def test_unwrapping_takes_off_only(text):
    assert len(unwrapped(text)) <= len(text)


@pytest.mark.parametrize(("text", "is_program", "says"), FAILURES, ids=range(len(FAILURES)))
def test_a_failure_is_found_by_its_form_and_its_key_line_quoted(text, is_program, says):
    why = failure(text, is_program=is_program)

    assert why
    assert says in why or says == "Traceback"
    assert len(why.splitlines()) == 1


@pytest.mark.parametrize(("text", "is_program"), SUCCESSES, ids=range(len(SUCCESSES)))
def test_a_word_inside_a_result_is_no_failure(text, is_program):
    assert failure(text, is_program=is_program) == ""


def test_what_a_program_prints_counts_of_programs_only():
    text = "log of yesterday\nProcess exited with code 1"

    assert failure(text, is_program=True)
    assert not failure(text, is_program=False)


@pytest.mark.parametrize("text", ["", "何かがうまくいかなかった", '{"ok": true}', "all is well"])
def test_the_callers_word_goes_before_the_form(text):
    assert failure(text, is_error=True)


def test_the_error_of_a_traceback_is_its_last_line():
    assert failure(
        "Traceback (most recent call last):\n  x\nOSError: disk\n\nTraceback (most recent call last):\n  y\nKeyError: 1"
    ) == ("KeyError: 1")


@given(st.text(max_size=3_000), st.booleans(), st.booleans())
def test_whatever_the_text_the_line_is_one_and_forges_nothing(text, is_error, is_program):
    why = failure(text, is_error=is_error, is_program=is_program)

    assert len(why) <= KEY_CHARS
    assert len(why.splitlines()) <= 1
    assert "[#" not in why
    assert why or not is_error
