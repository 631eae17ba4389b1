"""This file is what can be read off a model without running it: shapes, owners, ties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode

from mutransfer.errors import CoverageError, ModelError, RoleError, listed
from mutransfer.rules.plan import unwrapped

Build = Callable[[int], nn.Module]
FILLS = {"normal_", "uniform_", "kaiming_uniform_"}  # those that nn.init hands to a mode, too


@dataclass(frozen=True, slots=True)
class Owned:
    """A parameter and the module that uses it.

    Args:
        name: As in `named_parameters`, without wrappers' prefixes.
        shape: Unsharded shape.
        module: The owner's name.
        kind: The owner's class.
        attribute: The parameter's name inside its owner.
        groups: Groups of a convolution; 1 for anything else.
        readouts: Linear layers that share an embedding's table.
        normed: Whether it is divided by its own norm, as `weight_norm` does.
    """

    name: str
    shape: tuple[int, ...]
    module: str
    kind: type[nn.Module]
    attribute: str
    groups: int = 1
    readouts: tuple[str, ...] = ()
    normed: bool = False


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
        with torch.device("meta" if meta else "cpu"), _Unfilled() if meta else nullcontext():
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
    if not meta and any(parameter.is_meta for parameter in model.parameters()):
        raise ModelError(
            f"build({width}) gives a model on the meta device, which has no weights",
            why="your own init is measured, and the model is run",
            fix="build it for real: width is small here; at the target make_plan asks for meta",
        )
    return model


class _Unfilled(TorchFunctionMode):
    """Leave meta tensors undrawn: torch takes a millisecond to draw nothing for each."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") not in FILLS:
            return func(*args, **kwargs)
        tensor = args[0] if args else kwargs["tensor"]
        return tensor if tensor.is_meta else func(*args, **kwargs)


@contextmanager
def untouched_randomness(seed: int) -> Iterator[None]:
    """Seed torch inside, and leave the user's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def parameters_of(model: nn.Module) -> dict[str, Owned]:
    """List a model's parameters with their owners, in `named_parameters` order.

    Raises:
        RoleError: A tensor is shared by layers of different kinds, other than embedding and
            readout.
        ModelError: A lazy, quantised or sparse parameter, or a function of parameters.
    """
    owners: dict[int, list[Owned]] = {}
    for module_name, module in model.named_modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            name = unwrapped(f"{module_name}.{attribute}" if module_name else attribute)
            _refuse_unusual(name, parameter)
            shape = tuple(parameter.shape)
            groups = int(getattr(module, "groups", 1)) if isinstance(module, _ConvNd) else 1
            owned = Owned(name, shape, unwrapped(module_name), type(module), attribute, groups)
            if isinstance(module, ParametrizationList):
                owned = _parametrized(owned, module, model)
            owners.setdefault(id(parameter), []).append(owned)
    return {group[0].name: _shared(group) for group in owners.values()}


def _refuse_unusual(name: str, parameter: nn.Parameter) -> None:
    """Refuse tensors that have no shape yet, or whose entries are no plain numbers."""
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        raise ModelError(
            f"'{name}' is lazy and has no shape yet",
            why="a role is read from shapes",
            fix="run the model once inside build, or use nn.Linear(in, out)",
        )
    plain = parameter.layout is torch.strided and not parameter.is_quantized
    if parameter.is_complex():
        raise ModelError(
            f"'{name}' is complex",
            why="the rules and the optimizers' updates are those of real numbers",
            fix="keep real and imaginary parts as two real parameters: torch.view_as_real(w)",
        )
    if not plain or not parameter.is_floating_point():
        kind = str(parameter.dtype if plain else parameter.layout).removeprefix("torch.")
        raise ModelError(
            f"'{name}' is {kind}: quantised and sparse weights have no plan",
            why="a plan multiplies fresh weights by one number, and scales what trains them",
            fix="build the model in float32 and dense; quantise it, or prune it, after training",
        )


def _parametrized(owned: Owned, listed_as: ParametrizationList, model: nn.Module) -> Owned:
    """Find the layer whose weight is a function of this tensor: understood of `weight_norm`."""
    path, _, tensor = owned.module.rpartition(".")
    layer_name = path.removesuffix("parametrizations").removesuffix(".")
    layer = next(m for name, m in model.named_modules() if unwrapped(name) == layer_name)
    kinds = [type(one).__name__ for one in listed_as]
    if kinds != ["_WeightNorm"]:
        raise ModelError(
            f"'{tensor}' of '{layer_name}' is a function of its parameters: {', '.join(kinds)}",
            why="a rule scales a weight, and such a function may undo it; of "
            "torch.nn.utils.parametrizations only weight_norm is understood",
            fix=f"torch.nn.utils.parametrize.remove_parametrizations(layer, '{tensor}'), inside "
            "build",
        )
    if owned.attribute == "original0":
        return owned  # the norms, a gain
    groups = int(getattr(layer, "groups", 1)) if isinstance(layer, _ConvNd) else 1
    return replace(
        owned, module=layer_name, kind=type(layer), attribute=tensor, groups=groups, normed=True
    )


def _shared(group: list[Owned]) -> Owned:
    """Make one owner of all that share a tensor: a layer used twice, or embedding and readout."""
    first = group[0]
    if len({owned.kind for owned in group}) == 1:
        return first
    tables = [owned for owned in group if issubclass(owned.kind, nn.Embedding)]
    readouts = [owned for owned in group if issubclass(owned.kind, nn.Linear)]
    if not tables or len(tables) + len(readouts) < len(group):
        kinds = listed(f"{owned.name} ({owned.kind.__name__})" for owned in group)
        raise RoleError(
            f"layers of different kinds share one tensor: {kinds}",
            why="a rule is one layer's; a table shared by embedding and readout is understood",
            fix="share it between nn.Embedding and nn.Linear, or give each a weight of its own",
        )
    return replace(tables[0], name=first.name, readouts=tuple(one.module for one in readouts))


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
