"""Runs of a check: every width and seed, trained for a few steps with probes attached."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mutransfer.coordcheck.runs.optimizers import (
    Kind,
    PlantedFault,
    Rate,
    in_one_line,
    make_optimizers,
    plant_fault,
    scale_rates,
    settings_of,
)
from mutransfer.coordcheck.runs.probes import Key, Kinds, Probes
from mutransfer.errors import ModelError, MutransferError, listed
from mutransfer.parametrize import apply
from mutransfer.parametrize.model.build import build_model, temporary_seed
from mutransfer.parametrize.model.finite import check_finite
from mutransfer.rules import Plan
from mutransfer.rules.plan import unwrapped

# Shape legend: W widths, S seeds, T steps (the fresh model first).

Floats = NDArray[np.float64]
Loss = Callable[[nn.Module, Any], torch.Tensor]

BACKWARD_FIX = "make loss(build(width), batch).backward() work by itself"
STEP_FIX = "optimizer='adamw', or another whose step() needs no argument and takes dense gradients"


@dataclass(frozen=True, slots=True)
class Setting:
    """The configuration of the runs.

    Args:
        build: A function from a width to a model.
        widths: In ascending order.
        batch: The second argument of `loss`, the same at every step.
        loss: A function from a model and a batch to a scalar.
        plans: One plan per width, or None where the user's own implementation is checked.
        optimizer: Name, class or factory.
        lr: Learning rate at the base width; a mapping where there are two optimizers.
        steps: Number of updates.
        seeds: One model per seed and width.
        device: Device of the runs.
        dtype: Precision of the forward pass.
        kinds: Layers and parameters that the probes treat specially.
        lr_factor: Factor on all learning rates, those of the user's own optimizer included.
        purpose: What the runs are for, as text for `on_progress`.
        on_progress: Function that is called with a line of text before every run.
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
    lr_factor: float = 1.0
    purpose: str = "training"
    on_progress: Callable[[str], None] = lambda text: None


def readings(setting: Setting, fault: PlantedFault | None = None) -> dict[Key, Floats]:
    """Train every width and seed; return each quantity as an array of widths, seeds and steps.

    Seeds are the same at every width: noise that widths share cancels in a slope.
    """
    return _collect(setting, partial(_run, setting, fault))


def fresh_readings(setting: Setting) -> dict[Key, Floats]:
    """Measure models at initialization only: one forward pass each, so many seeds are cheap."""
    return _collect(setting, partial(_forward, setting))


def _collect(
    setting: Setting, run: Callable[[int, int], Iterable[dict[Key, float]]]
) -> dict[Key, Floats]:
    """Run every width and seed; return the scalars of every step as arrays."""
    shape = (len(setting.widths), len(setting.seeds), setting.steps + 1)
    arrays: dict[Key, Floats] = {}
    for w, width in enumerate(setting.widths):
        for s, seed in enumerate(setting.seeds):
            setting.on_progress(f"{setting.purpose}: width {width}, seed {seed}")
            for t, scalars in enumerate(run(width, seed)):
                for key, value in scalars.items():
                    arrays.setdefault(key, np.full(shape, np.nan))[w, s, t] = value
    return arrays


def concatenated(first: Mapping[Key, Floats], second: Mapping[Key, Floats]) -> dict[Key, Floats]:
    """Concatenate the readings of two sets of seeds; missing quantities are NaN."""

    def values(arrays: Mapping[Key, Floats], key: Key) -> Floats:
        return arrays[key] if key in arrays else np.full_like(next(iter(arrays.values())), np.nan)

    return {
        key: np.concatenate([values(first, key), values(second, key)], axis=1)
        for key in dict.fromkeys([*first, *second])
    }


def _forward(setting: Setting, width: int, seed: int) -> list[dict[Key, float]]:
    """Run one fresh model forward; return the scalars of its probes."""
    with temporary_seed(seed), torch.no_grad():
        model = _fresh_model(setting, width)
        probes = Probes(model, setting.kinds)
        with probes.step(0, setting.batch):
            _loss(setting, model, width, 0)
        probes.close()
    return [probes.readings()]


def _fresh_model(setting: Setting, width: int) -> nn.Module:
    """Build a model, and apply its plan if there is one."""
    model = build_model(setting.build, width)
    if setting.plans is None:  # `apply` checks it otherwise
        check_finite(
            {unwrapped(name): p for name, p in model.named_parameters()}, f"build({width})"
        )
    model = model.to(setting.device)
    return model if setting.plans is None else apply(model, setting.plans[width])


