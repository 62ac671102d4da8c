"""Following a whole list: what is appended, what is rewound or kept for search, what a framework gets back."""

import asyncio
import copy
import json
import threading
from dataclasses import dataclass

import pytest

import ctxmem
from ctxmem.context.following import refuse_server_history
from ctxmem.errors import ServerHeldHistory
from tests.dialogues import MODELS, assistant, fast, fill, seen, tool, user

CALL = ("c1", "look", {"at": "a.py"})
LIST = [
    {"role": "system", "content": "You are careful."},
    user("why does the login fail"),
    assistant(None, CALL, ("c2", "look", {"at": "b.py"})),
    tool("c1", "the zebra is in a.py"),
    tool("c2", "nothing"),
    assistant("broken by the zebra"),
]


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=fast()) as memory:
        yield memory


@pytest.fixture
def context(memory):
    return memory.context("a", model="gpt-4.1")


def n_segments(context) -> int:
    session = context._session
    return len(session.log.index.session_ids(session.number))


def words_found(context, query: str) -> list[str]:
    return [hit.segment.text for hit in context.search(query) if query in hit.segment.text]


# -- a list that grows


def test_what_is_sent_is_the_list(context):
    assert context.follow(LIST).messages == LIST


def test_a_retry_is_the_same_turn(context):
    first = context.follow(LIST)

    assert seen(context.follow(list(LIST))) == seen(first)
    assert seen(context.follow(copy.deepcopy(LIST))) == seen(first)
    assert n_segments(context) == len(LIST)


def test_only_what_is_new_is_appended(context):
    messages = LIST[:1]
    for message in LIST[1:]:
        messages = [*messages, message]
        context.follow(messages)

    assert n_segments(context) == len(LIST)
    assert context.turn == len(LIST) - 1


def test_a_reopened_store_appends_nothing(tmp_path):
    for _ in range(2):
        with ctxmem.open(tmp_path / "s", options=fast()) as memory:
            context = memory.context("a", model="gpt-4.1")
            assert context.follow(copy.deepcopy(LIST)).turn == 1
            assert n_segments(context) == len(LIST)


def test_what_was_appended_besides_is_the_list_s_own_where_it_says_the_same(context):
    context.follow(LIST[:2])
    context.append(LIST[2])
    context.result("c1", "the zebra is in a.py")

    assert context.follow(LIST).messages == LIST
    assert n_segments(context) == len(LIST)


def test_what_was_appended_besides_and_is_not_in_the_list_leaves_the_prompt(context):
    context.append(user("about giraffes"))

    assert context.follow(LIST).messages == LIST
    assert words_found(context, "giraffes") == ["about giraffes"]


def test_the_async_twin(context):
    prompt = asyncio.run(context.afollow(LIST))

    assert prompt.messages == LIST
    assert asyncio.run(context.afollow(LIST)).turn == prompt.turn


# -- a list that changes


def test_a_message_changed_in_place_is_noticed(context):
    messages = copy.deepcopy(LIST)
    context.follow(messages)
    messages[2]["tool_calls"][0]["function"]["arguments"] = '{"at": "z.py"}'

    assert context.follow(messages).messages == messages


def test_an_edit_rewinds(context):
    context.follow(LIST)
    edited = [LIST[0], user("why does the logout fail"), *LIST[2:]]

    assert context.follow(edited).messages == edited
    assert words_found(context, "login") == []


def test_a_list_that_shrinks_is_rewound_and_goes_on(context):
    context.follow(LIST)

    assert context.follow(LIST[:5]).messages == LIST[:5]
    assert context.follow([*LIST[:5], assistant("I do not know")]).messages[-1]["content"] == "I do not know"
    assert words_found(context, "broken") == []


def test_two_lists_in_turn(context):
    other = [LIST[0], user("another thing"), assistant("yes")]

    for messages in (LIST, other, LIST, other):
        assert context.follow(messages).messages == messages


