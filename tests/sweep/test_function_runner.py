"""A Python function as runner: called with named arguments, pickled for workers, checked."""

import ctypes
import json
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import mutransfer as mt
from mutransfer.errors import StudyError, UsageError
from mutransfer.records import CallableRunner, TrialSpec
from mutransfer.sweep import FunctionRun


def study(**axes) -> dict:
    axes = axes or {"width": [8, 16], "lr": [0.25, 0.5]}
    return {"schema": 1, "study": {"name": "f"}, "axes": axes}


def sweep(tmp_path, function, study=study(), **options):  # noqa: B008 - read only
    return mt.run_study(study, runner=function, store=tmp_path / "store", workers=2, **options)


def train(width, lr, seed=0):
    return 2.0 + (lr - 0.25) ** 2


def test_a_function_gets_its_axes_by_name_and_its_loss_is_stored(tmp_path) -> None:
    axes = {"width": [8, 16], "lr": [0.125, 0.25, 0.5], "seed": [0, 1]}
    run = sweep(tmp_path, lambda width, lr, seed: train(width, lr) + seed / 1e6, study(**axes))
    assert (run.summary.done, run.summary.failed) == (12, {})
    assert len(mt.load_results(run.store)) == 12


def test_a_function_gets_floats_at_every_point_of_an_axis_with_a_fraction(tmp_path) -> None:
    spec = TrialSpec(runner=CallableRunner(name="f"), axes={"width": 8, "lr": 1.0})
    received = []
    FunctionRun(lambda **values: received.append(values) or 2.0, frozenset({"lr"}))(spec, tmp_path)
    assert repr(received) == "[{'width': 8, 'lr': 1.0}]"


def test_a_mapping_may_hold_more_fields_and_printed_output_is_kept(tmp_path) -> None:
    def train_with_output(width, lr, trial_dir):
        print("width", width)
        (trial_dir / "mine.txt").write_text("x")
        return {"loss": np.float32(2.5), "tokens": 10, "curve": [[0, 3.0], [1, 2.5]]}

    run = sweep(tmp_path, train_with_output)
    for folder in run.store.glob("*/attempts/*"):
        assert (folder / "stdout.txt").read_text() in ("width 8\n", "width 16\n")
        assert (folder / "mine.txt").exists()
    assert mt.load_results(run.store).provenance.tokens == 40


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "test_function_runner.{name} returned None"),
        ({"lose": 1}, "test_function_runner.{name} returned {{'lose': 1}}"),
        ("high", "test_function_runner.{name} returned 'high'"),
        ({"loss": 1, "tokns": 2}, "what test_function_runner.{name} returned: unknown key 'tokns'"),
    ],
)
def test_a_function_that_returns_no_loss_has_failed(tmp_path, returned, message) -> None:
    def returns(width, lr):
        return returned

    run = sweep(tmp_path, returns)
    name = returns.__qualname__
    assert {error.splitlines()[0] for error in run.summary.failed.values()} == {
        message.format(name=name)
    }


def test_infinity_is_divergence_and_an_exit_is_a_failure(tmp_path) -> None:
    def extreme(width, lr):
        if width == 8:
            sys.exit("I leave")
        return float("inf")

    run = sweep(tmp_path, extreme)
    assert (run.summary.diverged, run.summary.done) == (2, 2)
    assert set(run.summary.failed.values()) == {"SystemExit: I leave"}


def test_wrong_parameters_are_an_error_before_the_first_trial(tmp_path) -> None:
    with pytest.raises(StudyError) as raised:
        sweep(tmp_path, lambda width, rate: 0.0)
    assert "missing a required argument: 'rate'" in raised.value.what
    assert raised.value.fix == "def <lambda>(width, lr): ..."


def test_a_function_that_cannot_be_pickled_is_an_error(tmp_path) -> None:
    lock = threading.Lock()

    def holds(width, lr):
        return bool(lock)

    with pytest.raises(UsageError, match=r"cannot be sent to a worker: cannot pickle"):
        sweep(tmp_path, holds)


