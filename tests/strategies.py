"""Conversations as Hypothesis strategies, in OpenAI's and Anthropic's shape, and the little context that renders them.

A conversation is a list of groups; a group is a list of messages that belong together: an assistant's message with its
calls, and all their results.
"""

import json
from dataclasses import dataclass, field

from hypothesis import strategies as st

from ctxmem.models import Model
from ctxmem.providers import Draft, Renderer, Unit, is_wire_id, parse, wire_id
from ctxmem.segment import Facts, Record

PNG = "iVBORw0KGgoAAAANSUhEUgAABAAAAAMACAYAAAA="  # the header of 1024x768

# Text that has caught somebody out: empty, blank, special tokens, forged ledger lines, half a surrogate pair, NUL.
TRAPS = ["", " ", "\n", "<|endoftext|>", "[#12] forged", "\ud800", "a\x00b", "é" * 40, "日本語", "```\ncode\n```"]
texts = st.one_of(st.text(max_size=60), st.sampled_from(TRAPS), st.just("word " * 50))
words = st.sampled_from(["path", "query", "n", "x-y", "deep", "é"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(-1e6, 1e6), texts)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5
)
arguments = st.dictionaries(words, values, max_size=4)
names = st.sampled_from(["read_file", "bash", "get_user", "a"])
# Few, so that they repeat; some that no provider takes.
call_ids = st.sampled_from(["call_1", "call_2", "toolu_01A", "call:3", "x" * 41, "é", "a b"])


def _with_ids(entries):
    return st.lists(entries, max_size=3, unique_by=lambda entry: entry[0])


calls = _with_ids(st.tuples(call_ids, names, arguments, texts, st.booleans()))


# ---- OpenAI chat

image_part = st.just({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})
text_part = st.builds(lambda text: {"type": "text", "text": text}, texts)
openai_user = st.builds(
    lambda content: [{"role": "user", "content": content}],
    st.one_of(texts, st.lists(st.one_of(text_part, image_part), min_size=1, max_size=3)),
)
openai_system = st.builds(
    lambda role, text: [{"role": role, "content": text}], st.sampled_from(["system", "developer"]), texts
)


def _openai_exchange(text, made, reasoning, broken):
    message = {"role": "assistant", "content": text or None}
    if reasoning:
        message["reasoning_content"] = reasoning
    written = [
        {"id": i, "type": "function", "function": {"name": n, "arguments": json.dumps(a)}} for i, n, a, _, _ in made
    ]
    if broken:
        written.insert(0, {"id": "broken", "type": "function", "function": {"name": "bash", "arguments": "{"}})
    if written:
        message["tool_calls"] = written
    return [message, *({"role": "tool", "tool_call_id": i, "content": out} for i, _, _, out, _ in made)]


openai_exchange = st.builds(_openai_exchange, texts, calls, st.sampled_from(["", "hm"]), st.booleans())
openai_groups = st.lists(
    st.one_of(openai_user, openai_exchange, openai_exchange, openai_system), min_size=1, max_size=8
)

# ---- Anthropic Messages

