"""The built-in trainer as a runner of sweeps; torch is imported in the workers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mutransfer.errors import StudyError
from mutransfer.lab.counts import decoder_config, num_steps, num_warmup_steps, training_flops
from mutransfer.lab.data.sources import Source
from mutransfer.lab.data.vocabulary import vocabulary_size
from mutransfer.records import TrialResult, TrialSpec, lab_settings
from mutransfer.records.base import canonical_json
from mutransfer.sweep.lab_trials import equivalent_parametrization
from mutransfer.sweep.processes import Interrupted, is_closing
from mutransfer.sweep.store.checkpoints import checkpoint_dir


@dataclass(frozen=True, slots=True)
class LabRun:
    """A runner that trains one trial with the built-in trainer. Workers receive it pickled.

    Args:
        source: The path of the user's text, token files, a dataset, or None for the embedded text.
        device: Where to train.
        checkpoint_seconds: Seconds between checkpoints.
    """

    source: Source
    device: str
    checkpoint_seconds: float

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        """Train, and save the plan next to the result.

        Raises:
            Interrupted: This process ends; the training was saved.
        """
        from mutransfer.lab.checkpoints import Checkpoints, TrainingStopped
        from mutransfer.lab.trial import run_trial

        folder, seconds = checkpoint_dir(trial_dir), self.checkpoint_seconds
        try:
            return run_trial(
                spec,
                source=self.source,
                device=self.device,
                trial_dir=trial_dir,
                checkpoints=Checkpoints(folder, spec.id, seconds, is_closing),
            )
        except TrainingStopped:
            raise Interrupted from None

    def check(self, spec: TrialSpec) -> None:
        """Raise before the first trial what would make every trial fail.

        The bytes of the embedded text and the CPU always exist, so they need no check, which
        would load torch.
        """
        is_optional_data = self.source is not None or lab_settings(spec).tokenizer != "bytes"
        if is_optional_data or self.device != "cpu":
            from mutransfer.lab.trial import check_device_and_data

            check_device_and_data(spec, source=self.source, device=self.device)


def check_vocabularies(trials: Sequence[TrialSpec]) -> None:
    """Raise if the size of a trial's vocabulary is unknown.

    Raises:
        DataError: There is a tokenizer of unknown size, or a vocabulary that is too small.
    """
    settings = map(lab_settings, trials)
    for tokenizer, vocabulary in sorted({(s.tokenizer, s.vocabulary or 0) for s in settings}):
        vocabulary_size(tokenizer, vocabulary or None)


def check_lengths(trials: Sequence[TrialSpec], *, where: str) -> None:
    """Check that the warmup of every trial ends before the trial does.

    Raises:
        StudyError: A trial of a length in tokens per parameter is shorter than its warmup.
    """
    for settings in map(lab_settings, trials):
        steps, warmup = num_steps(settings), num_warmup_steps(settings)
        if warmup >= steps:
            raise StudyError(
                f"{where}: warmup {warmup} leaves no step at the peak rate of {steps} steps, the "
                f"length of width {settings.width} at {settings.tokens_per_parameter:g} tokens per "
                "parameter",
                why="the learning rate would never reach its peak",
                fix="leave warmup out for a tenth of the steps, or raise tokens_per_parameter",
            )


def same_training(spec: TrialSpec) -> str:
    """Return a key that is equal for trials that are the same training run.

    At the base width every factor of every parametrization is exactly 1, so trials with equal
    settings, `attention_scale` among them, coincide, and as many key heads as heads are no switch
    there, unless roles have rates of their own. So do hybrids that differ in a switch without
    effect.
    """
    settings = lab_settings(spec)
    values = settings.model_dump(mode="json")
    values["parametrization"] = equivalent_parametrization(settings)
    if settings.weight_decay == 0:
        values["decay_mode"] = None  # there is no decay to scale
    if settings.width == settings.base_width:
        values["parametrization"] = None
        # How heads grow decides roles, whose rates differ where they have multipliers.
        if not settings.lr_multipliers:
            head_width = settings.head_width_at(settings.width)
            values |= {"heads": None, "head_width": head_width}
            if settings.kv_heads == settings.width // head_width:
                values["kv_heads"] = None
    assert spec.runner.kind == "lab"
    return canonical_json([values, spec.runner.data, spec.runner.numerics])


def relative_cost(spec: TrialSpec) -> float:
    """Return a trial's relative cost: the floating-point operations of its training."""
    settings = lab_settings(spec)
    tokens = num_steps(settings) * settings.batch * settings.context
    return float(training_flops(decoder_config(settings, settings.width), tokens))
