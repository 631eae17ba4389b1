"""This file is which axes of a parameter scale, which is fan-in, and hence its role."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from mutransfer.errors import RoleError, listed
from mutransfer.parametrize.model.layers import fans, is_elementwise
from mutransfer.parametrize.model.shapes import Owned
from mutransfer.rules.roles import REASONS, ROLE_OVERRIDE, Role, role_of_matrix
from mutransfer.tracing import Seen, Use


@dataclass(frozen=True, slots=True)
class Axes:
    """One parameter across widths: how its sides grow, and what it is to a rule.

    Args:
        role: What it is to a rule.
        reason: Why, in words.
        r_in: Fan-in ratio, target over base.
        r_out: Fan-out ratio, target over base.
        init_ratio: Ratio, target over base, of the axis that the author's init may depend on.
        init_probe: The same, probe over base.
        fan_probe: Fan-in where it grows, else fan-out, probe over base; of a bias that does not
            grow, its layer's fan-in.
        r_layer: Of such a bias, its layer's fan-in ratio, target over base.
    """

    role: Role
    reason: str
    r_in: Fraction
    r_out: Fraction
    init_ratio: Fraction
    init_probe: Fraction
    fan_probe: Fraction
    r_layer: Fraction


@dataclass(frozen=True, slots=True)
class Sides:
    """A parameter's fan-in and fan-out at base, probe and target.

    An elementwise parameter has a fan-out only: its size. Where the direction is not known,
    both hold a growing axis.
    """

    parameter: Owned
    known: bool
    elementwise: bool
    fan_in: tuple[int, int, int]
    fan_out: tuple[int, int, int]
    num_growing: int

    @property
    def fan_in_scales(self) -> bool:
        """Whether fan-in grows."""
        return len(set(self.fan_in)) > 1

    @property
    def fan_out_scales(self) -> bool:
        """Whether fan-out grows."""
        return len(set(self.fan_out)) > 1


def read_axes(
    base: Mapping[str, Owned],
    probe: Mapping[str, Owned],
    target: Mapping[str, Owned],
    roles: Mapping[str, Role],
    seen: Seen,
) -> dict[str, Axes]:
    """Give every parameter its role and ratios.

    Args:
        base: Parameters at the base width.
        probe: The same at another small width.
        target: The same at the target width.
        roles: The user's word, from regular expressions (matched whole) to roles.
        seen: What forward passes showed.

    Raises:
        RoleError: A role that shapes and owners cannot tell, or a pattern that matches nothing.
    """
    _refuse_constant(base, probe, target)
    told = told_roles(list(base), roles)
    sides = {n: _sides((base[n], probe[n], target[n]), seen.use(n)) for n in base}
    _refuse_unknown([s for n, s in sides.items() if not s.known and n not in told], seen)
    if seen.readouts is None:
        readouts = _readouts(sides, told)
    else:
        readouts = seen.readouts
        heads = [s for n, s in sides.items() if n not in told and _maps_to_fixed(s)]
        _refuse_unknown([s for s in heads if seen.use(s.parameter.name) is None], seen)
    owner_fan_in = {s.parameter.module: s.fan_in for s in sides.values() if not s.elementwise}
    axes = {}
    for name, side in sides.items():
        role, reason = _role(side, told.get(name), readouts)
        bias_of = owner_fan_in.get(side.parameter.module)
        axes[name] = _axes(side, role, reason, bias_of)
    return axes


def told_roles(names: list[str], roles: Mapping[str, Role]) -> dict[str, Role]:
    """Spread the user's patterns over parameter names.

    Raises:
        RoleError: A pattern is no regular expression, matches nothing, or contradicts another.
    """
    told: dict[str, Role] = {}
    for pattern, value in roles.items():
        try:
            role, matcher = Role(value), re.compile(pattern)
        except (ValueError, re.error) as problem:
            raise RoleError(
                f"roles={{{pattern!r}: {value!r}}} cannot be read: {problem}",
                why="a role that is ignored would leave a wrong rate in place",
                fix=f"write a regular expression and one of {listed(Role, limit=9)}",
            ) from None
        matched = [name for name in names if matcher.fullmatch(name)]
        if not matched:
            raise RoleError(
                f"roles={{{pattern!r}: ...}} matches no parameter",
                why="a pattern that matches nothing would silently leave the role as it was",
                fix=f"match a whole name: {listed(names)}",
            )
        for name in matched:
            if told.setdefault(name, role) != role:
                raise RoleError(
                    f"'{name}' is told to be {told[name]} and {role}",
                    why="a parameter has one role",
                    fix="make the patterns in roles= exclude each other",
                )
    return told


def growing_axes(*models: Mapping[str, Owned]) -> dict[str, frozenset[int]]:
    """Find the axes of each parameter that are not the same at every width."""
    return {
        name: frozenset(
            k for k, size in enumerate(first.shape) if any(m[name].shape[k] != size for m in models)
        )
        for name, first in models[0].items()
    }


def raw_parameters(model: Mapping[str, Owned]) -> frozenset[str]:
    """Name the parameters whose owner is no layer that we know."""
    return frozenset(n for n, p in model.items() if fans(p) is None and not is_elementwise(p))


def _sides(at: tuple[Owned, Owned, Owned], use: Use | None) -> Sides:
    """Find fan-in and fan-out from the owner or a forward pass, or leave the direction open."""
    shapes = [owned.shape for owned in at]
    parameter = at[0]
    growing = [k for k in range(len(shapes[0])) if len(set(_at(shapes, k))) > 1]
    at_each = [fans(owned) for owned in at]
    if at_each[0] is not None:
        fan_in, fan_out = zip(*(both for both in at_each if both is not None), strict=True)
        sides = Sides(parameter, True, False, fan_in, fan_out, len(growing))
        _cross_check(sides, shapes, use)
        return sides
    size = (prod(shapes[0]), prod(shapes[1]), prod(shapes[2]))
    if is_elementwise(parameter):
        return Sides(parameter, True, True, (1, 1, 1), size, len(growing))
    if use is not None and growing:
        into, out = _directions(use)
        if into | out and not into & out:
            fan_in, fan_out = _sizes(shapes, into), _sizes(shapes, out)
            vector = len(shapes[0]) == 1 and not into
            return Sides(parameter, True, vector, fan_in, fan_out, len(growing))
    if not growing:
        return Sides(parameter, True, len(shapes[0]) < 2, (1, 1, 1), (1, 1, 1), 0)
    fan_in, fan_out = _at(shapes, growing[0]), _at(shapes, growing[-1])
    return Sides(parameter, False, len(shapes[0]) < 2, fan_in, fan_out, len(growing))


def _directions(use: Use) -> tuple[set[int], set[int]]:
    """Tell fan-in from fan-out; the axis that numbers experts is neither."""
    if use.rows or use.looked_up:
        return use.looked_up, use.rows  # a table, whose readout is another matter
    # A vector times an activation, summed, is a dot product: contracted, not applied.
    return use.contracted, use.carried | (use.applied - use.contracted)


def _sizes(shapes: list[tuple[int, ...]], axes: set[int]) -> tuple[int, int, int]:
    """Multiply the sizes of some axes at base, probe and target."""
    base, probe, target = (prod(shape[k] for k in axes) for shape in shapes)
    return base, probe, target


def _cross_check(sides: Sides, shapes: list[tuple[int, ...]], use: Use | None) -> None:
    """Compare what a layer's type says with what a forward pass did."""
    if use is None or not (use.contracted or use.looked_up or use.carried or use.rows):
        return
    parameter = sides.parameter
    into, out = _directions(use)
    seen = [Fraction(_sizes(shapes, axes)[2], _sizes(shapes, axes)[0]) for axes in (into, out)]
    said = [Fraction(fan[2], fan[0]) for fan in (sides.fan_in, sides.fan_out)]
    if seen != said:
        raise RoleError(
            f"'{parameter.name}' of base shape {parameter.shape} belongs to "
            f"{parameter.kind.__name__}, whose fan-in grows by {said[0]} and fan-out by {said[1]}; "
            f"in the forward pass fan-in grows by {seen[0]} and fan-out by {seen[1]}",
            why="which axis is fan-in decides its init and its rate",
            fix="make it a raw parameter, whose use in the forward pass counts: "
            f"nn.Parameter(torch.empty{parameter.shape})",
        )


