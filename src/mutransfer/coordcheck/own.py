"""This file is the roles of a user's own implementation: read off its models, nothing applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

from torch import nn

from mutransfer.coordcheck.optimizers import UNKNOWN
from mutransfer.parametrize.axes import growing_axes, raw_parameters, read_axes
from mutransfer.parametrize.own_forward import own_multipliers
from mutransfer.parametrize.shapes import (
    built,
    parameters_of,
    same_names,
    untouched_randomness,
)
from mutransfer.parametrize.watching import Seen, watched
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow, Role
from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts
from mutransfer.rules.power import ONE
from mutransfer.rules.registry import parametrization_named


def own_plan(
    build: Callable[[int], nn.Module],
    widths: tuple[int, ...],
    roles: Mapping[str, Role],
    example_inputs: object,
    held_by: Callable[[nn.Module], Mapping[str, str]],
    form: str,
) -> Plan:
    """Work out what µP would give these models, from shapes alone; nothing of it is applied.

    The models are built for real: a build that prepares weights cannot run on the meta device.
    Each row names the optimizer that holds the parameter: by its class, if no rule knows it.

    Args:
        build: A function from a width to a model.
        widths: Rising.
        roles: Roles that shapes do not tell.
        example_inputs: As for `make_plan`.
        held_by: From the smallest model to its parameters' optimizers.
        form: The table's form that the implementation claims to be.
    """
    at_widths = (widths[0], widths[1], widths[-1])
    with untouched_randomness(0):
        models = {width: built(build, width) for width in at_widths}
        owned = {width: parameters_of(model) for width, model in models.items()}
        same_names(owned)
        base, probe, target = owned.values()
        seen = Seen()
        if example_inputs is not None:
            first_two = {width: models[width] for width in at_widths[:2]}
            growing = growing_axes(base, probe, target)
            seen = watched(first_two, growing, raw_parameters(base), example_inputs)
        smallest = models[at_widths[0]]
        names = held_by(smallest)
    axes = read_axes(base, probe, target, roles, seen)
    ratio = Fraction(at_widths[1], at_widths[0])
    multipliers = own_multipliers(seen, axes, parametrization_named("mup"), ratio)
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
            own_multiplier=multipliers[name][0],
            own_readout=ONE if target[name].readouts else None,
        )
        for name, found in axes.items()
    ]
    plans = {
        name: plan_from_facts(
            facts,
            base=widths[0],
            target=widths[-1],
            parametrization="mup",
            optimizer=name if name in OPTIMIZERS else UNKNOWN,
            form=form,
        )
        for name in dict.fromkeys([*names.values(), UNKNOWN])
    }

    def row(fact: ParameterFacts) -> PlanRow:
        holder = names.get(fact.name, UNKNOWN)
        found = plans[holder][fact.name]
        return found if holder in OPTIMIZERS else replace(found, optimizer=holder)

    several = ", ".join(dict.fromkeys(names.values()))
    return replace(plans[UNKNOWN], optimizer=several, rows=tuple(row(fact) for fact in facts))
