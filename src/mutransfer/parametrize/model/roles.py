"""Roles of parameters: input, hidden, output and so on, from fan-in, fan-out and the user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from torch import nn
from torch.nn.modules.rnn import RNNCellBase

from mutransfer.errors import RoleError, check_type, listed
from mutransfer.parametrize.model.axes import ONES, Fans, Sizes, fans_across_widths, grows, ratio
from mutransfer.parametrize.model.fans import is_elementwise
from mutransfer.parametrize.model.shapes import ParameterInfo
from mutransfer.rules.roles import COPY_OF, REASONS, ROLE_OVERRIDE, Role, role_of_matrix
from mutransfer.tracing import Trace

TIED = "a table that embedding and readout share: the embedding's rule, and a readout multiplier"


@dataclass(frozen=True, slots=True)
class ParameterRole:
    """The role of one parameter, and the ratios that its rule and its init depend on.

    Args:
        role: Role of the parameter in the rule table.
        reason: Why it has this role, in words.
        r_in: Fan-in, target over base.
        r_out: Fan-out, target over base.
        init_ratio: Axis that the author's init may depend on, target over base.
        init_probe: The same axis, probe over base.
        init_axes: Other axes that it may depend on: target and probe over base of each.
        fan_probe: Fan-in where it grows, else fan-out, probe over base; for a bias that does not
            grow, the fan-in of its layer.
        r_layer: Fan-in of the layer of a bias that does not grow, target over base; else 1.
    """

    role: Role
    reason: str
    r_in: Fraction
    r_out: Fraction
    init_ratio: Fraction
    init_probe: Fraction
    fan_probe: Fraction
    r_layer: Fraction
    init_axes: tuple[tuple[Fraction, Fraction], ...] = ()


def infer_roles(
    base: Mapping[str, ParameterInfo],
    probe: Mapping[str, ParameterInfo],
    target: Mapping[str, ParameterInfo],
    roles: Mapping[str, Role],
    trace: Trace,
    copies: Mapping[str, str] | None = None,
) -> dict[str, ParameterRole]:
    """Infer the role and ratios of every parameter.

    Args:
        base: Parameters at the base width.
        probe: The same at another small width.
        target: The same at the target width.
        roles: The user's roles by regular expression, which must match a whole name.
        trace: Traced forward passes.
        copies: The original of each copy, whose role it gets.

    Raises:
        RoleError: A role is undetermined, or a pattern of the user does not apply.
    """
    if base and all(base[n].shape == m[n].shape for m in (probe, target) for n in base):
        raise RoleError(
            f"no parameter grows with width: {listed(base)} keep their shapes",
            why="roles are inferred from the axes that grow",
            fix="make build(width) use its width",
        )
    overrides = _role_overrides(list(base), roles)
    fans = {n: fans_across_widths((base[n], probe[n], target[n]), trace.use(n)) for n in base}
    originals = {n: original for n, original in (copies or {}).items() if n not in overrides}
    open_fans = {n: f for n, f in fans.items() if n not in overrides and n not in originals}
    _require_known([f for f in open_fans.values() if not f.is_known], trace)
    if trace.readouts is None:
        readouts = _only_readout(open_fans)
    else:
        readouts = trace.readouts
        heads = [f for n, f in open_fans.items() if f.maps_to_fixed and trace.use(n) is None]
        _require_known(heads, trace)
    layer_fan_in = {f.parameter.module: f.fan_in for f in fans.values() if not f.is_elementwise}
    inferred = {}
    for name, own in fans.items():
        if name in originals:
            continue
        role, reason = _role(own, overrides.get(name), readouts)
        inferred[name] = _with_ratios(own, role, reason, layer_fan_in.get(own.parameter.module))
    for name, original in originals.items():
        inferred[name] = replace(inferred[original], reason=f"{COPY_OF}{original}")
    return {name: inferred[name] for name in base}


def _role_overrides(names: list[str], roles: Mapping[str, Role]) -> dict[str, Role]:
    """Return the user's role of each parameter that one of the patterns matches."""
    overrides: dict[str, Role] = {}
    check_type("roles", roles, Mapping, fix="roles={'head.weight': Role.OUTPUT}")
    for pattern, value in roles.items():
        try:
            role, matcher = Role(value), re.compile(pattern)
        except (TypeError, ValueError, re.error) as problem:
            raise RoleError(
                f"roles={{{pattern!r}: {value!r}}} is invalid: {problem}",
                why="a role that is ignored would leave a wrong rate in place",
                fix=f"write a regular expression and one of {listed(Role, limit=9)}",
            ) from None
        matches = [name for name in names if matcher.fullmatch(name)]
        if not matches:
            raise RoleError(
                f"roles={{{pattern!r}: ...}} matches no parameter",
                why="a pattern that matches nothing would silently leave the role as it was",
                fix=f"match a whole name: {listed(names)}",
            )
        for name in matches:
            if overrides.setdefault(name, role) != role:
                raise RoleError(
                    f"roles= sets '{name}' to {overrides[name]} and to {role}",
                    why="a parameter has one role",
                    fix="make the patterns in roles= exclude each other",
                )
    return overrides


