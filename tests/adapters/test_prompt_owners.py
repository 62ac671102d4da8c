"""Every adapter that owns a framework's prompt, run by the framework itself with a scripted model: what must hold.

A framework is a driver in `tests/adapters/drivers`; what it is to do stands in `script.Driver`.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ctxmem
from tests.adapters import script
from tests.adapters.script import CALLS, RESERVE, SYSTEM, WINDOW

ROOT = Path(__file__).resolve().parents[2]
RUNS = 20
FEW = 5  # runs that need several collections, where one more whole conversation would tell nothing
FRAMEWORKS = sorted(path.stem for path in (ROOT / "tests/adapters/drivers").glob("[a-z]*.py"))


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request):
    """The driver of a framework; a framework that is not installed is passed over."""
    try:
        return importlib.import_module(f"tests.adapters.drivers.{request.param}")
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture
def memory(tmp_path):
    with ctxmem.open(tmp_path / "s", options=script.options()) as memory:
        yield memory


class Played:
    """A whole conversation: its requests, the framework's list at the end, and what the adapter has learned."""

    def __init__(self, driver, history):
        self.driver, self.history, self.requests = driver, history, driver.requests
        self.stats = driver.stats()
        context = driver.context()
        self.observed = context._session.now.row.calibrations[context.model]["observations"]
        self.turn = context.turn


@pytest.fixture(scope="module")
def played(framework, tmp_path_factory):
    with ctxmem.open(tmp_path_factory.mktemp("played") / "s", options=script.options()) as memory:
        driver = framework.Driver(memory)
        yield Played(driver, driver.play(RUNS))


def test_two_hundred_calls_went_through_the_adapter_without_an_error(played):
    assert len(played.requests) == RUNS * CALLS == 200
    assert played.stats == {"calls": 200, "cuts": 0, "errors": {}}


def test_every_request_is_one_that_the_provider_takes(played):
    broken = [(i, v) for i, r in enumerate(played.requests) for v in ctxmem.validate(r.wire, played.driver.provider)]

    assert broken == []


def test_every_request_is_within_the_budget_by_the_provider_s_own_count(played):
    driver = played.driver
    counts = [driver.counted(request.wire, driver.schemas) for request in played.requests]

    assert max(counts) <= WINDOW - RESERVE
    assert driver.counted(driver.wire(played.history), driver.schemas) > 3 * WINDOW  # all of it would never fit
    assert max(counts) > 0.6 * (WINDOW - RESERVE)  # and what there is room for is used


def test_the_framework_s_own_list_stays_whole(played):
    driver, last = played.driver, played.history

    for before, after in zip(played.requests, played.requests[1:], strict=False):
        assert driver.wire(after.given[: len(before.given)]) == driver.wire(before.given)
    assert not any(driver.is_ours(item) for item in last)
    text = json.dumps(driver.wire(last))
    for run in range(RUNS):
        assert script.asked(run).split(".")[0] in text
    assert all(f"call_{step}_0" in text for step in range(RUNS * CALLS) if step % CALLS != CALLS - 1)


def test_what_is_given_back_are_the_framework_s_own_objects(played):
    driver, n_own = played.driver, 0
    for request in played.requests:
        own = {id(item) for item in request.given}
        assert [item for item in request.sent if id(item) not in own and not driver.is_ours(item)] == []
        n_own += sum(id(item) in own for item in request.sent)

    assert n_own > 10 * len(played.requests)


def test_usage_arrives_once_a_call(played):
    assert played.observed == len(played.requests)
    assert played.turn == len(played.requests)


def test_pictures_and_errors_reach_the_model(played):
    driver = played.driver
    shown = [request.text for request in played.requests]

    assert any("data:image/png" in text for text in shown)
    assert any("cannot be read in round 5" in text for text in shown)
    assert all(item.count(SYSTEM) == 0 for item in map(json.dumps, map(driver.wire, [played.history])))


@pytest.mark.parametrize("mode", ["async", "stream"])
def test_streamed_or_awaited_or_neither_the_same_bytes_are_sent(framework, played, memory, mode):
    driver = framework.Driver(memory, mode=mode)
    driver.play(FEW)

    assert [request.text for request in driver.requests] == [each.text for each in played.requests[: FEW * CALLS]]
    assert driver.context()._session.now.row.calibrations[driver.context().model]["observations"] == FEW * CALLS


def test_a_retry_is_the_same_prompt(framework, played, memory):
    fails_at = frozenset(range(1, FEW * CALLS, 7))
    driver = framework.Driver(memory, fails_at=fails_at)
    driver.play(FEW)
    expected = []
    for step, request in enumerate(played.requests[: FEW * CALLS]):
        expected += [request.text] * (1 + (step in fails_at))

    assert [request.text for request in driver.requests] == expected
    assert driver.context().turn == FEW * CALLS


def test_a_process_that_was_killed_goes_on_with_the_same_bytes(framework, played, tmp_path):
    name, at = framework.__name__.rpartition(".")[2], FEW * CALLS - 4
    store, log = tmp_path / "killed", tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-m", "tests.adapters.killed", name, str(store), str(log), str(at)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    logged = log.read_text(encoding="utf-8").splitlines()
    assert logged == [request.text for request in played.requests[: at + 1]]

    with ctxmem.open(store, options=script.options()) as memory:
        driver = framework.Driver(memory, step=at)
        history = driver.run(played.requests[at].given)
        driver.play(1, history, first=FEW)

        assert [request.text for request in driver.requests] == [
            each.text for each in played.requests[at : (FEW + 1) * CALLS]
        ]


def test_an_edited_history_rewinds(framework, memory):
    driver = framework.Driver(memory)
    history = driver.play(FEW)
    at = next(i for i, item in enumerate(history) if "Task 3" in json.dumps(driver.wire([item])))
    edited = [*history[:at], driver.user("Task 3 is another one: mend the giraffe.")]
    driver.requests.clear()
    driver.step = 3 * CALLS
    after = driver.run(edited)

    assert len(driver.requests) == CALLS
    for request in driver.requests:
        assert ctxmem.validate(request.wire, driver.provider) == []
        assert "giraffe" in request.text
        assert "zebra3" not in request.text
        assert "zebra4" not in request.text
    found = [hit.segment.text for hit in driver.context().search("zebra3 zebra4 giraffe", limit=50)]
    assert any("giraffe" in text for text in found)
    assert not any("zebra3 " in text or "zebra4 " in text for text in found)
    assert driver.stats()["errors"] == {}
    assert driver.wire(after[: len(edited)]) == driver.wire(edited)