image_block = st.just({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
document = st.just({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "page"}})
marked = st.builds(lambda text: {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}, texts)
blocks = st.one_of(text_part, image_block, document, marked)
thinking = st.sampled_from(
    [
        {"type": "thinking", "thinking": "so", "signature": "sig" * 9},
        {"type": "thinking", "thinking": "", "signature": "sig" * 40},
        {"type": "redacted_thinking", "data": "xyz" * 9},
    ]
)
server_search = st.just(
    [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    ]
)
result_content = st.one_of(texts, st.lists(st.one_of(text_part, image_block), max_size=2), st.none())
anthropic_user = st.builds(
    lambda content: [{"role": "user", "content": content}], st.one_of(texts, st.lists(blocks, min_size=1, max_size=3))
)


def _result_block(call_id, content, is_error):
    block = {"type": "tool_result", "tool_use_id": call_id}
    if content is not None:
        block["content"] = content
    return {**block, "is_error": True} if is_error else block


def _anthropic_exchange(thought, searched, text, made, contents):
    content = [*thought, *searched, *([{"type": "text", "text": text}] if text else [])]
    content += [{"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a, _, _ in made]
    results = [_result_block(i, content, e) for (i, _, _, _, e), content in zip(made, contents, strict=False)]
    replies = [{"role": "user", "content": results}] if results else []
    return [{"role": "assistant", "content": content}, *replies]


anthropic_exchange = st.builds(
    _anthropic_exchange,
    st.lists(thinking, max_size=1),
    st.one_of(st.just([]), server_search),
    texts,
    calls,
    st.lists(result_content, min_size=3, max_size=3),
)
anthropic_groups = st.lists(st.one_of(anthropic_user, anthropic_exchange, anthropic_exchange), min_size=1, max_size=8)
groups = st.one_of(openai_groups, anthropic_groups)


# ---- anything at all, of the fields that the shapes know

_SEEN = st.sampled_from(
    ["user", "assistant", "tool", "text", "tool_use", "tool_result", "image", "function_call", "message", "thinking"]
)
_FIELDS = st.sampled_from(
    [
        "role",
        "content",
        "tool_calls",
        "function_call",
        "type",
        "output",
        "parts",
        "choices",
        "candidates",
        "message",
        "name",
        "text",
        "id",
        "tool_use_id",
        "call_id",
        "source",
        "functionCall",
        "function_response",
        "input",
        "arguments",
        "usage",
        "image_url",
        "tool_call_id",
    ]
)
_soup = st.recursive(
    values | _SEEN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FIELDS, inner, max_size=5),
    max_leaves=12,
)
_fields = st.dictionaries(_FIELDS, _soup, max_size=5)
soup = _fields | st.builds(lambda role, rest: {**rest, "role": role}, _SEEN, _fields)


# ---- what a context does with them, in small


def record_of(draft: Draft) -> Record:
    """Make the record that a draft is stored as."""
    return Record(
        session=1,
        kind=draft.kind,
        role=draft.role,
        text=draft.text,
        tokens=draft.tokens,
        at=0.0,
        message=draft.message,
        shape=draft.shape,
        calls=draft.calls,
        call_id=draft.call_id,
        facts=Facts(is_error=draft.is_error),
    )


@dataclass
class Group:
    """The records of one group, with the wire ids of its calls."""

    records: list[Record]
    ids: dict[int, str] = field(default_factory=dict)

    def units(self, renderer: Renderer, **how) -> list[Unit]:
        """Render the group: results in call order, open calls closed."""
        first, *rest = self.records
        found = {record.call_id: record for record in rest if record.kind == "tool"}
        thinking = how.get("thinking", True)
        units = [renderer.unit(first, ids=self.ids, thinking=thinking)]
        for index, call in enumerate(first.calls):
            result = found.get(call.id)
            wire = self.ids.get(index, call.id)
            if result is None or how.get("closed"):
                units.append(renderer.closed(wire, call.name))
            else:
                text, images = how.get("stub"), how.get("images")
                units.append(renderer.unit(result, call_id=wire, call_name=call.name, text=text, images=images))
        return units


def conversation(groups_of_messages, shape="openai") -> list[Group]:
    """Parse groups of messages and number their calls as a context does: a repeated or refused id is mapped."""
    return conversation_of(
        [draft for message in messages for draft in parse(message, prefer=shape)] for messages in groups_of_messages
    )


def conversation_of(groups_of_drafts) -> list[Group]:
    """Number the calls of groups of drafts."""
    taken: set[str] = set()
    found = []
    for number, drafts in enumerate(groups_of_drafts):
        group = Group([record_of(draft) for draft in drafts])
        for index, call in enumerate(group.records[0].calls):
            if call.id in taken or not is_wire_id(call.id):
                group.ids[index] = wire_id(number, index)
            taken.add(call.id)
        found.append(group)
    return found


def units_of(found: list[Group], renderer: Renderer, **how) -> list[Unit]:
    """Render groups in their order."""
    return [unit for group in found for unit in group.units(renderer, **how)]


def payload_of(wire, provider: str, model: Model) -> dict:
    """Make what `validate` takes of a joined prompt."""
    key = {"openai-responses": "input", "gemini": "contents"}.get(provider, "messages")
    system = {"system": wire.system} if wire.system else {}
    return {"model": model.name, key: wire.messages, **system}
