"""Several processes on one store, for real: each sees the others at its next question, and none disturbs another."""

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

import ctxmem
from ctxmem.tables import changes

SMALL = {"tail_segments": 16, "merge_factor": 2, "block_segments": 64, "durability": "unsafe"}

# A round of work: five notes, each found at once; one of another process pinned, one forgotten.
ROUNDS = """
import random
rng, given, gone = random.Random({name!r}), [], []
for n in range({rounds}):
    some = [memory.add(f"{name} note{{n}} item{{i}} shared", session={name!r}).id for i in range(5)]
    found = [hit.segment.id for hit in memory.search(f"+{name} +note{{n}}", limit=99)]
    assert sorted(found) == some, (found, some)
    given += some
    if n % 3 == 2:
        memory.flush()
        gone.append(some[0])
        memory.forget(some[0])
        memory.pin(some[1])
    if n % 5 == 4:
        others = [hit.segment for hit in memory.search("shared", limit=50) if hit.segment.session != {name!r}]
        for one in rng.sample(others, min(2, len(others))):
            memory.pin(one.id)
memory.flush()
"""


def opened(path):
    return ctxmem.open(path, options=ctxmem.Options(**SMALL))


def ids(actor, query, **filters):
    return sorted(actor.do(f"[h.segment.id for h in memory.search({query!r}, limit=9999, **{filters!r})]"))


def flushed(actor, text, **more):
    """Let an actor append a note and reach a barrier: its id."""
    segment_id = actor.do(f"memory.add({text!r}, **{more!r}).id")
    actor.do("memory.flush()")
    return segment_id


@pytest.mark.parametrize("n", [2, 3])
def test_processes_that_append_search_pin_forget_and_merge_at_once(actors, tmp_path, n):
    crew = actors(n, **SMALL)
    names = ["anna", "bert", "cleo"][:n]
    for actor, name in zip(crew, names, strict=True):
        actor.tell(ROUNDS.format(name=name, rounds=30))
    for actor in crew:
        actor.hear()

    given = [actor.do("given") for actor in crew]
    gone = {i for actor in crew for i in actor.do("gone")}
    count = Counter(i for some in given for i in some)
    assert max(count.values()) == 1
    assert [some == sorted(some) for some in given] == [True] * n
    for actor in crew:
        assert ids(actor, "shared") == sorted(set(count) - gone)
        for name, some in zip(names, given, strict=True):
            assert ids(actor, "", session=name) == sorted(set(some) - gone)
        assert actor.do("memory.check()") == []
    pinned = [actor.do(f"[i for i in {sorted(count)} if memory.get(i).pinned]") for actor in crew]
    assert pinned == pinned[:1] * n
    assert len(pinned[0]) >= 10 * n
    for actor in crew:
        actor.end()
    with opened(tmp_path / "s") as memory:
        assert memory._log.stats()["runs"] > 0
        assert sorted(hit.segment.id for hit in memory.search("shared", limit=9999)) == sorted(set(count) - gone)


def test_each_sees_at_its_next_question_what_the_other_did(actors):
    one, two = actors(2, **SMALL)
    first = flushed(one, "the kestrel landed")

    assert ids(two, "kestrel") == [first]
    second = flushed(two, "the kestrel left")
    assert ids(one, "kestrel") == sorted([first, second])
    one.do(f"memory.pin({second})")
    assert two.do(f"memory.get({second}).pinned") is True
    two.do(f"memory.unpin({second})")
    assert one.do(f"memory.get({second}).pinned") is False
    two.do(f"memory.forget({first})")
    assert ids(one, "kestrel") == [second]
    assert one.do(f"memory.get({first}).text") == "[forgotten]"


def test_what_one_sealed_and_merged_the_other_finds_as_before(actors):
    one, two = actors(2, **SMALL)
    for n in range(40):
        one.do(f"memory.add('heron number{n}')")
    one.do("memory.flush()")
    before = ids(two, "heron")
    one.do("log.flush()")  # seals and merges to the end

    assert one.do("log.stats()['runs']") >= 1
    assert ids(two, "heron") == before
    assert len(before) == 40
    assert two.do("[memory.get(i).text for i in sorted(" + repr(before) + ")][7]") == "heron number7"
    assert two.do("memory.check()") == []


