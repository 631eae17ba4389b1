"""This file is the multipliers that a model's author has in the forward pass, as powers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from mutransfer.errors import ModelError
from mutransfer.parametrize.model.axes import Axes
from mutransfer.parametrize.model.shapes import Owned
from mutransfer.rules.plan import SINGLE_RATE
from mutransfer.rules.power import ONE, Power
from mutransfer.rules.tables import Parametrization
from mutransfer.tracing import Seen

NEAR_A_HALF = 0.1  # how far off a measured power may be [assumed]


def is_tied(parameter: Owned, seen: Seen) -> bool:
    """Tell a table that embeds and reads out: two layers share it, or a forward pass showed it."""
    use = seen.use(parameter.name)
    return bool(parameter.readouts) or (use is not None and bool(use.rows and use.contracted))


def own_multipliers(
    seen: Seen, axes: Mapping[str, Axes], table: Parametrization, probe: Fraction
) -> dict[str, tuple[Power, Power]]:
    """Give the author's own forward multiplier of each parameter, and that of it as a readout.

    Args:
        seen: What forward passes showed.
        axes: Roles and ratios.
        table: Whose rule the attention scale is to follow.
        probe: The probe's width over the base's.

    Raises:
        ModelError: A multiplier that is no power 0, 1/2, 1 ... of a growing axis.
    """
    stays = table.name in SINGLE_RATE
    wanted = seen.multipliers if stays else seen.wanted(table.attention)
    found = {}
    for name, ax in axes.items():
        kinds = [kind for kind in ("lookup", "product", "applied") if (name, kind) in wanted]
        first = wanted[name, kinds[0]] if kinds else 0.0
        behind = wanted.get((name, "product"), 0.0)
        found[name] = _power(name, first, ax, probe), _power(name, behind, ax, probe)
    return found


def _power(name: str, exponent: float, ax: Axes, probe: Fraction) -> Power:
    """Write a power of width as one of fan-in, or of fan-out where fan-in does not grow."""
    if ax.fan_probe == 1:
        return ONE  # nothing of it grows: there is no ratio that a rule could use
    value = exponent * math.log(probe) / math.log(ax.fan_probe)
    nearest = Fraction(round(2 * value), 2)
    if abs(value - nearest) > NEAR_A_HALF:
        raise ModelError(
            f"the forward multipliers of '{name}' grow as ratio^{value:.3f}, which is no "
            "power 0, 1/2, 1 ...",
            why="the rule supplies what your multiplier lacks, so it must know how that scales",
            fix="multiply by a power of width: x * width**-0.5; and build width from few sizes",
        )
    grows_in = ax.r_in != 1 or ax.r_layer != 1
    return Power(fan_in=nearest) if grows_in else Power(fan_out=nearest)
