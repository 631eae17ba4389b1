"""The built-in trainer as a runner of sweeps; torch is imported in the workers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mutransfer.lab.data.vocabulary import vocabulary_size
from mutransfer.records import TrialResult, TrialSpec
from mutransfer.records.base import canonical_json
from mutransfer.sweep.lab_trials import lab_settings


@dataclass(frozen=True, slots=True)
class LabRun:
    """A runner that trains one trial with the built-in trainer. Workers receive it pickled.

    Args:
        text: The path of the user's text, or None for the embedded one.
        device: Where to train.
    """

    text: str | None
    device: str

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        """Train, and save the plan next to the result."""
        from mutransfer.lab.trial import run_trial

        return run_trial(spec, text=self.text, device=self.device, trial_dir=trial_dir)

    def check(self, spec: TrialSpec) -> None:
        """Raise before the first trial what would make every trial fail.

        The bytes of the embedded text and the CPU always exist, so they need no check, which
        would load torch.
        """
        is_optional_data = self.text is not None or lab_settings(spec).tokenizer != "bytes"
        if is_optional_data or self.device != "cpu":
            from mutransfer.lab.trial import check_device_and_text

            check_device_and_text(spec, text=self.text, device=self.device)


def check_vocabularies(trials: Sequence[TrialSpec]) -> None:
    """Raise if the size of a trial's vocabulary is unknown.

    Raises:
        DataError: There is a tokenizer of unknown size, or a vocabulary that is too small.
    """
    settings = map(lab_settings, trials)
    for tokenizer, vocabulary in sorted({(s.tokenizer, s.vocabulary or 0) for s in settings}):
        vocabulary_size(tokenizer, vocabulary or None)


def same_training(spec: TrialSpec) -> str:
    """Return a key that is equal for trials that are the same training run.

    At the base width every factor of every parametrization is exactly 1, so they coincide.
    """
    settings = lab_settings(spec).model_dump(mode="json")
    if settings["width"] == settings["base_width"]:
        settings["parametrization"] = None
    assert spec.runner.kind == "lab"
    return canonical_json([settings, spec.runner.data, spec.runner.numerics])


def relative_cost(spec: TrialSpec) -> float:
    """Return a trial's relative cost: parameters times tokens.

    `lab.counts` has the exact numbers, but it loads torch. The order of trials needs none.
    """
    s = lab_settings(spec)
    parameters = 12 * s.depth * s.width**2 + 512 * s.width
    return float(parameters * s.steps * s.batch * s.context)