def test_a_process_that_fell_behind_the_changes_reads_everything_anew(actors):
    """One process sleeps while the other makes more changes than are kept."""
    one, two = actors(2, **SMALL)
    flushed(one, "an egret first")
    assert len(ids(two, "egret")) == 1
    one.do(f"from ctxmem.tables import changes\nchanges.KEEP = {changes.KEEP // 256}")
    for n in range(60):
        flushed(one, f"an egret number{n}")
    one.do("memory.forget(memory.search('number7')[0].segment.id)")

    assert len(ids(two, "egret")) == 60
    assert two.do("memory.check()") == []


def test_a_writer_more_than_there_are_slots_is_refused_and_may_read(actors):
    crew = actors(5, **SMALL)
    for n, actor in enumerate(crew):
        actor.do("from ctxmem.tables import slots\nslots.SLOTS = 4")
        if n < 4:
            flushed(actor, f"writer number{n}")
    with pytest.raises(ctxmem.StoreBusy, match="all 4 writer slots"):
        crew[4].do("memory.add('one too many')")

    assert len(ids(crew[4], "writer")) == 4
    crew[3].kill()
    flushed(crew[4], "the slot of a dead writer")
    assert crew[4].do("log._writer.slot.number") == 3
    assert len(ids(crew[0], "writer")) == 5


def test_a_paused_process_keeps_its_slot_and_goes_on(actors):
    (one,) = actors(1, **SMALL)
    mine = flushed(one, "an osprey before the pause")
    one.send(signal.SIGSTOP)
    (two,) = actors(1, **SMALL)
    theirs = flushed(two, "an osprey meanwhile")
    assert two.do("log._writer.slot.number") == 1
    two.do("log.flush()")
    one.send(signal.SIGCONT)

    later = flushed(one, "an osprey after the pause")
    assert later == mine + 1
    assert ids(two, "osprey") == ids(one, "osprey") == sorted([mine, theirs, later])


def test_a_paused_maintainer_does_not_keep_others_from_work(actors):
    """It may be paused in the middle of a merge; the others append and search, and merge when it is gone."""
    one, two = actors(2, **SMALL)
    for n in range(40):
        one.do(f"memory.add('plover number{n}')")
    one.do("log._writer.commit([])\nsteps = log.index.steps()")
    one.do("[next(steps) for _ in range(7)]")
    one.send(signal.SIGSTOP)
    for n in range(40):
        flushed(two, f"plover again{n}")
    assert len(ids(two, "plover")) == 80
    one.kill()
    two.do("log.flush()")

    assert two.do("log.stats()['runs']") >= 2
    assert len(ids(two, "plover")) == 80
    assert two.do("memory.check()") == []


def test_two_processes_maintain_two_blocks_at_once(actors):
    one, two = actors(2, **SMALL)
    for n in range(40):
        one.do(f"memory.add('curlew number{n}')")
    one.do("log._writer.commit([])\nsteps = log.index.steps()")
    one.do("[next(steps) for _ in range(3)]")
    for n in range(100):
        flushed(two, f"curlew again{n}")
    two.do("log.flush()")
    blocks = "sorted({run.first // 64 for run in log.index._runs})"
    meanwhile = two.do(blocks)
    assert meanwhile
    assert 0 not in meanwhile
    one.do("[None for _ in steps]")

    one.do("log.index.refresh()")
    assert one.do(blocks)[0] == 0
    assert len(ids(one, "curlew")) == len(ids(two, "curlew")) == 140
    assert one.do("memory.check()") == two.do("memory.check()") == []


