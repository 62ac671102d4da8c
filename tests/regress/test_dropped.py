"""A `Memory` that was dropped without `close` does not block its path, and loses nothing."""

import gc
import subprocess
import sys
import warnings

import pytest

import ctxmem
from ctxmem.errors import StoreBusy


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
