"""Killed before every single commit of a barrier, a seal, a merge, a purge and a bulk load, one after another.

A child of this process opens the store and dies before its n-th commit, for n = 0, 1, 2 ... until it lives; what is on
disk is then what the commit before left. Each time the store opens, checks clean, holds all that a barrier covered, and
finishes what was begun.
"""

import os
import signal

import pytest

import ctxmem
from ctxmem import loading
from ctxmem.store.environment import Environment
from ctxmem.tables import flags

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child goes its own way

SMALL = ctxmem.Options(tail_segments=16, merge_factor=2, block_segments=64, durability="unsafe")
LIVED = 7
MOST = 200  # commits that one of the jobs makes, at most


@pytest.fixture(autouse=True)
def _much_is_soon(monkeypatch):
    """Take 50 items for a bulk load."""
    monkeypatch.setattr(loading, "MANY", 50)


def opened(path):
    return ctxmem.open(path, options=SMALL)


def dies_at(n):
    """Kill this process before its n-th commit from now on."""
    ending, left = Environment.end, [n]

    def end(self, visitor, transaction, *, commit):
        left[0] -= commit
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        ending(self, visitor, transaction, commit=commit)

    Environment.end = end


def in_child(act):
    """Run a function in a process of its own; whether it lived."""
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(LIVED)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == LIVED
    return True


def commit(memory):
    for n in range(10):
        memory.add(f"uncovered {n}", session="new")
    memory.flush()


def seal_and_merge(memory):
    memory._log.flush()


def purge(memory):
    memory._log.flush()
    memory._log.index.purge()


def load(memory):
    memory.add_many({"text": f"loaded {n}", "key": f"k{n}", "session": "load"} for n in range(170))


def filled(path):
    """A store with notes that a barrier covered, some of them forgotten, none sealed."""
    memory = opened(path)
    ids = [memory.add(f"covered number{n}", session=f"s{n % 2}").id for n in range(50)]
    memory._log._writer.commit([])
    for segment_id in ids[::7]:
        memory._log._flag(flags.FORGOTTEN, [segment_id], is_on=True, kind="forget")
    return memory, ids


@pytest.mark.unchecked  # each is checked below
@pytest.mark.parametrize("job", [commit, seal_and_merge, purge, load], ids=lambda job: job.__name__)
def test_a_kill_at_any_commit_loses_nothing_covered(tmp_path, job):
    def first_life():
        memory, _ = filled(tmp_path / name)
        dies_at(n)
        job(memory)

    for n in range(MOST):
        name = f"s{n}"
        lived = in_child(first_life)
        with opened(tmp_path / name) as memory:
            see(memory)
            memory._log.flush()
            see(memory)
        if lived:
            break
    assert lived
    assert n >= 1


def see(memory):
    """What was covered is there, once, and what was not is there whole or not at all."""
    assert memory.check() == []
    covered = {hit.segment.id: hit.segment.text for hit in memory.search("+covered", limit=999)}
    alive = [n for n in range(50) if n % 7]
    assert sorted(covered.values()) == sorted(f"covered number{n}" for n in alive)
    assert len({memory.get(i).session for i in covered}) == 2
    rest = [hit.segment.text for hit in memory.search("uncovered", limit=999)]
    assert len(rest) in (0, 10)
    loaded = [hit.segment.text for hit in memory.search("loaded", limit=999)]
    assert len(set(loaded)) == len(loaded)
    assert len(loaded) in (0, 64, 128, 170)  # whole blocks


@pytest.mark.unchecked
def test_a_load_that_was_killed_is_done_again_by_its_keys(tmp_path):
    def first_life():
        memory, _ = filled(tmp_path / "s")
        dies_at(9)
        load(memory)

    assert not in_child(first_life)
    with opened(tmp_path / "s") as memory:
        load(memory)
        assert len(memory.search("loaded", limit=999)) == 170
        assert memory.check() == []


@pytest.mark.unchecked
@pytest.mark.parametrize("job", [commit, seal_and_merge, load], ids=lambda job: job.__name__)
def test_the_slot_and_the_block_of_the_dead_are_taken_over(tmp_path, job):
    def first_life():
        memory, _ = filled(tmp_path / "s")
        dies_at(0)
        job(memory)

    assert not in_child(first_life)
    with opened(tmp_path / "s") as memory:
        assert memory.add("the next").id == 50  # ids of what no commit covered are given again
        assert memory._log._writer.slot.number == 0
        assert memory._log._writer.slot.epoch == 2
