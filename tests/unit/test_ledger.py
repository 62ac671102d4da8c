"""The ledger: nothing quoted can forge a line, no failure is hidden, pieces stay as they are and grow as the log."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxmem.ledger.abridge import abridge, ledger_bound, room_of_next
from ctxmem.ledger.gist import escaped, words_of
from ctxmem.ledger.joining import join
from ctxmem.ledger.least import cost
from ctxmem.ledger.ledger import CONTINUED, HEADING, MOST_LINES, Ledger, Piece, lines_of
from ctxmem.ledger.line import ASKED, FAILED, OUTCOME, RECORD, SAID, SIZE, Doing, Line, Note
from ctxmem.ledger.line import NAMES as NAMED
from ctxmem.ledger.step import line_of
from ctxmem.segment import Call, Facts, Record

LABEL = re.compile(r"\[#(\d+)(?:-#(\d+))?\]")


def count(text: str) -> int:
    """Count as a tokenizer might, without one: 3.5 characters a token."""
    return -(-len(text) * 2 // 7)


def exchange(group: int, text: str, name: str = "read", said: str = "", **arguments) -> list[tuple[int, Record]]:
    call = Call(f"c{group}", name, arguments)
    facts = Facts(turn=1, call_index=0)
    return [
        (group, Record(1, "message", "assistant", said, 10, 0.0, calls=(call,))),
        (group + 1, Record(1, "message", "tool", text, 50, 0.0, call_id=call.id, facts=facts)),
    ]


def message(group: int, text: str, role: str = "user") -> list[tuple[int, Record]]:
    return [(group, Record(1, "message", role, text, 10, 0.0))]


def line(group: int, text: str, **more) -> Line:
    return line_of(group, exchange(group, text, **more))


def plan(dropped=(), worded=(), kept=()):
    return SimpleNamespace(dropped=list(dropped), worded=list(worded), groups=sorted([*dropped, *worded, *kept]))


def spans(rendered: list[str]) -> list[tuple[int, int, str]]:
    found = []
    for text in rendered:
        for row in text.split("\n")[1:]:
            label = LABEL.match(row)
            assert label, row
            found.append((int(label[1]), int(label[2] or label[1]), row[label.end() :]))
    return found


# -- lines --------------------------------------------------------------------------------------------------------


def test_lines_are_written_in_order_for_what_goes_and_what_leaves_its_words():
    made = lines_of(
        plan(dropped=[8, 4], worded=[2]), lambda group: exchange(group, "x", said=f"The name is `n_{group}`.")
    )

    assert [(one.first, [note.text for note in one.told(SAID)]) for one in made] == [
        (2, []),
        (4, ["The name is `n_4`."]),
        (8, ["The name is `n_8`."]),
    ]


def test_an_offer_and_the_answer_to_it_are_one_line():
    said = {2: message(2, "HAT110 costs $207. Shall I book it?", "assistant"), 3: message(3, "yes")}
    made = lines_of(plan(dropped=[2, 3]), said.__getitem__)

    assert [one.text() for one in made] == ["[#3] asked: HAT110 costs $207. / Shall I book it?; user said: yes"]


def test_of_very_many_groups_the_newest_are_read_and_the_others_counted():
    read = []
    groups = list(range(0, 10_000, 2))
    made = lines_of(plan(dropped=groups), lambda group: read.append(group) or exchange(group, "x" * 500))

    assert read == groups[-MOST_LINES:]
    assert made[0].text() == f"[#0-#{groups[-MOST_LINES - 1]}] steps x{5_000 - MOST_LINES}"
    assert all(any(one.told(OUTCOME, FAILED)) or "->" in one.text() for one in made[1:])


def test_groups_with_something_between_them_that_stays_do_not_join():
    made = lines_of(plan(dropped=[2, 4, 8], kept=[6]), lambda group: exchange(group, "x" * 500, path=f"dir/{group}.py"))

    assert [one.is_apart for one in made] == [False, False, True]
    assert [(one.first, one.last) for one in abridge(made, 40, ())] == [(2, 4), (8, 8)]


@pytest.mark.parametrize(
    ("doings", "text"),
    [
        ([("book", 3, 2)], "book x3 (2 failed)"),
        ([("book", 3, 3)], "book x3 (all failed)"),
        ([("book", 2, 2), ("read", 1, 0)], "book x2 (both failed), read"),
        ([("book", 1, 1)], "book (failed)"),
    ],
)
def test_failures_are_counted_in_a_line_for_several(doings, text):
    made = Line(2, 8, 2, "", tuple(Doing(*doing) for doing in doings), ())

    assert made.text() == f"[#2-#8] {text}"


def test_equal_steps_in_a_row_are_one_line_with_a_count():
    error = "Error: name=ZodError invalid_type"
    made = abridge([line(group, error, name="execute_sql", q="SELECT 1") for group in range(2, 80, 2)], 500, ())

    assert [one.text() for one in made] == [
        f'[#2-#78] execute_sql {{"q": "SELECT 1"}} x39 (all failed); failed: {error}'
    ]


def test_reads_join_before_anything_that_changes_something():
    lines = [
        line(2, "x" * 200, path="src/a.py"),
        line(4, "x" * 200, path="src/b.py"),
        line(6, '{"ok": true, "content": "' + "x" * 200 + '"}', name="edit", path="src/c.py"),
        line(8, "x" * 200, path="src/d.py"),
    ]
    made = [one.text() for one in abridge(lines, 62, ())]

    assert made == [
        "[#2-#4] read x2 of a.py, b.py",
        '[#6] edit {"path": "src/c.py"} -> ok=true',
        '[#8] read {"path": "src/d.py"} -> 200 characters',
    ]


def test_where_user_messages_must_join_what_users_said_is_quoted():
    rules = ("Never touch `src/gen`; it is generated.", "Use tabs, not spaces, in all of the Go files.")
    lines = [line_of(group, message(group, rule)) for group, rule in zip((2, 4), rules, strict=True)]
    done = '{"ok": true, "content": "' + "x" * 200 + '"}'
    lines += [line(group, done, name="edit", path=f"src/f{group}.go", new="y " * 90) for group in range(6, 20, 2)]
    (oldest, *_) = abridge(lines, 110, ())

    assert oldest.text() == (
        "[#2-#16] edit x6 of f6.go, f8.go, f10.go, f12.go, f14.go, f16.go; user said x2: "
        "Never touch `src/gen`; it is generated. / Use tabs, not spaces, in all of the Go files."
    )


@pytest.mark.parametrize("dropped", [(2, 3, 4), (3, 4)])
@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("HAT110 costs $207. Shall I book it?", "Yes, book HAT110"),
        ("HAT110 costs $207. Please confirm the booking.", "I confirm the booking"),
    ],
)
def test_in_a_line_for_several_steps_an_answer_is_not_quoted_be_its_question_shown_still(dropped, offer, answer):
    said = {2: message(2, offer, "assistant"), 3: message(3, answer), 4: message(4, "2 bags")}
    lines = [
        *lines_of(plan(dropped=dropped, kept={2} - set(dropped)), said.__getitem__),
        line(6, '{"ok": true, "content": "' + "x" * 200 + '"}', name="book", flight="HAT110"),
    ]

    assert abridge(lines, 24, ())[0].text() == "[#3-#6] book of HAT110; user said x2: 2 bags"


def test_what_a_user_asks_for_unasked_is_quoted_with_what_was_said_before_it():
    said = {2: message(2, "HAT110 is full.", "assistant"), 3: message(3, "Use HAT99 instead, paid in miles")}
    lines = [*lines_of(plan(dropped=[2, 3]), said.__getitem__), line(6, "", name="book", flight="HAT99")]

    assert (
        join(lines).text()
        == "[#3-#6] book of HAT99; said: HAT110 is full.; user said: Use HAT99 instead, paid in miles -> (empty)"
    )


def test_of_steps_that_only_name_their_tools_one_sentence_is_told_the_newest_of_those_that_tell_most():
    said = ("The first of them is `a`.", "The other one is `b`.", "That was all of it")
    lines = [line(2 * n + 2, "x" * 200, name="bash", said=text, n=n) for n, text in enumerate(said)]
    (made,) = abridge(lines, 24, ())

    assert made.text() == "[#2-#6] bash x3; said: The other one is `b`."


def test_in_a_line_for_several_steps_tools_and_notes_stand_in_the_order_of_events():
    words = line_of(4, message(4, "It is in `b`.", "assistant"))
    run = join([line(2, "x", said="It is in `a`."), line(6, "x", name="edit", said="It was in `c`.")])
    made = join([run, line(4, "x", name="grep"), words])

    assert [doing.name for doing in made.doings] == ["read", "grep", "edit"]
    assert [note.text for note in made.told(SAID)] == ["It is in `a`.", "It is in `b`.", "It was in `c`."]


def test_no_record_stands_beside_a_failure_of_another_step():
    made = join([line(2, '{"id": "AB12"}'), line(4, "Error: gone", name="book")])

    assert made.text() == "[#2-#4] read, book (failed); failed: Error: gone"


def test_dates_are_no_names_and_a_field_that_is_told_for_a_name_is_whole():
    filler = {f"key{n}": "word " * 10 for n in range(12)}
    found = json.dumps({"seats": {"a": "K1NW8N", "b": 8}, "dob": "1956-06-24", **filler})
    (made,) = abridge([line(2, found)], 60, ())

    assert made.text() == "[#2] read -> seats(a=K1NW8N b=8)"


def test_a_users_message_is_quoted_whole_before_names():
    asked = "Thank you for all of that! I'd also like to cancel another reservation with the number NQNU5R please."
    found = "\n".join(f"words of prose and no more, name_{n}" for n in range(20))
    (said, _) = abridge([line_of(2, message(2, asked)), line(4, found)], 62, ())

    assert said.text() == f"[#2] user said: {asked}"


def test_an_outcome_goes_before_names():
    notes = (Note(1, OUTCOME, "2 lines, the last: done"), Note(1, SIZE, "2 lines"), Note(1, NAMED, "src/a.py"))
    assert Line(1, 1, 1, "bash {}", (), notes).text() == "[#1] bash {} -> 2 lines, the last: done | src/a.py"
    assert Line(1, 1, 1, "bash {}", (), notes[1:]).text() == "[#1] bash {} -> 2 lines | src/a.py"


def test_where_even_changes_must_join_what_they_changed_is_named():
    lines = [line(group, "x" * 200, name="edit", path=f"src/f{group}.py", new="y " * 90) for group in range(2, 40, 2)]
    (oldest, *_) = abridge(lines, 120, ())

    assert "edit x" in oldest.text()
    assert "f2.py" in oldest.text() or "f30.py" in oldest.text()


def test_a_record_and_a_name_stand_on_one_line_only():
    found = json.dumps(
        [{"id": "AB12", "name": "one of them"}, {"id": "CD34", "name": "the other one of them, and more"}]
    )
    made = abridge([line(2, found, a=1), line(4, found, a=2)], 400, ())

    assert sum("name=one of them" in one.text() for one in made) == 1


# -- abridge ------------------------------------------------------------------------------------------------------

RESULTS = st.sampled_from(
    [
        "",
        "ok",
        "Error: it is gone",
        "x" * 300,
        '[{"flight": "HAT110", "price": 207}, {"flight": "HAT132", "price": 99}]',
        "see src/app.py and /etc/hosts\nline 2\nK1NW8N",
        "結果は三つあります。" * 9,
    ]
)
NAMES = st.sampled_from(["read", "edit", "bash", "book"])
SAIDS = st.sampled_from(["", "The cause is `a.py`.", "原因は設定の3行目です。", "Now the next one:"])
STEPS = st.lists(st.tuples(NAMES, RESULTS, SAIDS, st.integers(0, 9)), min_size=1, max_size=30)


def made_of(steps) -> list[Line]:
    return [
        line(2 * at, result, name=name, said=said, path=f"src/file_{n}.py", new="word " * n)
        for at, (name, result, said, n) in enumerate(steps)
    ]


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 1_500))
def test_a_sealed_piece_fits_its_room_and_hides_no_failure(steps, bound):
    lines = made_of(steps)
    ledger = Ledger().extended(lines, bound, count)

    assert ledger.tokens <= bound
    told = spans(ledger.render())
    assert told == sorted(told, key=lambda one: one[:2])
    assert all(first <= last for first, last, _ in told)
    for one in lines:
        over = [text for first, last, text in told if first <= one.first <= last]
        if one.has_failed and over:
            assert any("failed" in text for text in over)
        if not one.has_failed:
            assert all("failed" not in text for first, last, text in told if first == last == one.first)


def told_of(steps) -> list[Line]:
    """Make lines of steps, of messages where the tool is one, some of them apart from the line before."""
    made = []
    for at, (name, result, said, n) in enumerate(steps):
        if name == "user":
            one = line_of(2 * at, message(2 * at, f"Rule {n}: {result} of src/file_{n}.py"))
        elif name == "assistant":
            one = line_of(2 * at, message(2 * at, f"The cause {at} is `a.py`, file {at}. {said}", "assistant"))
        else:
            one = line(2 * at, result, name=name, said=said, path=f"src/file_{n}.py", new="word " * n)
        made.append(replace(one, is_apart=n % 3 == 0))
    return made


def counted(lines) -> int:
    return sum(doing.n_failed for one in lines for doing in one.doings)


MIXED = st.lists(
    st.tuples(NAMES | st.sampled_from(["user", "assistant"]), RESULTS, SAIDS, st.integers(0, 9)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(MIXED, st.integers(1, 900))
def test_no_step_is_told_nowhere_and_no_failure_hidden_at_any_room(steps, room):
    lines = told_of(steps)
    made = abridge(lines, room, ())

    assert all(one.last < after.first for one, after in pairwise(made))
    for one in lines:
        (over,) = [each for each in made if each.first <= one.first <= each.last]
        assert "failed" in over.text() or not one.has_failed
    assert counted(made) == counted(lines)
    assert room < 24 or sum(map(cost, made)) <= room


@settings(max_examples=60, deadline=None)
@given(MIXED, st.lists(st.integers(0, 4), min_size=40, max_size=40), st.integers(120, 900))
def test_no_step_is_told_nowhere_whatever_the_order_in_which_steps_go(steps, rounds, bound):
    """Steps go in five collections, those between others later: what they leave is one order of events."""
    lines = told_of(steps)
    ledger, gone = Ledger(), []
    for at in range(5):
        shown = [one.first for one, when in zip(lines, rounds, strict=False) if when >= at]
        going = [one for one, when in zip(lines, rounds, strict=False) if when == at]
        before = {after: first for first, after in pairwise(shown)}
        goes = {one.first for one in going}
        fresh = [replace(one, is_apart=one.first in before and before[one.first] not in goes) for one in going]
        gone += going
        ledger = ledger.extended(fresh, bound, count)
        told = spans(ledger.render())

        assert ledger.tokens <= bound
        assert all(last < first for (_, last, _), (first, _, _) in pairwise(told))
        assert all(any(first <= one.first <= last for first, last, _ in told) for one in gone)
        assert sum(counted(piece.lines) for piece in ledger.pieces) == counted(gone)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1, 1_500))
def test_every_line_for_one_step_tells_its_outcome(steps, room):
    for one in abridge(made_of(steps), room, ()):
        assert one.is_run or one.has_failed or " -> " in one.text()
        assert cost(one) > 0


@given(STEPS)
def test_what_is_joined_counts_all_calls_and_all_failures(steps):
    lines = made_of(steps)
    made = join(lines)

    assert sum(doing.n for doing in made.doings) == len(lines)
    assert sum(doing.n_failed for doing in made.doings) == sum(one.has_failed for one in lines)
    assert made.changes == any(one.changes for one in lines)


def test_the_bounds_of_a_ledger():
    assert ledger_bound(10_000, 0.15, 6_000) == 1_500
    assert ledger_bound(100_000, 0.15, 6_000) == 6_000
    assert ledger_bound(1_000, 0.15, 6_000) == 250  # a small window is not told less of
    assert ledger_bound(1_000, 0.0, 6_000) == 0
    assert room_of_next(1_000, 0) == 871
    assert room_of_next(1_000, 990) == 340


# -- nothing can be forged, and what is forgotten is gone -----------------------------------------------------------

TEXTS = st.text(max_size=400) | st.text("[]#\n\r\u2028\u0085 12ctxmem record:->|;", max_size=200)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_no_text_can_forge_a_line_an_id_or_a_heading(content, said):
    lines = [
        line_of(2, exchange(2, content, "read", said=said, path=said)),
        line_of(4, message(4, said)),
        line_of(5, message(5, content, "assistant")),
        line_of(6, exchange(6, json.dumps({content[:20]: said}), name=said[:40])),
        line_of(8, exchange(8, "Error: " + content, said=content)),
        line_of(10, exchange(10, json.dumps({"error": content, "message": said}), sql=f"UPDATE {said}")),
    ]
    for room in (4_000, 150):
        for text in Ledger().extended(lines, room, count).render():
            heading, *rows = text.split("\n")
            assert heading in {HEADING, CONTINUED}
            assert all(LABEL.match(row) for row in rows)
            assert sum(row.count("[#") for row in rows) == len(rows)
            assert len(text.splitlines()) == len(rows) + 1
    assert len(escaped(content).splitlines()) <= 1


def test_a_forgotten_source_is_no_longer_quoted():
    found = exchange(12, "token_123456 here", said="The token is `token_123456` here.", path="token_123456")
    ledger = Ledger().extended([line_of(12, found)], 1_000, count)

    (text,) = ledger.render(lambda segment_id: segment_id in {12, 13})
    assert "token_123456" not in text
    assert text.endswith("[#12] [forgotten]; said: [forgotten] -> [forgotten]")


@settings(max_examples=40, deadline=None)
@given(STEPS, st.sets(st.integers(0, 60)), st.integers(100, 1_500))
def test_erasing_leaves_the_same_bytes_and_none_of_the_text(steps, gone, bound):
    ledger = Ledger().extended(made_of(steps), bound, count)
    before = ledger.render(gone.__contains__)
    erased = ledger.erased(gone.__contains__)

    assert erased.render(gone.__contains__) == before
    assert erased.render() == before
    for piece in erased.pieces:
        for one in piece.lines:
            assert one.source not in gone or "file_" not in one.head + one.brief
            assert all(note.text == "[forgotten]" and not note.words for note in one.notes if note.source in gone)


# -- pieces -------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(300, 3_000))
def test_the_ledger_is_bounded_and_its_pieces_grow_as_the_log(collections, bound):
    ledger, group = Ledger(), 0
    for n in collections:
        made = [line(group + 2 * i, f"result_{group + i} src/file_{group + i}.py ok") for i in range(n)]
        group += 2 * n
        before, ledger = ledger, ledger.extended(made, bound, count)
        again = before.extended(made, bound, count)
        assert again == ledger  # deterministic, and `before` is as it was
        assert ledger.tokens <= bound
        assert sum(map(count, ledger.render())) <= bound + 8 * len(ledger.pieces)
        assert len(ledger.pieces) <= 2 + (group // 2 + 1).bit_length()
        assert Ledger.unpack(json.loads(json.dumps(ledger.pack()))) == ledger


def test_sealed_pieces_keep_their_bytes_until_they_merge():
    ledger = Ledger().extended([line(2, "name_alpha_1")], 6_000, count)
    longer = ledger.extended([line(4, "name_beta_2")], 6_000, count)

    assert longer.render()[0] == ledger.render()[0]
    assert longer.render()[1].startswith(CONTINUED)


def test_what_is_told_of_an_earlier_step_stands_where_it_belongs():
    ledger = Ledger().extended([line(2, "alpha_1"), line(8, "beta_2")], 6_000, count)
    later = ledger.extended([line(4, "gamma_3")], 6_000, count)

    assert [first for first, _, _ in spans(later.render())] == [2, 4, 8]


def test_the_words_of_a_step_join_the_line_of_its_calls():
    calls = line_of(2, exchange(2, "Error: gone", said="x", path="src/a.py"), with_words=False)
    words = line_of(2, message(2, "The cause is `a.py`, line 3.", "assistant"))
    ledger = Ledger().extended([calls], 6_000, count).extended([words], 6_000, count)

    assert spans(ledger.render()) == [
        (2, 2, ' failed: Error: gone; read {"path": "src/a.py"}; said: The cause is `a.py`, line 3.')
    ]


def test_without_takes_lines_out_and_what_is_left_stays():
    ledger = Ledger().extended([line(g, f"name_{g}") for g in (2, 4, 6)], 1_000, count)
    left = ledger.without({4}.__contains__, count)

    assert [first for first, _, _ in spans(left.render())] == [2, 6]
    assert left.tokens < ledger.tokens
    assert ledger.without({2, 4, 6}.__contains__, count) == Ledger()


def test_of_a_line_for_several_steps_what_is_gone_is_told_no_more():
    steps = [line_of(g, exchange(g, f"found alpha_{g}", path=f"src/{g}.py")) for g in (2, 4, 6)]
    run = join(steps)
    ledger = Ledger((Piece((run,), 3, 50),))

    rewound = ledger.without(lambda segment_id: segment_id >= 6, count).pieces[0].lines[0]
    assert (rewound.first, rewound.last) == (2, 5)
    assert "4.py" in rewound.text()
    assert "6.py" not in rewound.text()
    assert " x3" not in rewound.text()

    dropped = ledger.without({4, 5}.__contains__, count).pieces[0].lines[0]
    assert (dropped.first, dropped.last) == (2, 6)
    assert "4.py" not in dropped.text()

    assert ledger.without({2, 3}.__contains__, count).pieces[0].lines[0].first == 4
    assert ledger.without({2, 3, 4, 5, 6, 7}.__contains__, count) == Ledger()


def test_a_name_stands_once_in_the_whole_ledger():
    long = "words of prose that say nothing much at all, "
    ledger = Ledger().extended([line(2, long * 4 + "name_alpha_1")], 6_000, count)
    ledger = ledger.extended([line(4, long * 4 + "name_alpha_1 name_beta_2")], 6_000, count)
    names = [word for text in ledger.render() for word in words_of(text)]

    assert names.count("name_alpha_1") == names.count("name_beta_2") == 1


def test_notes_stand_in_one_order_however_they_came():
    notes = (Note(1, RECORD, "id=1"), Note(1, FAILED, "gone"), Note(1, SAID, "so it is"))
    made = Line(1, 1, 1, "read {}", (Doing("read", 1, 1),), ()).with_notes(iter(notes))

    assert made.text() == "[#1] failed: gone; read {}; said: so it is -> id=1"


def test_an_answer_in_little_room_is_told_with_the_question_and_what_it_is_about():
    asked = [
        Note(6, ASKED, "I looked at your bookings for May.", weight=1),
        Note(6, ASKED, "Booking M05KNL can be moved to HAT110 for $207.", ("M05KNL", "HAT110"), 4),
        Note(6, ASKED, "The others cannot be moved at all, as they are past.", weight=1),
        Note(6, ASKED, "Shall I do that for you?", weight=1),
    ]
    line = Line(7, 7, 7, "user said: Yes", (Doing("user said"),), tuple(asked))
    assert abridge([line], 45, ())[0].text() == (
        "[#7] asked: Booking M05KNL can be moved to HAT110 for $207. / Shall I do that for you?; user said: Yes"
    )
