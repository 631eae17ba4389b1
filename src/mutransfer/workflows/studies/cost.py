"""Cost of named studies: trainings, FLOPs, and hours on an accelerator or minutes on two cores.

Nothing is trained or read, except the seconds of trials whose results ship.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from mutransfer.lab.counts import decoder_config, num_parameters, num_steps, training_flops
from mutransfer.records import LabSettings, LadderSpec, StudySpec, TrialSpec, lab_settings
from mutransfer.records.lab import NUMERICS
from mutransfer.sweep import lab_runner, lab_trials
from mutransfer.workflows.studies.catalog import NamedStudy, named_study
from mutransfer.workflows.studies.lab import same_training
from mutransfer.workflows.studies.named_run import sweep_study
from mutransfer.workflows.studies.scales import SCALES, Scale


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor, and the share of its peak speed that training reaches.

    Args:
        name: Its name.
        peak_flops: Floating-point operations per second at most.
        utilization: The share of them that training reaches.
    """

    name: str
    peak_flops: float
    utilization: float

    def hours(self, flops: float) -> float:
        """Return the hours that a training takes."""
        return flops / (self.peak_flops * self.utilization) / 3600

    def __str__(self) -> str:
        peak = f"{self.peak_flops / 1e12:g} TFLOP/s"
        return f"one {self.name} at {self.utilization:.0%} of its {peak}".replace("%", " %")


# Dense bfloat16 of the SXM version [derived: NVIDIA's data sheet of the H100, half of the number
# with sparsity]. Well-tuned trainings of large networks reach 40 %; those of width 128 reach less
# [assumed].
GPU = Processor("H100", 989e12, 0.40)
# One core reaches 28 GFLOP/s at width 64 and 44 at width 128 [measured: benchmarks/README.md].
CORE = Processor("core", 70e9, 0.5)
NUM_CORES = 2


@dataclass(frozen=True, slots=True)
class WidthCost:
    """Cost of a study's trials at one width.

    Args:
        width: Channels of the residual stream.
        trials: Number of trials.
        trainings: Trials that are trained: those that coincide with another one are not.
        parameters: Trained parameters of one trial.
        tokens: Tokens of one trial.
        flops: Floating-point operations of all trainings.
    """

    width: int
    trials: int
    trainings: int
    parameters: int
    tokens: int
    flops: float


@dataclass(frozen=True, slots=True)
class StudyCost:
    """Cost of one study, or of several whose coinciding trials are trained once.

    Args:
        widths: Cost of each width, ascending.
        measured_seconds: Seconds of all trainings on one core, where the results ship.
    """

    widths: tuple[WidthCost, ...]
    measured_seconds: float | None = None

    @property
    def trials(self) -> int:
        """Number of trials."""
        return sum(row.trials for row in self.widths)

    @property
    def trainings(self) -> int:
        """Number of trials that are trained."""
        return sum(row.trainings for row in self.widths)

    @property
    def flops(self) -> float:
        """Floating-point operations of all trainings."""
        return sum(row.flops for row in self.widths)

    @property
    def gpu_hours(self) -> float:
        """Hours on one `GPU`."""
        return GPU.hours(self.flops)

    @property
    def minutes(self) -> float:
        """Minutes on two cores: measured where results ship, else estimated from FLOPs."""
        if self.measured_seconds is not None:
            return self.measured_seconds / 60 / NUM_CORES
        return CORE.hours(self.flops) * 60 / NUM_CORES

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json.dump`."""
        return {
            "trials": self.trials,
            "trainings": self.trainings,
            "flops": self.flops,
            "gpu_hours": self.gpu_hours,
            "minutes_on_two_cores": self.minutes,
            "is_measured": self.measured_seconds is not None,
            "widths": [
                {
                    "width": row.width,
                    "trials": row.trials,
                    "trainings": row.trainings,
                    "parameters": row.parameters,
                    "tokens": row.tokens,
                    "flops": row.flops,
                }
                for row in self.widths
            ],
        }


def study_cost(*studies: StudySpec) -> StudyCost:
    """Return the cost of sweeps of the built-in trainer, from closed forms.

    Args:
        studies: The studies; trials that are the same training are trained once.

    Example:
        >>> from mutransfer.workflows import expand
        >>> cost = study_cost(expand("baseline", "paper"))
        >>> cost.trials, f"{cost.flops:.1e}"
        (15, '1.4e+21')
    """
    trials = [trial for study in studies for trial in _trials(study)]
    keys: set[str] = set()
    rows: dict[int, WidthCost] = {}
    for trial in trials:
        settings, key = lab_settings(trial), same_training(trial)
        row = _add_trial(rows.get(settings.width), settings, is_trained=key not in keys)
        rows[settings.width] = row
        keys.add(key)
    return StudyCost(tuple(rows[width] for width in sorted(rows)))


def named_cost(name: str, scale: Scale | None = None) -> StudyCost:
    """Return the cost of a named sweep; that of its trials in the shipped results is measured.

    Raises:
        UsageError: There is no study of this name, it is a ladder, or it has no such scale.
    """
    cost = study_cost(sweep_study(name, scale))
    return cost if scale == "paper" else replace(cost, measured_seconds=shipped_seconds(name))


def costs_by_scale(study: NamedStudy) -> dict[str, dict[str, Any]]:
    """Return the cost of a study at each of its scales as plain data; none for a ladder."""
    if isinstance(named_study(study.name), LadderSpec):
        return {}
    scales = SCALES if study.has_scales else (None,)
    return {scale or "mini": named_cost(study.name, scale).to_json() for scale in scales}


def shipped_seconds(name: str) -> float | None:
    """Return the seconds of all trainings in the shipped results of a study, None without any."""
    path = files("mutransfer") / "studies" / "results" / f"{name}.csv"
    if not path.is_file():
        return None
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    # A copy of an identical trial ended at the same time and took the same seconds.
    return sum(float(seconds) for seconds, _ in {(row["seconds"], row["finished"]) for row in rows})


def _add_trial(row: WidthCost | None, settings: LabSettings, *, is_trained: bool) -> WidthCost:
    """Return the cost of a width with one more trial."""
    config = decoder_config(settings, settings.width)
    tokens = num_steps(settings) * settings.batch * settings.context
    flops = float(training_flops(config, tokens)) if is_trained else 0.0
    return WidthCost(
        width=settings.width,
        trials=1 + (row.trials if row else 0),
        trainings=is_trained + (row.trainings if row else 0),
        # Those of the largest trial, where several studies differ.
        parameters=max(num_parameters(config), row.parameters if row else 0),
        tokens=max(tokens, row.tokens if row else 0),
        flops=flops + (row.flops if row else 0.0),
    )


def _trials(study: StudySpec) -> list[TrialSpec]:
    """Return the trials of a study, without reading its text."""
    assert study.lab is not None, f"{study.study.name} has no [lab]"
    runner = lab_runner(study.lab, numerics=NUMERICS, data="", derived=dict(study.derived))
    return lab_trials(study, runner)
