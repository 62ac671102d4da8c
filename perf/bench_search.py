"""Search beside tantivy, SQLite FTS5 and bm25s: same texts, same queries, same run.

Each engine builds its index in one fresh process and answers from it in another, so that anonymous memory is its own.
The text is stored in all but bm25s, which is held in memory. What this favours: ctxmem also counts tokens and stores
times, sessions and facets, which the others do not; FTS5's load is shown with and without counting. Queries are OR of
words, without fetching texts, ten hits.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path

import workloads
from measuring import arguments, figure, flush_ms, keep, machine, show

ENGINES = ("ctxmem", "tantivy", "fts5", "bm25s")
LIMIT = 10
_REPEATS = {"ctxmem": 10, "tantivy": 10, "fts5": 1, "bm25s": 1}


def texts_of(workload, n):
    return workloads.TEXTS[workload](n)


def queries_of(workload, n):
    every = max(1, n // 50_000)
    return workloads.queries(list(islice(texts_of(workload, n), 0, None, every)))


def anonymous_mb(pid="self"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


class Peak:
    """Watches this process's anonymous memory, from a thread, every 50 ms."""

    def __init__(self):
        self.mb, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._done.wait(0.05):
            self.mb = max(self.mb, anonymous_mb())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


# --- building: (folder, texts) -> what else is worth knowing ---


def build_ctxmem(folder, texts):
    import ctxmem

    with ctxmem.open(folder) as memory:
        memory.add_many(workloads.items(texts))


def build_tantivy(folder, texts):
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", stored=True)
    index = tantivy.Index(builder.build(), path=str(folder))
    writer = index.writer(heap_size=128_000_000)
    for text in texts:
        writer.add_document(tantivy.Document(text=text))
    writer.commit()
    writer.wait_merging_threads()


def build_fts5(folder, texts):
    connection = sqlite3.connect(folder / "fts.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(text)")
    with connection:
        connection.executemany("INSERT INTO t VALUES (?)", ((text,) for text in texts))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def build_bm25s(folder, texts):
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), stopwords=None, show_progress=False), show_progress=False)
    index.save(str(folder))


# --- answering: folder -> {name: search(query)} ---


def open_ctxmem(folder):
    import ctxmem
    from ctxmem.search import query

    memory = ctxmem.open(folder)
    index = memory._log.index
    newest = memory.search("", limit=1)[0].segment.at
    n = (newest - workloads.START_S) / workloads.STEP_S
    late = newest - n * workloads.STEP_S / 2

    def keywords(text, **more):
        return index.search(query.parse(text), limit=LIMIT, conversation=False, **more)

    return {
        "ctxmem BM25": keywords,
        "ctxmem": lambda text: index.search(query.parse(text), limit=LIMIT),
        "ctxmem, 10 segments read": lambda text: memory.search(text, limit=LIMIT),
        "ctxmem BM25, filter of 50%": lambda text: keywords(text, facets={"half": 1}),
        "ctxmem BM25, filter of 1%": lambda text: keywords(text, facets={"cent": 7}),
        "ctxmem BM25, filter of 0.001%": lambda text: keywords(text, facets={"rare": 7}),
        "ctxmem BM25, half the time": lambda text: keywords(text, since=late),
    }


def open_tantivy(folder):
    import tantivy

    index = tantivy.Index.open(str(folder))
    searcher = index.searcher()
    return {"tantivy": lambda text: searcher.search(index.parse_query(text, ["text"]), LIMIT, count=False).hits}


def open_fts5(folder):
    connection = sqlite3.connect(folder / "fts.db")
    statement = f"SELECT rowid FROM t WHERE t MATCH ? ORDER BY rank LIMIT {LIMIT}"
    return {"FTS5": lambda text: connection.execute(statement, (" OR ".join(text.split()),)).fetchall()}


def open_bm25s(folder):
    import bm25s

    index = bm25s.BM25.load(str(folder), mmap=True)

    def search(text):
        words = bm25s.tokenize(text, stopwords=None, return_ids=False, show_progress=False)
        return index.retrieve(words, k=LIMIT, show_progress=False)

    return {"bm25s": search}


# --- one engine, one phase, one process ---


