"""This file is the built-in trainer as a sweep's runner, known without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mutransfer.records import TrialResult, TrialSpec
from mutransfer.records.base import canonical_json
from mutransfer.sweep.search.grid import lab_settings


@dataclass(frozen=True, slots=True)
class LabRun:
    """Train one trial of the lab. Sent to workers, where torch is imported.

    Args:
        text: The user's text, or None for the embedded one.
        device: Where to train.
    """

    text: str | None
    device: str

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        """Train, and leave the plan beside the result."""
        from mutransfer.lab.trial import run_trial

        return run_trial(spec, text=self.text, device=self.device, trial_dir=trial_dir)

    def check(self, spec: TrialSpec) -> None:
        """Find out before the first trial what would fail them all.

        torch is loaded for a text or device of the user's only: the rest is known to be there.
        """
        if self.text is not None or self.device != "cpu":
            from mutransfer.lab.trial import check_possible

            check_possible(spec, text=self.text, device=self.device)


def same_training(spec: TrialSpec) -> str:
    """Give equal keys to trials that are one training run.

    At the base width every factor of every parametrization is exactly 1, so they coincide.
    """
    settings = lab_settings(spec).model_dump(mode="json")
    if settings["width"] == settings["base_width"]:
        settings["parametrization"] = None
    assert spec.runner.kind == "lab"
    return canonical_json([settings, spec.runner.data, spec.runner.numerics])


def relative_cost(spec: TrialSpec) -> float:
    """Estimate a trial's share of the work: parameters times tokens."""
    s = lab_settings(spec)
    parameters = 12 * s.depth * s.width**2 + 512 * s.width
    return float(parameters * s.steps * s.batch * s.context)