def _require_known(unknown: list[Fans], trace: Trace) -> None:
    """Raise for parameters whose role neither shapes nor a forward pass determine."""
    if not unknown:
        return
    first = unknown[0].parameter
    reason, remedy = trace.unknown_use(first.name)
    meaning = (
        "INPUT if a growing axis stays in the result, OUTPUT or BOTTLENECK if it is summed over, "
    )
    meaning += "HIDDEN if both, VECTOR if it is applied elementwise"
    if len(first.shape) == 1:
        meaning = "VECTOR if it is applied elementwise, OUTPUT or BOTTLENECK if it is summed over"
    elif unknown[0].maps_to_fixed and unknown[0].is_known:
        meaning = "OUTPUT for a head of the model, BOTTLENECK if other weights follow"
    elif unknown[0].num_growing > 1:
        meaning = "HIDDEN if one growing axis is summed over and another stays in the result"
    raise RoleError(
        f"the role of {listed(f.parameter.name for f in unknown)} is undetermined: {reason} "
        f"({first.kind.__name__}, shape {first.shape} at the base)",
        why="whether an axis is summed over or broadcast decides its init and its rate",
        fix=f"{remedy}; or roles={{{first.name!r}: Role.{meaning.partition(' ')[0]}}} ({meaning})",
    )


def _only_readout(fans: Mapping[str, Fans]) -> frozenset[str]:
    """Return the only weight that maps a growing axis to a fixed one, or raise if it is unclear."""
    names = [n for n, f in fans.items() if not f.is_elementwise]
    candidates = [n for n in names if fans[n].maps_to_fixed]
    if not candidates:
        return frozenset()
    after = names[names.index(candidates[-1]) + 1 :]
    after = [n for n in after if not (fans[n].fan_in_scales or fans[n].fan_out_scales)]
    if len(candidates) == 1 and not after:
        return frozenset(candidates)
    also = f", and '{after[-1]}' is registered after it" if after else ""
    raise RoleError(
        f"the readout is undetermined: {listed(candidates)} map a growing axis to a fixed "
        f"one{also}",
        why="a readout's init and rate shrink with width, a router's or bottleneck's do not",
        fix="pass example_inputs=x, the inputs of the model; or set the role: "
        f"roles={{{candidates[0]!r}: Role.BOTTLENECK}} if other weights follow, "
        "Role.OUTPUT for every head",
    )


