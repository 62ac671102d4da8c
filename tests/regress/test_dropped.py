"""A `Memory` that was dropped without `close` does not block its path, and loses nothing."""

import gc
import subprocess
import sys
import warnings

import pytest

import ctxmem
from ctxmem.errors import StoreBusy
from ctxmem.store.localstore import LocalStore


def cell(path, *, fails=False):
    """What a notebook's cell does, run twice."""
    memory = ctxmem.open(path)
    memory.add("said in the cell")
    context = memory.context("s", model="gpt-4.1")
    context.append({"role": "user", "content": "hello"})
    if fails:
        raise LookupError("the cell fails")
    return memory


def test_a_cell_that_is_run_again_opens_the_store_again(tmp_path):
    with pytest.warns(ResourceWarning, match="was not closed"):  # noqa: PT031
        memory = cell(tmp_path / "s")
        del memory
        memory = cell(tmp_path / "s")
    assert len(memory.search("cell")) == 2
    memory.close()


def test_an_exception_in_between_does_not_hold_it(tmp_path):
    with pytest.warns(ResourceWarning, match="was not closed"):  # noqa: PT031
        for _ in range(2):
            with pytest.raises(LookupError):
                cell(tmp_path / "s", fails=True)
        with ctxmem.open(tmp_path / "s") as memory:
            assert len(memory.search("cell")) == 2


def test_one_that_only_read_is_let_go_too(tmp_path):
    ctxmem.open(tmp_path / "s").close()
    with pytest.warns(ResourceWarning, match="was not closed"):  # noqa: PT031
        for readonly in (False, True, False):
            assert ctxmem.open(tmp_path / "s", readonly=readonly).search("x") == []
        gc.collect()


def test_one_that_is_still_held_is_refused_and_told_what_to_do(tmp_path):
    memory = cell(tmp_path / "s")
    with pytest.raises(StoreBusy, match="close it first"):
        ctxmem.open(tmp_path / "s")
    memory.close()


def test_a_closed_one_says_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cell(tmp_path / "s").close()
        gc.collect()


SCRIPT = """
import sys, ctxmem
def main():
    memory = ctxmem.open(sys.argv[1])
    for n in range(3000):
        memory.add(f"said number {n}")
main()
"""


def test_a_script_that_drops_it_at_its_end_loses_nothing(tmp_path):
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "s")], check=True, timeout=300)
    with ctxmem.open(tmp_path / "s") as memory:
        assert memory.stats()["segments"] == 3000


ENDING = """
import sys
import ctxmem
from ctxmem.store import writelock
memory = ctxmem.open(sys.argv[1])
memory.add("flushed")
memory.flush()
print("ready", flush=True)
sys.stdin.readline()
writelock.TIMEOUT_S = float(sys.argv[2])
memory.add("queued")
if sys.argv[3] == "dropped":
    del memory
print("ending", flush=True)
"""


def ended(path, how, *, timeout_s, lets_go):
    """Have a process end with something queued while this one is writing; returns what it said on stderr."""
    store = LocalStore.open(path)
    command = [sys.executable, "-W", "ignore", "-c", ENDING, str(path), str(timeout_s), how]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as child:
        assert child.stdout.readline() == "ready\n"

        def hold(_):
            child.stdin.write("go\n")
            child.stdin.flush()
            assert child.stdout.readline() == "ending\n"
            if not lets_go:
                child.wait()

        store.write(hold)
        said = child.communicate()[1]
    store.close()
    assert child.returncode == 0
    return said


@pytest.mark.parametrize("how", ["held", "dropped"])
def test_the_end_of_a_process_waits_for_its_turn_to_write(tmp_path, how):
    assert ended(tmp_path / "s", how, timeout_s=60, lets_go=True) == ""
    with ctxmem.open(tmp_path / "s") as memory:
        assert len(memory.search("queued")) == 1


@pytest.mark.parametrize("how", ["held", "dropped"])
def test_the_end_of_a_process_names_what_it_could_not_write(tmp_path, how):
    said = ended(tmp_path / "s", how, timeout_s=0.2, lets_go=False)

    assert "the last 1 segments, from " in said
    assert "were not written" in said
    assert "StoreBusy" in said
    assert str(tmp_path / "s") in said
    assert "Traceback" not in said
    with ctxmem.open(tmp_path / "s") as memory:
        assert [len(memory.search(word)) for word in ("flushed", "queued")] == [1, 0]
        assert memory.check() == []