def _at(shapes: list[tuple[int, ...]], axis: int) -> tuple[int, int, int]:
    """Read one axis at base, probe and target."""
    return shapes[0][axis], shapes[1][axis], shapes[2][axis]


def _refuse_unknown(sides: list[Sides], seen: Seen) -> None:
    """Ask for a role that neither shapes nor a forward pass tell."""
    if not sides:
        return
    first = sides[0].parameter
    names = [side.parameter.name for side in sides]
    reason, remedy = seen.told(first.name)
    meaning = "INPUT where a growing axis is carried on, OUTPUT or BOTTLENECK where it is summed "
    meaning += "over, HIDDEN where both, VECTOR where it is applied"
    if len(first.shape) == 1:
        meaning = "VECTOR where it is applied, OUTPUT or BOTTLENECK where it is summed over"
    elif _maps_to_fixed(sides[0]) and sides[0].known:
        meaning = "OUTPUT for a head of the model, BOTTLENECK where other weights come behind"
    elif sides[0].num_growing > 1:
        meaning = "HIDDEN where one growing axis is summed over and another carried on"
    raise RoleError(
        f"cannot tell the role of {listed(names)}: {reason} ({first.kind.__name__}, shape "
        f"{first.shape} at the base)",
        why="whether an axis is summed over or broadcast decides its init and its rate",
        fix=f"{remedy}; or roles={{{first.name!r}: Role.{meaning.partition(' ')[0]}}} ({meaning})",
    )


