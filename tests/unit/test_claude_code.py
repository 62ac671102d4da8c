"""The reader of Claude Code: lines joined to replies, rewinds, compactions, subagents, large results, damage."""

import json
from collections import Counter

import pytest

from ctxmem.transcripts import detect, entries

SESSION = "11111111-0000-4000-8000-000000000001"


def line(uuid, parent, kind, content, **more):
    """One line as Claude Code writes it."""
    row = {
        "parentUuid": parent,
        "isSidechain": False,
        "cwd": "/work/shop",
        "sessionId": SESSION,
        "gitBranch": "main",
        "type": kind,
        "uuid": uuid,
        "timestamp": f"2026-11-03T10:00:{len(uuid):02d}.000Z",
    }
    reply = more.pop("reply", None)
    message = {"role": kind, "content": content}
    if reply:
        usage = {"input_tokens": 3, "cache_read_input_tokens": 900, "output_tokens": more.pop("output", 20)}
        message = {"id": reply, "model": "claude-opus-5-5", "stop_reason": None, "usage": usage, **message}
    return {**row, "message": message, **more}


def text(words):
    return [{"type": "text", "text": words}]


def use(call_id, **arguments):
    return [{"type": "tool_use", "id": call_id, "name": "Bash", "input": arguments}]


def result(call_id, content):
    return [{"type": "tool_result", "tool_use_id": call_id, "content": content}]


def written(path, *rows, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + end)
    return path


@pytest.fixture
def read(tmp_path):
    """Write lines into a session's file and read it: (entries, what was skipped)."""

    def call(*rows, **more):
        skipped = Counter()
        path = written(tmp_path / "p" / f"{SESSION}.jsonl", *rows, **more)
        return list(entries(path, "claude-code", skipped)), skipped

    return call


def test_a_message_has_its_key_time_project_branch_model_and_usage(read):
    (asked, said), skipped = read(
        line("u1", None, "user", "Why does login fail?"), line("a1", "u1", "assistant", text("A race."), reply="m1")
    )

    assert (asked.session, asked.key, asked.at) == (SESSION, "u1", 1793700002.0)
    assert asked.facets == {"source": "claude-code", "project": ["/work/shop", "shop"], "branch": "main"}
    usage = {"model": "claude-opus-5-5", "input_tokens": 3, "cached_tokens": 900, "output_tokens": 20}
    assert said.facets == {**asked.facets, **usage}
    assert said.message == {"role": "assistant", "content": text("A race.")}
    assert not skipped


def test_the_lines_of_a_reply_are_one_message_and_parallel_results_follow_it(read):
    (_, said, first, second, after), _ = read(
        line("u1", None, "user", "Go on."),
        line("a1", "u1", "assistant", text("Two things."), reply="m1", output=1),
        line("a2", "a1", "assistant", use("c1", command="ls"), reply="m1", output=1),
        line("r1", "a2", "user", result("c1", "a.txt")),
        line("a3", "a2", "assistant", use("c2", command="pwd"), reply="m1", output=31),
        line("a4", "a3", "assistant", use("c2", command="pwd"), reply="m1", output=31),
        line("r2", "a3", "user", result("c2", "/work")),
        line("a5", "r2", "assistant", text("Done."), reply="m2"),
    )

    assert said.message["content"] == text("Two things.") + use("c1", command="ls") + use("c2", command="pwd")
    assert (said.key, said.parts) == ("a4", [("a1", 1), ("a2", 2), ("a3", 3)])
    assert said.facets["output_tokens"] == 31
    assert [first.key, second.key, after.key] == ["r1", "r2", "a5"]


def test_a_prompt_that_goes_back_undoes_what_came_after_its_parent(read):
    found, _ = read(
        line("u1", None, "user", "Start"),
        line("a1", "u1", "assistant", text("Ready"), reply="m1"),
        line("p1", "a1", "progress", None),
        line("u2", "p1", "user", "First attempt"),
        line("a2", "u2", "assistant", text("No"), reply="m2"),
        line("u3x", "a1", "user", "Second attempt"),
        line("a3", "u3x", "assistant", text("Yes"), reply="m3"),
        line("u4", "a3", "user", "Keep going"),
    )

    assert [(one.key, one.undoes) for one in found if one.undoes] == [("u3x", "u2")]


