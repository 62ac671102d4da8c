"""Whether a call failed, by the form of its result: of programs, tools, protocols; and what is none of a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.ledger.outcome import KEY_CHARS, failure

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
    ('{"stdout": "", "exit_code": 127}', False, "failed"),
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
