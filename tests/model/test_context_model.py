"""A context against a plain list: whatever is done to it, its prompt says what the list says, or less of what is old.

The oracle knows what was said, in order, what was rewound or dropped, and nothing of tokens. After every step: the
prompt is valid and fits; what it shows in full is what was appended, in that order; what was hidden is not in it; the
newest user message is; past turns are replayed as they were sent; and all of it is the same after a reopening.
"""

import json
import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import ctxmem
from tests.dialogues import assistant, fast, seen, text_of, user

MODELS = ["gpt-4.1", "claude-sonnet-4-5"]


class ContextMachine(RuleBasedStateMachine):
    """One session; every text is a word of its own, so that it is easily found."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.now = 1_000.0
        self.options = fast(clock=lambda: self.now, tail_segments=8, merge_factor=2)
        self.memory = ctxmem.open(self.folder + "/s", options=self.options)
        self.how = {"model": "gpt-4.1", "window": 1_600, "reserve": 0}
        self.context = self.memory.context("a", **self.how)
        self.words: dict[int, str] = {}  # id -> its word, in order, without what was hidden
        self.gone: set[str] = set()
        self.newest_user: list[int] = []
        self.groups: dict[int, list[int]] = {}
        self.open: list[tuple[int, str]] = []
        self.sent: dict[int, dict] = {}
        self.n = 0

    def word(self, times):
        self.n += 1
        return f"w{self.n}x", f"w{self.n}x " * times

    def said(self, segment, word, group=None):
        self.words[segment.id] = word
        self.groups.setdefault(segment.id if group is None else group, []).append(segment.id)
        assert segment.group == (segment.id if group is None else group)

    @initialize()
    def start(self):
        self.ask(3)

    @rule(times=st.integers(1, 60))
    def ask(self, times):
        word, text = self.word(times)
        segment = self.context.append(user(text))
        self.said(segment, word)
        self.newest_user.append(segment.id)

    @rule(times=st.integers(1, 60), n_calls=st.integers(0, 3))
    def reply(self, times, n_calls):
        word, text = self.word(times)
        calls = [(f"c{index}", "look", {"word": word}) for index in range(n_calls)]
        segment = self.context.append(assistant(text, *calls))
        self.said(segment, word)
        self.open += [(segment.id, call_id) for call_id, _, _ in calls]

    @precondition(lambda self: self.open)
    @rule(times=st.integers(1, 150), which=st.integers(0, 10))
    def answer(self, times, which):
        call_id = self.open[which % len(self.open)][1]
        at = max(i for i, (_, known) in enumerate(self.open) if known == call_id)  # the newest with that id
        group, _ = self.open.pop(at)
        word, text = self.word(times)
        self.said(self.context.result(call_id, text), word, group)

    @rule(recall=st.booleans(), extra=st.booleans())
    def assemble(self, recall, extra):
        self.now += 1
        try:
            prompt = self.context.assemble(
                recall="w1x w2x w3x" if recall else None, extra=[user("extra")] if extra else []
            )
        except ctxmem.WindowOverflow:
            return
        shown = text_of(prompt)
        assert ctxmem.validate(prompt.kwargs(), self.context.provider) == []
        assert prompt.tokens <= prompt.budget
        full = [i for i in prompt.segments if i in self.words]
        assert all(self.words[i] in shown for i in full)
        assert not [word for word in self.gone if f"{word} " in shown or f'{word}"' in shown]
        if self.newest_user and self.newest_user[-1] not in full:
            assert self.newest_user[-1] in prompt.stubs  # shortened, where what must stay does not fit
            assert self.whole_tokens() > self.context._session.now.water.low_tokens
        owners = [next(g for g, members in self.groups.items() if i in members) for i in full]
        assert owners == sorted(owners)
        assert [call.id for call in prompt.closed] == [call.id for call in self.context.open_calls]
        self.sent[prompt.turn] = json.loads(json.dumps(seen(prompt), default=repr))

    def whole_tokens(self):
        """Count what the groups shown would take whole."""
        working = self.context._session.now.state.working
        return int(working.groups["full_tokens"].sum()) + self.context._session.now.closed_tokens

    @rule(goal=st.integers(1, 1_500))
    def collect(self, goal):
        try:
            planned = self.context.plan(goal)
        except ctxmem.WindowOverflow:
            return
        assert self.context.plan(goal).dropped == planned.dropped
        assert self.context.collect(goal).dropped == planned.dropped

    @precondition(lambda self: len(self.words) > 3)
    @rule(back=st.integers(1, 5))
    def rewind(self, back):
        first = sorted(self.words)[-min(back, len(self.words) - 1)]
        self.context.rewind(first)
        reopened = [i for i in self.words if i >= first]
        for segment_id in reopened:
            self.hide(segment_id)
        self.resync_calls()

    @precondition(lambda self: len(self.groups) > 3)
    @rule(which=st.integers(0, 100))
    def drop(self, which):
        group = sorted(self.groups)[which % len(self.groups)]
        self.context.drop(group)
        for segment_id in list(self.groups[group]):
            self.hide(segment_id)
        self.resync_calls()

    def hide(self, segment_id):
        self.gone.add(self.words.pop(segment_id))
        if self.newest_user and self.newest_user[-1] == segment_id:
            self.newest_user = []  # the one before it may have left the prompt when it was not the newest
        self.newest_user = [i for i in self.newest_user if i != segment_id]
        for group in list(self.groups):
            self.groups[group] = [i for i in self.groups[group] if i != segment_id]
            if not self.groups[group]:
                del self.groups[group]

    def resync_calls(self):
        """Take which calls wait from the state: rewinding opens calls again."""
        state = self.context._session.now.state.calls
        calls = [(group, self.memory.get(group).calls[index].id) for group, index in state.waiting()]
        assert all(group in self.groups for group, _ in calls)
        self.open = sorted(calls)

    @precondition(lambda self: self.words)
    @rule(which=st.integers(0, 100))
    def restore(self, which):
        segment_id = sorted(self.words)[which % len(self.words)]
        try:
            self.context.restore(segment_id)
        except ctxmem.WindowOverflow:
            return
        assert segment_id in self.context._session.now.state.visible()

    @rule(model=st.sampled_from(MODELS), window=st.sampled_from([1_300, 1_600, 3_000]))
    def switch(self, model, window):
        try:
            self.context.switch(model, window=window, reserve=0)
            self.how = {"model": model, "window": window, "reserve": 0}
        except ctxmem.WindowOverflow:
            assert self.context.model == self.how["model"]

    def standing(self):
        try:
            dropped = self.context.plan().dropped
        except ctxmem.WindowOverflow as error:
            dropped = error.roots
        return self.context.tokens, self.context.open_calls, self.context.turn, dropped

    @rule()
    def reopen(self):
        before = self.standing()
        self.memory.close()
        self.memory = ctxmem.open(self.folder + "/s", options=self.options)
        self.context = self.memory.context("a", **self.how)
        assert self.standing() == before

    @invariant()
    def sizes_add_up(self):
        state = self.context._session.now.state
        assert state.working.tokens == int(state.working.segments["shown_tokens"].sum())
        assert len(self.context.open_calls) == int(state.working.groups["open_calls"].sum())

    def teardown(self):
        try:
            for turn, sent in self.sent.items():
                again = json.loads(json.dumps(seen(self.context.replay(turn)), default=repr))
                assert [name for name in sent if sent[name] != again[name]] == []
            for segment_id in self.words:
                assert self.context.explain(segment_id).rule
            assert self.memory.check() == []
        finally:
            self.memory.close()
            shutil.rmtree(self.folder)


TestContext = ContextMachine.TestCase
TestContext.settings = settings(max_examples=40, stateful_step_count=40)