def build(engine, workload, n, folder):
    if engine == "tiktoken":
        return {"seconds": count_tokens(workload, n)}
    folder.mkdir(parents=True)
    with Peak() as peak:
        start = time.perf_counter()
        globals()[f"build_{engine}"](folder, texts_of(workload, n))
        seconds = time.perf_counter() - start
    size = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
    return {"seconds": seconds, "disk_mb": size / 1e6, "peak_mb": peak.mb}


def count_tokens(workload, n):
    from ctxmem import tokens

    tokens.count("load")
    start = time.perf_counter()
    for text in texts_of(workload, n):
        tokens.count(text)
    return time.perf_counter() - start


def answer(engine, workload, n, folder):
    mixes = queries_of(workload, n)
    before = anonymous_mb()
    searches = globals()[f"open_{engine}"](folder)
    found = {}
    for name, search in searches.items():
        for mix, queries in mixes.items():
            search(queries[0])
            seconds = []
            for _ in range(_REPEATS[engine]):
                for text in queries:
                    start = time.perf_counter()
                    search(text)
                    seconds.append(time.perf_counter() - start)
            found[f"{mix}: {name}"] = seconds
    return {"seconds": found, "anonymous_mb": anonymous_mb(), "grown_mb": anonymous_mb() - before}


def append_and_search(workload, n, folder):
    """Return the seconds of an append and the search that finds it, in a store of n segments."""
    import ctxmem

    seconds = []
    common = queries_of(workload, n)["one common"][0]
    with ctxmem.open(folder) as memory:
        memory.search(common)
        for number in range(200):
            start = time.perf_counter()
            segment = memory.add(f"appended{number} {common}")
            hits = memory.search(f"appended{number} {common}", limit=1)
            seconds.append(time.perf_counter() - start)
            assert hits[0].segment.id == segment.id
    return {"seconds": {"append, then search": seconds}}


PHASES = {"build": build, "answer": answer}


def run(phase, engine, workload, n, folder):
    """Run one phase in a process of its own; return what it printed."""
    command = [sys.executable, __file__, "--phase", phase, engine, workload, str(n), str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    return json.loads(done.stdout.splitlines()[-1])


def phase_main(phase, engine, workload, n, folder):
    if phase == "append":
        result = append_and_search(workload, int(n), Path(folder))
    else:
        result = PHASES[phase](engine, workload, int(n), Path(folder))
    print(json.dumps(result))


def measure(workload, n, engines, folder):
    """Return figures of speed and notes on size for one workload."""
    figures, notes = [], []
    for engine in engines:
        place = folder / workload / engine
        built = run("build", engine, workload, n, place)
        notes.append(
            f"{engine}: built in {built['seconds']:.1f} s, {built['disk_mb']:.0f} MB on disk, "
            f"{built['peak_mb']:.0f} MB anonymous at most"
        )
        answered = run("answer", engine, workload, n, place)
        notes[-1] += f"; answering {answered['anonymous_mb']:.0f} MB, {answered['grown_mb']:.0f} MB of it its own"
        print(notes[-1], flush=True)
        figures += [figure(name, seconds) for name, seconds in answered["seconds"].items()]
        if engine == "ctxmem":
            appended = run("append", engine, workload, n, place)
            figures += [figure(name, seconds) for name, seconds in appended["seconds"].items()]
        shutil.rmtree(place)
    counted = run("build", "tiktoken", workload, n, folder / "tiktoken")
    notes.append(f"tiktoken alone: {counted['seconds']:.1f} s")
    print(notes[-1], flush=True)
    order = {name: place for place, name in enumerate(workloads.MIXES)}
    figures.sort(key=lambda each: order.get(each.name.split(":")[0], 99))
    return figures, notes


def main():
    if "--phase" in sys.argv:
        return phase_main(*sys.argv[2:])
    parser = arguments(__doc__)
    parser.add_argument("--segments", type=int, default=100_000)
    parser.add_argument("--workloads", nargs="+", choices=list(workloads.TEXTS), default=list(workloads.TEXTS))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        about = {**machine(), "flush_ms": flush_ms(Path(folder))}
        for workload in options.workloads:
            print(f"== {workload}, up to {options.segments} segments of {workloads.WORDS} words", flush=True)
            figures, notes = measure(workload, options.segments, options.engines, Path(folder))
            about = {**about, "segments": options.segments, "notes": notes}
            show(figures, {name: value for name, value in about.items() if name != "notes"})
            if options.json:
                keep(f"search {workload}", figures, about, options.json)
    return None


if __name__ == "__main__":
    main()
