"""Runners that train nothing: they return a loss, diverge, fail, or kill their process."""

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
    """Return a loss with its minimum at 2^-1.5, after some seconds."""

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
class FailingRunner:
    """Raise an error at one rate: a `MutransferError`, or a `KeyError`."""

    lr: float
    is_ours: bool = True

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        if spec.axes["lr"] == self.lr:
            if self.is_ours:
                raise ModelError("no such device 'cuda:9'", why="w", fix="f")
            raise KeyError("oops")
        return Valley()(spec, trial_dir)


@dataclass(frozen=True)
class DyingRunner:
    """Kill its own process at one rate, as the kernel does when memory is short."""

    lr: float

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        if spec.axes["lr"] == self.lr:
            os.kill(os.getpid(), signal.SIGKILL)
        return Valley()(spec, trial_dir)
