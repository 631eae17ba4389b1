"""Optimizers of a check: construction from the user's argument, and their family, by class."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mutransfer.errors import ModelError
from mutransfer.parametrize import param_groups
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow, Role, Update
from mutransfer.rules.optimizers import get_optimizer
from mutransfer.rules.plan import unwrapped

Kind = str | type[torch.optim.Optimizer] | Callable[..., Any]
Rate = float | Mapping[str, float]
Optimizers = tuple[torch.optim.Optimizer, ...]

SETTINGS = ("lr", "eps", "weight_decay")
FALLBACK = "adamw"  # the rule for optimizers without one: most are adaptive [assumed]
MODEL_EXAMPLE = "optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=2**-8)"
GROUPS_EXAMPLE = (
    "optimizer=lambda groups: torch.optim.AdamW(groups); the factory is called with the model only "
    "with parametrization=None"
)


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """A planted fault: the learning rate of one role, times a power of the width ratio.

    Args:
        role: The role.
        power: The exponent.
        names: The parameters of that role.
    """

    role: Role
    power: float
    names: frozenset[str]


def make_optimizers(kind: Kind, lr: Rate, model: nn.Module, plan: Plan | None) -> Optimizers:
    """Construct one optimizer or several, from the plan's groups or else from the model.

    Raises:
        ModelError: The user's factory failed, or returned no optimizer.
        RuleError: The plan's optimizers do not accept the rate.
    """
    if next(model.parameters(), None) is None:
        raise ModelError(
            "the models that build returns have no parameters",
            why="the check takes a few steps with them",
            fix="keep layers in attributes, nn.ModuleList or nn.Sequential; a list hides them",
        )
    if plan is not None:
        groups = param_groups(model, plan, lr=lr)
        if isinstance(kind, str | type) and isinstance(groups, dict):
            return tuple(_construct(name, own) for name, own in groups.items() if own)
        # Every group has its own rate, but some constructors require a default as well.
        default = {"lr": groups[0]["lr"]} if groups and _requires_lr(kind) else {}
        result = _construct(kind, groups, **default)
    elif isinstance(kind, str | type):
        result = _construct(kind, model.parameters(), lr=lr)
    else:
        result = _construct(kind, model)
    several = tuple(result.values()) if isinstance(result, Mapping) else result
    optimizers = several if isinstance(several, list | tuple) else (several,)
    if not optimizers or not all(isinstance(o, torch.optim.Optimizer) for o in optimizers):
        raise ModelError(
            f"optimizer= returned {type(result).__name__}, not a torch optimizer",
            why="the check takes a few steps with it",
            fix="optimizer='adamw', a class, or a factory that returns an optimizer, or several in "
            "a list",
        )
    for optimizer in optimizers:
        if any("lr" not in group for group in optimizer.param_groups):
            raise ModelError(
                f"a parameter group of {type(optimizer).__name__} has no 'lr'",
                why="the check changes learning rates, to see that it detects a wrong one",
                fix="call super().__init__(params, {'lr': lr}) and read group['lr'] in step()",
            )
    return tuple(optimizers)


def _requires_lr(kind: Kind) -> bool:
    """Return whether a class cannot be called without a learning rate."""
    if not isinstance(kind, type):
        return False
    lr = inspect.signature(kind).parameters.get("lr")
    return lr is not None and lr.default is inspect.Parameter.empty


def _construct(kind: Kind, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - the user's own
    """Call a class or a factory; if it fails, raise an error that names its argument."""
    make: Callable[..., Any] = _optimizer_class(kind) if isinstance(kind, str) else kind
    try:
        return make(*args, **kwargs)
    except Exception as error:
        argument, fix = "parameters", MODEL_EXAMPLE
        if args and isinstance(args[0], nn.Module):
            argument = "the model"
        elif args and isinstance(args[0], list | dict):
            argument, fix = "parameter groups", GROUPS_EXAMPLE
        raise ModelError(
            f"optimizer= raised {type(error).__name__} when called with {argument}: "
            f"{in_one_line(error)}",
            why="the check takes a few steps with it",
            fix=fix,
        ) from error


def in_one_line(error: Exception) -> str:
    """Format an exception of the user's code in one line, so that our error keeps its three."""
    return " ".join(str(error).split()) or "no message"


