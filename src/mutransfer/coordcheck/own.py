"""This file is the roles of a user's own implementation: read off its models, nothing applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from torch import nn

from mutransfer.parametrize.axes import read_axes
from mutransfer.parametrize.shapes import (
    built,
    parameters_of,
    same_names,
    untouched_randomness,
)
from mutransfer.parametrize.watch import Seen, watched
from mutransfer.rules import Plan, Role
from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts


def own_plan(
    build: Callable[[int], nn.Module],
    widths: tuple[int, ...],
    roles: Mapping[str, Role],
    example_inputs: object,
    optimizer: str,
    form: str,
) -> Plan:
    """Work out what µP would give these models, from shapes alone; nothing of it is applied.

    The models are built for real: a build that prepares weights cannot run on the meta device.
    """
    owned = {}
    with untouched_randomness(0):
        for width in (widths[0], widths[1], widths[-1]):
            model = built(build, width)
            owned[width] = parameters_of(model)
        seen = Seen()
        if example_inputs is not None:
            seen = watched(built(build, widths[0]), example_inputs)
    same_names(owned)
    base, probe, target = owned.values()
    axes = read_axes(base, probe, target, roles, seen.elementwise)
    as_it_is = OwnInit(None, 0.0, Fraction(0), Fraction(1))
    facts = [
        ParameterFacts(
            name=name,
            shape=target[name].shape,
            base_shape=base[name].shape,
            role=found.role,
            r_in=found.r_in,
            r_out=found.r_out,
            init=as_it_is,
            reason=found.reason,
            readouts=target[name].readouts,
        )
        for name, found in axes.items()
    ]
    return plan_from_facts(
        facts,
        base=widths[0],
        target=widths[-1],
        parametrization="mup",
        optimizer=optimizer,
        form=form,
    )