def _refuse_constant(*models: Mapping[str, Owned]) -> None:
    """Refuse a factory that does not use its width."""
    base = models[0]
    if base and all(base[n].shape == other[n].shape for other in models for n in base):
        raise RoleError(
            f"no parameter grows with width: {listed(base)} keep their shapes",
            why="a role is read from the axes that grow",
            fix="let build(width) use its width",
        )


def _readouts(sides: Mapping[str, Sides], told: Mapping[str, Role]) -> frozenset[str]:
    """Find the one weight that maps a growing axis to a fixed one, with nothing behind it."""
    matrices = [(n, s) for n, s in sides.items() if not s.elementwise and n not in told]
    candidates = [n for n, s in matrices if _maps_to_fixed(s)]
    if not candidates:
        return frozenset()
    behind = [n for n, s in matrices[[n for n, _ in matrices].index(candidates[-1]) + 1 :]]
    behind = [n for n in behind if not (sides[n].fan_in_scales or sides[n].fan_out_scales)]
    if len(candidates) == 1 and not behind:
        return frozenset(candidates)
    also = f", and '{behind[-1]}' comes behind" if behind else ""
    raise RoleError(
        f"cannot tell which is the readout: {listed(candidates)} map a growing axis to a fixed "
        f"one{also}",
        why="a readout's init and rate shrink with width, a router's or bottleneck's do not",
        fix="example_inputs=x, what the model is called with, shows it; or say it: "
        f"roles={{{candidates[0]!r}: Role.BOTTLENECK}} where other weights come behind, "
        "Role.OUTPUT for every head",
    )


def _maps_to_fixed(side: Sides) -> bool:
    """Tell a readout or a bottleneck."""
    return not side.elementwise and side.fan_in_scales and not side.fan_out_scales


