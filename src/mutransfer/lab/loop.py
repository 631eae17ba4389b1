"""The training loop: schedule, precision, clipping, and the loss curve until it diverges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutransfer.lab.checkpoints import Checkpoints
from mutransfer.lab.counts import num_steps, num_warmup_steps
from mutransfer.lab.schedules import share_of_peak
from mutransfer.records import LabSettings

# Shape legend: B batch, T time, V vocabulary.

CURVE_POINTS = 200  # stored losses of a long run, enough for a plot [assumed]
READ_EVERY = 16  # steps between reads of the loss: each read waits for the accelerator [assumed]

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The loss curve of one training run, and how it ended.

    Args:
        curve: (step, training loss in nats), at most about 200 points.
        steps: Number of steps taken.
        diverged_at: First step whose loss was not finite, or None.
    """

    curve: tuple[tuple[int, float], ...]
    steps: int
    diverged_at: int | None


def precision(settings: LabSettings, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which matrix products have the trial's precision."""
    if settings.dtype == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def next_token_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of the next token, in nats."""
    inputs_BT, targets_BT = batch
    logits_BTV = model(inputs_BT)
    return F.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten())


@torch.no_grad()
def held_out_loss(
    model: nn.Module, batches: Iterable[Batch], settings: LabSettings, device: torch.device
) -> float:
    """Return the mean loss over equal batches of held-out text, in nats per token."""
    with precision(settings, device):
        losses = [next_token_loss(model, batch) for batch in batches]
    return float(torch.stack(losses).double().mean())


def train(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    batch_at: Callable[[int], Batch],
    settings: LabSettings,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
) -> TrainingRun:
    """Train a model in place for the trial's steps, or until the loss is no longer finite.

    Raises:
        TrainingStopped: The process ends; the training was saved.
    """
    losses = [] if checkpoints is None else checkpoints.restore(model, optimizers)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    peaks = [float(group["lr"]) for group in groups]
    parameters = [p for group in groups for p in group["params"]]
    steps, warmup = num_steps(settings), num_warmup_steps(settings)
    pending: list[Tensor] = []
    read_every = 1 if device.type == "cpu" else READ_EVERY
    for step in range(len(losses) + 1, steps + 1):
        share = share_of_peak(
            settings.schedule, step, steps=steps, warmup=warmup, cooldown=settings.cooldown
        )
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * share
        with precision(settings, device):
            loss = next_token_loss(model, batch_at(step))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        pending.append(loss.detach())
        # At the same steps in a run that continues, so that one that diverges ends as early.
        if step % read_every == 0 or step == steps:
            losses += torch.stack(pending).tolist()
            pending.clear()
            if not all(map(math.isfinite, losses[-read_every:])):
                break
            if checkpoints is not None:
                checkpoints.after_step(model, optimizers, losses)
    diverged_at = next((k for k, x in enumerate(losses, start=1) if not math.isfinite(x)), None)
    finite = losses if diverged_at is None else losses[: diverged_at - 1]
    return TrainingRun(_thin(finite), len(losses), diverged_at)


def _thin(losses: list[float]) -> tuple[tuple[int, float], ...]:
    """Return (step, loss) at the first, the last and evenly spaced steps between them."""
    stride = max(1, math.ceil(len(losses) / CURVE_POINTS))
    last = len(losses)
    return tuple((k, x) for k, x in enumerate(losses, 1) if (k - 1) % stride == 0 or k == last)
