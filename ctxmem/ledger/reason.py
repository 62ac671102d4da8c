"""The line of a failed result that says what failed; and the words by which programs label one, in many languages."""

import re
from collections.abc import Collection
from typing import Final

from ctxmem.ledger.gist import escaped

KEY_CHARS: Final = 160  # of the line that says what failed
HEAD_CHARS: Final = 3_000  # of a result that are looked at
TAIL_CHARS: Final = 1_500
_LEAST_CHARS: Final = 16  # a shorter line is told with the one after it

# As compilers, databases and tools translate "error" and "failed" where they label a message.
_LABEL_WORDS: Final = (
    "error erreur fehler erro errore fout feil fejl fel virhe błąd blad chyba hiba eroare hata lỗi kesalahan ralat"
    " greška napaka klaida kļūda viga σφάλμα ошибка помилка грешка エラー 错误 錯誤 오류 에러 خطأ خطا שגיאה त्रुटि"
    " ข้อผิดพลาด failed failure fatal échec fehlgeschlagen fallo falló fallido falha falhou fallito mislukt"
    " niepowodzenie selhalo sikertelen eșuat başarısız gagal отказ сбой неудача 失败 失敗 실패 فشل נכשל विफल ล้มเหลว"  # noqa: RUF001 - a letter of Turkish
)
LABEL: Final = "|".join(_LABEL_WORDS.split())

_SAYS = re.compile(  # as rows begin that say what went wrong
    r"^[^\w#]*[\w.]*(?:Error|Exception)\b(?![\w(])|(?:^|[:)\]] )error(?: TS\d+|\[E\d+\])?:"
    r"|(?-i:\b[A-Z]\w*(?:Error|Exception): )|^\W*(?:error|fatal|failed|panic)\b|^not ok |^E  +\S|^FAILED |^--- FAIL"
    r"|^ ?! \[(?:remote )?rejected\]|\bpanicked at |^denied: |❌|<title>\s*[45]\d\d"
    rf"|^\W*(?:\w[\w.-]{{0,20}}: )?(?:{LABEL})(?: \d+| ?\([^)]*\))? ?[:：]",  # noqa: RUF001 - signs of other scripts
    re.IGNORECASE,
)
_HINTS = re.compile(
    r"not found|No such file|Permission denied|\b[1-9]\d* (?:failed|failing|failures?)\b(?!=)"
    r"|\b(?:Failures|Errors): [1-9]|BUILD FAIL",
    re.IGNORECASE,
)
_WRAPPER = re.compile(
    r"^\W*(?:traceback|(?:command|process)\b.{0,20}\b(?:exited|failed(?: with)? exit)"
    r"|(?:\w{1,20}: )?exit ?code|error:?\W*$"
    r"|your proposed edit has|\w+: \((?:none|null)\))|\b0 (?:errors|failed)\b",
    re.IGNORECASE,
)
# As git says that a merge stopped, translated: `CONFLIT (contenu) :`.
CONFLICT: Final = re.compile(
    r"^[^\W\d_a-zß-ÿа-я]{2,12} ?[(（][^)）\n]+[)）] ?[:：]",  # noqa: RUF001 - signs of other scripts are meant
    re.MULTILINE,
)
EXIT: Final = re.compile(
    r"\b(?:exit(?:ed)?(?: with)?(?: (?:code|status))?[ :=]+(?:code |status )?|(?:exit|return)_?code\"?[>:=] ?)"
    r"([1-9]\d{0,2})\b",
    re.IGNORECASE,
)
_MOST_ROW_CHARS: Final = 400  # a longer row is data
_OF_PROGRAM = re.compile(r"(?:\S*[/\\])?([\w.+-]+)(?:\[\d+\])?: \S")
_NO_MATTER = re.compile(r": warning: |no job control in|terminal process group|: binary file ", re.IGNORECASE)
_SHELLS: Final = frozenset({"bash", "sh", "zsh", "dash", "fish", "ksh"})
_NARRATES: Final = frozenset({"make", "gmake", "ninja"})  # put their name before whatever they say
_TAGS = re.compile(r"</?[a-zA-Z][^>]*>")


def complains(row: str, programs: Collection[str]) -> bool:
    """Say whether a row is a program's complaint: its own name, or a shell's, a colon, and what is wrong.

    >>> complains("ls: 无法访问 'a.py'", ["ls"]), complains("bash: psqlx: orden no encontrada", ["psqlx"])
    (True, True)
    >>> complains("make: Nothing to be done for 'all'.", ["make"]), complains("total: 12", ["wc"])
    (False, False)
    """
    found = _OF_PROGRAM.match(row)
    if found is None or _NO_MATTER.search(row):
        return False
    return found[1] not in _NARRATES and (found[1] in programs or found[1] in _SHELLS)


def _stopped(row: str, programs: Collection[str]) -> bool:
    return "git" in programs and CONFLICT.match(row) is not None


def reason(text: str, *, begins: bool = False, programs: Collection[str] = ()) -> str:
    """Return the row that says what failed, "" where there is none; `begins`: the text begins as failures begin."""
    rows = [row.strip() for row in (*text[:HEAD_CHARS].splitlines(), *tail_of(text).splitlines()) if row.strip()]
    rows = [row for row in rows if any(sign.isalnum() for sign in row)] or rows
    if not rows:
        return ""
    at = _telling(rows, programs, begins=begins)
    best = rows[at]
    if EXIT.search(best) and (len(best) < _LEAST_CHARS * 2 or _WRAPPER.search(best)):
        last = next((row for row in reversed(rows) if not EXIT.search(row) and not _WRAPPER.search(row)), "")
        return escaped(f"{best} / {last}" if last else best)[:KEY_CHARS]
    if (best.endswith((":", "：")) or len(best) < _LEAST_CHARS) and at + 1 < len(rows):  # noqa: RUF001 - a sign of other scripts
        best += " " + rows[at + 1]
    return escaped(_TAGS.sub(" ", best) if best.startswith("<") else best)[:KEY_CHARS]


def tail_of(text: str) -> str:
    """Return the end of a text that is looked at, where its head is not all of it."""
    return text[max(HEAD_CHARS, len(text) - TAIL_CHARS) :]


def _telling(rows: list[str], programs: Collection[str], *, begins: bool) -> int:
    if begins and not _WRAPPER.search(rows[0]):
        return 0
    useful = [at for at, row in enumerate(rows) if not _WRAPPER.search(row)]
    says = [
        at for at in useful if _SAYS.search(rows[at]) or complains(rows[at], programs) or _stopped(rows[at], programs)
    ]
    if says and any("Traceback (most recent call last)" in row for row in rows):
        return says[-1]
    short = [at for at in useful if len(rows[at]) <= _MOST_ROW_CHARS]
    hints = says or [at for at in short if _HINTS.search(rows[at])]
    exits = hints or [at for at, row in enumerate(rows) if EXIT.search(row)]
    return exits[0] if exits else 0
