"""This file is the runs of a check: every width and seed, trained for a few steps under probes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mutransfer.coordcheck.runs.optimizers import (
    Kind,
    Rate,
    Tilt,
    in_one_line,
    make_optimizers,
    settings_of,
    tilt,
)
from mutransfer.coordcheck.runs.probes import Key, Kinds, Probes
from mutransfer.errors import ModelError, MutransferError
from mutransfer.parametrize import apply
from mutransfer.parametrize.model.build import build_model
from mutransfer.rules import Plan

# Shape legend: W widths, S seeds, T steps (the fresh model first).

Floats = NDArray[np.float64]
Loss = Callable[[nn.Module, Any], torch.Tensor]

BACKWARD = "make loss(build(width), batch).backward() work by itself"
STEP = "optimizer='adamw', or another whose step() works by itself: no argument, dense gradients"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is run.

    Args:
        build: A function from a width to a model.
        widths: Rising.
        batch: What `loss` is called with, the same at every step.
        loss: From a model and a batch to a scalar.
        plans: One plan per width, or none where the user's own implementation is checked.
        optimizer: Name, class or factory.
        lr: Rate at the base width; of two optimizers, each one's.
        steps: Updates.
        seeds: One fresh model of each per width.
        device: Where to run.
        dtype: What to compute in.
        kinds: What some layers and parameters are.
    """

    build: Callable[[int], nn.Module]
    widths: tuple[int, ...]
    batch: Any
    loss: Loss
    plans: Mapping[int, Plan] | None
    optimizer: Kind
    lr: Rate
    steps: int
    seeds: tuple[int, ...]
    device: str
    dtype: torch.dtype
    kinds: Kinds


def readings(setting: Setting, fault: Tilt | None = None) -> dict[Key, Floats]:
    """Train every width and seed; give each quantity as an array of widths, seeds and steps.

    The same seed at every width: what seeds share cancels in a slope.
    """
    shape = (len(setting.widths), len(setting.seeds), setting.steps + 1)
    found: dict[Key, Floats] = {}
    for w, width in enumerate(setting.widths):
        for s, seed in enumerate(setting.seeds):
            for t, scalars in enumerate(_run(setting, width, seed, fault)):
                for key, value in scalars.items():
                    found.setdefault(key, np.full(shape, np.nan))[w, s, t] = value
    return found


def fresh_readings(setting: Setting) -> dict[Key, Floats]:
    """Measure fresh models only, a forward pass each: cheap, so that there can be many."""
    shape = (len(setting.widths), len(setting.seeds), setting.steps + 1)
    found: dict[Key, Floats] = {}
    for w, width in enumerate(setting.widths):
        for s, seed in enumerate(setting.seeds):
            with _seeded(seed, setting.device), torch.no_grad():
                model = _ready(setting, width)
                probes = Probes(model, setting.kinds)
                with probes.step(0):
                    _loss(setting, model, width, 0)
                probes.close()
            for key, value in probes.readings().items():
                found.setdefault(key, np.full(shape, np.nan))[w, s, 0] = value
    return found


def joined(some: Mapping[Key, Floats], more: Mapping[Key, Floats]) -> dict[Key, Floats]:
    """Put readings of other seeds beside; what only some of them have is NaN in the rest."""

    def filled(found: Mapping[Key, Floats], key: Key) -> Floats:
        return found[key] if key in found else np.full_like(next(iter(found.values())), np.nan)

    return {
        key: np.concatenate([filled(some, key), filled(more, key)], axis=1)
        for key in dict.fromkeys([*some, *more])
    }


def _ready(setting: Setting, width: int) -> nn.Module:
    """Build a model, and apply its plan if there is one."""
    model = build_model(setting.build, width).to(setting.device)
    return model if setting.plans is None else apply(model, setting.plans[width])