def test_a_maintainer_that_was_overtaken_gives_up(actors):
    """As if its lock had been lost: what it was writing is swept, and it publishes nothing."""
    one, two = actors(2, **SMALL)
    for n in range(40):
        one.do(f"memory.add('dunlin number{n}')")
    one.do("log._writer.commit([])\nsteps = log.index.steps()")
    one.do("[next(steps) for _ in range(5)]")
    one.do("log._store.release_maintenance(0)")
    two.do("log.flush()")
    one.do("[None for _ in steps]")

    assert len(ids(one, "dunlin")) == len(ids(two, "dunlin")) == 40
    assert one.do("memory.check()") == two.do("memory.check()") == []


def test_a_reader_keeps_the_view_it_has(actors):
    writer, reader = actors(2, **SMALL)
    for n in range(40):
        writer.do(f"memory.add('godwit number{n}')")
    writer.do("log.flush()")
    reader.do("view = log.snapshot(); view.__enter__()\nbefore = list(view.scan('runs')), list(view.scan('frames'))")
    for n in range(60):
        flushed(writer, f"godwit again{n}")
    writer.do("memory.forget(memory.search('number7')[0].segment.id)")
    writer.do("log.flush()")

    assert reader.do("(list(view.scan('runs')), list(view.scan('frames'))) == before") is True
    with pytest.raises(ctxmem.StoreBusy):
        writer.do("memory.compact()")
    reader.do("view.__exit__(None, None, None)")
    assert len(ids(reader, "godwit")) == 99
    reader.end()
    writer.do("memory.compact()")
    assert len(ids(writer, "godwit")) == 99


def test_a_readonly_process_follows_and_writes_nothing(actors):
    (writer,) = actors(1, **SMALL)
    flushed(writer, "a knot early")
    (reader,) = actors(1, readonly=True, **SMALL)
    assert len(ids(reader, "knot")) == 1
    for n in range(50):
        flushed(writer, f"a knot number{n}")
    writer.do("log.flush()")

    assert len(ids(reader, "knot")) == 51
    for attempt in ("memory.add('x')", "memory.pin(0)", "memory.forget(0)", "memory.compact()"):
        with pytest.raises(ctxmem.StoreReadonly):
            reader.do(attempt)
    assert reader.do("memory.check()") == []


# --- sessions that move ---

SAY = """
context = memory.context("s", model="gpt-4o")
for n in range({start}, {stop}):
    context.append({{"role": "user" if n % 2 == 0 else "assistant", "content": f"turn {{n}}"}})
prompt = context.assemble()
said = [m["content"] for m in prompt.messages]
"""


def say(actor, start, stop):
    actor.do(SAY.format(start=start, stop=stop))
    return actor.do("said")


