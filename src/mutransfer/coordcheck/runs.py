"""This file is the runs of a check: every width and seed, trained for a few steps under probes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mutransfer.coordcheck.probes import Key, Probes
from mutransfer.errors import ModelError, RuleError
from mutransfer.parametrize import apply, param_groups
from mutransfer.parametrize.shapes import built
from mutransfer.rules import OPTIMIZERS, Plan, Role, Update
from mutransfer.rules.optimizers import optimizer_named
from mutransfer.rules.plan import unwrapped

# Shape legend: W widths, S seeds, T steps (the fresh model first).

Floats = NDArray[np.float64]
Loss = Callable[[nn.Module, Any], torch.Tensor]
MakeOptimizer = Callable[..., torch.optim.Optimizer]


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
        lr: Rate at the base width.
        steps: Updates.
        seeds: One fresh model of each per width.
        device: Where to run.
        dtype: What to compute in.
        readouts: Names of the final readout's modules.
    """

    build: Callable[[int], nn.Module]
    widths: tuple[int, ...]
    batch: Any
    loss: Loss
    plans: Mapping[int, Plan] | None
    optimizer: str | type[torch.optim.Optimizer] | MakeOptimizer
    lr: float
    steps: int
    seeds: tuple[int, ...]
    device: str
    dtype: torch.dtype
    readouts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tilt:
    """A planted fault: one role's rate times a power of the width ratio.

    Args:
        role: The role.
        power: The exponent.
        names: Its parameters.
    """

    role: Role
    power: float
    names: frozenset[str]


def readings(setting: Setting, tilt: Tilt | None = None) -> dict[Key, Floats]:
    """Train every width and seed; give each quantity as an array of widths, seeds and steps.

    The same seed at every width: what seeds share cancels in a slope.
    """
    shape = (len(setting.widths), len(setting.seeds), setting.steps + 1)
    found: dict[Key, Floats] = {}
    for w, width in enumerate(setting.widths):
        for s, seed in enumerate(setting.seeds):
            for t, scalars in enumerate(_run(setting, width, seed, tilt)):
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
                probes = Probes(model, setting.readouts)
                with probes.step(0), _precision(setting):
                    setting.loss(model, setting.batch)
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
    model = built(setting.build, width).to(setting.device)
    return model if setting.plans is None else apply(model, setting.plans[width])


def _run(setting: Setting, width: int, seed: int, tilt: Tilt | None) -> Iterator[dict[Key, float]]:
    """Train one model, and give what its probes read before every step and after the last."""
    with _seeded(seed, setting.device):
        model = _ready(setting, width)
        plan = None if setting.plans is None else setting.plans[width]
        optimizer = make_optimizer(setting, model, plan)
        if tilt is not None:
            _tilt(optimizer, model, tilt, (width / setting.widths[0]) ** tilt.power)
        probes = Probes(model, setting.readouts)
        try:
            for step in range(setting.steps + 1):
                optimizer.zero_grad(set_to_none=True)
                with probes.step(step), _precision(setting):
                    loss = setting.loss(model, setting.batch)
                _check_loss(loss, width, step)
                scalars = probes.readings() | {("loss", ""): float(loss.detach())}
                if step < setting.steps:
                    loss.backward()  # type: ignore[no-untyped-call] # torch's own
                    if step in (0, setting.steps - 1):  # a scheduler may have come between
                        scalars |= _settings_of(optimizer, model) | probes.gradients()
                    before = probes.weights()
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


def make_optimizer(setting: Setting, model: nn.Module, plan: Plan | None) -> torch.optim.Optimizer:
    """Make the user's optimizer: of the plan's groups, or of whatever the user makes of a model."""
    kind: Any = setting.optimizer
    if isinstance(kind, str):
        kind = _optimizer_class(kind)
    if plan is not None:
        made = kind(param_groups(model, plan, lr=setting.lr))
    elif isinstance(kind, type):
        made = kind(model.parameters(), lr=setting.lr)
    else:
        made = kind(model)
    if not isinstance(made, torch.optim.Optimizer):
        raise ModelError(
            f"optimizer= gave {type(made).__name__}, not a torch optimizer",
            why="the check takes a few steps with it",
            fix="optimizer='adamw', a class, or a factory that returns an optimizer",
        )
    return made


def _optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """Import the class that a name stands for."""
    module, _, attribute = optimizer_named(name).path.rpartition(".")
    found: type[torch.optim.Optimizer] = getattr(importlib.import_module(module), attribute)
    return found


def _tilt(optimizer: torch.optim.Optimizer, model: nn.Module, tilt: Tilt, factor: float) -> None:
    """Give every parameter a group of its own, and multiply the rates of one role."""
    names = {id(p): unwrapped(name) for name, p in model.named_parameters()}
    groups = [
        {**group, "params": [parameter]}
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    for group in groups:
        if names.get(id(group["params"][0])) in tilt.names:
            group["lr"] = group["lr"] * factor
    optimizer.param_groups[:] = groups


def _settings_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[Key, float]:
    """Read the rate, epsilon and decay that the optimizer holds for every parameter."""
    names = {id(p): unwrapped(name) for name, p in model.named_parameters()}
    return {
        (f"set {setting}", names[id(parameter)]): float(group[setting])
        for group in optimizer.param_groups
        for parameter in group["params"]
        for setting in ("lr", "eps", "weight_decay")
        if id(parameter) in names and isinstance(group.get(setting), float | int | torch.Tensor)
    }


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


def _check_loss(loss: object, width: int, step: int) -> None:
    """Refuse what is no finite scalar."""
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        raise ModelError(
            f"loss(model, batch) gave {_told(loss)}, not a scalar tensor",
            why="the check trains the model for a few steps",
            fix="return the loss: loss=lambda model, batch: model(batch).square().mean()",
        )
    if not torch.isfinite(loss.detach()):
        raise ModelError(
            f"the loss at width {width} is {float(loss.detach())} at step {step}",
            why="sizes of coordinates mean nothing once a model has diverged",
            fix="lower lr=, or look at the init of the widest model",
        )


def _told(loss: object) -> str:
    """Say what a loss is."""
    shape = tuple(loss.shape) if isinstance(loss, torch.Tensor) else ""
    return f"{type(loss).__name__} {shape}".strip()


def optimizer_name(kind: str | type[torch.optim.Optimizer] | MakeOptimizer) -> str:
    """Name the rule table's optimizer: a name, or a class of that name; AdamW for a factory.

    Raises:
        RuleError: Muon.
    """
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", "").lower()
    if name in OPTIMIZERS and OPTIMIZERS[name].update is Update.SPECTRAL:
        raise RuleError(
            f"the check does not judge '{name}'",
            why="a plan for Muon is for two optimizers, and an orthogonalised update is of another "
            "size against the weights than the check expects",
            fix="optimizer='adamw', which checks roles, init and the groups that AdamW has",
        )
    return name if name in OPTIMIZERS else "adamw"
