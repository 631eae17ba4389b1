"""Learned scales: raw parameters whose start is a constant times a power of width.

Examples are the gain of a ScaleNorm, which starts at the square root of the width, and a learned
temperature of attention logits. Such a parameter s is a multiplier that its author could have
written as a constant: s = width^a · t, where t starts at one. So it keeps its start, its rate is
that of t, converted by the abc-symmetry, and the constant counts as the author's own multiplier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from fractions import Fraction

from mutransfer.errors import InitError, listed
from mutransfer.parametrize.model.build import Build, build_model, temporary_seed
from mutransfer.parametrize.model.init import Pool, add_to_pool
from mutransfer.parametrize.model.roles import ParameterRole
from mutransfer.rules.roles import Role
from mutransfer.tracing import Trace
from mutransfer.tracing.operations import BIAS

EXPONENT_TOLERANCE = 0.02  # as for an init without noise [assumed]
EXPONENTIALS = frozenset(("exp", "exp2"))
BOUNDS = frozenset(("clamp", "clamp_min", "clamp_max", "minimum", "maximum", "abs", "neg"))


@dataclass(frozen=True, slots=True)
class LearnedScale:
    """A learned scale whose start depends on width.

    Args:
        power: Exponent of the start in the ratio of widths, or of its own axis if that grows;
            None where the parameter is the logarithm of the scale.
    """

    power: Fraction | None

    @property
    def is_power(self) -> bool:
        """Whether its own size, and not that of its exponential, is a power of width."""
        return self.power is not None

    @property
    def reason(self) -> str:
        """What it is, in words."""
        if self.power is None:
            return (
                "the logarithm of a scale that depends on width: it keeps its start, and steps "
                "of the same size change the scale by the same factor"
            )
        return (
            f"a scale that starts at ratio^{self.power}: it keeps its start, and its rate is that "
            "of a parameter that starts at one and is multiplied by this power"
        )


def width_dependent_starts(
    build: Build,
    base: int,
    growing: Mapping[str, Set[int]],
    raw: Set[str],
    at_base: Pool,
    at_probe: Pool,
) -> frozenset[str]:
    """Return the parameters whose start depends on width, and on nothing random.

    Args:
        build: The user's factory, called once more if a start differs between the two widths.
        base: Base width.
        growing: The axes of each parameter that grow; a scale has one at most.
        raw: Parameters whose owner is not a known layer.
        at_base: Moments at the base width, of one build.
        at_probe: Moments at the probe width, of one build.
    """
    differing = {
        name
        for name in raw
        if len(growing[name]) < 2
        and not math.isclose(at_base[name].second, at_probe[name].second, rel_tol=1e-6)
    }
    if not differing:
        return frozenset()
    with temporary_seed(1):
        again = add_to_pool(build_model(build, base), {}, base, differing)
    first = {name: (at_base[name].second, at_base[name].fourth) for name in differing}
    return frozenset(n for n in differing if first[n] == (again[n].second, again[n].fourth))


def learned_scales(
    starts: Set[str],
    roles: Mapping[str, ParameterRole],
    trace: Trace,
    pools: Mapping[int, Pool],
    widths: tuple[int, int, int],
    *,
    strict: bool = True,
) -> tuple[dict[str, ParameterRole], dict[str, LearnedScale]]:
    """Determine which starts belong to learned scales.

    Args:
        starts: Parameters whose start depends on width, and on nothing random.
        roles: Roles and ratios.
        trace: Traced forward passes.
        pools: Moments at the base and the probe width.
        widths: Base, probe and target width.
        strict: Whether a scale that no rule covers is an error; else it counts as a logarithm,
            whose size is not judged.

    Returns:
        The roles, where what depends on width but does not grow has the ratio of the widths, and
        the scales by name. Any other start is corrected to the rule, as that of a bias is.

    Raises:
        InitError: The start of a scale is not a power of width, or the scale passes through a
            function that does not preserve powers.
    """
    base, probe, target = widths
    all_roles, scales = dict(roles), {}
    for name in (name for name in roles if name in starts):
        role, is_fixed = roles[name], roles[name].role is Role.FIXED
        at_base, at_probe = (pool[name] for pool in pools.values())
        is_fill = role.role is Role.VECTOR and at_base.is_constant and at_probe.is_constant
        may_undo_norm = name in trace.undo_norms or (trace.readouts is None and is_fill)
        if not (is_fixed or may_undo_norm):
            continue
        if is_fixed:
            ratio = Fraction(target, base)
            role = replace(role, init_ratio=ratio, init_probe=Fraction(probe, base))
        functions = trace.functions.get(name, frozenset()) - BOUNDS
        start = _Start(functions, at_base.rms, at_probe.rms, role.init_probe)
        if strict and not start.is_sound:
            raise _start_error(name, start, widths, is_traced=trace.readouts is not None)
        if functions != {BIAS} and start.power != 0:
            scale = scales[name] = LearnedScale(start.power)
            r_in = role.init_ratio if is_fixed and scale.is_power else role.r_in
            role = replace(role, reason=scale.reason, r_in=r_in)
        all_roles[name] = role
    return all_roles, scales


@dataclass(frozen=True, slots=True)
class _Start:
    """How one parameter starts at the base and the probe width, and what it passes through."""

    functions: Set[str]
    base: float
    probe: float
    ratio: Fraction

    @property
    def exponent(self) -> float:
        """Exponent of the start in the probe's ratio; infinite if it is zero at one width."""
        if not (self.base and self.probe):
            return math.inf
        return math.log(self.probe / self.base) / math.log(self.ratio)

    @property
    def power(self) -> Fraction | None:
        """Nearest multiple of 1/2 that is a power of the start; None if there is none."""
        if self.functions - {BIAS} or not math.isfinite(self.exponent):
            return None
        nearest = Fraction(round(2 * self.exponent), 2)
        return nearest if abs(self.exponent - nearest) < EXPONENT_TOLERANCE else None

    @property
    def is_sound(self) -> bool:
        """Whether a rule covers it: it is a power, or the logarithm of a scale."""
        return self.power is not None or bool(self.functions & EXPONENTIALS)


def _start_error(
    name: str, start: _Start, widths: tuple[int, int, int], *, is_traced: bool
) -> InitError:
    """Return the error for a start that no rule covers."""
    problem = "which is not a power 1/2, 1 ... of width"
    if math.isfinite(start.exponent):
        problem = f"which grows as ratio^{start.exponent:.3f}, not as a power 1/2, 1 ... of width"
    if start.functions:
        problem = f"and the forward pass applies {listed(sorted(start.functions))} to it"
    hint = "; if it is the logarithm of a scale, pass example_inputs=x, the inputs of the model"
    return InitError(
        f"'{name}' starts at an RMS of {start.base:.4g} at width {widths[0]} and of "
        f"{start.probe:.4g} at width {widths[1]}, {problem}",
        why="its rate follows from its start only if it starts at a power of width and multiplies "
        "directly, or if it is the logarithm of a scale",
        fix="start it at the same value at every width, and multiply by the power of width as a "
        f"number: x * width**-0.5 * {name}{'' if is_traced else hint}",
    )
