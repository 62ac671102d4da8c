"""The core of the adapters that own the prompt: its own objects back, and no error of ours that ends a run."""

import asyncio
import threading
import warnings
from dataclasses import dataclass, field

import pytest

import ctxmem
from ctxmem.adapters.hook import Dialect, Follower, ModelCall
from ctxmem.adapters.hook.cut import cut
from ctxmem.adapters.hook.seats import _MOST_OPEN
from tests.dialogues import assistant, fast, tool, user

MODEL = "gpt-4.1"


@dataclass(eq=False)
class Item:
    """A message of a framework that has objects of its own, compared by identity."""

    messages: list = field(default_factory=list)
    kind: str = "given"


def items(*messages) -> list[Item]:
    return [Item([message]) for message in messages]


def read(item: Item) -> list:
    return item.messages


def make(messages, kind, own) -> list[Item]:
    return [Item([message], kind) for message in messages]


DIALECT = Dialect("openai", read, make)
SAID = (
    user("why does the login fail"),
    assistant(None, ("c1", "look", {"at": "a.py"}), ("c2", "look", {"at": "b.py"})),
    tool("c1", "the zebra is in a.py"),
    tool("c2", "nothing"),
    assistant("broken by the zebra"),
    user("mend it"),
)


def rounds(n: int, words: int = 120) -> list[Item]:
    """A task, then rounds of two calls at once."""
    found = items(user("mend the login"))
    for i in range(n):
        found += items(
            assistant(None, (f"a{i}", "look", {"at": f"a{i}.py"}), (f"b{i}", "look", {"at": f"b{i}.py"})),
            tool(f"a{i}", f"a{i} says " + "zebra " * words),
            tool(f"b{i}", f"b{i} says " + "lion " * words),
        )
    return found


def call(session="s", model=MODEL, **beside):
    return lambda: ModelCall(session, model, **beside)


def fail():
    raise ZeroDivisionError("the framework has no thread")


def wire(sent) -> list:
    return [message for item in sent.items for message in item.messages]


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=fast()) as memory:
        yield memory


@pytest.fixture
def follower(memory):
    return Follower(memory, DIALECT)


def small(memory, **options):
    return Follower(memory, DIALECT, window=3_000, reserve=0, **options)


# -- what is sent


def test_a_list_that_fits_is_sent_as_it_is(follower):
    given = items(*SAID)
    sent = follower.send(given, call(system="You are careful.", tools=()))

    assert [id(item) for item in sent.items] == [id(item) for item in given]
    assert sent.prompt.messages[0] == {"role": "system", "content": "You are careful."}
    assert follower.stats() == {"calls": 1, "cuts": 0, "errors": {}}


def test_a_list_that_does_not_fit_keeps_its_own_objects_and_gets_new_ones_for_the_rest(memory):
    given, sent = rounds(20), None
    for n in range(1, len(given) + 1, 3):
        sent = small(memory, strict=True).send(given[:n], call())
    own = {id(item) for item in given}

    assert {item.kind for item in sent.items if id(item) not in own} <= {"stub", "ledger", "mixed"}
    assert sum(id(item) in own for item in sent.items) > 3
    assert wire(sent) == [m for m in sent.prompt.messages if m["role"] != "system"]
    assert ctxmem.validate(wire(sent), "openai") == []
    assert sent.prompt.tokens <= sent.prompt.budget


def test_the_async_twin_sends_the_same(memory, tmp_path):
    given = rounds(20)
    sent = [small(memory).send(given[:n], call()) for n in range(1, len(given) + 1, 3)]

    async def run(other):
        async def described():
            return ModelCall("s", MODEL)

        return [await small(other).asend(given[:n], described) for n in range(1, len(given) + 1, 3)]

    with ctxmem.open(tmp_path / "other", options=fast()) as other:
        again = asyncio.run(run(other))

    assert [wire(one) for one in again] == [wire(one) for one in sent]


def test_a_retry_is_the_same_prompt(follower):
    given = items(*SAID)
    first = follower.send(given, call())

    assert follower.send(given, call()).prompt.turn == first.prompt.turn
    assert wire(follower.send(given, call())) == wire(first)


