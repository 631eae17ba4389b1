"""One trial of the lab: from settings to a result, with the same bits every time."""

from __future__ import annotations

import math
import platform
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

import mutransfer
from mutransfer.lab.absolute import absolute_plan
from mutransfer.lab.checkpoints import Checkpoints
from mutransfer.lab.counts import decoder_config, num_parameters, training_flops
from mutransfer.lab.data.batches import HeldOut, TrainingBatches
from mutransfer.lab.data.sources import Source
from mutransfer.lab.data.tokens import Tokens, load_tokens
from mutransfer.lab.decoder import Decoder
from mutransfer.lab.loop import Batch, held_out_loss, train
from mutransfer.lab.optimizers import lab_optimizers, rule_name
from mutransfer.parametrize import apply, make_plan
from mutransfer.parametrize.model.build import temporary_seed
from mutransfer.parametrize.model.device import available_device
from mutransfer.records import LabRunner, LabSettings, TrialResult, TrialSpec, lab_settings
from mutransfer.records.provenance import checkout_commit
from mutransfer.rules import Plan, Role


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that the bits do not depend on the machine or its load."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def run_trial(
    spec: TrialSpec,
    *,
    source: Source = None,
    device: str = "cpu",
    trial_dir: Path | None = None,
    checkpoints: Checkpoints | None = None,
) -> TrialResult:
    """Train the reference decoder once, with the settings of a trial.

    A run that diverges is a result: `diverged_at` is the first step at which the loss was not
    finite, or the last step if the held-out loss ended above that of the untrained model.

    Args:
        spec: A trial of the lab.
        source: The path of a text, token files or a dataset; the embedded text by default.
        device: 'cpu', 'cuda' or 'cuda:1'.
        trial_dir: Folder in which to write the plan, as `plan.json`.
        checkpoints: Where an earlier attempt may have stopped, and this one is saved.

    Raises:
        ModelError: The device is not available.
        DataError: The data cannot be read, are too short, or are not the trial's.
        TrainingStopped: The process ends; the training was saved.
    """
    settings = lab_settings(spec)
    place = available_device(device)
    started = time.perf_counter()
    plan = lab_plan(settings)
    if trial_dir is not None:
        (trial_dir / "plan.json").write_text(plan.to_json())
    tokens = _trial_tokens(spec, settings, source)
    batches = TrainingBatches(tokens.train, settings.batch, settings.context, settings.seed)
    windows = HeldOut(tokens.held_out, settings.context)
    held_out = [inputs_and_targets(windows_BW, place) for windows_BW in windows]
    model = lab_model(settings, plan).to(place)
    optimizers = lab_optimizers(model, plan, settings)
    untrained = held_out_loss(model, held_out, settings, place)
    run = train(
        model,
        optimizers,
        lambda k: inputs_and_targets(batches.at(k), place),
        settings,
        place,
        checkpoints,
    )
    loss, diverged_at = math.nan, run.diverged_at
    if diverged_at is None:
        loss = held_out_loss(model, held_out, settings, place)
        diverged_at = None if loss <= untrained else run.steps
    seconds = time.perf_counter() - started
    if checkpoints is not None:
        seconds += checkpoints.earlier_seconds
    num_tokens = run.steps * settings.batch * settings.context
    return TrialResult(
        id=spec.id,
        spec=spec,
        loss=loss if math.isfinite(loss) else None,
        diverged_at=diverged_at,
        untrained_loss=untrained,
        curve=run.curve,
        tokens=num_tokens,
        flops=float(training_flops(model.config, num_tokens)),
        parameters=num_parameters(model.config),
        seconds=seconds,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        host=socket.gethostname(),
        versions=package_versions(),
        commit=checkout_commit(Path(mutransfer.__file__).parents[1]),
    )


def _trial_tokens(spec: TrialSpec, settings: LabSettings, source: Source) -> Tokens:
    """Map the tokens of a trial into memory."""
    assert isinstance(spec.runner, LabRunner), spec.runner.kind
    return load_tokens(
        source,
        digest=spec.runner.data,
        tokenizer=settings.tokenizer,
        vocabulary=settings.vocabulary,
    )


def check_device_and_data(spec: TrialSpec, *, source: Source, device: str) -> None:
    """Raise if the device or the data would make every trial fail.

    Raises:
        ModelError: The device is not available.
        DataError: The data cannot be read, are too short, or are not the trial's.
    """
    settings = lab_settings(spec)
    available_device(device)
    tokens = _trial_tokens(spec, settings, source)
    TrainingBatches(tokens.train, settings.batch, settings.context, settings.seed)
    HeldOut(tokens.held_out, settings.context)


def build_decoder(settings: LabSettings, width: int) -> Decoder:
    """Build a trial's decoder at a width: the factory from which the plan is made."""
    return Decoder(decoder_config(settings, width))


def lab_plan(settings: LabSettings) -> Plan:
    """Make a trial's plan as a user would; a base width of 1 is the absolute form."""
    is_absolute = settings.base_width == 1
    smallest = settings.head_width * (settings.kv_heads or 1)
    # Keys and values of a fixed number of heads, each as wide as before, have a readout's shape.
    has_fixed_keys = settings.kv_heads is not None and settings.heads is None
    roles = {r".*\.(key|value)\.weight": Role.BOTTLENECK} if has_fixed_keys else None
    plan = make_plan(
        lambda width: build_decoder(settings, width),
        base=smallest if is_absolute else settings.base_width,
        target=settings.width,
        parametrization=settings.parametrization,
        optimizer=rule_name(settings.optimizer),
        roles=roles,
        # The scale of attention can be read off a forward pass only, and matters where heads widen.
        example_inputs=None if settings.heads is None else torch.zeros(1, 2, dtype=torch.long),
    )
    return absolute_plan(plan) if is_absolute else plan


def lab_model(settings: LabSettings, plan: Plan) -> Decoder:
    """Build a trial's decoder from its seed and apply the plan."""
    with temporary_seed(settings.seed):
        model = build_decoder(settings, settings.width)
    apply(model, plan)
    return model


def inputs_and_targets(windows_BW: np.ndarray, device: torch.device) -> Batch:
    """Split windows of context + 1 tokens into inputs and next tokens, on a device."""
    tokens_BW = torch.from_numpy(windows_BW).to(device, torch.long)
    return tokens_BW[:, :-1], tokens_BW[:, 1:]


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that a result depends on."""
    versions = {"mutransfer": mutransfer.__version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "lion-pytorch"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
