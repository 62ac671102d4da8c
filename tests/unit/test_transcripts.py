"""The readers: what they give, how much they hold, and what they say of a damaged file."""

import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem.errors import BadInput
from ctxmem.transcripts import conversations, detect, items
from ctxmem.transcripts.pull import Pull
from ctxmem.transcripts.text import chunks, walk

MESSAGES = [
    {"role": "user", "content": "hi"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a.txt"},
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Dribble(io.StringIO):
    """A stream that gives three characters a read, whatever is asked: every value straddles reads."""

    def read(self, size=-1):
        return super().read(min(3, size if size > 0 else 3))


# --- the pull parser -------------------------------------------------------------------------------------------


@given(st.lists(JSON), st.sampled_from([None, 1]))
def test_elements_are_those_of_json_however_the_reads_fall(values, indent):
    pull = Pull(Dribble(json.dumps(values, indent=indent)), "x")

    assert list(pull.elements()) == values


@given(st.dictionaries(st.text(), JSON))
def test_members_are_those_of_json(value):
    pull = Pull(Dribble(json.dumps(value)), "x")

    assert {key: pull.value() for key in pull.members()} == value


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn\\u \n', max_size=40))
def test_whatever_the_text_it_is_read_or_refused(text):
    pull = Pull(Dribble(text), "x")
    try:
        value = pull.value()
    except BadInput as exc:
        assert str(exc).startswith("x: ")  # noqa: PT017
    else:
        assert value == json.JSONDecoder().raw_decode(text.lstrip(" \n"))[0]


def test_a_syntax_error_is_seen_where_it_stands_and_not_at_the_end():
    stream = io.StringIO('{"a": nope' + " " * 10_000_000)

    with pytest.raises(BadInput, match="not JSON, or cut short, at character 0"):
        Pull(stream, "x").value()
    assert stream.tell() < 100_000


def test_deep_nesting_is_refused():
    with pytest.raises(BadInput, match=r"nested too deeply|not JSON"):
        Pull(io.StringIO("[" * 200_000), "x").value()


# --- OpenAI messages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("bare.json", json.dumps(MESSAGES), ["bare"]),
        ("object.json", json.dumps({"id": "s-1", "messages": MESSAGES}), ["s-1"]),
        ("spread.json", json.dumps({"model": "gpt", "messages": MESSAGES}, indent=2), ["spread"]),
        ("lines.jsonl", "\n".join(json.dumps({"id": n, "messages": MESSAGES}) for n in "ab"), ["a", "b"]),
        ("lists.jsonl", "\n".join([json.dumps(MESSAGES)] * 2) + "\n\n", ["lists", "lists-2"]),
        ("single.jsonl", "\n".join(json.dumps(m) for m in MESSAGES), ["single"]),
        ("bom.jsonl", "\ufeff" + "\n".join(json.dumps(m) for m in MESSAGES), ["bom"]),
    ],
)
def test_every_form_of_openai_messages_reads_the_same(tmp_path, name, text, names):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")

    assert detect(path) == "openai"
    read = list(conversations(path))
    assert [one.name for one in read] == names
    assert all(one.messages == MESSAGES for one in read)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"role": "user"}, 3]', "message 2 of entry 1"),
        ('{"messages": 3}', "entry 1 is neither"),
        ('{"messages": [{"role": "user"', "cut short"),
    ],
)
def test_a_file_that_is_no_conversation_is_refused_in_one_sentence(tmp_path, text, said):
    path = tmp_path / "x.json"
    path.write_text(text)

    with pytest.raises(BadInput, match=said):
        list(conversations(path, "openai"))


