"""The readers of transcripts: what the samples give, what a longer file adds, and that no file makes one fall over."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxmem.errors import BadInput
from ctxmem.providers import parse
from ctxmem.transcripts import detect, entries
from ctxmem.transcripts.lines import rows

DATA = Path(__file__).parent.parent / "data"
SAMPLES = sorted(path.name for path in DATA.glob("*.json*") if path.name != "digests.json")
CODEX = "11111111-1111-4111-8111-111111111111"


def read(path, form=None):
    skipped = Counter()
    return list(entries(path, form or detect(path), skipped)), +skipped


def written(path, value):
    text = json.dumps(value) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in value)
    path.write_text(text)
    return path


def said(message):
    """Kind and text of each segment that a message makes."""
    return [(draft.kind, draft.text) for draft in parse(message)]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_message_of_a_sample_has_a_shape_and_a_key_of_its_own(name):
    found, _ = read(DATA / name)

    assert found
    assert all(parse(one.message) for one in found)
    assert len({(one.session, one.key) for one in found}) == len(found)
    assert {one.facets["source"] for one in found} == {detect(DATA / name)}


HARBOUR = [
    ("user", "What is in the harbour?"),
    ("assistant", 'I look.\nlook {"path":"harbour"}\ncount {"what":"boats"}'),
    ("tool", "three barges and a lightship"),
    ("tool", "no such tool"),
    ("assistant", "Barges and a lightship."),
]


@pytest.mark.parametrize("name", ["langchain.json", "langchain-dumpd.json"])
def test_langchain(name):
    found, skipped = read(DATA / name)

    assert [row for one in found for row in said(one.message)] == [("system", "Be brief."), *HARBOUR_OF_LANGCHAIN]
    assert [one.key for one in found] == ["s1", "h1", "a1", "t1", "t2", "a2"]
    assert found[2].facets == {
        "source": "langchain",
        "model": "gpt-4.1",
        "input_tokens": 20,
        "cached_tokens": 4,
        "output_tokens": 9,
    }
    assert parse(found[4].message)[0].is_error
    assert not skipped


HARBOUR_OF_LANGCHAIN = [
    HARBOUR[0],
    ("assistant", 'I look.\nlook {"path": "harbour"}\ncount {"what": "boats"}'),
    *HARBOUR[2:],
]


def test_pydantic_ai():
    found, _ = read(DATA / "pydantic-ai.json")

    assert [row for one in found for row in said(one.message)] == [
        ("system", "Answer in English."),
        ("system", "Be brief."),
        HARBOUR_OF_LANGCHAIN[0],
        HARBOUR_OF_LANGCHAIN[1],
        ("tool", "three barges and a lightship"),
        ("tool", '{"boats": 4}'),
        HARBOUR_OF_LANGCHAIN[4],
    ]
    assert len({one.session for one in found}) == 1
    assert found[3].facets["model"] == "function:f:"


def test_atif():
    found, skipped = read(DATA / "atif.json")

    assert [(one.session, *row) for one in found for row in said(one.message)] == [
        ("atif-1", "system", "Be brief."),
        ("atif-1", "user", "What is in the harbour?\n[image]"),
        ("atif-1", "assistant", 'I look.\nlook {"path": "harbour"}\nask {"who": "the master"}'),
        ("atif-1", "tool", "three barges and a lightship"),
        ("atif-1", "tool", "[nothing]"),
        ("atif-1", "user", "The fog lifts."),
        ("atif-1", "assistant", "Barges and a lightship."),
        ("atif-1/master", "user", "Who are you?"),
        ("atif-1/master", "assistant", "The harbour master."),
    ]
    usage = {"input_tokens": 120, "cached_tokens": 100, "output_tokens": 14}
    assert found[2].facets == {"source": "atif", "agent": "harbour-agent", "model": "claude-opus-5-5", **usage}
    assert skipped == {"step copied from another trajectory": 1}


def test_chatgpt_gives_the_path_to_the_current_message():
    found, skipped = read(DATA / "chatgpt.json")

    assert [(one.key, *row) for one in found for row in said(one.message)] == [
        ("q1", "user", "How long is the pier?"),
        ("a1b", "assistant", "It is 120 m long."),
        ("q2", "user", "[image_asset_pointer]\nAnd in feet?"),
        ("c1", "assistant", 'python {"input": "120 / 0.3048"}'),
        ("r1", "tool", "393.7007874015748"),
        ("a2", "assistant", "About 394 feet."),
    ]
    assert (found[0].session, found[0].at, found[1].undoes) == ("6774-pier", 1735725600.5, "a1")
    assert found[1].facets == {"source": "chatgpt", "title": "The pier", "model": "gpt-4o"}
    assert skipped == {"message of another branch": 1, "line without a message": 4}


def test_gemini_cli_gives_what_stands_at_the_end():
    found, skipped = read(DATA / "gemini-cli.jsonl")

    assert [(one.key, *row) for one in found for row in said(one.message)] == [
        ("m1", "user", "What is in the harbour?"),
        ("m2/2", "assistant", 'I look.\nlook {"path":"harbour"}\ncount {}'),
        ("m2=look-1", "tool", "three barges and a lightship"),
        ("m2=count-1", "tool", "no such tool"),
        ("m3/0", "assistant", "Barges and a lightship."),
        ("m5", "user", "Thank you."),
    ]
    assert (found[1].parts, found[5].undoes) == ([("m2/0", 1), ("m2/1", 2)], "m4")
    assert found[0].facets["project"] == ["/work/harbour", "harbour"]
    assert skipped == {"line without a message": 1}


def test_gemini_cli_reads_the_older_form_the_same(tmp_path):
    head, *changes = (json.loads(line) for line in (DATA / "gemini-cli.jsonl").read_text().splitlines())
    records = {row["id"]: row for row in changes if "id" in row and row["id"] != "m4"}
    path = written(tmp_path / "session-1.json", {**head, "messages": list(records.values())})

    assert detect(path) == "gemini-cli"
    assert [one._replace(undoes=None) for one in read(path)[0]] == [
        one._replace(undoes=None) for one in read(DATA / "gemini-cli.jsonl")[0]
    ]


def test_gemini_cli_reads_what_stands_before_a_torn_line(tmp_path):
    path = tmp_path / "session-1.jsonl"
    path.write_bytes((DATA / "gemini-cli.jsonl").read_bytes() + b'{"id": "m6", "type": "user", "content": "caf\xc3')

    found, skipped = read(path)
    assert [one.key for one in found][-1] == "m5"
    assert skipped == {"line without a message": 1, "torn last line": 1}


def test_sharegpt_pairs_a_call_with_the_observation_that_follows():
    found, skipped = read(DATA / "sharegpt.json")

    drafts = [(one.session, draft.kind, draft.text, draft.call_id) for one in found for draft in parse(one.message)]
    assert drafts == [
        ("harbour", "system", "Be brief.", None),
        ("harbour", "user", "What is in the harbour?", None),
        ("harbour", "assistant", 'look {"path": "harbour"}', None),
        ("harbour", "tool", "three barges and a lightship", "call_2_0"),
        ("harbour", "assistant", "Barges and a lightship.", None),
        ("sharegpt-2", "user", "Two at once?", None),
        ("sharegpt-2", "assistant", "a {}\nb {}", None),
        ("sharegpt-2", "tool", "one", "call_1_0"),
        ("sharegpt-2", "tool", "two", "call_1_1"),
        ("sharegpt-2", "assistant", "call me", None),
    ]
    assert skipped == {"message without content": 1}


# --- Codex -----------------------------------------------------------------------------------------------------


def item(**payload):
    return {"timestamp": "2026-01-02T03:04:05Z", "type": "response_item", "payload": payload}


def event(**payload):
    return {"timestamp": "2026-01-02T03:04:06Z", "type": "event_msg", "payload": payload}


META = {
    "type": "session_meta",
    "payload": {"id": CODEX, "cwd": "/work/shop", "git": {"branch": "main"}, "source": "cli"},
}
ASKED = item(type="message", role="user", content=[{"type": "input_text", "text": "Run the tests."}])
REASONED = item(type="reasoning", summary=[{"type": "summary_text", "text": "pytest"}], encrypted_content="x")
CALLED = item(type="function_call", name="exec_command", arguments='{"cmd": "pytest"}', call_id="c1")
USED = event(
    type="token_count", info={"last_token_usage": {"input_tokens": 9, "cached_input_tokens": 4, "output_tokens": 2}}
)
ENDED = event(type="exec_command_end", call_id="c1", aggregated_output="2 passed", exit_code=0)
ANSWERED = item(type="function_call_output", call_id="c1", output="2 passed")


def test_codex_joins_the_items_of_a_reply_and_gives_it_its_usage(tmp_path):
    lines = [META, {"type": "turn_context", "payload": {"model": "gpt-6.1-codex", "cwd": "/work/shop"}}]
    found, skipped = read(written(tmp_path / "r.jsonl", [*lines, ASKED, REASONED, CALLED, USED, ENDED, ANSWERED]))

    assert [(one.key, *row) for one in found for row in said(one.message)] == [
        (f"{CODEX}#3", "user", "Run the tests."),
        (f"{CODEX}#5", "assistant", 'exec_command {"cmd": "pytest"}'),
        (f"{CODEX}#8", "tool", "2 passed"),
    ]
    assert found[1].parts == [(f"{CODEX}#4", 1)]
    assert found[1].facets == {
        "source": "codex",
        "project": ["/work/shop", "shop"],
        "branch": "main",
        "model": "gpt-6.1-codex",
        "input_tokens": 9,
        "cached_tokens": 4,
        "output_tokens": 2,
    }
    assert not skipped


def test_codex_takes_a_result_that_only_an_event_has(tmp_path):
    end = event(type="turn_aborted", reason="interrupted")
    found, _ = read(written(tmp_path / "r.jsonl", [META, ASKED, CALLED, ENDED, end, ASKED]))

    assert [row for one in found for row in said(one.message)][2] == ("tool", "2 passed\n[exit code 0]")
    assert [one.key for one in found] == [f"{CODEX}#{n}" for n in (2, 3, 4, 6)]


def test_codex_a_compaction_is_a_message_and_a_fork_keeps_its_name(tmp_path):
    parent = {"type": "session_meta", "payload": {"id": "parent"}}
    spawned = {"subagent": {"thread_spawn": {"parent_thread_id": "p1"}}}
    meta = {"type": "session_meta", "payload": {"id": "child", "source": spawned}}
    compacted = {"type": "compacted", "payload": {"message": "So far: tests pass.", "replacement_history": []}}
    lines = [meta, parent, ASKED, compacted, {"type": "world_state", "payload": {}}, {"type": "newer", "payload": {}}]
    found, skipped = read(written(tmp_path / "r.jsonl", lines))

    assert [(one.session, one.message["content"]) for one in found][1] == ("child", "So far: tests pass.")
    assert found[1].facets == {"source": "codex", "agent": "subagent", "parent": "p1", "compaction": "summary"}
    assert skipped == {"line without a message": 1, "line of the unknown type 'newer'": 1}


def test_codex_reads_the_form_without_payloads(tmp_path):
    old = {"id": "old-1", "timestamp": "2025-05-01T10:00:00Z", "instructions": None, "git": {"branch": "main"}}
    lines = [old, {"record_type": "state"}, ASKED["payload"], CALLED["payload"], ANSWERED["payload"]]
    path = written(tmp_path / "rollout-1.jsonl", lines)
    found, skipped = read(path)

    assert detect(path) == "codex"
    assert [(one.session, one.key) for one in found] == [("old-1", f"old-1#{n}") for n in (3, 4, 5)]
    assert skipped == {"line without a message": 1}


# --- longer files, damaged files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SAMPLES if name.endswith(".jsonl")])
def test_a_longer_file_gives_the_same_keys_and_more(tmp_path, name):
    lines = (DATA / name).read_text().splitlines(keepends=True)
    whole = {(one.session, one.key) for one in read(DATA / name)[0]}
    path = tmp_path / name
    for n in range(1, len(lines)):
        path.write_text("".join(lines[:n]))
        for one in read(path, detect(DATA / name))[0]:
            keys = {(one.session, one.key)} | {(one.session, key) for key, _ in one.parts}
            joined = {(e.session, key) for e in read(DATA / name)[0] for key, _ in e.parts}
            assert keys <= whole | joined | {("gem-1", "m4")}


def test_a_list_that_has_lost_its_beginning_has_the_keys_it_had(tmp_path):
    messages = [{"role": "user", "content": words} for words in ("a", "b", "a", "c")]
    path = written(tmp_path / "x.json", messages)
    keys = [one.key for one in read(path)[0]]

    assert len(set(keys)) == 4
    assert [one.key for one in read(written(path, messages[1:2] + messages[3:]))[0]] == [keys[1], keys[3]]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe\n", b"[" * 100_000, b"null\n3\n", b'{"a": NaN}\n{"b": 1'])
def test_lines_that_cannot_be_read_are_counted(tmp_path, data):
    path, skipped = tmp_path / "x.jsonl", Counter()
    path.write_bytes(data)

    assert [row for _, row in rows(path, skipped)] in ([], [{"a": pytest.approx(float("nan"), nan_ok=True)}])
    assert sum(skipped.values()) == {b"": 0, b"\n\n": 0, b"null\n3\n": 2}.get(data, 1)


ODD = st.sampled_from(
    [None, True, 0, -1, 2.5, "", "x", "\0", [], [[]], ["x", None], [{}], {}, {"type": "text"}, {"a": 1}]
)


def places(value, at=()):
    """Every place inside a JSON value."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*at, key))


def changed(value, at, new):
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = changed(value[at[0]], at[1:], new)
    return copy


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_value_of_another_type_makes_a_reader_fall_over(tmp_path_factory, name, data):
    text = (DATA / name).read_text()
    value = json.loads(text) if name.endswith(".json") else [json.loads(row) for row in text.splitlines()[:20]]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(list(places(value))[1:] or [()]))
        if at:
            value = changed(value, at, data.draw(ODD))
    path = written(tmp_path_factory.mktemp("odd") / name, value)
    try:
        found, _ = read(path, detect(DATA / name))
    except BadInput:
        return
    assert all(isinstance(one.session, str) and isinstance(one.key, str) for one in found)
