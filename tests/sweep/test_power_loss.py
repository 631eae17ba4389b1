"""Power cuts at every moment of a sweep: nothing reported as done is lost, nothing torn is read."""

import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from recorded_disk import LOSSES, RecordedDisk, Report, write_tree
from runners import trials

from mutransfer.errors import StoreError
from mutransfer.records import CommandRunner, CommandTable, StudySpec, TrialResult, TrialSpec
from mutransfer.sweep import CommandRun, TrialStore, driver, run_sweep
from mutransfer.sweep.store import claims

SPECS = trials(widths=(32,), lrs=(0.25, 0.5, 16.0))
STUDY = StudySpec.model_validate(
    {"schema": 1, "study": {"name": "s"}, "axes": {"width": [32], "lr": [0.25, 0.5, 16.0]}}
)


class InProcess:
    """Executor that runs trials one after another in this process."""

    def run(self, trials, work, stop) -> Iterator:
        for spec in trials:
            if not stop.is_set():
                yield work(spec)


@dataclass
class Runner:
    """Runner whose highest rate diverges and whose second rate fails at the first attempt."""

    calls: list[str]
    fails: bool = True

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        self.calls.append(spec.id)
        lr = float(spec.axes["lr"])
        if lr == 0.5 and self.fails and self.calls.count(spec.id) == 1:
            raise KeyError("oops")
        return TrialResult(
            id=spec.id,
            spec=spec,
            loss=None if lr > 10 else 2 + math.log2(lr) ** 2,
            diverged_at=3 if lr > 10 else None,
            seconds=0.0,
            finished="now",
        )


def sweep(folder: Path, runner, on_outcome=lambda outcome: None):
    """Run the study; a trial of width 64 is the same training as that of the first rate."""
    store = TrialStore(folder / "runs" / "s", create=True)
    twin = trials(widths=(64,), lrs=(0.25,))[0]
    specs = [*SPECS, twin]
    store.write_study(STUDY, specs)
    return run_sweep(
        specs,
        store,
        runner=runner,
        executor=InProcess(),
        retries=1,
        same=lambda spec: SPECS[0].id if spec == twin else spec.id,
        on_outcome=on_outcome,
    )


def record(folder: Path, ignores: Callable[[str, Path], bool] | None = None) -> RecordedDisk:
    """Record a sweep, with what it reported as done."""
    folder.mkdir()
    disk = RecordedDisk(folder, ignores=ignores or (lambda operation, path: False))

    def on_outcome(outcome) -> None:
        if outcome.status == "done":
            disk.log.append(Report(outcome.result))

    with disk.recording():
        summary = sweep(folder, Runner([]), on_outcome)
    assert (summary.done, summary.ran, summary.shared, summary.diverged) == (4, 3, 1, 1)
    return disk


@pytest.fixture
def rebooted(monkeypatch) -> None:
    """Start the host again: owners of claims belong to an earlier boot, and are soon stale."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a simulation needs no real disk
    monkeypatch.setattr(claims, "pid_scope", lambda: "host another-boot pid:[1]")
    monkeypatch.setattr(driver, "STALE_SECONDS", -1.0)
    monkeypatch.setattr(driver, "POLL_SECONDS", 0.0)


def problems(disk: RecordedDisk, folder: Path, losses: Sequence[str]) -> Iterator[str]:
    """Cut the power at every moment of a sweep and resume; yield what goes wrong."""
    states = set()
    for moment, name in itertools.product(range(len(disk.log) + 1), losses):
        tree = disk.after_power_cut(moment, LOSSES[name], seed=moment)
        reported = [entry.message for entry in disk.log[:moment] if isinstance(entry, Report)]
        state = (len(reported), frozenset(tree.items()))
        if state not in states:
            states.add(state)
            if problem := resume(tree, reported, folder / str(len(states))):
                yield problem
    assert len(states) > 50


def resume(tree: dict[str, bytes | None], reported: list[TrialResult], folder: Path) -> str:
    """Resume after a power cut; return what goes wrong, nothing if all is well."""
    write_tree(tree, folder)
    runner = Runner([], fails=False)
    try:
        summary = sweep(folder, runner)
    except StoreError as error:
        return f"StoreError: {error}"
    store = TrialStore(folder / "runs" / "s")
    if summary.done != 4 or summary.failed:
        return f"not completed: {summary}"
    results = [store.result(trial_id) for trial_id in store.study_trials()]
    if [result.loss for result in results] != [6.0, 3.0, None, 6.0]:
        return f"believed: {results}"
    if lost := [result.id for result in reported if store.result(result.id) != result]:
        return f"lost: {lost}"
    return f"run again: {again}" if (again := {r.id for r in reported} & {*runner.calls}) else ""


FEW = ("everything", "data")


@pytest.mark.parametrize("losses", [FEW, pytest.param([*LOSSES], marks=pytest.mark.slow)])
def test_a_power_cut_at_any_moment_loses_no_result_that_was_reported(
    tmp_path, rebooted, losses
) -> None:
    disk = record(tmp_path / "first")
    assert list(problems(disk, tmp_path / "resumed", losses)) == []


@pytest.mark.parametrize(
    ("loss", "ignores"),
    [
        ("data", lambda operation, path: operation == "fsync" and path.is_file()),
        ("everything", lambda operation, path: operation == "fsync" and len(path.name) == 64),
        ("everything", lambda operation, path: operation == "fsync" and path.name == "s"),
        ("everything", lambda operation, path: operation == "fsync" and path.name == "runs"),
    ],
    ids=["files", "folders of trials", "the store", "the folder of the store"],
)
def test_every_sync_is_needed(tmp_path, rebooted, loss, ignores) -> None:
    """Negative control: without one kind of sync, something is lost that was reported."""
    disk = record(tmp_path / "first", ignores)
    problem = next(problems(disk, tmp_path / "resumed", [loss]))
    assert problem.split(":")[0] in ("run again", "StoreError")


@pytest.mark.slow
def test_nothing_torn_is_believed_even_if_the_disk_never_syncs(tmp_path, rebooted) -> None:
    """Each problem of such a disk is an error that says what to remove, or a repeated trial."""
    disk = record(tmp_path / "first", lambda operation, path: operation == "fsync")
    kinds = set()
    for problem in problems(disk, tmp_path / "resumed", [*LOSSES]):
        kinds.add(problem.split(":")[0])
        if problem.startswith("StoreError"):
            _, why, fix = problem.splitlines()
            assert why.startswith("  why: ")
            assert fix.startswith(("  fix: remove ", "  fix: restore it: ", "  fix: name a folder"))
    assert kinds == {"StoreError", "run again"}


def test_the_output_of_a_program_is_synced_before_its_exit_status_is_written(tmp_path) -> None:
    """A later attempt that finds the exit status believes the output."""
    words = "sh -c 'echo loss,width > {trial_dir}/log.csv; echo 2.5,{width} >> {trial_dir}/log.csv'"
    table = CommandTable.model_validate({"command": words, "loss": {"csv": "log.csv"}})
    spec = TrialSpec(runner=CommandRunner(command=words), axes={"width": 32})
    disk = RecordedDisk(tmp_path)
    with disk.recording():
        assert CommandRun(table, tmp_path)(spec, tmp_path).loss == 2.5
    written = disk.calls.index("open ended.json")
    for name in ("stdout.txt", "stderr.txt", "log.csv"):
        assert disk.calls.index(f"fsync {name}") < written