def test_a_system_prompt_in_the_list_is_given_back_too(follower):
    given = items({"role": "system", "content": "You are careful."}, *SAID)
    sent = follower.send(given, call(system=None))

    assert sent.items == given


def test_what_a_user_asks_last_is_searched_for(memory):
    memory.add("The zebra password rotates on Mondays.", session="notes")
    given = items(user("what is the zebra password"))
    sent = Follower(memory, DIALECT, reads="*", strict=True).send(given, call())

    assert [item.kind for item in sent.items] == ["given", "recall"]
    assert "Mondays" in str(sent.items[1].messages)
    sent = Follower(memory, DIALECT, reads="*", recall=False, strict=True).send(given, call("other"))
    assert sent.items == given


def test_the_model_of_the_call_counts(follower):
    given = items(*SAID)
    wide = follower.send(given, call(model="gpt-4.1"))
    narrow = follower.send(given, call(model="gpt-4o"))

    assert (wide.prompt.model, narrow.prompt.model) == ("gpt-4.1", "gpt-4o")
    assert narrow.prompt.budget < wide.prompt.budget
    assert follower.stats()["errors"] == {}


def test_the_model_of_the_options_goes_first(memory):
    sent = Follower(memory, DIALECT, model="gpt-4o").send(items(*SAID), call(model="no-such-model-9"))

    assert sent.prompt.model == "gpt-4o"


def test_usage_is_observed_for_its_own_turn(follower):
    first = follower.send(items(*SAID[:1]), call(model="claude-sonnet-4-5"))
    follower.send(items(*SAID), call(model="claude-sonnet-4-5"))
    first.observe({"prompt_tokens": 40})
    first.observe(None)
    first.observe({"prompt_tokens": 10**9})

    row = follower.context("s")._session.now.row
    assert row.observed.turn == first.prompt.turn
    assert row.calibrations["claude-sonnet-4-5"]["observations"] == 1


def test_the_memory_tools_are_answered(follower):
    assert "Go on" in follower.dispatch("s", "memory_search", {"query": "zebra"})
    follower.send(items(*SAID), call())
    assert "zebra" in follower.dispatch("s", "memory_read", {"id": follower.context("s").search("zebra")[0].segment.id})
    assert "no tool" in follower.dispatch("s", "sing", {})


def test_sessions_used_longest_ago_are_closed_and_go_on_where_they_stood(memory, follower):
    for number in range(_MOST_OPEN + 6):
        follower.send(items(*SAID[:1]), call(f"s{number}"))

    assert memory.stats()["contexts"] == _MOST_OPEN
    assert follower.context("s0") is None
    assert follower.send(items(*SAID), call("s0")).prompt.turn == 2


def test_many_threads_on_one_session_each_get_the_prompt_of_their_own_list(memory):
    follower, wrong = Follower(memory, DIALECT, recall=False, strict=True), []

    def run(number):
        given = items(user(f"task {number}"), assistant(f"answer {number}"), user("go on"))
        for n in (1, 3, 1, 3):
            sent = follower.send(given[:n], call(model=MODEL))
            if sent.items != given[:n]:
                wrong.append(wire(sent))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


# -- what goes wrong