def test_a_session_goes_from_process_to_process_in_order(actors):
    one, two = actors(2, **SMALL)
    flushed(two, "this one has a slot and a lower block than the next")
    for start in range(0, 30, 3):
        here = (one, two)[start // 3 % 2]
        assert say(here, start, start + 3) == [f"turn {n}" for n in range(start + 3)]
        here.do("context.close()")

    found = one.do("[h.segment.text for h in reversed(memory.search('', limit=99, session='s'))]")
    assert found == [f"turn {n}" for n in range(30)]
    numbers = two.do("log.index.session_ids(log.session('s'))")
    assert two.do(f"[memory.get(i).text for i in {numbers}]") == found


def test_a_session_goes_on_in_order_where_a_killed_process_left_it(actors):
    for start in range(0, 15, 3):
        one, two = actors(2, **SMALL)
        flushed(one, "takes the first slot")
        here = (one, two)[start // 3 % 2]
        said = [text for text in say(here, start, start + 3) if text != "no barrier covers this"]  # it may be there
        assert said == [f"turn {n}" for n in range(start + 3)]
        here.do("context.append({'role': 'user', 'content': 'no barrier covers this'})")
        one.kill()
        two.kill()


def test_two_processes_want_one_session(actors):
    one, two = actors(2, **SMALL)
    one.do("context = memory.context('s', model='gpt-4o')")
    for state in (signal.SIGCONT, signal.SIGSTOP):
        one.send(state)
        with pytest.raises(ctxmem.ContextBusy, match=rf"process {one.pid} on {os.uname().nodename}") as caught:
            two.do("memory.context('s', model='gpt-4o')")
        assert (caught.value.pid, caught.value.host) == (one.pid, os.uname().nodename)
    two.do("memory.context('another', model='gpt-4o')")
    one.kill()
    two.do("memory.context('s', model='gpt-4o')")


def test_no_id_is_given_twice_whoever_dies(actors):
    given = {}
    for n in range(6):
        one, two = actors(2, **SMALL)
        for actor in (one, two):
            for k in range(7):
                text = f"sanderling {n} {actor.pid} {k}"
                given.setdefault(flushed(actor, text), []).append(text)
            actor.do("memory.add('no barrier covers this')")
        one.kill()
        two.kill()
    (last,) = actors(1, **SMALL)

    assert {i: [last.do(f"memory.get({i}).text")] for i in given} == given
    assert last.do("memory.check()") == []


FORK = """
import os
memory.add("before the fork")
reading, writing = os.pipe()
child = os.fork()
if not child:
    said = []
    for attempt in (lambda: memory.add("x"), lambda: memory.search("fork"), lambda: memory.get(0), memory.flush,
                    memory.stats, lambda: memory.context("s", model="gpt-4o")):
        try:
            attempt()
            said.append("nothing")
        except Exception as error:
            said.append(type(error).__name__)
    os.write(writing, " ".join(said).encode())
    os._exit(0)
os.close(writing)
said = os.read(reading, 9999).decode().split()
os.waitpid(child, 0)
"""


def test_a_forked_child_is_refused_and_its_parent_goes_on(actors):
    (one,) = actors(1, **SMALL)
    one.do(FORK)

    assert one.do("said") == ["StoreForked"] * 6
    flushed(one, "after the fork")
    assert len(ids(one, "fork")) == 2
    assert one.do("memory.check()") == []


AGAIN = """
import os, sys, ctxmem
memory = ctxmem.open(sys.argv[1])
memory.add("said by the parent")
memory.flush()
with memory._log.snapshot() as snapshot:
    child = os.fork()
if not child:
    try:
        memory.flush()
    except ctxmem.StoreForked as exc:
        assert "open it again" in str(exc)
    with ctxmem.open(sys.argv[1]) as mine:
        for n in range(300):
            mine.add(f"said by the child {n}")
        mine.flush()
        assert len(mine.search("parent")) == 1
    memory.close()
    sys.exit(7)  # by the interpreter's end, which drops whatever is left
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
for n in range(50):
    memory.add(f"said afterwards {n}")
    memory.flush()
    assert memory.search(f"afterwards {n}")
print(len(memory.search("child", limit=1000)), memory.check())
memory.close()
"""


def test_a_forked_child_opens_the_store_again(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(tmp_path / "s")], capture_output=True, text=True, timeout=300, check=False
    )

    assert done.stdout.splitlines() == ["7", "300 []"], done.stderr
    assert done.returncode == 0


ORPHAN = """
import os, signal, sys, ctxmem
memory = ctxmem.open(sys.argv[1])
memory.context("s", model="gpt-4.1").append({"role": "user", "content": "hello"})
memory.flush()
if os.fork():
    os.kill(os.getpid(), signal.SIGKILL)
print("alone", flush=True)
input()
"""


def test_a_child_that_lives_on_holds_nothing_of_its_dead_parent(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(tmp_path / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout.readline() == "alone\n"
        parent.wait(60)
        with ctxmem.open(tmp_path / "s") as memory:
            memory.context("s", model="gpt-4.1").append({"role": "user", "content": "still there"})
            memory.compact()  # needs the store alone
        parent.stdin.write("go\n")


def test_a_lease_is_free_the_moment_its_owner_is_dead(actors):
    one, two = actors(2, **SMALL)
    one.do("context = memory.context('s', model='gpt-4o')")
    with pytest.raises(ctxmem.ContextBusy):
        two.do("memory.context('s', model='gpt-4o')")
    one.kill()
    two.do("memory.context('s', model='gpt-4o')")  # at the first try
