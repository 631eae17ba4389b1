"""Sweeps: the contract of executors, resumption, shared results, failures, dead workers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_contract import OutcomeContract, ProcessContract, calls
from runners import FailingRunner, Valley, trials

from mutransfer.sweep import LocalExecutor, TrialStore, run_sweep


class InProcess:
    """The smallest executor: runs trials one after another in this process."""

    def run(self, trials, work, stop) -> Iterator:
        for spec in trials:
            if not stop.is_set():
                yield work(spec)


@pytest.fixture
def store(tmp_path):
    return TrialStore(tmp_path / "runs", create=True)


class TestInProcessExecutor(OutcomeContract):
    """Also the oracle of the contract: the smallest executor keeps it."""

    @pytest.fixture
    def executor(self) -> InProcess:
        return InProcess()


class TestLocalExecutor(ProcessContract):
    """Two workers of this machine."""

    @pytest.fixture
    def executor(self) -> LocalExecutor:
        return LocalExecutor(2)


def test_a_second_run_repeats_no_trial(store) -> None:
    run_sweep(trials(), store, runner=Valley(), executor=InProcess())
    second = run_sweep(trials(lrs=(0.25, 0.5, 1.0)), store, runner=Valley(), executor=InProcess())
    assert (second.done, second.ran) == (6, 2)
    assert len(calls(store)) == len({trial_id for trial_id, *_ in calls(store)}) == 6


def test_a_diverged_trial_is_done_and_not_failed(store) -> None:
    summary = run_sweep(trials(lrs=(0.5, 16)), store, runner=Valley(), executor=InProcess())
    assert (summary.done, summary.diverged, summary.failed) == (4, 2, {})


def test_equal_training_runs_are_computed_once_and_shared_in_later_runs_too(store) -> None:
    def same(spec) -> str:
        return f"{min(spec.axes['lr'], 0.5)}"

    first = run_sweep(trials(widths=(32,)), store, runner=Valley(), executor=InProcess(), same=same)
    assert (first.ran, first.shared) == (2, 0)
    both = run_sweep(
        trials(lrs=(0.25, 0.5, 1.0)), store, runner=Valley(), executor=InProcess(), same=same
    )
    assert (both.done, both.ran, both.shared) == (6, 0, 4)


def test_a_failed_trial_is_retried_in_one_more_run(store) -> None:
    for attempt in (1, 2, 3):
        summary = run_sweep(
            trials(), store, runner=FailingRunner(0.5, is_ours=False), executor=InProcess()
        )
        assert len(summary.failed) == 2
        failed = next(iter(summary.failed))
        assert len(store.failures(failed)) == min(attempt, 2)
    assert "KeyError: 'oops'" in summary.failed[failed]
    assert "Traceback" in store.failures(failed)[0]


def test_workers_have_one_thread_and_are_reused(store) -> None:
    run_sweep(trials(widths=range(1, 9)), store, runner=Valley(0.05), executor=LocalExecutor(2))
    assert {threads for *_, threads in calls(store)} == {"1"}
    assert len({pid for _, pid, _ in calls(store)}) == 2


def test_expensive_trials_start_first(store) -> None:
    run_sweep(
        trials(widths=(1, 3, 2), lrs=(1,)),
        store,
        runner=Valley(),
        executor=InProcess(),
        cost=lambda spec: spec.axes["width"],
    )
    order = {spec.id: spec.axes["width"] for spec in trials(widths=(1, 3, 2), lrs=(1,))}
    assert [order[trial_id] for trial_id, *_ in calls(store)] == [3, 2, 1]


DRIVER = """
import sys
sys.path.insert(0, {here!r})
from runners import Valley, trials
from mutransfer.sweep import LocalExecutor, TrialStore, run_sweep
if __name__ == "__main__":
    store = TrialStore({store!r}, create=True)
    run_sweep(trials(widths=range(1, 9)), store, runner=Valley(0.2), executor=LocalExecutor(2))
"""


@pytest.mark.slow
def test_killing_the_driver_loses_no_result_and_ends_its_workers(tmp_path) -> None:
    """SIGKILL at several moments, then a run to the end: no result is lost or repeated."""
    store_path = tmp_path / "runs"
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(here=os.path.dirname(__file__), store=str(store_path)))
    for seconds in (1.0, 1.4, 1.9):
        driver = subprocess.Popen([sys.executable, str(script)])
        time.sleep(seconds)
        driver.kill()
        driver.wait()
    time.sleep(1.0)
    store = TrialStore(store_path, create=True)
    finished = {result.id for result in store.results()}
    calls_before = len(calls(store))
    time.sleep(0.5)
    assert len(calls(store)) == calls_before, "a worker outlived its driver"
    summary = run_sweep(
        trials(widths=range(1, 9)), store, runner=Valley(), executor=LocalExecutor(2)
    )
    assert summary.done == 16
    assert summary.ran == 16 - len(finished)


def start_driver(tmp_path, seconds: str) -> tuple[subprocess.Popen, list[int]]:
    """Start a driver with long trials; return it and the process numbers of its workers."""
    script = tmp_path / "driver.py"
    text = DRIVER.format(here=os.path.dirname(__file__), store=str(tmp_path / "runs"))
    script.write_text(text.replace("0.2", seconds))
    driver = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    claims: list[Path] = []
    deadline = time.monotonic() + 30
    while len(claims) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        claims = list((tmp_path / "runs").glob("*/claims/1.json"))
    return driver, [json.loads(path.read_text())["pid"] for path in claims]


def living(pids: list[int]) -> list[int]:
    """Return the living processes; whether a zombie is reaped depends on the container."""
    return [pid for pid in pids if (stat := process_stat(pid)) and stat.split(") ")[1][0] != "Z"]


def process_stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_workers_end_with_their_driver(number, tmp_path) -> None:
    """No worker may continue its trial of 30 seconds."""
    driver, workers = start_driver(tmp_path, "30")
    assert len(living(workers)) == 2
    driver.send_signal(number)
    assert driver.wait(timeout=10) not in (0, None)
    time.sleep(1)
    assert living(workers) == []