def test_an_error_of_ours_sends_a_cut_of_the_list_and_warns_once(memory):
    follower, given = small(memory), rounds(60)
    with pytest.warns(RuntimeWarning, match=r"ZeroDivisionError.*the newest messages that fit were sent"):
        sent = follower.send(given, fail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = follower.send(given, fail)

    assert sent.prompt is None
    assert sent.items[0] is given[0]
    assert sent.items[1:] == given[-len(sent.items) + 1 :]
    assert 1 < len(sent.items) < len(given)
    assert ctxmem.validate(wire(sent), "openai") == []
    assert again.items == sent.items
    assert follower.stats() == {"calls": 2, "cuts": 2, "errors": {"ZeroDivisionError": 2}}


def test_strict_raises(memory):
    with pytest.raises(ZeroDivisionError):
        Follower(memory, DIALECT, strict=True).send(items(*SAID), fail)


def test_an_unknown_model_needs_a_window(memory):
    with pytest.raises(ctxmem.BadInput, match=r"'model-9' is in no table.*pass window="):
        Follower(memory, DIALECT, strict=True).send(items(*SAID), call(model="model-9"))
    with pytest.raises(ctxmem.BadInput, match="pass model="):
        Follower(memory, DIALECT, strict=True).send(items(*SAID), call(model=None))
    sent = Follower(memory, DIALECT, window=9_000, strict=True).send(items(*SAID), call(model="model-9"))
    assert sent.prompt.budget < 9_000


@pytest.mark.parametrize(
    "options",
    [
        {"model": "model-9"},
        {"window": 0},
        {"window": 100, "reserve": 100},
        {"reads": 3},
        {"policy": "greedy"},
        {"recall": "yes"},
        {"recall_tokens": -1},
        {"strict": 1},
    ],
)
def test_options_that_every_call_would_fail_with_are_refused_at_once(tmp_path, options):
    path = tmp_path / "own"
    with pytest.raises(ctxmem.BadInput):
        Follower(path, DIALECT, **options)

    ctxmem.open(path).close()  # it was closed again


def test_a_message_that_cannot_be_read_is_sent_on(follower):
    given = [*items(*SAID), Item([{"role": "martian", "content": "x"}])]
    with pytest.warns(RuntimeWarning, match=r"BadMessage: messages\[6\]"):
        assert follower.send(given, call()).items == given


def test_a_session_that_another_process_holds_gets_a_sentence(follower, monkeypatch):
    def busy(*_, **__):
        raise ctxmem.ContextBusy("session 's' is held by process 7", 7, "here")

    monkeypatch.setattr(follower.memory, "context", busy)
    with pytest.warns(RuntimeWarning, match="runs that go on at once need sessions of their own"):
        assert follower.send(items(*SAID), call()).prompt is None


def test_what_a_server_holds_the_rest_of_is_sent_as_it_is(follower):
    given = items(tool("c9", "42 " * 40_000))
    with pytest.warns(RuntimeWarning, match="previous_response_id.*the list was sent as it is"):
        assert follower.send(given, call(settings={"previous_response_id": "r1"})).items == given


def test_a_closed_memory_ends_no_run(tmp_path):
    follower = Follower(tmp_path / "own", DIALECT)
    follower.send(items(*SAID), call())
    follower.close()
    follower.close()
    with pytest.warns(RuntimeWarning, match="StoreClosed"):
        assert follower.send(items(*SAID), call()).prompt is None
    assert follower.context("s") is None


def test_a_roof_too_low_for_the_task_sends_the_newest(memory):
    given = items(*SAID)
    with pytest.warns(RuntimeWarning, match="WindowOverflow"):
        assert small(memory).send(given, call(system="mend " * 5_000)).items == given[-1:]


# -- the cut


def test_the_cut_leaves_a_list_that_fits():
    given = items(*SAID)
    assert cut(given, read, "openai", 10_000) == given


@pytest.mark.parametrize("room", range(0, 200, 7))
def test_the_cut_never_parts_a_call_from_its_results(room):
    given = items(*SAID, *SAID[1:])
    found = cut(given, read, "openai", room)

    assert found
    assert {v.code for v in ctxmem.validate([m for item in found for m in item.messages], "openai")} <= {"first-role"}
    assert found == [item for item in given if item in found]


def test_the_cut_keeps_a_result_without_a_call_as_any_other():
    given = items(*SAID, tool("c9", "nobody asked"), *[user("more " * 50)] * 4)

    assert cut(given, read, "openai", 150) == [given[0], *given[-2:]]
    assert cut(given[6:], read, "openai", 60) == [given[-1]]


def test_the_cut_takes_what_cannot_be_read_for_its_text():
    given = [*items(*SAID), Item([{"role": "martian", "content": "x " * 900}])]

    assert cut(given, read, "openai", 500) == [given[0], given[-1]] or cut(given, read, "openai", 500) == [given[-1]]
