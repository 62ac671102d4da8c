"""One process of a crew: takes sessions, works on them and hands them over; a journal says what it began and what ended.

    hand.py STORE JOURNAL SEED CALLS SESSION ...

A line of the journal is [moment, number of the call, name, session, given, answer], the answer only where the call has
ended. Lines are written at once, so that they outlive the process that is killed in the middle of a call. Moments are
of the machine's one monotonic clock.
"""

import hashlib
import json
import os
import random
import sys
import time
from itertools import count

import ctxmem
from tests.dialogues import assistant, fast, seen, user

HOW = {"model": "gpt-4.1", "window": 200_000, "reserve": 0}
OPTIONS = {"tail_segments": 16, "merge_factor": 2, "block_segments": 64}
ACTS = {"say": 30, "ask": 6, "result": 10, "assemble": 16, "drop": 3, "rewind": 2, "forget": 4, "search": 5, "flush": 2}


def digest(prompt):
    return hashlib.blake2b(json.dumps(seen(prompt), default=repr, sort_keys=True).encode(), digest_size=8).hexdigest()


class Hand:
    """What one process does, and its journal."""

    def __init__(self, store, journal, seed):
        self.rng = random.Random(seed)
        self.seed = seed
        self.memory = ctxmem.open(store, options=fast(**OPTIONS))
        self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.n, self.words = count(), count()
        self.session = self.context = None
        self.ids, self.waiting = [], []

    def call(self, name, act, *given):
        """Make a call between two lines of the journal."""
        number = next(self.n)
        self.write(number, name, given)
        answer = act()
        self.write(number, name, given, answer)

    def write(self, number, name, given, *answer):
        line = [time.monotonic_ns(), number, name, self.session, given, *answer]
        os.write(self.journal, json.dumps(line).encode() + b"\n")

    def work(self, n_calls, sessions):
        names, weights = zip(*ACTS.items(), strict=True)
        for _ in range(n_calls):
            if self.context is None:
                self.open(self.rng.choice(sessions))
            elif self.rng.random() < 0.08:
                self.close()
            else:
                getattr(self, self.rng.choices(names, weights)[0])()
        if self.context is not None:
            self.close()
        self.memory.close()

    def open(self, session):
        self.session = session

        def act():
            try:
                self.context = self.memory.context(session, **HOW)
            except ctxmem.ContextBusy:
                return "busy"
            self.ids, self.waiting = [], []
            return "open"

        self.call("open", act)

    def close(self):
        self.call("close", self.context.close)
        self.context = None

    def text(self):
        return f"common hand{self.seed} word{next(self.words)}"

    def appended(self, segment):
        self.ids.append((segment.group, segment.id))
        return [segment.group, segment.id]

    def say(self):
        text = self.text()
        self.call("append", lambda: self.appended(self.context.append(user(text))), text)

    def ask(self):
        text, call_id = self.text(), f"hand{self.seed}.{next(self.words)}"
        message = assistant(text, (call_id, "look", {}))
        self.call("append", lambda: self.appended(self.context.append(message)), text)
        self.waiting.append(call_id)

    def result(self):
        if self.waiting:
            call_id, text = self.waiting.pop(), self.text()
            self.call("append", lambda: self.appended(self.context.result(call_id, text)), text)

    def assemble(self):
        def act():
            try:
                prompt = self.context.assemble()
            except ctxmem.BadInput:
                return "empty"
            return [prompt.turn, sorted({*prompt.segments, *prompt.stubs}), digest(prompt)]

        self.call("assemble", act)

    def drop(self):
        if self.ids:
            group, segment_id = self.rng.choice(self.ids)
            self.call("drop", lambda: self.context.drop(segment_id), group)

    def rewind(self):
        if self.ids:
            segment_id = self.rng.choice(self.ids[-3:])[1]
            self.call("rewind", lambda: self.context.rewind(segment_id), segment_id)

    def forget(self):
        if self.ids:
            segment_id = self.rng.choice(self.ids)[1]
            self.call("forget", lambda: self.memory.forget(segment_id), segment_id)

    def search(self):
        def act():
            hits = self.memory.search("common", session=self.session, limit=9_999)
            return sorted(hit.segment.id for hit in hits)

        self.call("search", act)

    def flush(self):
        self.call("flush", self.memory.flush)


if __name__ == "__main__":
    store, journal, seed, n_calls, *sessions = sys.argv[1:]
    Hand(store, journal, int(seed)).work(int(n_calls), sessions)
