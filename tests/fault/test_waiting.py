"""Waiting for another process: bounded, and Ctrl-C ends it; what waited can be done again."""

import signal
import time

import pytest

from ctxmem.errors import StoreBusy
from ctxmem.store import localstore, locks, writelock
from ctxmem.store.localstore import LocalStore


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


def test_a_writer_that_takes_too_long_is_named(store, other, monkeypatch):
    monkeypatch.setattr(writelock, "TIMEOUT_S", 0.1)
    assert other.take(locks.WRITE)
    with pytest.raises(StoreBusy, match="writing"):
        put(store)
    other.release(locks.WRITE)
    put(store)


def test_ctrl_c_ends_the_wait(store, other):
    assert other.take(locks.WRITE)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            put(store)
        assert time.monotonic() - begun < 5
    finally:
        signal.signal(signal.SIGALRM, before)
    other.release(locks.WRITE)
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