def _run(
    setting: Setting, fault: PlantedFault | None, width: int, seed: int
) -> Iterator[dict[Key, float]]:
    """Train one model; yield the scalars of its probes before every step and after the last."""
    with temporary_seed(seed):
        model = _fresh_model(setting, width)
        plan = None if setting.plans is None else setting.plans[width]
        optimizers = make_optimizers(setting.optimizer, setting.lr, model, plan)
        if setting.lr_factor != 1:
            scale_rates(optimizers, setting.lr_factor)
        if fault is not None:
            plant_fault(optimizers, model, fault, (width / setting.widths[0]) ** fault.power)
        probes = Probes(model, setting.kinds)
        try:
            for step in range(setting.steps + 1):
                model.zero_grad(set_to_none=True)
                with probes.step(step, setting.batch):
                    loss = _loss(setting, model, width, step)
                scalars = probes.readings() | {
                    ("loss", ""): float(loss.detach()),
                    ("width", ""): float(width),
                }
                if step < setting.steps:
                    with _user_errors("the loss's backward()", width, BACKWARD_FIX):
                        loss.backward()  # type: ignore[no-untyped-call] # torch's own
                    if step in (0, setting.steps - 1):  # a scheduler may change them in between
                        scalars |= settings_of(optimizers, model) | probes.gradients()
                    before = probes.weights()
                    for optimizer in optimizers:
                        _step(optimizer, model, width)
                    scalars |= probes.effects(before)
                yield scalars
        finally:
            probes.close()


def _step(optimizer: torch.optim.Optimizer, model: nn.Module, width: int) -> None:
    """Take one step, or raise an error that names the parameters with sparse gradients."""
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    sparse = [
        unwrapped(name)
        for name, p in model.named_parameters()
        if id(p) in own and p.grad is not None and p.grad.layout is not torch.strided
    ]
    try:
        with _user_errors("optimizer.step()", width, STEP_FIX):
            optimizer.step()
    except ModelError as error:
        if not sparse or not re.search("sparse|dense gradients", error.what):
            raise
        refused = "sparse" if "sparse" in error.what else "dense"
        raise ModelError(
            f"{type(optimizer).__name__} does not take the {refused} gradients of "
            + (listed(sparse) if refused == "sparse" else f"all parameters but {listed(sparse)}"),
            why="of torch's optimizers SparseAdam, SGD and Adagrad take sparse ones, without "
            "weight decay, and SparseAdam takes no others",
            fix="write sparse=False in the layer; or optimizer='sgd'; or a factory that passes "
            f"{listed(sparse)} to torch.optim.SparseAdam and the rest to another, in a list",
        ) from error


def move_batch(batch: Any, device: str) -> Any:  # noqa: ANN401 - whatever the user's loss accepts
    """Move the tensors of a batch to a device; leave anything else as it is."""
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: move_batch(value, device) for key, value in batch.items()}
    if type(batch) in (list, tuple):
        return type(batch)(move_batch(value, device) for value in batch)
    return batch


def real_device(device: str) -> AbstractContextManager[Any]:
    """Create tensors on a device where the user's default device is meta, which has no numbers."""
    is_meta = torch.get_default_device().type == "meta"
    return torch.device(device) if is_meta else nullcontext()


def run_eagerly() -> AbstractContextManager[Any]:
    """Run compiled models eagerly: hooks inside a compiled graph are not called."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing it takes seconds
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def _precision(setting: Setting) -> AbstractContextManager[Any]:
    """Return an autocast context where a lower precision is requested."""
    if setting.dtype is torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(setting.device).type, setting.dtype)


def _loss(setting: Setting, model: nn.Module, width: int, step: int) -> torch.Tensor:
    """Compute the user's loss, or raise if it is not a finite scalar that can be trained."""
    fix = f"make loss(build({width}), batch) work by itself; batch is "
    with (
        _user_errors("loss(model, batch)", width, fix + _format_type(setting.batch)),
        _precision(setting),
    ):
        loss = setting.loss(model, setting.batch)
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        raise ModelError(
            f"loss(model, batch) returned {_format_type(loss)}, not a scalar tensor",
            why="the check trains the model for a few steps",
            fix="return the loss: loss=lambda model, batch: model(batch).square().mean()",
        )
    if not loss.is_floating_point():
        dtype = str(loss.dtype).removeprefix("torch.")
        raise ModelError(
            f"loss(model, batch) returned a number of type {dtype}",
            why="only real floating-point numbers have gradients",
            fix="return the loss itself, as from cross_entropy or mse_loss, not a count or a label",
        )
    if not torch.isfinite(loss.detach()):
        raise ModelError(
            f"the loss at width {width} is {float(loss.detach())} at step {step}",
            why="sizes of coordinates mean nothing once a model has diverged",
            fix="lower lr=, or look at the init of the widest model",
        )
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise ModelError(
            "loss(model, batch) returned a loss without a gradient",
            why="the check trains the model for a few steps",
            fix="do not detach it or compute it under torch.no_grad()",
        )
    if torch.is_grad_enabled() and any(p.grad is not None for p in model.parameters()):
        raise ModelError(
            "loss(model, batch) calls backward() itself",
            why="the check calls it, too: gradients would double, or could not be computed",
            fix="return the loss only",
        )
    return loss


@contextmanager
def _user_errors(call: str, width: int, fix: str) -> Iterator[None]:
    """Re-raise an exception of the user's code as a `ModelError` that names the call."""
    try:
        yield
    except MutransferError:
        raise
    except Exception as error:
        raise ModelError(
            f"{call} raised {type(error).__name__} at width {width}: {in_one_line(error)}",
            why="the check trains the model for a few steps",
            fix=fix,
        ) from error


def _format_type(value: object) -> str:
    """Format the type of a loss or a batch, and its shape."""
    shape = tuple(value.shape) if isinstance(value, torch.Tensor) else ""
    return f"{type(value).__name__} {shape}".strip()