def test_items_do_not_read_as_conversations_nor_the_other_way(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("plain")

    with pytest.raises(BadInput, match="holds no conversation"):
        conversations(path)
    with pytest.raises(BadInput, match="does not read as items"):
        items(path, "openai")


# --- the old stash ---------------------------------------------------------------------------------------------


def stash(count, text="x"):
    return {
        "version": 1,
        "segments": [
            {
                "segment_id": f"seg-{n}",
                "text": text,
                "metadata": {"file_path": "a.py", "task_id": "T-1", "tags": ["b"], "type": "tool_result", "text": "t"},
                "timestamp": 1_700_000_000 + n,
            }
            for n in range(count)
        ],
        "after": [1, 2],
    }


@pytest.mark.parametrize("indent", [None, 2])
def test_the_stash_becomes_items_with_facets_key_and_time(tmp_path, indent):
    path = tmp_path / "stash.json"
    path.write_text(json.dumps(stash(2), indent=indent))

    assert detect(path) == "stash"
    assert list(items(path))[1] == {
        "text": "x",
        "kind": "tool_result",
        "key": "seg-1",
        "at": 1_700_000_001.0,
        "file": "a.py",
        "task": "T-1",
        "tags": ["b"],
        "text_": "t",
    }


def test_a_bare_list_of_segments_is_a_stash_too(tmp_path):
    path = tmp_path / "stash.json"
    path.write_text(json.dumps(stash(2)["segments"]))

    assert detect(path) == "stash"
    assert [item["key"] for item in items(path)] == ["seg-0", "seg-1"]


def test_the_stash_is_streamed_in_constant_memory(tmp_path):
    path = tmp_path / "stash.json"
    path.write_text(json.dumps(stash(10_000, "word " * 200)))  # 11 MB
    tracemalloc.start()

    assert sum(1 for _ in items(path)) == 10_000

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:300], "cut short|found the end|expected"),
        (lambda text: text.replace('"text": "x"', '"text": 1', 1), "segment 1 has no text"),
        (lambda text: text.replace("segments", "sediments"), 'no "segments" in it'),
        (lambda text: text.replace("1700000000", '"soon"'), "is no time"),
    ],
)
def test_a_damaged_stash_says_where(tmp_path, change, said):
    path = tmp_path / "stash.json"
    path.write_text(change(json.dumps(stash(3))))

    with pytest.raises(BadInput, match=said):
        list(items(path, "stash"))


# --- text and trees --------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.integers(0, 400))
def test_chunks_joined_are_the_file(tmp_path_factory, text, times):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes((text * times).encode())
    whole = path.read_text(encoding="utf-8")

    found = list(chunks(path, "a.txt"))

    assert "".join(item["text"] for item in found) == whole
    assert all(len(item["text"]) <= 6_400 for item in found)
    assert len({item["key"] for item in found}) >= min(len(found), 1)


def test_chunks_name_their_lines(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("".join(f"line {n} {'x' * 60}\n" + ("\n" if n % 10 == 0 else "") for n in range(1, 200)))
    lines = path.read_text().splitlines(keepends=True)

    found = list(chunks(path, "a.py"))

    assert len(found) > 3
    for item in found:
        first, last = item["lines"]
        assert item["text"] == "".join(lines[first - 1 : last])
    assert found[-1]["lines"][1] == len(lines)


def test_one_long_line_is_cut_and_keeps_its_number(tmp_path):
    path = tmp_path / "a.min.js"
    path.write_text("x" * 10_000 + "\nlast\n")

    found = list(chunks(path, "a.min.js"))

    assert found[0]["lines"] == [1, 1]
    assert found[-1]["lines"][1] == 2


def test_a_tree_is_read_in_order_without_what_no_person_wrote(tmp_path):
    root = tmp_path / "project"
    for name, data in {
        "b.py": b"b = 1\n",
        "a/x.md": b"# x\n",
        ".git/config": b"secret",
        "a/__pycache__/x.pyc": b"x",
        "image.png": b"\x89PNG\0\0",
        "latin.txt": b"caf\xe9 au lait",
        "empty.py": b"",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "link.py").symlink_to(root / "b.py")

    passed_over = []
    assert [path.relative_to(root).as_posix() for path in walk(root, passed_over.append)] == ["b.py", "a/x.md"]
    assert passed_over == [f"{root}/latin.txt (not UTF-8 at byte 3)"]
    assert detect(root) == "text"
    assert [item["file"] for item in items(root)] == ["project/b.py", "project/a/x.md"]


def test_a_binary_file_named_by_itself_is_refused(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"\0\1\2")

    with pytest.raises(BadInput, match="not UTF-8 text"):
        list(items(path))


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match="There is no"):
        detect(tmp_path / "missing")


@pytest.mark.parametrize("text", ['{"name": "package"}', "[1, 2]", "{oops", "", '"words"'])
def test_other_json_is_text(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)

    assert detect(path) == "text"
