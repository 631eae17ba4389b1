"""This file is what can be read off a model without running it: shapes, owners, ties."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from mutransfer.errors import CoverageError, ModelError, RoleError, listed
from mutransfer.rules.plan import unwrapped

Build = Callable[[int], nn.Module]


@dataclass(frozen=True, slots=True)
class Owned:
    """A parameter and the module that uses it.

    Args:
        name: As in `named_parameters`, without wrappers' prefixes.
        shape: Unsharded shape.
        module: The owner's name.
        kind: The owner's class.
        attribute: The parameter's name inside its owner.
    """

    name: str
    shape: tuple[int, ...]
    module: str
    kind: type[nn.Module]
    attribute: str


def built(build: Build, width: int, *, meta: bool = False) -> nn.Module:
    """Call the user's factory, for real or on the meta device.

    Raises:
        ModelError: The factory raised, or did not return a module.
    """
    if isinstance(build, nn.Module):
        raise ModelError(
            "build is a model, not a function that builds one",
            why="the plan compares the shapes of your model at several widths",
            fix="pass a function: make_plan(lambda width: MyModel(width), ...)",
        )
    where = " on the meta device" if meta else ""
    try:
        with torch.device("meta" if meta else "cpu"):
            model = build(width)
    except Exception as problem:
        raise ModelError(
            f"build({width}){where} raised {type(problem).__name__}: {problem}",
            why="the plan compares the shapes of your model at several widths",
            fix=f"make build({width}) work by itself; at the target it is built on the meta "
            "device, so create tensors without naming a device",
        ) from problem
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"build({width}) returned {type(model).__name__}, not a torch.nn.Module",
            why="a plan is made from the parameters of a module",
            fix="return the model: build = lambda width: MyModel(width)",
        )
    return model


@contextmanager
def untouched_randomness(seed: int) -> Iterator[None]:
    """Seed torch inside, and leave the user's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def parameters_of(model: nn.Module, *, tied: bool = False) -> dict[str, Owned]:
    """List a model's parameters with their owners, in `named_parameters` order.

    Args:
        model: The model.
        tied: Whether a tensor may be shared: it is then its first owner's.

    Raises:
        RoleError: A tensor is shared by two modules, and may not be.
        ModelError: A lazy parameter has no shape yet.
    """
    owners: dict[int, list[Owned]] = {}
    for module_name, module in model.named_modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            if isinstance(parameter, nn.parameter.UninitializedParameter):
                raise ModelError(
                    f"'{module_name}.{attribute}' is lazy and has no shape yet",
                    why="a role is read from shapes",
                    fix="run the model once inside build, or use nn.Linear(in, out)",
                )
            name = unwrapped(f"{module_name}.{attribute}" if module_name else attribute)
            shape = tuple(parameter.shape)
            owned = Owned(name, shape, unwrapped(module_name), type(module), attribute)
            owners.setdefault(id(parameter), []).append(owned)
    shared = [[owned.name for owned in group] for group in owners.values() if len(group) > 1]
    if shared and not tied:
        raise RoleError(
            "tied parameters are not supported yet: " + "; ".join(map(listed, shared)),
            why="a table shared by embedding and readout needs its readout multiplied by 1/r_in",
            fix="untie them: give the readout a weight of its own",
        )
    return {group[0].name: group[0] for group in owners.values()}


def same_names(models: dict[int, dict[str, Owned]]) -> list[str]:
    """Insist that a model has the same parameters at every width.

    Raises:
        CoverageError: A parameter exists at one width only.
    """
    (base, first), *others = models.items()
    for width, other in others:
        odd = sorted(first.keys() ^ other.keys())
        if odd:
            raise CoverageError(
                f"build({base}) and build({width}) disagree on {listed(odd)}",
                why="parameters are matched by name across widths",
                fix="let width change shapes only, not the number or the names of layers",
            )
        ranks = [n for n, p in first.items() if len(p.shape) != len(other[n].shape)]
        if ranks:
            raise CoverageError(
                f"build({base}) and build({width}) disagree on the number of axes of "
                f"{listed(ranks)}",
                why="an axis is followed from width to width",
                fix="let width change the size of axes only",
            )
    return list(first)
