"""A followed list against a plain one: whatever its holder does to it, what is sent is the prompt of the list as given.

With a window that holds all, the prompt of a session that has followed many lists equals what a plain oracle writes of
the last one alone, and what a new session sends of it. With a small window it is valid, within the budget, in order, and
holds nothing that is not in the list. A retry is the same turn, and a reopened store appends nothing.
"""

import copy
import json
import shutil
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import ctxmem
from tests.dialogues import MODELS, assistant, fast, seen, tool, user

ORPHAN = "[result of call {}, which is not in this conversation]"
AT = st.integers(0, 30)


def plain(messages: list[dict]) -> list[dict]:
    """What OpenAI is sent of a list: results after their calls, in call order, open calls closed, others as text."""
    groups: list[list[dict]] = []
    answers: list[dict[int, dict]] = []
    for message in messages:
        if message["role"] != "tool":
            groups.append([message])
            answers.append({})
            continue
        for said, found in zip(reversed(groups), reversed(answers), strict=True):
            ids = [call["id"] for call in said[0].get("tool_calls", ())]
            waiting = [i for i, call_id in enumerate(ids) if call_id == message["tool_call_id"] and i not in found]
            if waiting:
                found[waiting[0]] = message
                break
        else:
            groups.append([user(ORPHAN.format(message["tool_call_id"]) + "\n" + message["content"])])
            answers.append({})
    sent = []
    for said, found in zip(groups, answers, strict=True):
        sent += said
        for index, call in enumerate(said[0].get("tool_calls", ())):
            sent.append(found.get(index, tool(call["id"], "[no result recorded]")))
    return sent


def renamed(messages: list[dict]) -> list[dict]:
    """Messages with their calls named by place: an id that is used twice is sent under another."""
    known: dict[str, str] = {}
    made = copy.deepcopy(messages)
    for number, message in enumerate(made):
        for index, call in enumerate(message.get("tool_calls") or ()):
            known[call["id"]] = call["id"] = f"{number}/{index}"
        if message["role"] == "tool":
            message["tool_call_id"] = known[message["tool_call_id"]]
    return made