def test_a_cut_head_stays_searchable_and_nothing_is_appended_again(context):
    context.follow(LIST)

    assert context.follow([LIST[0], LIST[5]]).messages == [LIST[0], LIST[5]]
    assert n_segments(context) == len(LIST)
    assert "the zebra is in a.py" in words_found(context, "zebra")


def test_a_cut_head_survives_a_reopening(tmp_path):
    with ctxmem.open(tmp_path / "s", options=fast()) as memory:
        context = memory.context("a", model="gpt-4.1")
        context.follow(LIST)
        sent = context.follow([LIST[0], LIST[5]])
    with ctxmem.open(tmp_path / "s", options=fast()) as memory:
        context = memory.context("a", model="gpt-4.1")
        assert seen(context.follow([LIST[0], LIST[5]])) == seen(sent)
        assert n_segments(context) == len(LIST)


def test_a_head_cut_through_a_round_of_calls(context):
    context.follow(LIST)
    messages = LIST[3:]

    prompt = context.follow(messages)

    assert [message["role"] for message in prompt.messages] == ["user", "user", "assistant"]
    assert "the zebra is in a.py" in prompt.messages[0]["content"]


def test_a_summarised_head_stays_searchable(context):
    context.follow(LIST)
    messages = [LIST[0], user("so far: nothing"), LIST[5], user("go on")]

    assert context.follow(messages).messages == messages
    assert "the zebra is in a.py" in words_found(context, "zebra")
    assert words_found(context, "broken") == ["broken by the zebra"]  # once


def test_a_sliding_window(context):
    said = [each for n in range(12) for each in (user(f"question {n}"), assistant(f"answer {n}"))]
    for stop in range(2, len(said) + 1, 2):
        window = said[max(0, stop - 6) : stop]
        assert [each for each in context.follow(window).messages if "[" not in each["content"]] == window

    assert n_segments(context) == len(said)
    assert words_found(context, "question 0") == ["question 0"]


def test_one_message_many_times(context):
    messages = [user("again"), assistant("yes"), user("again"), assistant("yes"), user("again")]
    context.follow(messages[:3])

    assert context.follow(messages).messages == messages
    assert n_segments(context) == 5


def test_a_second_result_of_a_call_is_sent_as_text(context):
    prompt = context.follow([*LIST, tool("c1", "the zebra is in b.py")])

    assert prompt.messages[:6] == LIST
    assert prompt.messages[6]["role"] == "user"
    assert "the zebra is in b.py" in prompt.messages[6]["content"]
    assert ctxmem.validate(prompt.kwargs(), "openai") == []


# -- the system prompt and the tools


def test_a_clock_in_the_system_prompt_leaves_the_rest(context):
    for minute in range(3):
        messages = [{"role": "system", "content": f"It is 10:0{minute}."}, *LIST[1:]]
        assert context.follow(messages).messages == messages

    assert n_segments(context) == len(LIST) + 2


def test_a_system_prompt_that_leaves_the_list(context):
    context.follow(LIST)

    assert context.follow(LIST[1:]).messages == LIST[1:]
    assert n_segments(context) == len(LIST)


def test_a_system_prompt_given_apart_stays(context):
    context.system("You are careful.")
    assert context.follow(LIST[1:]).messages == LIST
    assert context.follow(LIST[1:], system="You are quick.").messages[0]["content"] == "You are quick."
    assert context.follow(LIST[1:]).messages[0]["content"] == "You are quick."
    assert context.follow(LIST[1:], system="").messages == LIST[1:]


def test_a_system_message_inside_the_list_stays_where_it_is(context):
    messages = [user("hello"), {"role": "developer", "content": "be brief"}, user("go on")]

    assert context.follow(messages).messages == messages