def _role(side: Sides, told: Role | None, readouts: frozenset[str]) -> tuple[Role, str]:
    """Decide one role, with the reason in words."""
    name = side.parameter.name
    if told is not None:
        _check_told(side, told)
        return told, ROLE_OVERRIDE
    if side.elementwise:
        scales = side.fan_out_scales
        return (Role.VECTOR, REASONS[Role.VECTOR]) if scales else (Role.FIXED, REASONS[Role.FIXED])
    role = role_of_matrix(
        fan_in_scales=side.fan_in_scales,
        fan_out_scales=side.fan_out_scales,
        is_readout=name in readouts,
    )
    reason = REASONS[role]
    if side.parameter.readouts:
        reason = "a table that embedding and readout share: the embedding's rule, and the readout's"
        reason += " multiplier"
    if role is Role.OUTPUT and side.parameter.normed:
        raise RoleError(
            f"'{name}' is the readout, and weight_norm divides its size out",
            why="a readout's init must shrink with width, and no init of it would",
            fix="torch.nn.utils.parametrize.remove_parametrizations(readout, "
            f"'{side.parameter.attribute}'), inside build",
        )
    if role is Role.OUTPUT:
        reason = "from a growing axis to a fixed one, and no weight behind it: the model's readout"
    return role, reason


def _check_told(side: Sides, told: Role) -> None:
    """Refuse a role whose axes do not grow, or whose direction stays open."""
    name, shape = side.parameter.name, side.parameter.shape
    needs_in = told in (Role.HIDDEN, Role.OUTPUT, Role.BOTTLENECK)
    needs_out = told in (Role.HIDDEN, Role.INPUT)
    if (needs_in and not side.fan_in_scales) or (needs_out and not side.fan_out_scales):
        raise RoleError(
            f"'{name}' of base shape {shape} cannot be {told}",
            why=f"{told} means: {REASONS[told]}",
            fix="correct roles=, or build a target whose axes differ from the base's",
        )
    expected = 2 if told is Role.HIDDEN else 1
    grows = [Fraction(f[2], f[0]) for f in (side.fan_in, side.fan_out)]
    open_direction = not side.known and told is not Role.FIXED
    if open_direction and (side.num_growing != expected or grows[0] != grows[1]):
        raise RoleError(
            f"'{name}' of base shape {shape} cannot be told to be {told}: "
            f"{side.num_growing} of its axes grow, by {grows[0]} and {grows[1]}",
            why="which axis of a raw parameter is fan-in decides its init and its rate",
            fix="put it into an nn.Linear, where the direction is known",
        )


def _axes(side: Sides, role: Role, reason: str, owner_fan_in: tuple[int, int, int] | None) -> Axes:
    """Turn sizes into ratios."""
    fan_in, fan_out = side.fan_in, side.fan_out
    if not side.known:
        # One growing axis: it is fan-out of an input or vector, fan-in of an output.
        if role in (Role.INPUT, Role.VECTOR):
            fan_in = (1, 1, 1)
        elif role in (Role.OUTPUT, Role.BOTTLENECK):
            fan_out = (1, 1, 1)
    if role is Role.FIXED:
        fan_in = fan_out = (1, 1, 1)
    fan = fan_in if len(set(fan_in)) > 1 else fan_out
    layer = (owner_fan_in if is_elementwise(side.parameter) else None) or (1, 1, 1)
    if len(set(fan)) == 1:
        fan = layer
    own = owner_fan_in if side.elementwise and owner_fan_in is not None else fan_in
    if len(set(own)) == 1:
        own = fan_out
    return Axes(
        role=role,
        reason=reason,
        r_in=Fraction(fan_in[2], fan_in[0]),
        r_out=Fraction(fan_out[2], fan_out[0]),
        init_ratio=Fraction(own[2], own[0]),
        init_probe=Fraction(own[1], own[0]),
        fan_probe=Fraction(fan[1], fan[0]),
        r_layer=Fraction(layer[2], layer[0]) if role is Role.FIXED else Fraction(1),
    )