def _run(setting: Setting, width: int, seed: int, fault: Tilt | None) -> Iterator[dict[Key, float]]:
    """Train one model, and give what its probes read before every step and after the last."""
    with _seeded(seed, setting.device):
        model = _ready(setting, width)
        plan = None if setting.plans is None else setting.plans[width]
        optimizers = make_optimizers(setting.optimizer, setting.lr, model, plan)
        if fault is not None:
            tilt(optimizers, model, fault, (width / setting.widths[0]) ** fault.power)
        probes = Probes(model, setting.kinds)
        try:
            for step in range(setting.steps + 1):
                model.zero_grad(set_to_none=True)
                with probes.step(step):
                    loss = _loss(setting, model, width, step)
                scalars = probes.readings() | {
                    ("loss", ""): float(loss.detach()),
                    ("width", ""): float(width),
                }
                if step < setting.steps:
                    with _theirs("the loss's backward()", width, BACKWARD):
                        loss.backward()  # type: ignore[no-untyped-call] # torch's own
                    if step in (0, setting.steps - 1):  # a scheduler may have come between
                        scalars |= settings_of(optimizers, model) | probes.gradients()
                    before = probes.weights()
                    for optimizer in optimizers:
                        with _theirs("optimizer.step()", width, STEP):
                            optimizer.step()
                    scalars |= probes.effects(before)
                yield scalars
        finally:
            probes.close()


def moved(batch: Any, device: str) -> Any:  # noqa: ANN401 - whatever the user's loss takes
    """Put the tensors of a batch where the models are; anything else stays as it is."""
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: moved(value, device) for key, value in batch.items()}
    if type(batch) in (list, tuple):
        return type(batch)(moved(value, device) for value in batch)
    return batch


def uncompiled() -> AbstractContextManager[Any]:
    """Run compiled models as they are written: a probe inside a graph would not be called."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing it takes seconds
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch inside, and leave the user's generators as they were."""
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _precision(setting: Setting) -> AbstractContextManager[Any]:
    """Compute in lower precision where that is asked for."""
    if setting.dtype is torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(setting.device).type, setting.dtype)


def _loss(setting: Setting, model: nn.Module, width: int, step: int) -> torch.Tensor:
    """Take the user's loss; refuse what is no finite scalar that can be trained."""
    alone = f"make loss(build({width}), batch) work by itself; batch is {_told(setting.batch)}"
    with _theirs("loss(model, batch)", width, alone), _precision(setting):
        loss = setting.loss(model, setting.batch)
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        raise ModelError(
            f"loss(model, batch) gave {_told(loss)}, not a scalar tensor",
            why="the check trains the model for a few steps",
            fix="return the loss: loss=lambda model, batch: model(batch).square().mean()",
        )
    if not loss.is_floating_point():
        kind = str(loss.dtype).removeprefix("torch.")
        raise ModelError(
            f"loss(model, batch) gave a number of type {kind}",
            why="only real floating-point numbers have gradients that a step can follow",
            fix="return the loss itself, as cross_entropy or mse_loss gives it; no count, no label",
        )
    if not torch.isfinite(loss.detach()):
        raise ModelError(
            f"the loss at width {width} is {float(loss.detach())} at step {step}",
            why="sizes of coordinates mean nothing once a model has diverged",
            fix="lower lr=, or look at the init of the widest model",
        )
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise ModelError(
            "loss(model, batch) gave a loss without a gradient",
            why="the check trains the model for a few steps",
            fix="do not detach it, nor compute it under torch.no_grad()",
        )
    if torch.is_grad_enabled() and any(p.grad is not None for p in model.parameters()):
        raise ModelError(
            "loss(model, batch) calls backward() itself",
            why="the check calls it, too: gradients would be twice as large, or could not be taken",
            fix="return the loss only",
        )
    return loss


@contextmanager
def _theirs(call: str, width: int, fix: str) -> Iterator[None]:
    """Tell what the user's own code raised as the user's own."""
    try:
        yield
    except MutransferError:
        raise
    except Exception as problem:
        raise ModelError(
            f"{call} raised {type(problem).__name__} at width {width}: {in_one_line(problem)}",
            why="the check trains the model for a few steps",
            fix=fix,
        ) from problem


def _told(given: object) -> str:
    """Say what a loss or a batch is."""
    shape = tuple(given.shape) if isinstance(given, torch.Tensor) else ""
    return f"{type(given).__name__} {shape}".strip()
