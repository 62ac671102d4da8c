"""How good is search, and which part of it makes it so: evidence recall on LoCoMo conversations, by brute force.

    relevance.py CONVERSATIONS.jsonl QUESTIONS.jsonl [--by-conversation]

Scores with `ctxmem.search.terms` and `ctxmem.search.relevance` alone, no store: what is left out is left out of their inputs. The
packing is that of the evaluation: hits in rank order, one that does not fit is skipped, until the budget is full;
tokens = characters / 4. "separate": each conversation is a store of its own; "merged": all in one, in order of time.
"""

import argparse
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from ctxmem.search import relevance, terms

BUDGETS = (512, 2048)
LIMIT = 500


@dataclass(frozen=True)
class Variant:
    """What is switched off."""

    name: str
    is_stemmed: bool = True
    has_speakers: bool = True
    has_dates: bool = True
    has_neighbours: bool = True
    has_session: bool = True


VARIANTS = (
    Variant("BM25 on words", False, False, False, False, False),
    Variant("+ stop words and stems", True, False, False, False, False),
    Variant("+ speaker and date words", True, True, True, False, False),
    Variant("+ neighbours", True, True, True, True, False),
    Variant("+ session: all of it"),
    Variant("all but stop words and stems", is_stemmed=False),
    Variant("all but speakers", has_speakers=False),
    Variant("all but dates", has_dates=False),
    Variant("all but neighbours", has_neighbours=False),
)


def words(text):
    return re.findall(r"\w+", text.lower())


@dataclass
class Store:
    """All turns of one store, as arrays."""

    turns: list
    variant: Variant
    postings: dict = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self):
        n = len(self.turns)
        self.tokens = [-(-len(turn["text"]) // 4) for turn in self.turns]
        self.places = {(turn["conversation"], turn["id"]): i for i, turn in enumerate(self.turns)}
        self.sessions = np.zeros(n, np.int64)
        self.neighbours = np.full((n, 4), -1)
        by_session = defaultdict(list)
        for i, turn in enumerate(self.turns):
            self._index(i, turn)
            by_session[turn["conversation"], turn["session"]].append(i)
        for number, members in enumerate(by_session.values(), 1):
            self.sessions[members] = number
            for place, i in enumerate(members):
                for column, step in enumerate((-1, 1, -2, 2)):
                    if 0 <= place + step < len(members):
                        self.neighbours[i, column] = members[place + step]

    def _index(self, i, turn):
        at = datetime.fromisoformat(turn["time"]).replace(tzinfo=timezone.utc).timestamp()
        variant = self.variant
        if variant.is_stemmed:
            counts, length = terms.document(turn["text"], turn["name"] if variant.has_speakers else None, at)
            dates = (
                set()
                if variant.has_dates
                else set(terms.extra_words(None, at)) - set(terms.analyse_query(turn["text"]))
            )
            counts = [(term, count) for term, count in counts if term not in dates]
        else:
            found = Counter(words(turn["text"]))
            length = found.total()
            found.update(words(turn["name"]) * 2 if variant.has_speakers else [])
            found.update(words(datetime.fromisoformat(turn["time"]).strftime("%Y %B %d")) if variant.has_dates else [])
            counts = list(found.items())
        for term, count in counts:
            self.postings[term].append((i, relevance.impact(count, length)))

    def search(self, question):
        """Return the places of the hits, best first."""
        n = len(self.turns)
        wanted = terms.analyse_query(question) if self.variant.is_stemmed else list(dict.fromkeys(words(question)))
        wanted = [term for term in wanted if term in self.postings]
        own = np.zeros((n, len(wanted)), np.uint8)
        for column, term in enumerate(wanted):
            rows, impacts = zip(*self.postings[term], strict=True)
            own[list(rows), column] = impacts
        weights = np.array([relevance.idf(n, len(self.postings[term])) for term in wanted], np.int64)
        scores = own @ weights
        order = np.lexsort((-np.arange(n), -scores))
        pool = order[scores[order] > 0][: max(LIMIT, relevance.POOL)]
        if not self.variant.has_neighbours and not self.variant.has_session:
            return pool[:LIMIT].tolist()
        return self._reranked(own, weights, pool)

    def _reranked(self, own, weights, pool):
        rows = np.union1d(pool, self.neighbours[pool]) if self.variant.has_neighbours else np.sort(pool)
        rows = rows[rows >= 0]
        place = np.full(len(self.turns) + 1, -1)
        place[rows] = np.arange(len(rows))
        beside = place[self.neighbours[rows]] if self.variant.has_neighbours else np.full((len(rows), 4), -1)
        sessions = self.sessions[rows] if self.variant.has_session else np.zeros(len(rows), np.int64)
        scores = relevance.rerank(own[rows], weights, beside, sessions)
        order = np.lexsort((-rows, -scores))
        return rows[order[scores[order] > 0]][:LIMIT].tolist()


def recall(store, conversation, question, hits):
    """Return the share of the evidence that fits each budget."""
    wanted = [store.places.get((conversation, turn)) for turn in question["evidence_ids"]]
    for budget in BUDGETS:
        left, taken = budget, set()
        for place in hits:
            if store.tokens[place] <= left:
                left -= store.tokens[place]
                taken.add(place)
        yield sum(place in taken for place in wanted) / len(wanted)


def measure(parts, questions, variant):
    """Return recall by conversation: name -> list of (at 512, at 2048)."""
    found = defaultdict(list)
    for turns in parts:
        store = Store(turns, variant)
        inside = {turn["conversation"] for turn in turns}
        for question in questions:
            conversation = question["id"].split("/")[0]
            if conversation in inside:
                found[conversation].append(
                    tuple(recall(store, conversation, question, store.search(question["question"])))
                )
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conversations")
    parser.add_argument("questions")
    parser.add_argument("--by-conversation", action="store_true")
    arguments = parser.parse_args()
    turns, questions = (
        [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        for path in (arguments.conversations, arguments.questions)
    )
    questions = [question for question in questions if question["evidence_ids"]]
    names = sorted({turn["conversation"] for turn in turns})
    separate = [[turn for turn in turns if turn["conversation"] == name] for name in names]
    merged = [sorted(turns, key=lambda turn: turn["time"])]
    print(f"{len(questions)} questions, {len(turns)} turns; recall at 512 and 2,048 tokens: separate | merged")
    for variant in VARIANTS:
        results = [measure(parts, questions, variant) for parts in (separate, merged)]
        means = [np.mean([row for rows in found.values() for row in rows], axis=0) for found in results]
        print(
            f"{variant.name:32s} " + " | ".join(f"{at_512:.3f} {at_2048:.3f}" for at_512, at_2048 in means), flush=True
        )
        if arguments.by_conversation:
            for name in names:
                shown = [np.mean(found[name], axis=0) for found in results]
                print(f"    {name:28s} " + " | ".join(f"{at_512:.3f} {at_2048:.3f}" for at_512, at_2048 in shown))


if __name__ == "__main__":
    main()