def _role(fans: Fans, override: Role | None, readouts: frozenset[str]) -> tuple[Role, str]:
    """Return the role of a parameter and the reason in words."""
    if override is not None:
        _check_override(fans, override)
        return override, ROLE_OVERRIDE
    if fans.is_elementwise:
        role = Role.VECTOR if fans.fan_out_scales else Role.FIXED
        return role, REASONS[role]
    role = role_of_matrix(
        fan_in_scales=fans.fan_in_scales,
        fan_out_scales=fans.fan_out_scales,
        is_readout=fans.parameter.name in readouts,
    )
    if role is Role.OUTPUT and fans.parameter.has_weight_norm:
        raise RoleError(
            f"'{fans.parameter.name}' is the readout, and weight_norm divides by its size",
            why="the init of a readout must shrink with width, but weight_norm undoes any init",
            fix="call torch.nn.utils.parametrize.remove_parametrizations(readout, "
            f"'{fans.parameter.attribute}') inside build",
        )
    is_tied = fans.parameter.readouts and role is not Role.OUTPUT
    return role, TIED if is_tied else REASONS[role]


def _check_override(fans: Fans, role: Role) -> None:
    """Raise if the axes that a user's role needs do not grow, or are undetermined."""
    name, shape = fans.parameter.name, fans.parameter.shape
    needs_in = role in (Role.HIDDEN, Role.OUTPUT, Role.BOTTLENECK)
    needs_out = role in (Role.HIDDEN, Role.INPUT)
    if (needs_in and not fans.fan_in_scales) or (needs_out and not fans.fan_out_scales):
        raise RoleError(
            f"'{name}' of base shape {shape} cannot be {role}",
            why=f"{role} means: {REASONS[role]}",
            fix="correct roles=, or build a target whose axes differ from the base's",
        )
    if fans.is_known or role is Role.FIXED:
        return
    r_in, r_out = ratio(fans.fan_in), ratio(fans.fan_out)
    if fans.num_growing != (2 if role is Role.HIDDEN else 1) or r_in != r_out:
        raise RoleError(
            f"'{name}' of base shape {shape} cannot be set to {role}: {fans.num_growing} of its "
            f"axes grow, by {r_in} and {r_out}",
            why="which axis of a raw parameter is fan-in decides its init and its rate",
            fix="put it into an nn.Linear, whose fan-in is known",
        )


def _with_ratios(fans: Fans, role: Role, reason: str, layer_fan_in: Sizes | None) -> ParameterRole:
    """Compute the ratios of a parameter from the sizes of its axes."""
    fan_in, fan_out = fans.fan_in, fans.fan_out
    if role is Role.FIXED:
        fan_in = fan_out = ONES
    elif not fans.is_known and role in (Role.INPUT, Role.VECTOR):
        fan_in = ONES  # one axis grows, which the user's role makes fan-out
    elif not fans.is_known and role in (Role.OUTPUT, Role.BOTTLENECK):
        fan_out = ONES
    layer = (layer_fan_in if is_elementwise(fans.parameter) else None) or ONES
    grown = fan_in if grows(fan_in) else fan_out if grows(fan_out) else layer
    # A bias has no fan-in; torch draws it with the fan-in of its layer.
    own = layer_fan_in if fans.is_elementwise and layer_fan_in is not None else fan_in
    own = own if grows(own) else fan_out
    axes = [own]
    if grows(fan_in) and grows(fan_out) and fan_in[1] * fan_out[0] != fan_out[1] * fan_in[0]:
        # Torch draws all weights of a recurrent layer with its hidden size, whatever its input.
        is_recurrent = issubclass(fans.parameter.kind, nn.RNNBase | RNNCellBase)
        axes = [fan_out, fan_in] if is_recurrent else [fan_in, fan_out]
    init_axes = [(ratio(sizes), Fraction(sizes[1], sizes[0])) for sizes in axes]
    return ParameterRole(
        role=role,
        reason=reason,
        r_in=ratio(fan_in),
        r_out=ratio(fan_out),
        init_ratio=init_axes[0][0],
        init_probe=init_axes[0][1],
        fan_probe=Fraction(grown[1], grown[0]),
        r_layer=ratio(layer) if role is Role.FIXED else Fraction(1),
        init_axes=tuple(init_axes[1:]),
    )
