"""This file is a check's optimizers: made as the user says, known by class, read and tilted."""

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
UNKNOWN = "adamw"  # whose columns are taken where no rule knows the optimizer
OF_MODEL = "optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=2**-8)"
OF_GROUPS = (
    "optimizer=lambda groups: torch.optim.AdamW(groups); the model itself is given to it with "
    "parametrization=None only"
)
MATCHED = "match_rms_adamw"  # what torch's Muon calls the factor of 'muon-match-rms'


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


def make_optimizers(kind: Kind, lr: Rate, model: nn.Module, plan: Plan | None) -> Optimizers:
    """Make one optimizer or several: of the plan's groups, or of what the user makes of a model.

    Raises:
        ModelError: The user's factory failed, or gave no optimizer.
        RuleError: A rate that the plan's optimizers do not take.
    """
    if next(model.parameters(), None) is None:
        raise ModelError(
            "the models that build gives have no parameters",
            why="the check takes a few steps with them",
            fix="keep layers in attributes, nn.ModuleList or nn.Sequential; a list hides them",
        )
    if plan is not None:
        groups = param_groups(model, plan, lr=lr)
        if isinstance(kind, str | type) and isinstance(groups, dict):
            return tuple(_called(name, own) for name, own in groups.items() if own)
        # Every group has a rate of its own; some constructors insist on one beside them.
        rate = {"lr": groups[0]["lr"]} if groups and _insists_on_rate(kind) else {}
        made = _called(kind, groups, **rate)
    elif isinstance(kind, str | type):
        made = _called(kind, model.parameters(), lr=lr)
    else:
        made = _called(kind, model)
    several = tuple(made.values()) if isinstance(made, Mapping) else made
    found = several if isinstance(several, list | tuple) else (several,)
    if not found or not all(isinstance(one, torch.optim.Optimizer) for one in found):
        raise ModelError(
            f"optimizer= gave {type(made).__name__}, not a torch optimizer",
            why="the check takes a few steps with it",
            fix="optimizer='adamw', a class, or a factory that returns an optimizer, or several in "
            "a list",
        )
    return tuple(found)


def _insists_on_rate(kind: Kind) -> bool:
    """Tell whether a class cannot be called without a rate."""
    if not isinstance(kind, type):
        return False
    lr = inspect.signature(kind).parameters.get("lr")
    return lr is not None and lr.default is inspect.Parameter.empty


def _called(kind: Kind, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - the user's own
    """Call a class or a factory; what it raises is told with what it was given."""
    make: Callable[..., Any] = _class_of(kind) if isinstance(kind, str) else kind
    try:
        return make(*args, **kwargs)
    except Exception as problem:
        given, fix = "parameters", OF_MODEL
        if args and isinstance(args[0], nn.Module):
            given = "the model"
        elif args and isinstance(args[0], list | dict):
            given, fix = "parameter groups", OF_GROUPS
        raise ModelError(
            f"optimizer= raised {type(problem).__name__} when it was given {given}: "
            f"{in_one_line(problem)}",
            why="the check takes a few steps with it",
            fix=fix,
        ) from problem


def in_one_line(problem: Exception) -> str:
    """Say what the user's code raised, so that an error keeps its three lines."""
    return " ".join(str(problem).split()) or "it says no more"


def _class_of(name: str) -> type[torch.optim.Optimizer]:
    """Import the class that a name stands for."""
    module, _, attribute = get_optimizer(name).path.rpartition(".")
    found: type[torch.optim.Optimizer] = getattr(importlib.import_module(module), attribute)
    return found


def rules_of(kind: Kind, lr: Rate, model: Callable[[], nn.Module], plan: Callable[[], Plan]) -> str:
    """Name the rules of an optimizer; by its class where they know none.

    A factory is known by what it makes of the parameters of a model.
    """
    if isinstance(kind, str):
        return get_optimizer(kind).name
    if isinstance(kind, type):
        return _known(kind) or kind.__name__
    made = model()
    names = names_of(make_optimizers(kind, lr, made, plan()), made)
    return next(iter(names.values()), UNKNOWN)


def names_of(optimizers: Optimizers, model: nn.Module) -> dict[str, str]:
    """Name the optimizer of every parameter as the rules do; by its class where they know none."""
    return {
        name: _rules_name(optimizer, group) for name, optimizer, group in _held(optimizers, model)
    }


def _rules_name(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> str:
    """Name an optimizer by its class; some of Muon's hold AdamW's groups, too."""
    kind = type(optimizer)
    if "muon" in kind.__name__.lower() and not _is_orthogonalised(group):
        return "adamw"
    known = _known(kind)
    if known == "muon" and group.get("adjust_lr_fn") == MATCHED:
        return "muon-match-rms"
    return known or kind.__name__


def _is_orthogonalised(group: Mapping[str, Any]) -> bool:
    """Tell a group of matrices in an optimizer that is Muon for some and AdamW for the rest."""
    return bool(group.get("use_muon", True)) and "adam" not in str(group.get("kind", ""))


def _known(kind: type[torch.optim.Optimizer]) -> str | None:
    """Find the rules' name of a class: torch's, one that derives from it, or one that wraps it.

    Another library's Muon has a shape factor of its own, which no rule knows.
    """
    told = kind.__name__.lower()
    if "muon" in told:
        return "muon" if kind.__module__.startswith("torch.optim") else None
    for base in kind.__mro__:
        for row in OPTIMIZERS.values():
            if base.__name__.lower() == row.class_name:
                return row.name
    inside = [row for row in OPTIMIZERS.values() if row.class_name in told]
    return max(inside, key=lambda row: len(row.class_name)).name if inside else None


def update_of(row: PlanRow) -> Update:
    """Tell the family of the optimizer that holds a parameter; an unknown one is like Adam."""
    if row.optimizer in OPTIMIZERS:
        return OPTIMIZERS[row.optimizer].update
    return Update.SPECTRAL if "muon" in row.optimizer.lower() else Update.ENTRYWISE


def tilt(optimizers: Optimizers, model: nn.Module, fault: Tilt, factor: float) -> None:
    """Give every parameter a group of its own, and multiply the rates of one role."""
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
    """Read the rate, epsilon and decay that an optimizer holds for every parameter."""
    return {
        (f"set {setting}", name): float(group[setting])
        for name, _, group in _held(optimizers, model)
        for setting in SETTINGS
        if isinstance(group.get(setting), float | int | torch.Tensor)
    }


def _held(
    optimizers: Optimizers, model: nn.Module
) -> Iterator[tuple[str, torch.optim.Optimizer, Mapping[str, Any]]]:
    """Give every parameter's name with the optimizer and the group that hold it."""
    names = _names(model)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) in names:
                    yield names[id(parameter)], optimizer, group


def _names(model: nn.Module) -> dict[int, str]:
    """Name parameters by what they are, not by where they stand."""
    return {id(p): unwrapped(name) for name, p in model.named_parameters()}