def test_tools_are_switched_where_they_differ(memory):
    context = memory.context("a", model="gpt-4.1", window=9_000, reserve=10)
    schemas = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    first = context.follow(LIST, tools=schemas)

    assert first.tools == schemas
    assert context.follow(LIST, tools=copy.deepcopy(schemas)).turn == first.turn
    assert context.follow(LIST).tools == schemas
    assert context.follow(LIST, tools=[]).tools == []
    assert context.budget == 9_000 - 10


# -- what is refused


def test_a_bad_message_changes_nothing_and_names_its_position(context):
    context.follow(LIST)

    with pytest.raises(ctxmem.BadMessage, match=r"^messages\[6\]: message.content"):
        context.follow([*LIST[:4], tool("c2", "other"), *LIST[5:], {"role": "user", "content": 7}])

    assert context.assemble().messages == LIST
    assert context.follow([*LIST, user("go on")]).messages == [*LIST, user("go on")]


def test_an_overflow_leaves_a_list_that_can_be_corrected(memory):
    context = memory.context("a", model="gpt-4.1", window=300, reserve=0)
    context.follow(LIST)

    with pytest.raises(ctxmem.WindowOverflow):
        context.follow([{"role": "system", "content": "long " * 600}, *LIST[1:]])

    assert context.follow([*LIST, user("go on")]).messages[-1] == user("go on")


@pytest.mark.parametrize(
    "messages",
    [
        [tool("c9", "done")],
        [tool("c9", "done"), user("and now")],
        [{"type": "function_call_output", "call_id": "c9", "output": "done"}],
        [user("hello"), {"type": "item_reference", "id": "msg_1"}],
    ],
)
def test_a_list_that_a_server_holds_the_rest_of_is_refused(context, messages):
    with pytest.raises(ServerHeldHistory, match="pass the whole list"):
        context.follow(messages)

    assert n_segments(context) == 0


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "thread", "previous_interaction_id"])
def test_a_request_that_names_a_conversation_of_the_server_is_refused(name):
    refuse_server_history({"model": "gpt-5.1", name: None})
    with pytest.raises(ServerHeldHistory, match=name):
        refuse_server_history({name: "x1"})


@pytest.mark.parametrize("messages", ["hello", {"role": "user", "content": "hi"}, None, 7])
def test_what_is_no_list_is_refused(context, messages):
    with pytest.raises(ctxmem.BadInput, match="the whole list"):
        context.follow(messages)


# -- other shapes and objects


def test_anthropic_messages_with_several_results(memory):
    context = memory.context("a", model=MODELS["anthropic"])
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "look"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "t1", "name": "look", "input": {}},
                {"type": "tool_use", "id": "t2", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "t2", "content": "two"},
                {"type": "text", "text": "and now"},
            ],
        },
    ]
    followed = context.followed(messages)

    assert followed.prompt.messages == messages
    assert [span.items for span in followed.spans() if span.is_whole] == [(0,), (1,), (2,)]
    assert context.follow(messages).turn == followed.prompt.turn
    assert len(followed.prompt.sources[2].segments) == 3


def test_responses_items_of_one_reply_stay_together(memory):
    context = memory.context("a", model=MODELS["openai-responses"], provider="openai-responses")
    items = [
        {"role": "user", "content": "look"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": "two"},
    ]
    context.follow(items[:1])
    followed = context.followed(items)

    assert followed.prompt.messages == items
    assert [span.items for span in followed.spans()] == [(0,), (1, 2, 3), (4,), (5,)]
    assert all(span.is_whole for span in followed.spans())
    assert context.follow(copy.deepcopy(items)).turn == followed.prompt.turn


def test_an_item_that_goes_on_the_reply_before_it(memory):
    context = memory.context("a", model=MODELS["openai-responses"], provider="openai-responses")
    said = {
        "type": "message",
        "id": "m1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "let me see"}],
    }
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "one"}
    context.follow([{"role": "user", "content": "look"}, said])

    items = [{"role": "user", "content": "look"}, said, call, result]

    assert context.follow(items).messages == items