def _optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """Import the class of a named optimizer."""
    module, _, attribute = get_optimizer(name).path.rpartition(".")
    cls: type[torch.optim.Optimizer] = getattr(importlib.import_module(module), attribute)
    return cls


def rules_of(kind: Kind, lr: Rate, model: Callable[[], nn.Module], plan: Callable[[], Plan]) -> str:
    """Return the name of an optimizer in the rules, or its class name where they have none.

    A factory is called with the parameters of a model, to look up the optimizer that it returns.
    """
    if isinstance(kind, str):
        return get_optimizer(kind).name
    if isinstance(kind, type):
        return _name_in_rules(kind) or kind.__name__
    example = model()
    names = names_of(make_optimizers(kind, lr, example, plan()), example)
    return next(iter(names.values()), FALLBACK)


def names_of(optimizers: Optimizers, model: nn.Module) -> dict[str, str]:
    """Return the optimizer of every parameter by its name in the rules, or else its class name."""
    return {
        name: _group_name(optimizer, group) for name, optimizer, group in _groups(optimizers, model)
    }


def _group_name(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> str:
    """Return the name of a group's optimizer; some Muon classes contain AdamW groups, too."""
    cls = type(optimizer)
    uses_muon = group.get("use_muon", True) and "adam" not in str(group.get("kind", ""))
    if "muon" in cls.__name__.lower() and not uses_muon:
        return "adamw"
    name = _name_in_rules(cls)
    if name == "muon" and group.get("adjust_lr_fn") == "match_rms_adamw":
        return "muon-match-rms"
    return name or cls.__name__


def _name_in_rules(cls: type[torch.optim.Optimizer]) -> str | None:
    """Return the rules' name of a torch optimizer, a subclass of it, or a wrapper around it."""
    class_name = cls.__name__.lower()
    if "muon" in class_name:  # the rules have the shape factor of torch's Muon only
        return "muon" if cls.__module__.startswith("torch.optim") else None
    for base in cls.__mro__:
        for row in OPTIMIZERS.values():
            if base.__name__.lower() == row.class_name:
                return row.name
    contained = [row for row in OPTIMIZERS.values() if row.class_name in class_name]
    # The longest match: "adamw" contains "adam".
    return max(contained, key=lambda row: len(row.class_name)).name if contained else None


def update_of(row: PlanRow) -> Update:
    """Return the update family of a parameter's optimizer; one without a rule counts as Adam."""
    if row.optimizer in OPTIMIZERS:
        return OPTIMIZERS[row.optimizer].update
    return Update.SPECTRAL if "muon" in row.optimizer.lower() else Update.ENTRYWISE


def scale_rates(optimizers: Optimizers, factor: float) -> None:
    """Multiply the learning rate of every group by a factor."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * factor


def plant_fault(
    optimizers: Optimizers, model: nn.Module, fault: PlantedFault, factor: float
) -> None:
    """Move every parameter to its own group, and multiply the learning rates of one role."""
    names = _names(model)
    for optimizer in optimizers:
        groups = [
            {**group, "params": [parameter]}
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]
        for group in groups:
            if names.get(id(group["params"][0])) in fault.names:
                group["lr"] = group["lr"] * factor
        optimizer.param_groups[:] = groups


def settings_of(optimizers: Optimizers, model: nn.Module) -> dict[tuple[str, str], float]:
    """Return the learning rate, epsilon and weight decay of every parameter."""
    return {
        (f"set {setting}", name): float(group[setting])
        for name, _, group in _groups(optimizers, model)
        for setting in SETTINGS
        if isinstance(group.get(setting), float | int | torch.Tensor)
    }


def _groups(
    optimizers: Optimizers, model: nn.Module
) -> Iterator[tuple[str, torch.optim.Optimizer, Mapping[str, Any]]]:
    """Yield every parameter's name with its optimizer and its group."""
    names = _names(model)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) in names:
                    yield names[id(parameter)], optimizer, group


def _names(model: nn.Module) -> dict[int, str]:
    """Map the identity of each parameter to its name."""
    return {id(p): unwrapped(name) for name, p in model.named_parameters()}