def test_a_run_can_be_stopped_from_a_callback_and_resumed(tmp_path) -> None:
    stop, statuses = threading.Event(), []

    def on_outcome(outcome):
        statuses.append(outcome.status)
        if outcome.status == "done":
            stop.set()

    run = sweep(tmp_path, train, stop=stop, on_outcome=on_outcome)
    assert run.summary.stopped
    assert 1 <= run.summary.done < 4
    assert statuses.count("done") == run.summary.done
    again = sweep(tmp_path, train)
    assert (again.summary.done, again.summary.ran) == (4, 4 - run.summary.done)


def test_an_error_in_a_callback_leaves_no_process_behind(tmp_path) -> None:
    def slow(width, lr, trial_dir):
        import os
        import time

        (trial_dir.parents[2] / f"{os.getpid()}.pid").touch()
        time.sleep(60 * (width == 16))
        return 1.0

    def on_outcome(outcome):
        assert outcome.status != "done", "stop here"

    with pytest.raises(AssertionError, match="stop here"):
        sweep(tmp_path, slow, on_outcome=on_outcome)
    for path in (tmp_path / "store").glob("*.pid"):
        assert not Path(f"/proc/{path.stem}").exists()


def test_a_selection_of_points_is_run_and_numbers_may_be_powers(tmp_path) -> None:
    run = sweep(tmp_path, train, only={"width": 16, "lr": ["2^-2", 0.5]})
    assert (run.summary.total, run.summary.done) == (2, 2)
    assert mt.load_results(run.store).provenance.unfinished == 2
    with pytest.raises(StudyError, match="axis 'width' has no point '9'"):
        sweep(tmp_path, train, only={"width": [8, 9]})
    with pytest.raises(StudyError, match="there is no axis 'widht'"):
        sweep(tmp_path, train, only={"widht": 8})


NO_GUARD = """
import mutransfer as mt
scale = 2.0

def train(width, lr):
    return scale + helper(width)

def helper(width):
    return 1 / width

study = {"schema": 1, "study": {"name": "f"}, "axes": {"width": [8, 16], "lr": [0.5]}}
run = mt.run_study(study, runner=train, store="store")
print(run.summary.done, run.summary.failed)
"""


def test_a_script_or_notebook_needs_no_main_guard_and_may_use_globals(tmp_path) -> None:
    """Workers that import the main file, as a pool's do, would start the study again and again."""
    for way in (["script.py"], ["-"]):
        (tmp_path / "script.py").write_text(NO_GUARD)
        ended = subprocess.run(
            [sys.executable, *way], cwd=tmp_path, input=NO_GUARD, capture_output=True, text=True
        )
        assert (ended.stdout, ended.stderr) == ("2 {}\n", "")


def needs_advice() -> bool:
    """Return whether huge pages are a process's choice here, and malloc can make it."""
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    libc, version = platform.libc_ver()
    has_tunable = libc == "glibc" and version >= "2.35"
    return has_tunable and setting.exists() and "[madvise]" in setting.read_text()


@pytest.mark.skipif(not needs_advice(), reason="needs glibc 2.35 and a Linux that takes advice")
@pytest.mark.parametrize(
    ("tunables", "is_advised"), [(None, True), ("glibc.malloc.hugetlb=0", False)]
)
def test_memory_of_a_worker_is_advised_for_huge_pages(
    tmp_path, monkeypatch, tunables, is_advised
) -> None:
    """The kernel marks such memory `hg`; a user's own tunables are kept."""

    def memory_flags(width, lr):
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        address = libc.malloc(ctypes.c_size_t(64 * 2**20))
        for line in Path("/proc/self/smaps").read_text().splitlines():
            field = line.split()
            if "-" in field[0]:
                low, high = (int(end, 16) for end in field[0].split("-"))
            elif field[0] == "VmFlags:" and low <= address < high:
                return {"loss": float("hg" in field)}
        raise AssertionError("the kernel lists the memory of every process")

    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if tunables is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    run = sweep(tmp_path, memory_flags, study(width=[8], lr=[0.25]))
    assert run.summary.done == 1, run.summary
    (result,) = run.store.glob("*/result.json")
    assert json.loads(result.read_text())["loss"] == is_advised
