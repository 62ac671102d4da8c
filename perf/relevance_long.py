"""How good is search where tool outputs are long: is the page of source found among short lines that share its words?

    relevance_long.py [--files 150] [--questions 200] [--seed 1] [--json]

Source files of the Python standard library are read as an agent reads them, as pages of about 3,000 tokens, each
between short lines of the assistant that name what it is about; all in one session. Asked for, each with one right page:

    identifier   a compound name that one page alone holds, and no line
    error        the text of an exception that one page raises
    docstring    two words of a docstring that stand together on one page alone
    topic        a word that several pages hold, one of them three times as often as any other
    line         the rarest three words of one of the short lines: that line is wanted, and no page may bury it
"""

import argparse
import json
import random
import re
import sysconfig
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import ctxmem
from ctxmem.search import english, terms

PAGE_CHARS = 10_500  # about 3,000 tokens of Python
KINDS = ("identifier", "error", "docstring", "topic", "line")
TALK = (
    "Now I look at how {module} deals with {words}.",
    "{name} seems to be about {words}; I read on.",
    "That file shows {words}. Next is {module}.",
    "The caller of {name} wants {words}, so I check {module} first.",
)


@dataclass
class Corpus:
    """Segments in order, and what may be asked: kind -> (query, place of the right segment)."""

    texts: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    asked: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))


def sources(n_files):
    """Return (module, text) of library files of at least a page, spread over the library, the same on each run."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
        if (
            not re.search(r"test|site-packages|lib2to3|idlelib|turtledemo|__main__", name)
            and path.stat().st_size > 6_000
        ):
            found.append((name, path.read_text(encoding="utf-8", errors="replace")))
    return found[:: max(1, len(found) // n_files)][:n_files]


def pages(text):
    """Cut a text at line ends, as a tool that reads files does."""
    page, n_chars = [], 0
    for line in text.splitlines(keepends=True):
        page.append(line)
        n_chars += len(line)
        if n_chars > PAGE_CHARS:
            yield "".join(page)
            page, n_chars = [], 0
    if page:
        yield "".join(page)


def build(n_files, rng):
    """Return the session, and all that can be asked of it."""
    corpus = Corpus()
    for module, text in sources(n_files):
        for page in pages(text):
            names = re.findall(r"(?:def|class) (\w+)", page) or [module]
            words = re.findall(r"\b[a-z]{5,12}\b", page) or [module]
            for _ in range(rng.choice((1, 1, 2, 3))):
                picked = " ".join(rng.sample(words, min(3, len(words))))
                corpus.texts.append(
                    rng.choice(TALK).format(module=module, name=rng.choice(names).split("_")[-1], words=picked)
                )
                corpus.kinds.append("message")
            corpus.texts.append(page)
            corpus.kinds.append("tool")
    _ask(corpus, rng)
    return corpus


def _ask(corpus, rng):
    counts = [dict(terms.analyse(text)) for text in corpus.texts]
    held = [set(one) for one in counts]
    spread = Counter(term for one in held for term in one)
    corpus.asked["topic"] = list(_topics(counts, spread))
    for place, (text, kind) in enumerate(zip(corpus.texts, corpus.kinds, strict=True)):
        if kind == "message":
            words = sorted((term for term in held[place] if term.isalpha()), key=lambda term: (spread[term], term))
            corpus.asked["line"].append((" ".join(words[:3]), place))
            continue
        for name in set(re.findall(r"\b_?[a-z]+_[a-z_]+[a-z]\b", text)):
            if spread[name.strip("_")] == 1:
                corpus.asked["identifier"].append((name, place))
        for message in re.findall(r"raise \w+\(\s*f?[\"']([^\"'\n]{12,80})[\"']", text):
            query = re.sub(r"%[a-z]|\{[^}]*\}", "value", message)
            wanted = set(terms.analyse_query(query)) & set(spread)
            if len(wanted) > 2 and [i for i, one in enumerate(held) if wanted <= one] == [place]:
                corpus.asked["error"].append((query, place))
        for pair in _pairs(text, spread, rng):
            if sum(set(terms.analyse_query(pair)) <= one for one in held) == 1:
                corpus.asked["docstring"].append((pair, place))
    for found in corpus.asked.values():
        found.sort()
        rng.shuffle(found)


def _topics(counts, spread):
    """Yield words that one page is about, and others name."""
    ranked = defaultdict(list)
    for place, one in enumerate(counts):
        for term, count in one.items():
            if term.isalpha() and 5 <= spread[term] <= 100 and terms.analyse_query(term) == [term]:
                ranked[term].append((count, place))
    for term, found in ranked.items():
        (most, place), (second, _) = sorted(found, reverse=True)[:2]
        if most >= max(9, 3 * second):
            yield term, place


def _pairs(text, spread, rng):
    """Return up to two pairs of words, each of one docstring of a page."""
    docstrings = re.findall(r'"""(.+?)"""', text, re.DOTALL)
    for docstring in rng.sample(docstrings, min(2, len(docstrings))):
        words = sorted({word for word in re.findall(r"\b[a-z]{4,12}\b", docstring) if word not in english.STOP_WORDS})
        words = [word for word in words if 1 < spread[english.stem(word)] < 200]
        if len(words) > 1:
            yield " ".join(rng.sample(words, 2))


def measure(corpus, n_questions):
    """Return, by kind: how many were asked, the shares found first and among three, and the mean of 1 / rank."""
    with tempfile.TemporaryDirectory() as folder, ctxmem.open(folder + "/store") as memory:
        ids = memory.add_many(
            {"text": text, "kind": kind, "session": "agent", "at": 1.7e9 + i}
            for i, (text, kind) in enumerate(zip(corpus.texts, corpus.kinds, strict=True))
        )
        found = {}
        for kind in KINDS:
            ranks = []
            for query, place in corpus.asked[kind][:n_questions]:
                hits = [hit.segment.id for hit in memory.search(f"{query}?", limit=20)]
                ranks.append(hits.index(ids[place]) + 1 if ids[place] in hits else 0)
            n = len(ranks)
            found[kind] = {
                "asked": n,
                "first": sum(rank == 1 for rank in ranks) / n,
                "among_three": sum(0 < rank <= 3 for rank in ranks) / n,
                "mrr": sum(1 / rank for rank in ranks if rank) / n,
            }
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=150)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    corpus = build(arguments.files, random.Random(arguments.seed))
    found = measure(corpus, arguments.questions)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{corpus.kinds.count('tool')} pages, {corpus.kinds.count('message')} lines")
    for kind, figures in found.items():
        print(
            f"{kind:11s} {figures['asked']:4d} asked, first {figures['first']:.3f}, "
            f"among three {figures['among_three']:.3f}, mrr {figures['mrr']:.3f}"
        )


if __name__ == "__main__":
    main()
