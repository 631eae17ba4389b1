"""The author's own forward multipliers, as powers of a parameter's fan-in or fan-out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from mutransfer.errors import ModelError
from mutransfer.parametrize.model.roles import ParameterRole
from mutransfer.parametrize.model.shapes import ParameterInfo
from mutransfer.rules.plan import SINGLE_RATE
from mutransfer.rules.power import ONE, Power
from mutransfer.rules.tables import Parametrization
from mutransfer.tracing import Trace

EXPONENT_TOLERANCE = 0.1  # of a measured exponent from a multiple of 1/2 [assumed]


def is_tied(parameter: ParameterInfo, trace: Trace) -> bool:
    """Return whether embedding and readout share a table, by its owners or in a forward pass."""
    use = trace.use(parameter.name)
    return bool(parameter.readouts) or (use is not None and bool(use.rows and use.contracted))


def own_multipliers(
    trace: Trace, roles: Mapping[str, ParameterRole], table: Parametrization, probe: Fraction
) -> dict[str, tuple[Power, Power]]:
    """Return the author's multiplier of each parameter, and its multiplier as a readout.

    No layer owns the logits of attention, so a correction of their scale counts as a multiplier of
    the queries' weights.

    Args:
        trace: Traced forward passes.
        roles: Roles and ratios.
        table: Parametrization whose rule the attention scale is to follow.
        probe: Probe width over base width.

    Raises:
        ModelError: A multiplier is not a power 0, 1/2, 1 ... of a growing axis.
    """
    keeps_scale = table.name in SINGLE_RATE
    exponents = trace.multipliers if keeps_scale else trace.required_multipliers(table.attention)
    multipliers = {}
    for name, role in roles.items():
        # A tied table has one multiplier per use; its own is the multiplier of the lookup.
        kinds = [kind for kind in ("lookup", "product", "applied") if (name, kind) in exponents]
        own = exponents[name, kinds[0]] if kinds else 0.0
        readout = exponents.get((name, "product"), 0.0)
        multipliers[name] = _power(name, own, role, probe), _power(name, readout, role, probe)
    return multipliers


def _power(name: str, exponent: float, role: ParameterRole, probe: Fraction) -> Power:
    """Convert a power of width to one of fan-in, or of fan-out where fan-in does not grow."""
    if role.fan_probe == 1:
        return ONE  # no axis grows, so there is no ratio that a rule could use
    value = exponent * math.log(probe) / math.log(role.fan_probe)
    nearest = Fraction(round(2 * value), 2)
    if abs(value - nearest) > EXPONENT_TOLERANCE:
        raise ModelError(
            f"the forward multipliers of '{name}' grow as ratio^{value:.3f}, which is not a "
            "power 0, 1/2, 1 ...",
            why="the plan corrects your multiplier, so it must know how it scales with width",
            fix="multiply by a power of width, as in x * width**-0.5, and make every size "
            "proportional to width",
        )
    fan_in_grows = role.r_in != 1 or role.r_layer != 1
    return Power(fan_in=nearest) if fan_in_grows else Power(fan_out=nearest)
