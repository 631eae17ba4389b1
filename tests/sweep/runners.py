"""Runners for tests: they train nothing, in every way that training can end."""

import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from mutransfer.errors import ModelError
from mutransfer.records import CallableRunner, TrialResult, TrialSpec


def trials(widths=(32, 64), lrs=(0.25, 0.5)) -> list[TrialSpec]:
    runner = CallableRunner(name="tests")
    return [TrialSpec(runner=runner, axes={"width": w, "lr": lr}) for w in widths for lr in lrs]


@dataclass(frozen=True)
class Valley:
    """A loss with its minimum at 2^-1.5, after a moment."""

    seconds: float = 0.0

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        time.sleep(self.seconds)
        with (trial_dir.parents[2] / "calls.log").open("a") as log:
            log.write(f"{spec.id} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\n")
        lr = float(spec.axes["lr"])
        diverged = 3 if lr > 10 else None
        loss = None if diverged else 2 + (math.log2(lr) + 1.5) ** 2
        return TrialResult(
            id=spec.id, spec=spec, loss=loss, diverged_at=diverged, seconds=0.0, finished="now"
        )


@dataclass(frozen=True)
class Refuses:
    """Fails at one rate, tellingly or not."""

    lr: float
    told: bool = True

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        if spec.axes["lr"] == self.lr:
            if self.told:
                raise ModelError("no such device 'cuda:9'", why="w", fix="f")
            raise KeyError("oops")
        return Valley()(spec, trial_dir)


@dataclass(frozen=True)
class Dies:
    """Kills its own process at one rate, as the kernel does when memory is short."""

    lr: float

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        if spec.axes["lr"] == self.lr:
            os.kill(os.getpid(), signal.SIGKILL)
        return Valley()(spec, trial_dir)
