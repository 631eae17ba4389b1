"""The target of a prediction: one value of every scale."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mutransfer.analysis.format import AxisNames
from mutransfer.errors import ResultsError, listed


def target_values(
    axes: AxisNames, width: float | None, at: Mapping[str, float] | None
) -> dict[str, float]:
    """Return the target's value of every scale, in the order of the scales.

    Args:
        axes: Names of the scales.
        width: The target's value of the first scale, or None.
        at: The target's values by name, or None.

    Raises:
        ResultsError: A scale has no value, a name is no scale, or a value is not positive.

    Example:
        >>> axes = AxisNames("params", "lr", ("tokens",))
        >>> target_values(axes, 7e9, {"tokens": 1.4e11})
        {'params': 7000000000.0, 'tokens': 140000000000.0}
    """
    values = {**({} if width is None else {axes.scale: width}), **(at or {})}
    if unknown := [name for name in values if name not in axes.scales]:
        raise ResultsError(
            f"the target names {listed(unknown)}, which is not a scale of this analysis",
            why=f"optima are compared over {listed(axes.scales)} alone",
            fix=f"--scale {','.join([*axes.scales, *unknown])}, or leave {listed(unknown)} out",
        )
    if missing := [name for name in axes.scales if name not in values]:
        raise ResultsError(
            f"the target has no {listed(missing)}",
            why="a rate is predicted for one value of every scale",
            fix=_example(axes),
        )
    if wrong := [name for name, value in values.items() if not 0 < value < math.inf]:
        raise ResultsError(
            f"the target {wrong[0]} is {values[wrong[0]]:g}",
            why="optima are extrapolated on logarithmic axes",
            fix=f"give a positive {wrong[0]}, larger than those that were run: {_example(axes)}",
        )
    return {name: float(values[name]) for name in axes.scales}


def _example(axes: AxisNames) -> str:
    """Return an argument that names a target."""
    if not axes.further:
        return "--width 8192"
    return f"--at {','.join(f'{name}=VALUE' for name in axes.scales)}"