def test_sdk_objects_and_their_dicts_are_the_same(context):
    from openai.types.chat import ChatCompletionMessage

    made = ChatCompletionMessage(role="assistant", content="yes", annotations=[])
    first = context.follow([user("hello"), made])

    assert context.follow([user("hello"), made.model_dump()]).turn == first.turn
    made.content = "no"
    assert context.follow([user("hello"), made]).messages[-1]["content"] == "no"


@dataclass
class Turn:
    """An item of some framework's list that is several messages."""

    parts: list[dict]


def test_an_item_that_is_several_messages(context):
    items = [Turn([user("look"), user("here")]), Turn([assistant(None, CALL)]), Turn([tool("c1", "one"), user("and")])]

    followed = context.followed(items, read=lambda item: item.parts)

    assert followed.prompt.messages == [message for item in items for message in item.parts]
    assert [(span.items, span.start, span.stop) for span in followed.spans()] == [
        ((0,), 0, 2),
        ((1,), 2, 3),
        ((2,), 3, 5),
    ]
    items[0].parts[1]["content"] = "there"
    assert context.followed(items, read=lambda item: item.parts).prompt.messages[1] == user("there")


def test_an_item_without_a_message_counts_to_the_next(context):
    items = [Turn([user("look")]), Turn([]), Turn([assistant("yes")]), Turn([])]

    followed = context.followed(items, read=lambda item: item.parts)

    assert [span.items for span in followed.spans()] == [(0,), (1, 2)]
    more = [*items, Turn([user("go on")])]
    assert context.followed(more, read=lambda item: item.parts).spans()[-1].items == (3, 4)
    assert n_segments(context) == 3


def test_the_callers_reading_of_calls_is_asked_without_a_lock(tmp_path):
    asked = []

    def facets_of_call(name, arguments):
        asked.append(name)
        thread = threading.Thread(target=lambda: asked.append(len(context.search("zebra")) >= 0))
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
        return {"file": arguments["at"]}

    with ctxmem.open(tmp_path / "s", options=fast(facets_of_call=facets_of_call)) as memory:
        context = memory.context("a", model="gpt-4.1")
        prompt = context.follow(LIST)
        assert prompt.messages == LIST
        assert [memory.get(i).facets.get("file") for i in prompt.segments[2:4]] == ["a.py", "b.py"]
        assert asked.count("look") == 2


def test_the_callers_reading_is_asked_once_for_each_result_of_a_long_list(tmp_path):
    asked = []
    walks = []

    def facets_of_call(name, arguments):
        asked.append(arguments["at"])
        return {"file": arguments["at"]}

    messages = [user("look")]
    for n in range(40):
        messages += [assistant(None, (f"c{n}", "look", {"at": f"{n}.py"})), tool(f"c{n}", f"result {n}")]
    with ctxmem.open(tmp_path / "s", options=fast(facets_of_call=facets_of_call)) as memory:
        context = memory.context("a", model="gpt-4.1")
        common = context._session.listed.common
        context._session.listed.common = lambda given: walks.append(given) or common(given)
        prompt = context.follow(messages)
        files = [memory.get(i).facets.get("file") for i in prompt.segments[2::2]]
    assert files == asked == [f"{n}.py" for n in range(40)]
    assert len(walks) == 1


def test_what_was_cut_comes_back_as_a_recall(context):
    context.follow(LIST)
    messages = [LIST[0], LIST[5], user("where is the zebra_handler.py?")]
    prompt = context.follow(messages, recall="zebra in a.py")

    assert [source.kind for source in prompt.sources] == ["system", "message", "message", "recall"]
    assert "the zebra is in a.py" in prompt.messages[-1]["content"]
    assert seen(context.follow(messages, recall="zebra in a.py")) == seen(prompt)
    assert [span.items for span in context.followed(messages).spans()] == [(0,), (1,), (2,), ()]


def test_bad_tools_change_nothing(context):
    context.follow(LIST)
    with pytest.raises(ctxmem.BadInput, match="tools"):
        context.follow(LIST[:2], tools=[{"name": "look", "input_schema": {}}])

    assert context.assemble().messages == LIST


