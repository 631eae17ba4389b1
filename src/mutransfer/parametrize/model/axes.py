"""Growing axes, and the fan-in and fan-out of a parameter at base, probe and target width."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from mutransfer.errors import RoleError
from mutransfer.parametrize.model.fans import fans, is_elementwise
from mutransfer.parametrize.model.shapes import ParameterInfo
from mutransfer.tracing import Use

Sizes = tuple[int, int, int]  # at base, probe and target
ONES: Sizes = (1, 1, 1)


def grows(sizes: Sizes) -> bool:
    """Return whether a size depends on width."""
    return len(set(sizes)) > 1


def ratio(sizes: Sizes) -> Fraction:
    """Return the size at the target over the size at the base."""
    return Fraction(sizes[2], sizes[0])


@dataclass(frozen=True, slots=True)
class Fans:
    """Fan-in and fan-out of one parameter.

    An elementwise parameter has a fan-out only: its size. Where it is unknown which axis is
    fan-in, both hold the size of a growing axis.
    """

    parameter: ParameterInfo
    is_known: bool
    is_elementwise: bool
    fan_in: Sizes
    fan_out: Sizes
    num_growing: int

    @property
    def fan_in_scales(self) -> bool:
        """Whether fan-in grows with width."""
        return grows(self.fan_in)

    @property
    def fan_out_scales(self) -> bool:
        """Whether fan-out grows with width."""
        return grows(self.fan_out)

    @property
    def maps_to_fixed(self) -> bool:
        """Whether only fan-in grows, as for a readout or a bottleneck."""
        return not self.is_elementwise and self.fan_in_scales and not self.fan_out_scales


def growing_axes(*models: Mapping[str, ParameterInfo]) -> dict[str, frozenset[int]]:
    """Return the axes of each parameter that do not have the same size at every width."""
    return {
        name: frozenset(
            k for k, size in enumerate(first.shape) if any(m[name].shape[k] != size for m in models)
        )
        for name, first in models[0].items()
    }


def raw_parameters(model: Mapping[str, ParameterInfo]) -> frozenset[str]:
    """Return the names of parameters whose owner is not a known layer."""
    return frozenset(n for n, p in model.items() if fans(p) is None and not is_elementwise(p))


def fans_across_widths(
    infos: tuple[ParameterInfo, ParameterInfo, ParameterInfo], use: Use | None
) -> Fans:
    """Return a parameter's fans by its layer, else by a forward pass, else as unknown."""
    parameter, shapes = infos[0], [info.shape for info in infos]
    num_axes = len(parameter.shape)
    growing = [axis for axis in range(num_axes) if grows(_sizes(shapes, [axis]))]
    by_layer = [pair for info in infos if (pair := fans(info)) is not None]
    if len(by_layer) == len(infos):
        fan_in, fan_out = zip(*by_layer, strict=True)
        of_layer = Fans(parameter, True, False, fan_in, fan_out, len(growing))
        _compare_with_use(of_layer, shapes, use)
        return of_layer
    if is_elementwise(parameter):
        size = _sizes(shapes, range(num_axes))
        return Fans(parameter, True, True, ONES, size, len(growing))
    if use is not None and growing:
        axes_in, axes_out = _directions(use)
        if axes_in | axes_out and not axes_in & axes_out:
            is_vector = num_axes == 1 and not axes_in
            fan_in, fan_out = _sizes(shapes, axes_in), _sizes(shapes, axes_out)
            return Fans(parameter, True, is_vector, fan_in, fan_out, len(growing))
    if not growing:
        return Fans(parameter, True, num_axes < 2, ONES, ONES, 0)
    fan_in, fan_out = _sizes(shapes, growing[:1]), _sizes(shapes, growing[-1:])
    return Fans(parameter, False, num_axes < 2, fan_in, fan_out, len(growing))


def _directions(use: Use) -> tuple[set[int], set[int]]:
    """Return the axes of fan-in and of fan-out; an axis that numbers experts is neither."""
    if use.rows or use.looked_up:
        return use.looked_up, use.rows  # a table; `own_multipliers` handles its use as a readout
    # A vector times an activation, summed, is a dot product: contracted, not elementwise.
    return use.contracted, use.carried | (use.applied - use.contracted)


def _sizes(shapes: list[tuple[int, ...]], axes: Collection[int]) -> Sizes:
    """Return the product of some axes' sizes at base, probe and target."""
    base, probe, target = (prod(shape[axis] for axis in axes) for shape in shapes)
    return base, probe, target


def _compare_with_use(of_layer: Fans, shapes: list[tuple[int, ...]], use: Use | None) -> None:
    """Raise if a forward pass uses a weight in another direction than its layer's type implies."""
    if use is None or not (use.contracted or use.looked_up or use.carried or use.rows):
        return
    parameter = of_layer.parameter
    expected = [ratio(of_layer.fan_in), ratio(of_layer.fan_out)]
    observed = [ratio(_sizes(shapes, axes)) for axes in _directions(use)]
    if observed != expected:
        raise RoleError(
            f"'{parameter.name}' of base shape {parameter.shape} belongs to "
            f"{parameter.kind.__name__}, whose fan-in grows by {expected[0]} and fan-out by "
            f"{expected[1]}; in the forward pass fan-in grows by {observed[0]} and fan-out by "
            f"{observed[1]}",
            why="which axis is fan-in decides its init and its rate",
            fix="make it a raw parameter, whose role follows from the forward pass: "
            f"nn.Parameter(torch.empty{parameter.shape})",
        )
