"""Shapes and owners of a model's parameters, read from its modules without running it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import ParametrizationList

from mutransfer.errors import CoverageError, ModelError, RoleError, listed
from mutransfer.rules.plan import unwrapped


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """A parameter's shape and the module that owns it.

    Args:
        name: Name as in `named_parameters`, without prefixes of wrappers.
        shape: Unsharded shape.
        module: Name of the owner.
        kind: Class of the owner.
        attribute: Name of the parameter inside its owner.
        groups: Groups of a convolution; 1 for anything else.
        readouts: Linear layers that share an embedding's table.
        has_weight_norm: Whether `weight_norm` divides the parameter by its own norm.
        is_frozen: Whether it has no gradient.
        sparse: Whether an embedding's gradients are sparse.
        max_norm: Norm to which the forward pass cuts the rows of an embedding's table.
        norm_type: The p of that norm.
    """

    name: str
    shape: tuple[int, ...]
    module: str
    kind: type[nn.Module]
    attribute: str
    groups: int = 1
    readouts: tuple[str, ...] = ()
    has_weight_norm: bool = False
    is_frozen: bool = False
    sparse: bool = False
    max_norm: float | None = None
    norm_type: float = 2.0


def parameters_by_name(model: nn.Module) -> dict[str, ParameterInfo]:
    """Return a model's parameters with their owners, in `named_parameters` order.

    Raises:
        RoleError: Layers of different kinds share a tensor, other than embedding and readout.
        ModelError: A parameter is lazy, complex, quantised, sparse, or computed from others.
    """
    owners: dict[int, list[ParameterInfo]] = {}
    for module_name, module in model.named_modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            name = unwrapped(f"{module_name}.{attribute}" if module_name else attribute)
            _check_supported(name, parameter)
            shape, owner, groups = tuple(parameter.shape), unwrapped(module_name), _groups(module)
            info = ParameterInfo(name, shape, owner, type(module), attribute, groups)
            info = replace(info, is_frozen=not parameter.requires_grad, **_options(module))
            if isinstance(module, ParametrizationList):
                info = _resolve_weight_norm(info, module, model)
            owners.setdefault(id(parameter), []).append(info)
    return {infos[0].name: _merge_owners(infos) for infos in owners.values()}


def check_same_names(models: dict[int, dict[str, ParameterInfo]]) -> None:
    """Raise `CoverageError` if parameters' names or numbers of axes differ between widths."""
    (base, first), *others = models.items()
    for width, other in others:
        if mismatches := sorted(first.keys() ^ other.keys()):
            raise CoverageError(
                f"build({base}) and build({width}) disagree on {listed(mismatches)}",
                why="parameters are matched by name across widths",
                fix="let width change shapes only, not the number or the names of layers",
            )
        if mismatches := [n for n in first if len(first[n].shape) != len(other[n].shape)]:
            raise CoverageError(
                f"build({base}) and build({width}) disagree on the number of axes of "
                f"{listed(mismatches)}",
                why="axes are compared across widths",
                fix="let width change the sizes of axes only",
            )


def _check_supported(name: str, parameter: nn.Parameter) -> None:
    """Raise for a parameter without a shape, or with entries that are not plain real numbers."""
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        raise ModelError(
            f"'{name}' is lazy and has no shape yet",
            why="roles are inferred from shapes",
            fix="run the model once inside build, or use nn.Linear(in, out)",
        )
    is_plain = parameter.layout is torch.strided and not parameter.is_quantized
    if parameter.is_complex():
        raise ModelError(
            f"'{name}' is complex",
            why="the rules and the optimizers' updates are defined for real numbers",
            fix="store it as a real parameter, torch.view_as_real(w), and use "
            "torch.view_as_complex in forward",
        )
    if not is_plain or not parameter.is_floating_point():
        kind = str(parameter.dtype if is_plain else parameter.layout).removeprefix("torch.")
        raise ModelError(
            f"'{name}' is {kind}: quantised and sparse weights have no plan",
            why="a plan rescales fresh weights and the settings of their optimizer",
            fix="build the model in float32 and dense; quantise or prune it after training",
        )


def _resolve_weight_norm(
    info: ParameterInfo, functions: ParametrizationList, model: nn.Module
) -> ParameterInfo:
    """Attribute a tensor of `weight_norm` to the layer whose weight is computed from it."""
    path, _, tensor = info.module.rpartition(".")
    layer_name = path.removesuffix("parametrizations").removesuffix(".")
    layer = next(m for name, m in model.named_modules() if unwrapped(name) == layer_name)
    kinds = [type(function).__name__ for function in functions]
    if kinds != ["_WeightNorm"]:
        raise ModelError(
            f"'{tensor}' of '{layer_name}' is computed from parameters by {', '.join(kinds)}",
            why="such a function may undo the scale that a rule gives a weight; of "
            "torch.nn.utils.parametrizations only weight_norm is supported",
            fix=f"call torch.nn.utils.parametrize.remove_parametrizations(layer, '{tensor}') "
            "inside build",
        )
    if info.attribute == "original0":
        return info  # the norms, which act as a gain
    weight = replace(info, module=layer_name, kind=type(layer), attribute=tensor)
    return replace(weight, groups=_groups(layer), has_weight_norm=True)


def _groups(module: nn.Module) -> int:
    """Return the number of groups of a convolution, 1 for any other module."""
    return int(module.groups) if isinstance(module, _ConvNd) else 1


def _options(module: nn.Module) -> dict[str, Any]:
    """Return the options of an embedding that concern its gradients and the size of its rows."""
    if not isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return {}
    return {name: getattr(module, name) for name in ("sparse", "max_norm", "norm_type")}


def _merge_owners(infos: list[ParameterInfo]) -> ParameterInfo:
    """Return the owner of a tensor that a layer uses twice, or that an embedding shares."""
    first = infos[0]
    if len({info.kind for info in infos}) == 1:
        return first
    tables = [info for info in infos if issubclass(info.kind, nn.Embedding)]
    readouts = [info for info in infos if issubclass(info.kind, nn.Linear)]
    if not tables or len(tables) + len(readouts) < len(infos):
        kinds = listed(f"{info.name} ({info.kind.__name__})" for info in infos)
        raise RoleError(
            f"layers of different kinds share one tensor: {kinds}",
            why="different layers have different rules, except for a tied embedding and readout",
            fix="share it between nn.Embedding and nn.Linear, or give each its own weight",
        )
    return replace(tables[0], name=first.name, readouts=tuple(info.module for info in readouts))
