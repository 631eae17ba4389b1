"""Long trials of the lab that are killed continue: the same bits, and little computed twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from fake_training import start_time
from recorded_lab import TRIAL
from study_processes import MUTRANSFER, wait_until

from mutransfer.lab.checkpoints import FILE
from mutransfer.lab.trial import run_trial
from mutransfer.sweep import TrialStore

pytestmark = pytest.mark.slow
SECONDS = 0.03  # between checkpoints: about ten steps
KILLS = 50


@dataclass(frozen=True)
class Event:
    """A line of the log: a worker restored, computed or saved a step."""

    kind: str
    step: int
    time: float
    pid: int


class RecordedTrial:
    """A long trial, its driver, and the log of its workers."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.store, self.seconds = folder / "store", seconds
        self.driver = self._start("forked")

    def _start(self, workers: str) -> subprocess.Popen:
        """Start a driver."""
        script = Path(__file__).with_name("recorded_lab.py")
        line = [sys.executable, str(script), str(self.store), str(self.seconds), workers]
        return subprocess.Popen(line, start_new_session=True)

    @property
    def log(self) -> Path:
        """The log of the workers."""
        return self.store.with_suffix(".log")

    def events(self, start: int = 0) -> list[Event]:
        """Read the log from a byte on; its last line may be half a line for a moment."""
        text = self.log.read_text()[start:] if self.log.exists() else ""
        rows = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
        return [Event(kind, int(step), float(time), int(pid)) for kind, step, time, pid in rows]

    def kill(self, kind: str, after: int) -> None:
        """Kill the worker, the driver or both when a new worker has computed some steps.

        The next driver has workers as those of `mutransfer sweep`, which end with it.
        """
        start = self.log.stat().st_size if self.log.exists() else 0
        former = {event.pid for event in self.events()}

        def steps() -> list[Event]:
            return [e for e in self.events(start) if e.kind == "step" and e.pid not in former]

        deadline = time.monotonic() + 60
        while len(steps()) < after and time.monotonic() < deadline:
            assert self.driver.poll() is None, "the trial ended before the last kill"
            time.sleep(0.005)
        worker = steps()[-1].pid
        if kind != "worker":
            self.driver.kill()
            self.driver.wait()
        if kind != "driver":
            os.kill(worker, signal.SIGKILL)
        assert wait_until(lambda: start_time(worker) is None, 10)
        if kind != "worker":
            self.driver = self._start("local")

    def steps_computed_twice(self) -> list[list[Event]]:
        """Return for each attempt but the last the steps behind the checkpoint of the next one.

        All but the last of them, behind which a checkpoint may have been half-written, must have
        been computed within the seconds between checkpoints.
        """
        attempts: dict[int, list[Event]] = {}
        for event in self.events():
            attempts.setdefault(event.pid, []).append(event)
        lost = []
        for earlier, later in pairwise(attempts.values()):
            assert later[0].kind == "restored"
            assert [e.step for e in later if e.kind == "step"][:1] in ([], [later[0].step + 1])
            steps = [e for e in earlier if e.kind == "step" and e.step > later[0].step]
            saved = [e for e in earlier if e.kind != "step" and e.step == later[0].step]
            late = [e for e in steps[:-1] if saved and e.time - saved[-1].time >= self.seconds]
            assert not late, (saved, late)
            lost.append(steps)
        return lost


@pytest.fixture
def start(tmp_path) -> Iterator:
    """Yield a factory of trials, and kill what a failed test leaves behind."""
    trials = []

    def make(seconds: float) -> RecordedTrial:
        trials.append(RecordedTrial(tmp_path, seconds))
        return trials[-1]

    yield make
    for trial in trials:
        trial.driver.kill()
        trial.driver.wait()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc to observe processes")
@pytest.mark.timeout(900)  # 46 kills took 3 minutes at a load of 12 on two cores [measured]
def test_a_trial_killed_fifty_times_ends_as_if_it_never_was(start) -> None:
    """It loses at most the seconds between two checkpoints each time."""
    trial, rng = start(SECONDS), random.Random(20)
    kinds = ["worker"] * (KILLS - 8) + ["both", "driver", "worker", "driver"] * 2
    for kind in kinds:
        trial.kill(kind, after=rng.randint(1, 40))
    assert trial.driver.wait(120) == 0
    lost = trial.steps_computed_twice()
    assert len(lost) == KILLS
    # A worker whose driver is killed saves its last step.
    assert [len(steps) for steps, kind in zip(lost, kinds, strict=True) if kind == "driver"] == [
        0
    ] * kinds.count("driver")
    steps = [e.step for e in trial.events() if e.kind == "step"]
    assert set(steps) == set(range(1, TRIAL.axes["steps"] + 1))
    assert len(steps) - len(set(steps)) == sum(map(len, lost)) > 0
    result, uninterrupted = TrialStore(trial.store).result(TRIAL.id), run_trial(TRIAL)
    assert (result.loss, result.curve) == (uninterrupted.loss, uninterrupted.curve)
    assert not (trial.store / TRIAL.id / "checkpoints").exists()


def test_without_checkpoints_all_steps_are_lost(start) -> None:
    """Negative control of the count above."""
    trial = start(1e9)
    for _ in range(2):
        trial.kill("worker", after=50)
    wait_until(lambda: trial.events()[-1].kind == "step", 30)
    assert min(map(len, trial.steps_computed_twice())) >= 50


STUDY = """
schema = 1
[study]
name = "long"
[axes]
width = [32]
lr = [0.0625]
[lab]
base_width = 32
steps = 1000000
checkpoint_seconds = 1e6
"""


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT], [signal.SIGKILL]],
    ids=["preempted", "interrupted twice", "driver killed"],
)
def test_a_trial_is_saved_when_its_worker_is_told_to_end(signals, tmp_path) -> None:
    """The checkpoint is no older than a step, although the next regular one is days away."""
    (tmp_path / "study.toml").write_text(STUDY)

    def notes() -> list[str]:
        paths = sorted(tmp_path.glob("runs/long/*/attempts/*/stderr.txt"))
        return [path.read_text() for path in paths]

    def sweep() -> subprocess.Popen:
        num_notes = len(notes())
        line = [*MUTRANSFER, "sweep", "study.toml", "--workers", "1"]
        driver = subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE)
        assert wait_until(lambda: len(notes()) > num_notes, 30)
        return driver

    driver = sweep()
    assert wait_until(lambda: list(tmp_path.glob("runs/long/*/attempts/*/plan.json")), 60)
    time.sleep(2)  # to train
    for number in signals:
        driver.send_signal(number)
        time.sleep(0.3)
    assert driver.wait(10) in (130, -signal.SIGKILL)
    [folder] = tmp_path.glob("runs/long/*/checkpoints")
    assert wait_until(lambda: (folder / FILE).exists(), 5)
    step = len(torch.load(folder / FILE, weights_only=True)["losses"])
    assert step > 0
    assert wait_until(lambda: list(folder.parent.glob("claims/*.released")), 5)
    assert not list(tmp_path.glob("runs/long/*/attempts/*/error.txt"))
    driver = sweep()
    assert wait_until(lambda: f"continues from a checkpoint at step {step}\n" in notes(), 30)
    driver.kill()
    driver.wait()
    assert wait_until(lambda: len(list(folder.parent.glob("claims/*.released"))) == 2, 10)