class FollowMachine(RuleBasedStateMachine):
    """One session that follows one list; every message says a word of its own."""

    provider = "openai"
    window = 1_000_000

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.options = fast(clock=lambda: 1_000.0, tail_segments=8, merge_factor=2)
        self.how = {"model": MODELS[self.provider], "provider": self.provider, "window": self.window, "reserve": 0}
        self.list: list[dict] = []
        self.n, self.n_fresh = 0, 0
        self.open_store()
        self.other = ctxmem.open(self.folder + "/other", options=self.options)

    def open_store(self):
        self.memory = ctxmem.open(self.folder + "/s", options=self.options)
        self.context = self.memory.context("a", **self.how)

    def word(self, times=1):
        self.n += 1
        return f"w{self.n}x " * times

    @initialize()
    def start(self):
        self.list = [user(self.word())]
        self.check()

    # -- what the holder of the list does

    @rule(times=st.integers(1, 40))
    def ask(self, times):
        self.list.append(user(self.word(times)))
        self.check()

    @rule(times=st.integers(1, 40), ids=st.lists(st.sampled_from(["c1", "c2", "c3"]), max_size=2, unique=True))
    def reply(self, times, ids):
        self.list.append(assistant(self.word(times), *[(each, "look", {"word": self.word()}) for each in ids]))
        self.check()

    @rule(times=st.integers(1, 80), call_id=st.sampled_from(["c1", "c2", "c3"]))
    def answer(self, times, call_id):
        self.list.append(tool(call_id, self.word(times)))
        self.check()

    @rule()
    def instruct(self):
        if self.list[-1]["role"] == "user":
            self.list.append({"role": "developer", "content": self.word()})
        self.check()

    @rule()
    def tell_the_time(self):
        head = {"role": "system", "content": f"it is {self.word()}"}
        self.list[: int(self.list[0]["role"] == "system")] = [head]
        self.check()

    @rule()
    def leave_the_system_prompt(self):
        if self.list[0]["role"] == "system" and len(self.list) > 1:
            del self.list[0]
        self.check()

    @rule(at=AT, in_place=st.booleans())
    def edit(self, at, in_place):
        at %= len(self.list)
        if in_place:
            self.list[at]["content"] = self.word()
        else:
            self.list[at] = {**self.list[at], "content": self.word()}
        self.check()

    @rule(at=AT)
    def swap(self, at):
        at %= len(self.list)
        self.list[at - 1], self.list[at] = self.list[at], self.list[at - 1]
        self.check()

    @rule(at=AT, to=AT)
    def repeat(self, at, to):
        self.list.insert(to % (len(self.list) + 1), self.list[at % len(self.list)])
        self.check()

    @rule(at=AT)
    def remove(self, at):
        if len(self.list) > 1:
            del self.list[at % len(self.list)]
        self.check()

    @rule(n=st.integers(1, 6))
    def shrink(self, n):
        del self.list[max(len(self.list) - n, 1) :]
        self.check()

    @rule(n=st.integers(1, 10))
    def cut_the_head(self, n):
        del self.list[: min(n, len(self.list) - 1)]
        self.check()

    @rule(n=st.integers(1, 10))
    def summarise(self, n):
        self.list[:n] = [user("so far: " + self.word())]
        self.check()

    @rule()
    def copy_all(self):
        self.list = copy.deepcopy(self.list)
        self.check()

    # -- what else happens

    @rule(at=AT)
    def bad_message(self, at):
        bad = [*self.list]
        bad.insert(at % len(bad), {"role": "user", "content": 7})
        bad.append(user(self.word()))
        before = len(self.segments())
        with pytest.raises(ctxmem.BadMessage):
            self.context.follow(bad)
        assert len(self.segments()) == before
        self.check()

    @rule()
    def append_besides(self):
        message = assistant(self.word())
        self.context.append(message)
        before = len(self.segments())
        self.list.append(message)
        self.check()
        assert len(self.segments()) == before

    @rule()
    def rewind_besides(self):
        self.context.rewind(self.context._session.listed.entries[-1].ids[0])
        self.check()

    @rule()
    def reopen(self):
        before = len(self.segments())
        turn = self.context.turn
        self.memory.close()
        self.open_store()
        self.check()
        assert (len(self.segments()), self.context.turn) == (before, turn)

    # -- what holds

    def segments(self):
        return self.memory._log.index.session_ids(self.context._session.number)

    def check(self):
        # A holder's list is no list of ours to refuse where it holds nothing that a model said, as after a cut.
        if all(each["role"] in {"tool", "system", "developer"} for each in self.list):
            self.list.append(user(self.word()))
        if self.begins_with_results_alone():
            self.list.append(assistant(self.word()))
        try:
            followed = self.context.followed(self.list)
        except ctxmem.WindowOverflow:
            return
        prompt = followed.prompt
        again = self.context.follow(copy.deepcopy(self.list))
        assert seen(again) == seen(prompt)
        assert ctxmem.validate(prompt.kwargs(), self.provider) == []
        assert prompt.tokens <= prompt.budget
        assert seen(self.context.replay(prompt.turn)) == seen(prompt)
        assert self.context.replay(prompt.turn).sources == prompt.sources
        assert len(prompt.sources) == len(prompt.messages)
        self.check_content(followed)

    def begins_with_results_alone(self):
        body = [each for each in self.list if each["role"] != "system"]
        return body[0]["role"] == "tool" and all(each["role"] != "assistant" for each in self.list)

    def check_content(self, followed):
        prompt = followed.prompt
        assert prompt.stubs == ()
        self.n_fresh += 1
        with self.other.context(f"fresh {self.n_fresh}", **self.how) as context:
            fresh = context.follow(copy.deepcopy(self.list))
        if self.provider == "openai":
            assert renamed(prompt.messages) == renamed(fresh.messages)
            assert renamed(prompt.messages) == renamed(self.expected())
            for span in followed.spans():
                if span.is_whole and len(span.items) == 1:
                    ours, theirs = prompt.messages[span.start], self.list[span.items[0]]
                    assert [span.stop, ours] == [span.start + 1, theirs]
        else:
            words = [[each for each in json.dumps(p.messages).split() if "w" in each] for p in (prompt, fresh)]
            assert words[0] == words[1]

    def expected(self):
        n_head = int(self.list[0]["role"] in {"system", "developer"})
        return [*self.list[:n_head], *plain(self.list[n_head:])]

    def teardown(self):
        try:
            assert self.memory.check() == []
        finally:
            self.memory.close()
            self.other.close()
            shutil.rmtree(self.folder)


class SmallMachine(FollowMachine):
    """The same with a window that holds a part."""

    window = 1_500

    def check_content(self, followed):
        text = json.dumps(followed.prompt.messages)
        in_list = {
            word for word in json.dumps(self.list).replace('"', " ").replace("\\", " ").split() if word[0] == "w"
        }
        shown = {
            word for word in text.replace('"', " ").replace("\\", " ").split() if word[0] == "w" and word[-1] == "x"
        }
        assert {word for word in shown if word[1:-1].isdigit()} <= in_list
        whole = [i for span in followed.spans() if span.is_whole for i in span.items]
        said = [i for i in whole if self.list[i]["role"] != "tool"]
        assert said == sorted(said)
        asked = [i for i, each in enumerate(self.list) if each["role"] == "user"]
        spans = [span for span in followed.spans() if asked and asked[-1] in span.items]
        assert spans or not asked


CHOICES = settings(max_examples=12, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "openai-responses", "gemini"])
def test_the_prompt_is_that_of_the_list(provider):
    machine = type("Machine", (FollowMachine,), {"provider": provider})
    run_state_machine_as_test(machine, settings=CHOICES)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_small_window_shows_a_part_of_the_list(provider):
    machine = type("Machine", (SmallMachine,), {"provider": provider})
    run_state_machine_as_test(machine, settings=CHOICES)
