"""Waiting for another process: bounded, and Ctrl-C ends it; what waited can be done again."""

import signal
import subprocess
import sys
import threading

import pytest

from ctxmem.errors import StoreBusy
from ctxmem.store import localstore, locks, wakeups, writelock
from ctxmem.store.localstore import LocalStore
from ctxmem.store.wakeups import Wakeups
from ctxmem.store.writelock import WriteLock
from tests.waiting import WATCHDOG_S, eventually


@pytest.fixture
def store(tmp_path):
    opened = LocalStore.open(tmp_path / "s", durability="unsafe")
    yield opened
    opened.close()


@pytest.fixture
def other(store):
    """The lock file as another process would have it open."""
    file = locks.LockFile(store.path / "lock", writable=True)
    yield file
    file.close()


def put(store):
    with store.batch() as batch:
        batch.put("log", b"k", b"v")


def put_alarmed(store):
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    put(store)


def test_a_writer_that_takes_too_long_is_named(store, other, monkeypatch):
    monkeypatch.setattr(writelock, "TIMEOUT_S", 0.1)
    assert other.take(locks.WRITE)
    with pytest.raises(StoreBusy, match="writing"):
        put(store)
    assert not other.is_held_elsewhere(locks.NEXT)
    other.release(locks.WRITE)
    put(store)


def test_ctrl_c_ends_the_wait(store, other, monkeypatch):
    assert other.take(locks.WRITE)
    monkeypatch.setattr(writelock, "TIMEOUT_S", 10 * WATCHDOG_S)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            put_alarmed(store)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not other.is_held_elsewhere(locks.NEXT)
    other.release(locks.WRITE)
    put(store)


# --- the queue of writers ---


class Waiter:
    """A writer as another process would be: its own lock file, waiting in a thread; notes when its turn came."""

    def __init__(self, store, name, order):
        self.file = locks.LockFile(store.path / "lock", writable=True)
        self.lock = WriteLock(self.file, store.path)
        self.thread = threading.Thread(target=self._run, args=(name, order))
        self.thread.start()

    def _run(self, name, order):
        self.lock.take(id(self))
        order.append(name)
        self.lock.release(id(self))

    def end(self):
        self.thread.join(WATCHDOG_S)
        self.lock.close()
        self.file.close()


def test_who_writes_and_comes_again_stands_behind_the_one_who_waits(store, other):
    own = WriteLock(other, store.path)
    order = []
    for turn in range(20):
        own.take(turn)
        waiter = Waiter(store, "waited", order)
        eventually(lambda: other.is_held_elsewhere(locks.NEXT))
        own.release(turn)
        own.take(turn + 100)
        order.append("again")
        own.release(turn + 100)
        waiter.end()
    own.close()

    assert order == ["waited", "again"] * 20


@pytest.mark.parametrize("has_futex", [True, False])
def test_many_writers_all_have_their_turn(store, other, monkeypatch, has_futex):
    if not has_futex:
        monkeypatch.setattr(wakeups, "_NUMBER", None)
    assert other.take(locks.WRITE)
    order = []
    waiters = [Waiter(store, name, order) for name in range(20)]
    eventually(lambda: other.is_held_elsewhere(locks.NEXT))
    other.release(locks.WRITE)
    for waiter in waiters:
        waiter.end()

    assert sorted(order) == list(range(20))


def test_a_sleep_ends_when_it_is_woken_and_by_itself(store):
    first, second = Wakeups(store.path / "lock"), Wakeups(store.path / "lock")
    seen = first.seen(wakeups.FOR_WRITE)
    second.wake(wakeups.FOR_WRITE)
    assert first.seen(wakeups.FOR_WRITE) == seen + 1
    first.wait(wakeups.FOR_WRITE, seen)  # has changed since: returns at once
    first.wait(wakeups.FOR_WRITE, seen + 1)  # nobody wakes it
    first.close()
    first.close()
    first.wake(wakeups.FOR_WRITE)  # closed: nothing
    second.close()


def test_threads_of_one_store_wait_like_processes(store, other):
    assert other.take(locks.WRITE)
    done = []
    threads = [threading.Thread(target=lambda: done.append(put(store))) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: other.is_held_elsewhere(locks.NEXT))
    waiter = Waiter(store, "later", done)
    other.release(locks.WRITE)
    waiter.end()
    for thread in threads:
        thread.join(WATCHDOG_S)

    assert sorted(map(str, done)) == ["None", "None", "None", "later"]


HOLD = """
import sys
from ctxmem.store.localstore import LocalStore
from ctxmem.store.wakeups import Wakeups
from ctxmem.store.writelock import WriteLock
store = LocalStore.open(sys.argv[1], durability="unsafe")
print("open", flush=True)
input()
store.write(lambda batch: (print("in", flush=True), input()))
"""


def test_killed_writers_are_out_of_the_way_whether_they_wrote_or_waited(store, other):
    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "open\n"
        return process

    def go(process):
        process.stdin.write("go\n")
        process.stdin.flush()

    order = []
    with start() as holder, start() as front:
        go(holder)
        assert holder.stdout.readline() == "in\n"
        go(front)
        eventually(lambda: other.is_held_elsewhere(locks.NEXT))
        waiter = Waiter(store, "behind", order)
        front.kill()
        front.wait()
        eventually(lambda: other.is_held_elsewhere(locks.NEXT))  # it moved up
        assert order == []
        holder.kill()
        waiter.end()

    assert order == ["behind"]
    put(store)


def test_a_rewrite_elsewhere_keeps_us_out(tmp_path, store, other, monkeypatch):
    monkeypatch.setattr(localstore, "OPEN_TIMEOUT_S", 0.1)
    store.close()
    assert other.take(locks.OPEN)
    for readonly in (False, True):
        with pytest.raises(StoreBusy, match="rewriting"):
            LocalStore.open(store.path, readonly=readonly)
    other.release(locks.OPEN)
    LocalStore.open(store.path).close()


def test_maintenance_elsewhere_is_respected(store, other):
    assert other.take(locks.MAINTENANCE)
    assert not store.hold_maintenance()
    other.release(locks.MAINTENANCE)
    assert store.hold_maintenance()
    store.release_maintenance()