def test_a_compaction_undoes_nothing(read):
    boundary = {"type": "system", "subtype": "compact_boundary", "uuid": "c", "parentUuid": None, "sessionId": SESSION}
    found, skipped = read(
        line("u1", None, "user", "Start"),
        line("a1", "u1", "assistant", text("Ready"), reply="m1"),
        boundary,
        line("s1", "c", "user", "This session is being continued.", isCompactSummary=True),
        line("u2", "s1", "user", "After it"),
    )

    assert [one.key for one in found] == ["u1", "a1", "s1", "u2"]
    assert [one.undoes for one in found] == [None] * 4
    assert found[2].facets["compaction"] == "summary"
    assert skipped == {"line without a message": 1}


def test_a_sidechain_is_a_session_of_its_own(read):
    side = {"isSidechain": True}
    found, _ = read(
        line("u1", None, "user", "Look around"),
        line("s1", None, "user", "Find the tests", **side),
        line("t1", None, "user", "Find the docs", agentId="b1f5", **side),
        line("s2", "s1", "assistant", text("tests/"), reply="m1", **side),
        line("t2", "t1", "assistant", text("docs/"), reply="m2", agentId="b1f5", **side),
        line("a1", "u1", "assistant", text("Both found."), reply="m3"),
    )

    names = {one.key: one.session for one in found}
    assert names["u1"] == names["a1"] == SESSION
    assert names["s1"] == names["s2"] == f"{SESSION}/s1"
    assert names["t1"] == names["t2"] == f"{SESSION}/b1f5"


@pytest.mark.parametrize("separator", ["/", "\\"])
@pytest.mark.parametrize("shape", [str, text])
def test_a_large_result_is_fetched_from_its_file(read, tmp_path, separator, shape):
    folder = tmp_path / "p" / SESSION / "tool-results"
    folder.mkdir(parents=True)
    (folder / "b1.txt").write_text("the whole output\n" * 50)
    moved = separator.join(["", "home", "ann", ".claude", "projects", "p", SESSION, "tool-results", "{}"])
    says = (
        "<persisted-output>\nOutput too large (1.1MB). Full output saved to: " + moved + "\n\nPreview (first 2KB):\nthe"
    )

    (here, gone, outside), skipped = read(
        line("r1", None, "user", result("c1", shape(says.format("b1.txt")))),
        line("r2", None, "user", result("c2", shape(says.format("b2.txt")))),
        line("r3", None, "user", result("c3", shape(says.format("..")))),
    )

    assert here.message["content"][0]["content"] == "the whole output\n" * 50
    assert gone.message["content"][0]["content"] == shape(says.format("b2.txt"))
    assert outside.message["content"][0]["content"] == shape(says.format(".."))
    assert skipped == {"large result whose file is not there": 2}


def test_what_was_typed_while_the_agent_worked_is_a_message(read):
    queued = {"type": "queued_command", "prompt": "focus on the parser", "commandMode": "prompt"}
    (found,), skipped = read(
        line("q1", None, "attachment", None, attachment=queued),
        line("q2", None, "attachment", None, attachment={"type": "hook_success", "content": "x"}),
        {"type": "queue-operation", "operation": "enqueue", "sessionId": SESSION},
    )

    assert found.message == {"role": "user", "content": "focus on the parser"}
    assert skipped == {"line without a message": 2}


def test_damage_is_counted_and_what_stands_around_it_is_read(read):
    found, skipped = read(
        line("u1", None, "user", "Start"),
        "{oops",
        "[1]",
        "",
        line("u1", None, "user", "Start"),
        line("x1", "u1", "teleport", "?"),
        line("m1", "u1", "user", "Caveat", isMeta=True),
        line("e1", "u1", "user", ""),
        line("u2", "u1", "user", "End"),
        '{"type": "user", "mess',
        end="",
    )

    assert [one.key for one in found] == ["u1", "u2"]
    assert skipped == {
        "line that is no JSON": 1,
        "line that is no object": 1,
        "line that stands there twice": 1,
        "line of the unknown type 'teleport'": 1,
        "line that Claude Code wrote itself": 1,
        "message without content": 1,
        "torn last line": 1,
    }


@pytest.mark.parametrize(
    "first",
    [
        line("u1", None, "user", "Hi"),
        {"type": "summary", "summary": "CSS", "leafUuid": "f29f"},
        {"type": "file-history-snapshot", "messageId": "x", "snapshot": {"a": []}},
        {"type": "queue-operation", "operation": "enqueue", "content": [{"type": "text"}], "sessionId": SESSION},
        {"type": "mode", "mode": "normal", "sessionId": SESSION},
    ],
)
def test_it_is_told_from_its_lines(tmp_path, first):
    assert detect(written(tmp_path / "x.jsonl", first, line("u2", None, "user", "Hi"))) == "claude-code"
