"""Each call of a sweep fails in turn: finished trials are kept, and the next run completes."""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from recorded_disk import RecordedDisk, fail_at, fill_at
from test_power_loss import Runner, sweep

from mutransfer.errors import StoreError
from mutransfer.records import TrialResult
from mutransfer.sweep import TrialStore
from mutransfer.sweep.store import claims, store


@pytest.fixture(autouse=True)
def simulated(monkeypatch) -> None:
    """Skip real syncs."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def problems(
    folder: Path, rule: Callable[[int], Callable[[str, Path], int]], step: int
) -> Iterator[str]:
    """Let each call of a sweep, or each of some, fail in turn; yield what goes wrong."""
    for number in itertools.count(0, step):
        disk = RecordedDisk(folder / str(number), fails=rule(number))
        disk.root.mkdir()
        if problem := run_twice(disk):
            yield f"call {number}, {disk.calls[-1]}: {problem}"
        if len(disk.calls) <= number:
            assert number > 150
            return  # no call was left that could fail


def run_twice(disk: RecordedDisk) -> str:
    """Run a sweep on a failing disk and again on a good one; return what goes wrong."""
    runner, reported = Runner([]), list[TrialResult]()

    def on_outcome(outcome) -> None:
        if outcome.status == "done":
            reported.append(outcome.result)

    try:
        with disk.recording():
            failed = sweep(disk.root, runner, on_outcome).failed
    except StoreError as error:
        what, why, fix = str(error).splitlines()
        if not (str(disk.root) in what and why.startswith("  why: ") and fix.startswith("  fix: ")):
            return f"an error that does not help: {error}"
        if " rm " in fix:
            return f"an intact file shall be removed: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    else:
        if not all(failed.values()):
            return f"a failure without a reason: {failed}"
    num_calls = len(runner.calls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "start_time", lambda pid: "later")  # the first process has ended
        summary = sweep(disk.root, runner)
    if (summary.done, summary.failed) != (4, {}):
        return f"not completed: {summary}"
    trial_store = TrialStore(disk.root / "runs" / "s")
    if any(trial_store.result(result.id) != result for result in reported):
        return "a result that was reported is lost or changed"
    again = {result.id for result in reported} & set(runner.calls[num_calls:])
    return f"run again: {again}" if again else ""


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("rule", [fail_at, fill_at], ids=["an I/O error", "a full disk"])
def test_a_call_that_fails_costs_no_finished_trial(tmp_path, rule, step) -> None:
    assert list(problems(tmp_path, rule, step)) == []


def test_an_error_that_is_not_converted_is_a_problem(tmp_path, monkeypatch) -> None:
    """Negative control."""
    monkeypatch.setattr(store, "read_errors", nullcontext)
    disk = RecordedDisk(
        tmp_path, fails=lambda operation, path: errno.EIO * (operation == "scandir")
    )
    assert run_twice(disk).startswith("OSError: ")