def test_eight_threads_with_lists_of_their_own(context):
    errors = []

    def work(number):
        try:
            messages = [user(f"thread {number}")]
            for step in range(6):
                messages.append(assistant(f"step {step} of {number}"))
                messages.append(user(f"more {step} of {number}"))
                assert context.follow(messages).messages == messages
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


def test_a_fork_follows_what_it_shares(memory, context):
    context.follow(LIST)
    fork = context.fork("b")

    assert fork.follow([*LIST, user("go on")]).messages == [*LIST, user("go on")]
    assert n_segments(fork) == 1


def test_a_dropped_message_stays_out_though_the_list_has_it(memory, context):
    context.follow(LIST)
    context.drop(context._session.listed.entries[0].ids[0])

    assert LIST[1] not in context.follow(LIST).messages
    assert n_segments(context) == len(LIST)


def test_a_forgotten_message_is_not_brought_back(tmp_path):
    with ctxmem.open(tmp_path / "s", options=fast()) as memory:
        context = memory.context("a", model="gpt-4.1")
        context.follow(LIST)
        memory.forget(context._session.listed.entries[0].ids[0])
        assert context.follow(LIST).sources[1].kind == "stub"
    with ctxmem.open(tmp_path / "s", options=fast()) as memory:
        context = memory.context("a", model="gpt-4.1")
        assert "login" not in json.dumps(context.follow(LIST).messages)


# -- where a prompt's messages come from


def test_sources_say_what_each_message_is(memory):
    context = memory.context("a", model="gpt-4.1", window=2_000, reserve=0)
    context.system("You are careful.")
    fill(context, 12)
    context.append(assistant(None, CALL))
    prompt = context.assemble(recall="value3 part3", extra=[user("extra")])

    kinds = [source.kind for source in prompt.sources]
    shown = [i for source in prompt.sources if source.kind in {"message", "recall"} for i in source.segments]
    assert len(kinds) == len(prompt.messages)
    assert kinds[0] == "system"
    assert kinds[-1] == "extra"
    assert {"ledger", "message", "closed", "stub"} <= set(kinds)
    assert shown == list(prompt.segments)
    assert [i for source in prompt.sources if source.kind == "stub" for i in source.segments] == list(prompt.stubs)
    for source, message in zip(prompt.sources, prompt.messages, strict=True):
        if source.kind == "message":
            assert memory.get(source.segments[0]).message == message
    assert context.replay(prompt.turn).sources == prompt.sources


def test_what_is_merged_has_the_segments_of_all_its_parts(memory):
    context = memory.context("a", model=MODELS["anthropic"])
    prompt = context.follow([assistant("hello"), user("one"), user("two")], extra=[user("extra")])

    assert [(source.kind, source.segments) for source in prompt.sources] == [
        ("filler", ()),
        ("message", (0,)),
        ("mixed", (1, 2)),
    ]


def test_a_call_under_another_id_is_not_the_caller_s_own(context):
    messages = [user("look"), assistant(None, CALL), tool("c1", "one"), assistant(None, CALL), tool("c1", "two")]

    assert [source.kind for source in context.follow(messages).sources] == ["message"] * 3 + ["stub"] * 2


def test_tools_that_are_the_same_end_no_epoch_and_collect_nothing(memory):
    context = memory.context("a", model="gpt-4.1", window=2_000, reserve=0)
    schemas = [{"type": "function", "function": {"name": "look", "description": "", "parameters": {}}}]
    messages = [user("mend it")]
    for _ in range(45):  # until a cold cache would be reason enough to collect
        messages += [assistant("so it is " * 20), user("go on")]
        first = context.follow(messages, tools=schemas)
    epoch = context._session.now.state.epoch

    assert seen(context.follow(messages, tools=[dict(schemas[0])])) == seen(first)
    assert context._session.now.state.epoch == epoch
