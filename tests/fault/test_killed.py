"""A real process, killed: what a barrier covered is there, what was half written is not, and its locks are free."""

import os
import signal
import subprocess
import sys

import pytest

from ctxmem.errors import ContextBusy
from ctxmem.log import Log
from ctxmem.options import Options
from ctxmem.tables.slots import CHUNK
from tests.waiting import WATCHDOG_S

HEAD = """
import os, signal, sys, time
from ctxmem.log import Log
from ctxmem.options import Options
from ctxmem.segment import Record
from ctxmem.store.environment import Environment

def record(text):
    return Record(1, "message", "user", text, 3, 1.5e9, message={"role": "user", "content": text})

log = Log.open(sys.argv[1], options=Options(block_segments=64))
log.session("s")
log.lease(1)
"""
DIES_AFTER_BARRIER = """
for n in range(20): log.append(record(f"covered {n}"))
log.commit()
for n in range(5): log.append(record(f"not covered {n}"))
os.kill(os.getpid(), signal.SIGKILL)
"""
DIES_BEFORE_COMMIT = """
for n in range(20): log.append(record(f"covered {n}"))
log.commit()
for n in range(5): log.append(record(f"not covered {n}"))
log.commit(lambda batch: os.kill(os.getpid(), signal.SIGKILL))
"""
WRITES_FOR_EVER = """
n = 0
while True:
    for _ in range(3):
        log.append(record(f"covered {n}" + " and more" * (n % 400)))
        n += 1
    log.commit()
    print(n, flush=True)
"""


def start(tmp_path, body):
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + body, str(tmp_path / "s")],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def reopened(tmp_path):
    return Log.open(tmp_path / "s", options=Options(durability="unsafe"))


@pytest.mark.parametrize("body", [DIES_AFTER_BARRIER, DIES_BEFORE_COMMIT], ids=["after the barrier", "in mid commit"])
def test_what_a_barrier_covered_survives(tmp_path, body):
    with start(tmp_path, body) as process:
        assert process.wait(WATCHDOG_S) == -signal.SIGKILL

    log = reopened(tmp_path)
    log.lease(1)  # the dead owner is noticed at once
    texts = [log.get(n).text for n in range(20)]
    assert texts == [f"covered {n}" for n in range(20)]
    assert log._writer.slot.number == 0
    assert log.append(log.get(0))[0] == 20  # its slot and its unfinished block are taken over
    assert log.check() == []
    log.close()


@pytest.mark.parametrize("n_lines", [5, 6, 8, 13])
def test_a_kill_at_any_moment_leaves_a_sound_store(tmp_path, n_lines):
    with start(tmp_path, WRITES_FOR_EVER) as process:
        for _ in range(n_lines):
            process.stdout.readline()
        process.kill()  # somewhere in what it wrote next
        lines = process.stdout.read().split()
        process.wait(WATCHDOG_S)
    n_covered = int(lines[-1]) if lines and lines[-1].isdigit() else 15

    log = reopened(tmp_path)
    found = log.get_many(range(n_covered))
    assert [one.text.split(" and")[0] for one in found] == [f"covered {n}" for n in range(n_covered)]
    assert log.check() == []
    log.close()


def test_two_processes_share_a_store(tmp_path):
    ours = reopened(tmp_path)
    ours.session("s")
    lease = ours.lease(1)
    lease.release()
    body = """
print(log.append(record("theirs"))[0], flush=True)
log.commit()
print("committed", flush=True)
input()
"""
    with start(tmp_path, body) as process:
        theirs = int(process.stdout.readline())
        assert process.stdout.readline() == "committed\n"
        assert ours.get(theirs).text == "theirs"
        mine, _ = ours.append(ours.get(theirs))
        assert mine // CHUNK != theirs // CHUNK  # of one block, each its own ids
        with pytest.raises(ContextBusy) as caught:
            ours.lease(1)
        assert caught.value.pid == process.pid
        ours.forget([theirs])
        process.kill()
        process.wait(WATCHDOG_S)
    ours.lease(1)
    assert ours.check() == []
    ours.close()


def test_a_paused_process_keeps_its_lease(tmp_path):
    with start(tmp_path, "print('ready', flush=True); input()") as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        log = reopened(tmp_path)
        with pytest.raises(ContextBusy):
            log.lease(1)
        process.send_signal(signal.SIGCONT)
        process.communicate("\n", 30)
    log.lease(1)
    log.close()


def test_a_fork_does_not_keep_what_the_parent_gives_back(tmp_path):
    log = reopened(tmp_path)
    log.session("s")
    log.lease(1)
    gate, open_gate = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(open_gate)
        os.read(gate, 1)
        os._exit(0)
    os.close(gate)
    log.close()
    again = reopened(tmp_path)
    again.lease(1)
    assert again._writer.slot.number == 0
    again.close()
    os.close(open_gate)
    os.waitpid(pid, 0)
